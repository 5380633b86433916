package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"dipper/appliance/api"
)

// revisionsKept is how many revisions are kept.
const revisionsKept = 50

// Shelf keeps revisions, and what else belongs to this machine alone.
type Shelf interface {
	// Revisions lists those that are kept, the youngest first.
	Revisions(ctx context.Context) ([]api.Revision, error)
	Read(ctx context.Context, number int) ([]byte, error)
	// Add keeps a configuration as the youngest revision, and gives it its
	// number. When it returns without an error, a power cut loses nothing.
	Add(ctx context.Context, yaml []byte, about api.Revision) (api.Revision, error)
	// HostKey answers the private key that is kept, nil if there is none.
	HostKey(ctx context.Context) ([]byte, error)
	KeepHostKey(ctx context.Context, pem []byte) error
	// Volume says where all this is kept.
	Volume() api.StateVolume
	// Format makes the volume on a device and moves everything there.
	Format(ctx context.Context, device string, overwrite bool) error
}

// volatileShelf keeps revisions as long as the machine runs.
type volatileShelf struct {
	mu   sync.Mutex
	path string // of a file in a directory that lives as long
}

var _ Shelf = (*volatileShelf)(nil)

// volatileContent is all that there is, as JSON.
type volatileContent struct {
	Revisions []volatileRevision `json:"revisions"` // the youngest first
	HostKey   []byte             `json:"host-key,omitempty"`
}

type volatileRevision struct {
	api.Revision
	YAML []byte `json:"yaml"`
}

func (s *volatileShelf) load() (volatileContent, error) {
	var c volatileContent
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return c, fmt.Errorf("revisions: %w", err)
	}
	return c, nil
}

func (s *volatileShelf) edit(change func(*volatileContent)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.load()
	if err != nil {
		return err
	}
	change(&c)
	text, err := json.Marshal(c)
	if err == nil {
		err = replace(s.path, text)
	}
	if err != nil {
		return fmt.Errorf("revisions: %w", err)
	}
	return nil
}

// Revisions implements Shelf.
func (s *volatileShelf) Revisions(context.Context) ([]api.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.load()
	all := make([]api.Revision, 0, len(c.Revisions))
	for _, r := range c.Revisions {
		all = append(all, r.Revision)
	}
	return all, err
}

// Read implements Shelf.
func (s *volatileShelf) Read(_ context.Context, number int) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.load()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(c.Revisions, func(r volatileRevision) bool { return r.Number == number })
	if i < 0 {
		return nil, &api.Error{Message: fmt.Sprintf("there is no revision %d", number)}
	}
	return c.Revisions[i].YAML, nil
}

// Add implements Shelf.
func (s *volatileShelf) Add(_ context.Context, yaml []byte, about api.Revision) (api.Revision, error) {
	err := s.edit(func(c *volatileContent) {
		about.Number = 1
		if len(c.Revisions) > 0 {
			about.Number += c.Revisions[0].Number
		}
		c.Revisions = slices.Insert(c.Revisions, 0, volatileRevision{about, yaml})
		c.Revisions = c.Revisions[:min(len(c.Revisions), revisionsKept)]
	})
	return about, err
}

// HostKey implements Shelf.
func (s *volatileShelf) HostKey(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.load()
	return c.HostKey, err
}

// KeepHostKey implements Shelf.
func (s *volatileShelf) KeepHostKey(_ context.Context, pem []byte) error {
	return s.edit(func(c *volatileContent) { c.HostKey = pem })
}

// Volume implements Shelf: there is none.
func (s *volatileShelf) Volume() api.StateVolume { return api.StateVolume{} }

// Format implements Shelf.
func (s *volatileShelf) Format(context.Context, string, bool) error {
	return &api.Error{Message: "this version makes no state volumes"}
}
