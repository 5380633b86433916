// Package dipper_test holds the project's architecture as tests: which package
// may know which, and that the pages say what is there.
package dipper_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// goPackage is what `go list -json` tells of a package.
type goPackage struct {
	ImportPath string
	Doc        string
	Imports    []string
}

// listPackages answers all packages of the module.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}

// arrows says of every package which others of this module it may import: the
// diagram of docs/development.md. Nobody but the lab's own packages imports the
// lab. Tests may import what they need.
var arrows = map[string][]string{
	"init": {
		"init/bbin", "init/bootconfig", "init/pid1", "shell",
		"appliance", "appliance/api", "appliance/hardware", "appliance/ipvs", "appliance/network",
		"appliance/network/capture", "appliance/realserver/responder", "appliance/store/volume",
	},
	"init/bbin":           {},
	"init/bootconfig":     {},
	"init/pid1":           {"init/pid1/children", "init/pid1/journal", "init/pid1/line", "init/pid1/power", "init/pid1/supervise", "init/pid1/watchdog"},
	"init/pid1/children":  {"appliance/nice"},
	"init/pid1/journal":   {},
	"init/pid1/line":      {},
	"init/pid1/power":     {},
	"init/pid1/supervise": {},
	"init/pid1/watchdog":  {},

	"appliance": {
		"appliance/api", "appliance/candidate", "appliance/config", "appliance/director", "appliance/events", "appliance/hardware", "appliance/ipvs",
		"appliance/ipvsadm", "appliance/network", "appliance/network/capture", "appliance/nice", "appliance/realserver", "appliance/store", "appliance/uplink",
	},
	"appliance/api":                  {},
	"appliance/events":               {"appliance/api"},
	"appliance/config":               {},
	"appliance/candidate":            {"appliance/config"},
	"appliance/store":                {},
	"appliance/store/volume":         {"appliance/store"},
	"appliance/ipvs":                 {},
	"appliance/nice":                 {},
	"appliance/ipvsadm":              {"appliance/ipvs"},
	"appliance/ipvsadm/ipvsadmtest":  {},
	"appliance/network":              {},
	"appliance/network/capture":      {},
	"appliance/hardware":             {},
	"appliance/uplink":               {"appliance/config", "appliance/network"},
	"appliance/director":             {"appliance/config", "appliance/network", "appliance/uplink", "appliance/ipvs"},
	"appliance/realserver":           {"appliance/config", "appliance/network", "appliance/uplink"},
	"appliance/realserver/responder": {"appliance/config"},

	"shell":             {"appliance/api", "shell/access", "shell/cells", "shell/session", "shell/setup", "shell/terminal", "shell/web"},
	"shell/access":      {"appliance/api"},
	"shell/cells":       {},
	"shell/grammar":     {"appliance/api"},
	"shell/output":      {"shell/cells"},
	"shell/packet":      {},
	"shell/session":     {"appliance/api", "shell/cells", "shell/grammar", "shell/output", "shell/packet", "shell/terminal", "shell/web"},
	"shell/setup":       {},
	"shell/terminal":    {"shell/cells"},
	"shell/terminal/vt": {},
	"shell/web":         {},

	"image": {
		"image/archive", "image/busybox", "image/executable", "image/gotool", "image/manifest", "image/revision", "image/rootfs",
		"image/spdx", "image/squashfs", "image/target", "kernel-config/cache", "kernel-config/kernel",
	},
	"image/archive":        {"image/rootfs"},
	"image/busybox":        {"image/gotool", "kernel-config/cache"},
	"image/executable":     {"image/gotool"},
	"image/gotool":         {"image/target"},
	"image/manifest":       {},
	"image/revision":       {},
	"image/rootfs":         {},
	"image/spdx":           {},
	"image/squashfs":       {"image/rootfs"},
	"image/target":         {},
	"kernel-config":        {"kernel-config/kernel"},
	"kernel-config/cache":  {},
	"kernel-config/kernel": {"kernel-config/cache"},

	"qemu":                        {"qemu/bench", "qemu/bench/control", "qemu/bench/forwarding", "qemu/lab", "qemu/machine", "qemu/scenario"},
	"qemu/ether":                  {},
	"qemu/machine":                {},
	"qemu/peer":                   {"kernel-config/cache", "qemu/peer/call"},
	"qemu/peer/agent":             {"qemu/peer/call"},
	"qemu/peer/call":              {},
	"qemu/lab":                    {"appliance/api", "qemu/ether", "qemu/machine", "qemu/peer", "qemu/peer/call"},
	"qemu/scenario":               {"qemu/ether", "qemu/lab"},
	"qemu/scenario/intruder":      {},
	"qemu/bench":                  {"appliance/api", "kernel-config/cache", "qemu/ether", "qemu/lab", "qemu/machine"},
	"qemu/bench/control":          {"qemu/lab", "qemu/machine"},
	"qemu/bench/control/requests": {"appliance/api"},
	"qemu/bench/floor":            {},
	"qemu/bench/forwarding":       {"qemu/machine", "qemu/peer"},
}

