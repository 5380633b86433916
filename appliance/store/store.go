// Package store owns what the machine remembers: the revisions of its
// configuration, the one that it boots with, and its SSH host key, on the
// state volume or, without one, in memory.
//
// It knows nothing of what a configuration means, of who may change it, or of
// what runs. What has not been confirmed is not given to it, so that a power
// cut returns to what was there before.
//
// # On the volume
//
//	config/dipper.yaml           what the machine boots with (init/bootconfig reads it)
//	config/revisions/00000042.yaml   each revision: a line about it, then the configuration
//	ssh/host_key                 the private key, mode 0600
//
// Every file is written beside its place, synced, renamed, and its directory
// synced. The one commit point is the rename of config/dipper.yaml: the
// revision is written before, and one that is newer than the newest that
// equals config/dipper.yaml never took effect; it is removed when the volume is
// opened. So after a power cut the machine boots with what the list of
// revisions says, which is the old or the new.
package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"
	"time"
)

// The names on the volume.
const (
	// BootFile is what init/bootconfig boots with.
	BootFile     = "config/dipper.yaml"
	revisionsDir = "config/revisions"
	hostKeyFile  = "ssh/host_key"
	beside       = ".new" // what a file is called until it is whole
)

// Kept is how many revisions are kept.
const Kept = 50

// Revision is a configuration that was saved.
type Revision struct {
	Number      int       `json:"revision"` // grows for ever
	Time        time.Time `json:"time"`
	User        string    `json:"user,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"` // of the user's key
	Comment     string    `json:"comment,omitempty"`
	Via         string    `json:"via,omitempty"`    // "commit", "save", "boot: label:DIPPER"
	Sum         string    `json:"crc32c,omitempty"` // of the configuration
	SHA256      string    `json:"sha256,omitempty"` // the same, of revisions of before
}

// ErrNotFound is the error for what is not there.
var ErrNotFound = errors.New("not there")

// Store keeps revisions. It is safe for concurrent use.
type Store struct {
	mu         sync.Mutex
	files      FileSystem
	persistent bool
	revisions  []Revision // oldest first
	current    int        // number of the one that the machine boots with, 0 if there is none
	problems   []string
}

// InMemory makes a store that ends with the machine.
func InMemory() *Store {
	s, err := open(NewMemory(), false)
	if err != nil {
		panic("BUG: an empty memory that cannot be opened: " + err.Error())
	}
	return s
}

// OpenVolatile opens a directory that ends with the machine. Nothing boots with
// what is in it, so that the newest revision takes the place of a boot file: a
// large configuration is in memory once.
func OpenVolatile(files FileSystem) (*Store, error) { return open(files, false) }

// Open opens a state volume and brings to an end what a power cut interrupted.
// A configuration on it that is no revision, because somebody put it there,
// becomes one, of the time now.
func Open(files FileSystem, now time.Time) (*Store, error) {
	s, err := open(files, true)
	if err != nil {
		return nil, err
	}
	if err := s.adopt(now); err != nil {
		return nil, err
	}
	return s, nil
}

func open(files FileSystem, persistent bool) (*Store, error) {
	s := &Store{files: files, persistent: persistent}
	for _, directory := range []string{"config", revisionsDir, "ssh"} {
		if err := makeDirectory(files, directory); err != nil {
			return nil, err
		}
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	if err := s.recover(); err != nil {
		return nil, err
	}
	return s, nil
}

func makeDirectory(files FileSystem, name string) error {
	err := files.MakeDirectory(name)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make directory %s: %w", name, err)
	}
	return syncDirectory(files, path.Dir(name))
}

func syncDirectory(files FileSystem, name string) error {
	if err := files.SyncDirectory(name); err != nil {
		return fmt.Errorf("sync directory %s: %w", name, err)
	}
	return nil
}

// Persistent says that what is kept outlives a reboot.
func (s *Store) Persistent() bool { return s.persistent }

// Problems says what was found damaged when the volume was opened. Nothing of
// it was removed.
func (s *Store) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.problems)
}

