package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/store"
)

// StateVolume is where a machine keeps what outlives its reboots.
type StateVolume interface {
	// Open mounts the state volume and answers its files and its device; files
	// are nil when no disk is labelled as one.
	Open(ctx context.Context) (files store.FileSystem, device string, err error)
	// Format makes a disk the state volume and mounts it. A disk that holds
	// anything is refused unless overwrite.
	Format(ctx context.Context, device string, overwrite bool) (store.FileSystem, error)
	// Space answers the volume's size and what of it is free, in bytes.
	Space() (size, free uint64, err error)
	// Notes says what is odd about the volume though it can be used.
	Notes() []string
}

// shelf is where revisions and the host key are: on the state volume or,
// without one, in a directory that lives as long as the machine runs.
type shelf struct {
	volume StateVolume // nil: this machine can have none
	now    func() time.Time

	formatting sync.Mutex // while a volume is made
	writing    sync.Mutex // while something is added to the store, or it moves

	mu     sync.Mutex
	store  *store.Store
	device string // "": in memory
	broken error  // why the volume cannot be used
}

// openShelf opens the state volume, if there is one that can be used.
func openShelf(ctx context.Context, volume StateVolume, dir string, now func() time.Time) (*shelf, error) {
	s := &shelf{volume: volume, now: now}
	if s.find(ctx) {
		return s, nil
	}
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		s.store, err = openDirectory(dir)
	}
	if err != nil {
		s.store = store.InMemory()
		return s, fmt.Errorf("revisions end with this control plane: %w", err)
	}
	return s, nil
}

func openDirectory(dir string) (*store.Store, error) {
	files, err := store.OpenDirectory(dir)
	if err != nil {
		return nil, err
	}
	return store.OpenVolatile(files)
}

// find uses the state volume if there is one now, and says whether it did. A
// USB drive appears seconds after the control plane has started. What was kept
// in memory by then is not left behind: it needs format.
func (s *shelf) find(ctx context.Context) bool {
	kept, device := s.present()
	if s.volume == nil || device != "" || kept != nil && len(kept.Revisions()) > 0 {
		return false
	}
	opened, device, err := s.mount(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
	if opened == nil {
		return false
	}
	s.store, s.device = opened, device
	return true
}

func (s *shelf) mount(ctx context.Context) (*store.Store, string, error) {
	files, device, err := s.volume.Open(ctx)
	if err != nil || files == nil {
		return nil, "", err
	}
	opened, err := store.Open(files, s.now())
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", device, err)
	}
	return opened, device, nil
}

// present is the store in use, and the device that it is on.
func (s *shelf) present() (*store.Store, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store, s.device
}

// lasting tells whether what is kept outlives a reboot.
func (s *shelf) lasting() bool {
	_, device := s.present()
	return device != ""
}

// revisions lists those that are kept, the youngest first.
func (s *shelf) revisions() []api.Revision {
	kept, _ := s.present()
	all := []api.Revision{}
	for _, r := range kept.Revisions() {
		all = append(all, apiRevision(r))
	}
	return all
}

func apiRevision(r store.Revision) api.Revision {
	return api.Revision{Number: r.Number, Time: r.Time, User: r.User, Fingerprint: r.Fingerprint, Comment: r.Comment, Via: r.Via}
}

// read answers a revision's configuration.
func (s *shelf) read(number int) ([]byte, error) {
	kept, _ := s.present()
	_, yaml, err := kept.Read(number)
	if errors.Is(err, store.ErrNotFound) {
		return nil, &api.Error{Message: fmt.Sprintf("there is no revision %d: show revisions lists them", number)}
	}
	return yaml, err
}

// saved answers what the machine boots with; nil: nothing that is kept here.
func (s *shelf) saved() ([]byte, error) {
	kept, _ := s.present()
	_, yaml, err := kept.Saved()
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return yaml, err
}

// add keeps a configuration as the youngest revision.
func (s *shelf) add(yaml []byte, about api.Revision) (api.Revision, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	kept, _ := s.present()
	r, err := kept.Save(store.Revision{
		Time: about.Time, User: about.User, Fingerprint: about.Fingerprint, Comment: about.Comment, Via: about.Via,
	}, yaml)
	return apiRevision(r), err
}

// hostKey answers the private key that is kept; nil: none.
func (s *shelf) hostKey() ([]byte, error) {
	kept, _ := s.present()
	key, err := kept.HostKey()
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return key, err
}

func (s *shelf) keepHostKey(key []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	kept, _ := s.present()
	return kept.SetHostKey(key)
}

// state says where all this is.
func (s *shelf) state() api.StateVolume {
	kept, device := s.present()
	v := api.StateVolume{Device: device}
	if device == "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.broken != nil {
			v.Error = s.broken.Error()
		}
		return v
	}
	var err error
	if v.Size, v.Free, err = s.volume.Space(); err != nil {
		v.Error = err.Error()
	}
	if odd := append(s.volume.Notes(), kept.Problems()...); v.Error == "" {
		v.Error = strings.Join(odd, "; ")
	}
	return v
}

// format makes the state volume and moves there what was kept in memory.
func (s *shelf) format(ctx context.Context, device string, overwrite bool) error {
	if s.volume == nil {
		return &api.Error{Message: "this machine makes no state volume"}
	}
	if !s.formatting.TryLock() {
		return &api.Error{Message: "a state volume is being made already"}
	}
	defer s.formatting.Unlock()
	if s.lasting() {
		_, device := s.present()
		return &api.Error{Message: "there is a state volume already: " + device}
	}
	files, err := s.volume.Format(ctx, device, overwrite)
	if err != nil {
		return err
	}
	made, err := store.Open(files, s.now())
	if err != nil {
		return err
	}
	// What somebody commits meanwhile waits, and goes to the volume.
	s.writing.Lock()
	defer s.writing.Unlock()
	kept, _ := s.present()
	if err := kept.MoveTo(made); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store, s.device, s.broken = made, device, nil
	return nil
}

// volatileDir is where revisions are kept without a state volume.
func volatileDir(runDir string) string { return filepath.Join(runDir, "state") }
