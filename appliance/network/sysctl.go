package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sysctlTree reads and writes kernel settings by their path below root, with
// slashes, so that a link named eth0.5 needs no escaping.
type sysctlTree struct {
	root string // "/proc/sys"
}

// read gives a setting with white space folded to single spaces.
func (t sysctlTree) read(path string) (string, error) {
	if !fs.ValidPath(path) {
		return "", fmt.Errorf("sysctl %q: not a path below /proc/sys", path)
	}
	b, err := os.ReadFile(filepath.Join(t.root, path))
	if err != nil {
		return "", fmt.Errorf("sysctl: %w", err)
	}
	return fold(string(b)), nil
}

// write sets a value and reads it back: the kernel accepts some values that
// it does not take.
func (t sysctlTree) write(s Sysctl) error {
	path, value := s.Path, s.Value
	if !fs.ValidPath(path) {
		return fmt.Errorf("sysctl %q: not a path below /proc/sys", path)
	}
	// os.WriteFile would create a file in a tree that is not the kernel's.
	f, err := os.OpenFile(filepath.Join(t.root, path), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("sysctl: %w", err)
	}
	_, err = f.WriteString(value)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sysctl: %w", err)
	}
	got, err := t.read(path)
	if err != nil {
		return err
	}
	if !s.is(got) {
		return fmt.Errorf("sysctl: reads back as %q", got)
	}
	return nil
}

// is says whether a value that was read is the wanted one.
func (s Sysctl) is(value string) bool {
	return value == fold(s.Value) || s.Also != "" && value == s.Also
}

func fold(s string) string { return strings.Join(strings.Fields(s), " ") }

// observe reads the wanted settings. One that does not exist and is optional
// comes back as Optional, without a value; one that does not exist and is
// needed is left out, so that setting it fails with the kernel's reason.
func (t sysctlTree) observe(wanted []Sysctl) ([]Sysctl, error) {
	var found []Sysctl
	for _, s := range wanted {
		value, err := t.read(s.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if s.Optional {
				found = append(found, Sysctl{Path: s.Path, Optional: true})
			}
		case err != nil:
			return nil, err
		default:
			found = append(found, Sysctl{Path: s.Path, Value: value})
		}
	}
	return found, nil
}

// setSysctl is the Op that sets one kernel setting.
type setSysctl struct{ Sysctl }

// String renders as sysctl(8) does, where dots and slashes are exchanged.
func (o setSysctl) String() string {
	swap := strings.NewReplacer("/", ".", ".", "/")
	value := o.Value
	if strings.ContainsAny(value, " \t") {
		value = `"` + value + `"`
	}
	return "sysctl -w " + swap.Replace(o.Path) + "=" + value
}

func (o setSysctl) subject() string { return sysctlLink(o.Path) }

func (o setSysctl) apply(k *Kernel) error {
	err := k.sysctls.write(o.Sysctl)
	if o.Optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sysctlLink names the link that a setting belongs to; "" for one of the
// whole machine.
func sysctlLink(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) < 5 || parts[0] != "net" || (parts[2] != "conf" && parts[2] != "neigh") {
		return ""
	}
	if parts[3] == "all" || parts[3] == "default" {
		return ""
	}
	return parts[3]
}

// spreading settings are copied by the kernel to every link when they are
// written, together with what depends on them (devinet.c, inet_forward_change;
// addrconf.c, addrconf_fixup_forwarding and addrconf_disable_ipv6).
var spreading = []string{
	"net/ipv4/ip_forward",
	"net/ipv4/conf/all/forwarding",
	"net/ipv6/conf/all/forwarding",
	"net/ipv6/conf/all/disable_ipv6",
}

// overwritten are the last elements of the settings that a write to a
// spreading one may change.
var overwritten = []string{"forwarding", "accept_redirects", "disable_ipv6"}

// planSysctls gives the settings to change: first those of the whole machine,
// then those of links. What was read of fresh links does not count: it was
// read from another link of that name, or from none.
func planSysctls(observed, desired []Sysctl, fresh map[string]bool) (global, perLink []Op) {
	have := make(map[string]Sysctl, len(observed))
	for _, s := range observed {
		have[s.Path] = s
	}
	spread := false
	for _, s := range desired {
		link := sysctlLink(s.Path)
		now, known := have[s.Path]
		switch {
		case known && !fresh[link] && (now.Optional || s.is(now.Value)):
			if !spread || !isOverwritten(s.Path) {
				continue
			}
		case slices.Contains(spreading, s.Path):
			spread = true
		}
		if link == "" {
			global = append(global, setSysctl{s})
		} else {
			perLink = append(perLink, setSysctl{s})
		}
	}
	return global, perLink
}

func isOverwritten(path string) bool {
	return slices.Contains(overwritten, path[strings.LastIndexByte(path, '/')+1:])
}