// Revisions lists what is kept, newest first.
func (s *Store) Revisions() []Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.revisions)
	slices.Reverse(list)
	return list
}

// Read gives a revision and its configuration. The error is ErrNotFound when
// it is not, or no longer, kept.
func (s *Store) Read(number int) (Revision, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(number)
}

func (s *Store) read(number int) (Revision, []byte, error) {
	known := slices.ContainsFunc(s.revisions, func(r Revision) bool { return r.Number == number })
	if !known {
		return Revision{}, nil, fmt.Errorf("revision %d: %w", number, ErrNotFound)
	}
	data, err := s.files.ReadFile(revisionFile(number))
	if err != nil {
		return Revision{}, nil, fmt.Errorf("revision %d: %w", number, err)
	}
	return decode(number, data)
}

// Saved gives the revision that the machine boots with. The error is
// ErrNotFound when there is none.
func (s *Store) Saved() (Revision, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == 0 {
		return Revision{}, nil, fmt.Errorf("saved configuration: %w", ErrNotFound)
	}
	return s.read(s.current)
}

// Save makes a configuration the one that the machine boots with, and its
// newest revision, of which it returns number and sum; those given are not
// looked at. With an error it is the old one that is saved, unless the volume
// failed in the last step: Saved tells.
func (s *Store) Save(r Revision, configuration []byte) (Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Number, r.Sum = s.next(), sum(configuration)
	if err := s.save(r, configuration); err != nil {
		return Revision{}, errors.Join(fmt.Errorf("save revision %d: %w", r.Number, err), s.reload())
	}
	s.revisions, s.current = append(s.revisions, r), r.Number
	s.prune()
	return r, nil
}

func (s *Store) next() int {
	if len(s.revisions) == 0 {
		return 1
	}
	return s.revisions[len(s.revisions)-1].Number + 1
}

func (s *Store) save(r Revision, configuration []byte) error {
	about, err := describe(r)
	if err != nil {
		return err
	}
	if err := put(s.files, revisionFile(r.Number), about, configuration); err != nil {
		return err
	}
	if !s.persistent {
		return nil
	}
	return put(s.files, BootFile, configuration)
}

// put writes a file so that it is there as before or whole.
func put(files FileSystem, name string, data ...[]byte) error {
	if err := files.WriteFile(name+beside, data...); err != nil {
		_ = files.Remove(name + beside) // it takes room on a full disk; if it stays, Open removes it
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := files.Rename(name+beside, name); err != nil {
		return fmt.Errorf("rename %s: %w", name, err)
	}
	return syncDirectory(files, path.Dir(name))
}

// reload finds out what is on the volume after something failed there.
func (s *Store) reload() error {
	revisions, current, problems := s.revisions, s.current, s.problems
	if err := s.load(); err != nil {
		s.revisions, s.current, s.problems = revisions, current, problems
		return err
	}
	// What is newer never took effect. Its file stays until the volume can
	// be written again: the next revision takes its place, or opening removes it.
	s.revisions = slices.DeleteFunc(s.revisions, s.unused)
	return nil
}

// unused holds for revisions that were written before a commit that did not
// come to its end.
func (s *Store) unused(r Revision) bool { return s.current != 0 && r.Number > s.current }

// prune removes the oldest revisions. One that cannot be removed is no loss,
// and will be tried again after the next.
func (s *Store) prune() {
	for len(s.revisions) > Kept && s.files.Remove(revisionFile(s.revisions[0].Number)) == nil {
		s.revisions = s.revisions[1:]
	}
}

// load reads which revisions there are, and finds the one that the machine
// boots with: the newest that equals the boot file.
func (s *Store) load() error {
	names, err := s.files.List(revisionsDir)
	if err != nil {
		return fmt.Errorf("list revisions: %w", err)
	}
	boot, err := s.files.ReadFile(BootFile)
	booted := err == nil
	if !booted && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", BootFile, err)
	}
	s.revisions, s.current, s.problems = nil, 0, nil
	for _, name := range names {
		number, ok := revisionNumber(name)
		if !ok {
			continue
		}
		r, configuration, err := s.loadRevision(number)
		switch {
		case err != nil:
			s.problems = append(s.problems, err.Error())
			continue
		case booted && bytes.Equal(configuration, boot):
			s.current = max(s.current, number)
		}
		s.revisions = append(s.revisions, r)
	}
	slices.SortFunc(s.revisions, func(a, b Revision) int { return a.Number - b.Number })
	if newest := len(s.revisions) - 1; !s.persistent && newest >= 0 {
		s.current = s.revisions[newest].Number
	}
	return nil
}

