// Package cache owns how much stays in a directory of built things whose names are
// their keys: the few that were used last. It knows nothing of what they are.
package cache

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// Kept is how many of each kind stay: this tree's, another branch's, and those of
// the versions before them.
const Kept = 4

// young is what may be in use by somebody else at this moment.
const young = time.Hour

// key is what the names of things in a cache begin with: part of a SHA-256 in
// hexadecimal. Locks, work in progress and the like have other names.
var key = regexp.MustCompile(`^[0-9a-f]{16,64}(\.[a-z]+)?$`)

// Use notes that a thing in a cache was used, and then removes from its directory
// what was used longest ago, except for the Kept last and what is young. Things are
// of a kind with it that have its name's suffix. A cache that is somebody else's is
// left as it is.
func Use(path string, now time.Time) error {
	if !key.MatchString(filepath.Base(path)) {
		return fmt.Errorf("BUG: cache: %s has no key for a name: it would stay for ever", path)
	}
	err := os.Chtimes(path, now, now)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	things, err := list(filepath.Dir(path), filepath.Ext(path))
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	var problems []error
	for _, t := range things[min(Kept, len(things)):] {
		if now.Sub(t.used) > young {
			problems = append(problems, remove(t.path))
		}
	}
	return errors.Join(problems...)
}

// thing is a file or directory and when it was used last.
type thing struct {
	path string
	used time.Time
}

// list answers the things with the suffix, the latest first.
func list(dir, suffix string) ([]thing, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var things []thing
	for _, e := range entries {
		if !key.MatchString(e.Name()) || filepath.Ext(e.Name()) != suffix {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // somebody else tidies up
		}
		if err != nil {
			return nil, err
		}
		things = append(things, thing{filepath.Join(dir, e.Name()), info.ModTime()})
	}
	slices.SortFunc(things, func(a, b thing) int {
		return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.path, b.path))
	})
	return things, nil
}

// remove takes a thing away at once, so that nobody finds half of it.
func remove(path string) error {
	gone := filepath.Join(filepath.Dir(path), ".gone-"+filepath.Base(path))
	err := os.Rename(path, gone)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, os.RemoveAll(gone))
}
