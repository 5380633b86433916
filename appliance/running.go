package appliance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"dipper/appliance/network"
)

// running keeps the running configuration and the leases in a directory that
// lives as long as the machine runs, so that a restarted control plane goes on
// with them: it asks no DHCP server, URL or volume again, and does not take
// the addresses of leases for foreign ones.
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

// saveLeases stores the leases that are in use.
func (r running) saveLeases(leases map[string]network.Lease) error {
	text, err := json.Marshal(leases)
	if err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	if err := replace(r.path("leases.json"), text); err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	return nil
}

// loadLeases answers the stored leases, none on a machine that just started.
func (r running) loadLeases() (map[string]network.Lease, error) {
	leases := make(map[string]network.Lease)
	text, err := os.ReadFile(r.path("leases.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return leases, nil
	}
	if err != nil {
		return leases, fmt.Errorf("leases: %w", err)
	}
	if err := json.Unmarshal(text, &leases); err != nil {
		return make(map[string]network.Lease), fmt.Errorf("leases: %w", err)
	}
	return leases, nil
}

// saveNameServers writes the file that the image's /etc/resolv.conf points to
// (resolv.conf(5)), unless it says so already.
func (r running) saveNameServers(servers []netip.Addr) error {
	var text bytes.Buffer
	for _, s := range servers {
		fmt.Fprintf(&text, "nameserver %s\n", s)
	}
	old, err := os.ReadFile(r.path("resolv.conf"))
	if err == nil && bytes.Equal(old, text.Bytes()) {
		return nil
	}
	if err := replace(r.path("resolv.conf"), text.Bytes()); err != nil {
		return fmt.Errorf("name servers: %w", err)
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