func (s *Store) loadRevision(number int) (Revision, []byte, error) {
	data, err := s.files.ReadFile(revisionFile(number))
	if err != nil {
		return Revision{}, nil, err
	}
	return decode(number, data)
}

// recover removes what a power cut left behind: files that were not renamed
// yet, revisions that never took effect, and one that was not removed yet.
func (s *Store) recover() error {
	for _, directory := range []string{"config", revisionsDir, "ssh"} {
		names, err := s.files.List(directory)
		if err != nil {
			return fmt.Errorf("list %s: %w", directory, err)
		}
		for _, name := range names {
			if path.Ext(name) == beside {
				err = errors.Join(err, s.remove(path.Join(directory, name)))
			}
		}
		if err != nil {
			return err
		}
	}
	for _, r := range s.revisions {
		if s.unused(r) {
			if err := s.remove(revisionFile(r.Number)); err != nil {
				return err
			}
		}
	}
	s.revisions = slices.DeleteFunc(s.revisions, s.unused)
	s.prune()
	return nil
}

func (s *Store) remove(name string) error {
	if err := s.files.Remove(name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return syncDirectory(s.files, path.Dir(name))
}

// adopt makes a revision of a boot file that is none.
func (s *Store) adopt(now time.Time) error {
	boot, err := s.files.ReadFile(BootFile)
	if errors.Is(err, fs.ErrNotExist) {
		return s.forget()
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", BootFile, err)
	}
	if s.current != 0 {
		return nil
	}
	_, err = s.Save(Revision{Time: now, Via: "found on the volume"}, boot)
	return err
}

// forget removes the first revision of a volume when its power was cut before
// the boot file was there.
func (s *Store) forget() error {
	if len(s.revisions) != 1 || s.revisions[0].Number != 1 {
		return nil // somebody removed the boot file: the history stays
	}
	if err := s.remove(revisionFile(1)); err != nil {
		return err
	}
	s.revisions = nil
	return nil
}

// HostKey gives the machine's private SSH key, ErrNotFound when it has none.
func (s *Store) HostKey() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := s.files.ReadFile(hostKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("host key: %w", ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	return key, nil
}

// SetHostKey keeps the machine's private SSH key.
func (s *Store) SetHostKey(key []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := put(s.files, hostKeyFile, key); err != nil {
		return fmt.Errorf("host key: %w", err)
	}
	return nil
}

// MoveTo copies what is kept here to another store that is empty, as when a
// state volume was made while the machine runs: the revisions with their
// numbers, and the host key.
func (s *Store) MoveTo(other *Store) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	if len(other.revisions) > 0 {
		return errors.New("the other store has revisions of its own")
	}
	if err := s.moveRevisions(other); err != nil {
		return errors.Join(err, other.reload())
	}
	key, err := s.files.ReadFile(hostKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("host key: %w", err)
	}
	return put(other.files, hostKeyFile, key)
}

// moveRevisions writes what the machine boots with last: until then it boots
// as it did.
func (s *Store) moveRevisions(other *Store) error {
	for _, r := range s.revisions {
		data, err := s.files.ReadFile(revisionFile(r.Number))
		if err != nil {
			return fmt.Errorf("revision %d: %w", r.Number, err)
		}
		if err := put(other.files, revisionFile(r.Number), data); err != nil {
			return err
		}
	}
	if s.current != 0 {
		_, configuration, err := s.read(s.current)
		if err != nil {
			return err
		}
		if err := put(other.files, BootFile, configuration); err != nil {
			return err
		}
	}
	return other.load()
}
