package appliance

import (
	"context"
	"errors"
	"testing"
	"time"

	"dipper/appliance/store"
)

// stick is a state volume that appears late, and may be broken.
type stick struct {
	files  store.FileSystem
	broken error
}

func (s *stick) Open(context.Context) (store.FileSystem, string, error) {
	return s.files, "/dev/sda", s.broken
}

func (s *stick) Format(context.Context, string, bool) (store.FileSystem, error) {
	return nil, errors.ErrUnsupported
}

func (s *stick) Space() (size, free uint64, err error) { return 64 << 20, 32 << 20, nil }

func (s *stick) Notes() []string { return []string{"2 volumes", "does not grow"} }

// TestLateStateVolume has a state volume on USB, which is not there yet when
// the control plane starts, and is broken when it is looked for first.
func TestLateStateVolume(t *testing.T) {
	volume := &stick{}
	s, err := openShelf(t.Context(), volume, t.TempDir(), time.Now)
	if err != nil || s.lasting() {
		t.Fatalf("lasting: %t (%v), without a volume", s.lasting(), err)
	}
	volume.broken = errors.New("cold solder joint")
	if s.find(t.Context()) || s.lasting() || s.state().Error != "cold solder joint" {
		t.Errorf("a broken volume is used: %+v", s.state())
	}
	files := store.NewMemory()
	kept, err := store.Open(files, time.Now())
	if err == nil {
		_, err = kept.Save(store.Revision{}, []byte("role: director\n"))
	}
	if err != nil {
		t.Fatal(err)
	}
	volume.files, volume.broken = files, nil
	if !s.find(t.Context()) || !s.lasting() {
		t.Fatal("the volume is not found when it is there")
	}
	if saved, err := s.saved(); err != nil || string(saved) != "role: director\n" {
		t.Errorf("saved is %q (%v)", saved, err)
	}
	if state := s.state(); state.Device != "/dev/sda" || state.Error != "2 volumes; does not grow" {
		t.Errorf("state is %+v", state)
	}
	if s.find(t.Context()) {
		t.Error("found again what is in use")
	}
}
