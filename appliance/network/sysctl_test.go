package network

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// settings is a tree of files in place of /proc/sys.
func settings(t *testing.T, files map[string]string) sysctlTree {
	t.Helper()
	root := t.TempDir()
	for path, value := range files {
		file := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return sysctlTree{root}
}

func TestSysctlObserve(t *testing.T) {
	tree := settings(t, map[string]string{
		"net/ipv4/ip_forward": "0\n", "net/ipv4/vs/sync_threshold": "3\t50\n", "net/ipv4/conf/eth0.5/arp_ignore": "1\n",
	})
	got, err := tree.observe([]Sysctl{
		{Path: "net/ipv4/ip_forward", Value: "1"}, {Path: "net/ipv4/vs/sync_threshold", Value: "3 50"},
		{Path: "net/ipv4/conf/eth0.5/arp_ignore", Value: "1"},
		{Path: "net/ipv6/conf/all/forwarding", Value: "1"},
		{Path: "net/ipv6/conf/eth0/accept_dad", Value: "0", Optional: true},
	})
	want := []Sysctl{
		{Path: "net/ipv4/ip_forward", Value: "0"}, {Path: "net/ipv4/vs/sync_threshold", Value: "3 50"},
		{Path: "net/ipv4/conf/eth0.5/arp_ignore", Value: "1"},
		{Path: "net/ipv6/conf/eth0/accept_dad", Optional: true},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("observed (-want +got), error %v:\n%s", err, diff)
	}
	if _, err := tree.observe([]Sysctl{{Path: "../etc/passwd"}}); err == nil {
		t.Error("a path out of the tree was read")
	}
}

func TestSysctlWrite(t *testing.T) {
	tree := settings(t, map[string]string{"net/ipv4/ip_forward": "0\n"})
	k := &Kernel{sysctls: tree}
	if err := (setSysctl{Sysctl{Path: "net/ipv4/ip_forward", Value: "1"}}).apply(k); err != nil {
		t.Error(err)
	}
	if got, err := tree.read("net/ipv4/ip_forward"); got != "1" || err != nil {
		t.Errorf("read back %q, %v", got, err)
	}
	if err := (setSysctl{Sysctl{Path: "net/ipv6/conf/eth0/accept_dad", Value: "0", Optional: true}}).apply(k); err != nil {
		t.Errorf("absent and optional: %v", err)
	}
	err := setSysctl{Sysctl{Path: "net/ipv6/conf/eth0/accept_dad", Value: "0"}}.apply(k)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent and needed: %v", err)
	}
	if _, err := os.Stat(filepath.Join(tree.root, "net/ipv6")); err == nil {
		t.Error("a setting was made that does not exist")
	}
}

// TestSysctlThatReadsBackOtherwiseInNamespace sets a value that the kernel
// accepts and understands otherwise: it is octal.
func TestSysctlThatReadsBackOtherwiseInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	k := open(t)
	err := setSysctl{Sysctl{Path: "net/ipv4/tcp_retries2", Value: "010"}}.apply(k)
	if err == nil || err.Error() != `sysctl: reads back as "8"` {
		t.Errorf("error %v", err)
	}
}

func TestSysctlLink(t *testing.T) {
	for path, want := range map[string]string{
		"net/ipv4/conf/eth0/arp_ignore":      "eth0",
		"net/ipv6/conf/bond0.5/accept_ra":    "bond0.5",
		"net/ipv4/neigh/eth0/gc_stale_time":  "eth0",
		"net/ipv4/conf/all/arp_ignore":       "",
		"net/ipv6/neigh/default/gc_thresh3":  "",
		"net/ipv4/ip_forward":                "",
		"net/ipv4/vs/conntrack":              "",
		"kernel/panic":                       "",
		"net/netfilter/nf_conntrack_max/a/b": "",
	} {
		if got := sysctlLink(path); got != want {
			t.Errorf("%s belongs to %q, want %q", path, got, want)
		}
	}
	if got := (setSysctl{Sysctl{Path: "net/ipv4/conf/bond0.5/arp_ignore", Value: "1"}}).String(); got != "sysctl -w net.ipv4.conf.bond0/5.arp_ignore=1" {
		t.Error(got)
	}
}
