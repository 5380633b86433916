package appliance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// running keeps the running configuration in a directory that lives as long as
// the machine runs, so that a restarted control plane goes on with it, and
// asks no DHCP server, URL or volume again.
type running struct {
	dir string
}

// load answers the running configuration and its source; found is false on a
// machine that has none yet.
func (r running) load() (source string, yaml []byte, found bool, err error) {
	yaml, err = os.ReadFile(r.path("config.yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, false, nil
	}
	if err != nil {
		return "", nil, false, fmt.Errorf("running configuration: %w", err)
	}
	from, err := os.ReadFile(r.path("source"))
	if err != nil {
		return "", nil, false, fmt.Errorf("running configuration: %w", err)
	}
	return string(from), yaml, true, nil
}

// save stores the running configuration. The source is written first: a
// configuration without one is never seen.
func (r running) save(source string, yaml []byte) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return fmt.Errorf("running configuration: %w", err)
	}
	if err := replace(r.path("source"), []byte(source)); err != nil {
		return fmt.Errorf("running configuration: %w", err)
	}
	if err := replace(r.path("config.yaml"), yaml); err != nil {
		return fmt.Errorf("running configuration: %w", err)
	}
	return nil
}

func (r running) path(name string) string { return filepath.Join(r.dir, name) }

// replace writes a file so that readers see the old or the new one. The
// directory is in memory: there is nothing to sync.
func replace(path string, data []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