// TestArrows holds every package to its line in arrows, and every line to a
// package.
func TestArrows(t *testing.T) {
	gone := maps.Clone(arrows)
	for _, p := range listPackages(t) {
		if p.ImportPath == "dipper" { // these tests
			continue
		}
		name := strings.TrimPrefix(p.ImportPath, "dipper/")
		allowed, ok := arrows[name]
		if !ok {
			t.Errorf("%s does not stand in arrows: say what it may import", name)
			continue
		}
		delete(gone, name)
		for _, i := range p.Imports {
			if own, ok := strings.CutPrefix(i, "dipper/"); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s: allowed are %v", name, own, allowed)
			}
		}
	}
	for name := range gone {
		t.Errorf("%s stands in arrows, and is no package", name)
	}
}

// TestOnlyImporter holds each of the big libraries in the packages that own
// what it does.
func TestOnlyImporter(t *testing.T) {
	owners := map[string][]string{
		"github.com/moby/ipvs":           {"dipper/appliance/ipvs"},
		"github.com/vishvananda/netlink": {"dipper/appliance/network"},
		"github.com/insomniacslk/dhcp":   {"dipper/appliance/network"},
		"github.com/google/nftables":     {"dipper/appliance/network"},
		"github.com/goccy/go-yaml":       {"dipper/appliance/config", "dipper/qemu/lab"},
		"github.com/gliderlabs/ssh":      {"dipper/shell"},
		"github.com/rivo/uniseg":         {"dipper/shell/cells", "dipper/shell/terminal/vt"},
		"github.com/pkg/sftp":            {"dipper/shell"},
		"golang.org/x/term":              {"dipper/shell"},
		"github.com/u-root/mkuimage":     {"dipper/image/archive", "dipper/qemu/bench", "dipper/qemu/peer"},
		"github.com/gopacket/gopacket":   {"dipper/qemu"},
		"net/http/pprof":                 {},
	}
	for _, p := range listPackages(t) {
		for _, i := range p.Imports {
			for library, allowed := range owners {
				owns := func(o string) bool { return within(o, p.ImportPath) }
				if within(library, i) && !slices.ContainsFunc(allowed, owns) {
					t.Errorf("%s imports %s: only %v may", p.ImportPath, i, allowed)
				}
			}
		}
	}
}

// TestPID1IsSmall keeps what parses outside bytes out of PID 1's own package.
func TestPID1IsSmall(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./init/pid1").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if dep == "dipper/appliance/nice" {
			continue // two system calls, on nothing from outside
		}
		if dep == "net/http" || dep == "crypto/tls" || strings.HasPrefix(dep, "dipper/appliance") {
			t.Errorf("dipper/init/pid1 depends on %s: it must parse nothing from outside", dep)
		}
	}
}

// TestPackageDocs wants a doc comment that says what the package owns.
func TestPackageDocs(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.Doc == "" && p.ImportPath != "dipper" {
			t.Errorf("%s: no package comment: say what it owns and what it must not know", p.ImportPath)
		}
	}
}

// within reports whether path is parent or below it.
func within(parent, path string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}
