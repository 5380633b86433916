// Package dipper_test holds the project's architecture as tests: which package
// may know which.
package dipper_test

import (
	"encoding/json"
	"errors"
	"io"
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

// TestArrows holds the diagram of docs/development.md: a package may import,
// of this module, only what stands here. A package that does not stand here is
// bound by its closest parent that does.
func TestArrows(t *testing.T) {
	may := map[string][]string{
		"dipper/init":            {"dipper/init/", "dipper/appliance", "dipper/appliance/", "dipper/shell"},
		"dipper/init/pid1":       {"dipper/init/pid1/"},
		"dipper/init/bootconfig": {"dipper/init/bootconfig/"},

		"dipper/appliance":            {"dipper/appliance/"},
		"dipper/appliance/api":        {},
		"dipper/appliance/config":     {},
		"dipper/appliance/candidate":  {"dipper/appliance/config"},
		"dipper/appliance/store":      {"dipper/appliance/store"},
		"dipper/appliance/ipvs":       {},
		"dipper/appliance/ipvsadm":    {"dipper/appliance/ipvs"},
		"dipper/appliance/network":    {},
		"dipper/appliance/hardware":   {},
		"dipper/appliance/uplink":     {"dipper/appliance/config", "dipper/appliance/network"},
		"dipper/appliance/director":   {"dipper/appliance/config", "dipper/appliance/network", "dipper/appliance/uplink", "dipper/appliance/ipvs"},
		"dipper/appliance/realserver": {"dipper/appliance/config", "dipper/appliance/network", "dipper/appliance/uplink", "dipper/appliance/realserver/"},

		"dipper/shell":         {"dipper/shell/", "dipper/appliance/api"},
		"dipper/shell/grammar": {"dipper/appliance/api"},
		"dipper/shell/session": {
			"dipper/appliance/api", "dipper/shell/cells", "dipper/shell/grammar", "dipper/shell/output", "dipper/shell/packet", "dipper/shell/terminal",
		},
		"dipper/shell/terminal":    {"dipper/shell/cells"},
		"dipper/shell/terminal/vt": {},
		"dipper/shell/output":      {"dipper/shell/cells"},
		"dipper/shell/cells":       {},
		"dipper/shell/packet":      {},

		"dipper/image":         {"dipper/image/", "dipper/kernel-config/"},
		"dipper/kernel-config": {"dipper/kernel-config/"},
		"dipper/qemu":          {"dipper/qemu/", "dipper/appliance/api", "dipper/image/", "dipper/kernel-config/"},
	}
	for _, p := range listPackages(t) {
		allowed, ok := rule(may, p.ImportPath)
		if !ok {
			t.Errorf("%s: no rule in TestArrows: say what it may import", p.ImportPath)
			continue
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "dipper/") && !matches(allowed, i) {
				t.Errorf("%s imports %s: allowed are %v", p.ImportPath, i, allowed)
			}
		}
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
		"github.com/u-root/mkuimage":     {"dipper/image"},
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

// rule finds the rule of path or of its closest parent.
func rule(may map[string][]string, path string) ([]string, bool) {
	for {
		if allowed, ok := may[path]; ok {
			return allowed, true
		}
		cut := strings.LastIndexByte(path, '/')
		if cut < 0 {
			return nil, path == "dipper"
		}
		path = path[:cut]
	}
}

// matches reports whether path is one of allowed, where "x/" stands for
// everything below x.
func matches(allowed []string, path string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		return a == path || strings.HasSuffix(a, "/") && strings.HasPrefix(path, a)
	})
}

// within reports whether path is parent or below it.
func within(parent, path string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}
