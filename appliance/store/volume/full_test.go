package volume

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dipper/appliance/store"
)

// TestFullAndReadOnly fills a real volume, and makes it read-only as the
// kernel does when it finds damage: saves are errors, what was saved stays,
// and the next save works when there is room again. The volume was made by
// Debian's mkfs, with blocks of another size than ours.
func TestFullAndReadOnly(t *testing.T) {
	image := sparse(t, 8<<20)
	if out, err := exec.Command("mkfs.ext4", "-q", "-L", Label, image).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	v := New(filepath.Join(t.TempDir(), "state"))
	files, err := v.reopen(t, loop(t, image))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	if notes := v.Notes(); len(notes) > 0 {
		t.Errorf("notes: %q", notes)
	}
	s, err := store.Open(files, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, "first")

	filler := filepath.Join(v.directory, "filler")
	fill(t, filler)
	wantRefused(t, s, unix.ENOSPC)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, "second")

	remount(t, v, unix.MS_RDONLY)
	if _, err := s.Save(store.Revision{}, []byte("third")); !errors.Is(err, unix.EROFS) {
		t.Errorf("saved on a read-only volume: %v", err)
	}
	wantSavedIs(t, s, "second")
	remount(t, v, 0)
	mustSave(t, s, "third")
}

// fill takes all room, to the last block.
func fill(t *testing.T, name string) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1 << 20, 1024} {
		for err == nil {
			_, err = file.Write(make([]byte, size))
			err = errors.Join(err, file.Sync())
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// wantRefused saves more than fits.
func wantRefused(t *testing.T, s *store.Store, want error) {
	t.Helper()
	large := bytes.Repeat([]byte("hostname: lb1\n"), 10000)
	if _, err := s.Save(store.Revision{}, large); !errors.Is(err, want) {
		t.Errorf("saved: %v, want %v", err, want)
	}
	wantSavedIs(t, s, "first")
}

func mustSave(t *testing.T, s *store.Store, configuration string) {
	t.Helper()
	if _, err := s.Save(store.Revision{}, []byte(configuration)); err != nil {
		t.Fatal(err)
	}
	wantSavedIs(t, s, configuration)
}

func wantSavedIs(t *testing.T, s *store.Store, want string) {
	t.Helper()
	if _, saved, err := s.Saved(); err != nil || string(saved) != want {
		t.Errorf("saved is %q (%v), want %q", saved, err, want)
	}
}

func remount(t *testing.T, v *Volume, flags uintptr) {
	t.Helper()
	if err := unix.Mount("", v.directory, "", unix.MS_REMOUNT|flags, ""); err != nil {
		t.Fatal(err)
	}
}

// TestDamaged has a volume without its group descriptors: it is found, and not
// mounted, and the error says what to do.
func TestDamaged(t *testing.T) {
	image := sparse(t, MinimalSize)
	device := loop(t, image)
	if err := makeFileSystem(t.Context(), device, false); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(device, os.O_WRONLY|os.O_SYNC, 0)
	if err == nil {
		_, err = file.WriteAt(bytes.Repeat([]byte{0xa5}, blockSize), blockSize)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	v := New(filepath.Join(t.TempDir(), "state"))
	if err := v.mount(t.Context(), device); err == nil || !strings.Contains(err.Error(), "its file system is damaged, check it with e2fsck") {
		t.Errorf("mounted: %v", err)
	}
	if _, err := v.Format(t.Context(), device, true); err != nil {
		t.Errorf("it cannot be made anew: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}
