package lab

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func sortedKeys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s9-small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{
		"lab.yaml":      "machines:\n  director: [outside, inside]\n  client: [outside]\n",
		"director.yaml": "role: director\n",
		"client.sh":     "ip link set eth0 up\n",
	})
	d, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "s9-small" {
		t.Errorf("name %q", d.Name)
	}
	client, director := d.Nodes[0], d.Nodes[1]
	if client.Name != "client" || !client.Peer || client.Script != "ip link set eth0 up\n" || client.Config != nil {
		t.Errorf("client: %+v", client)
	}
	if director.Peer || string(director.Config) != "role: director\n" || !slices.Equal(director.LANs, []string{"outside", "inside"}) {
		t.Errorf("director: %+v", director)
	}
	if d.Node("director") != director {
		t.Error("Node finds another")
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, test := range []struct{ name, layout, want string }{
		{"no machines", "machines: {}\n", "no machines"},
		{"unknown key", "machine:\n  a: [lan]\n", `unknown field "machine"`},
		{"nothing to boot", "machines:\n  b: [lan]\n", "machines.b: expected a boot config b.yaml or a peer's script b.sh"},
		{"name that is no path element", "machines:\n  ../a: [lan]\n", "expected"},
		{"cable with one end", "machines: {a: [wire]}\ncables: [wire]\n", `cable "wire": expected 2 network cards in it, not 1`},
		{"LAN's name", "machines:\n  a: [../lan]\n", `LAN "../lan": expected small letters`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{"lab.yaml": test.layout, "a.sh": "true\n"})
			if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestAfterNamesWhatComesBefore(t *testing.T) {
	a, b := &Node{Name: "a"}, &Node{Name: "b", After: []string{"a"}}
	if err := (&Description{Name: "d", Nodes: []*Node{a, b}}).check(); err != nil {
		t.Error(err)
	}
	if err := (&Description{Name: "d", Nodes: []*Node{b, a}}).check(); err == nil {
		t.Error("b may wait for a that is not described before it")
	}
}

func TestBuildNamesWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	build := Build{Kernel: filepath.Join(dir, "vmlinuz"), Initramfs: filepath.Join(dir, "initramfs")}
	peers := &Description{Name: "d", Nodes: []*Node{{Name: "a", Peer: true}}}
	both := &Description{Name: "d", Nodes: []*Node{{Name: "a", Peer: true}, {Name: "b"}}}
	if err := build.check(peers); err == nil || !strings.Contains(err.Error(), "vmlinuz is not built yet") {
		t.Errorf("without a kernel: %v", err)
	}
	write(t, dir, map[string]string{"vmlinuz": ""})
	if err := build.check(peers); err != nil {
		t.Errorf("peers need no initramfs of the appliance: %v", err)
	}
	if err := build.check(both); err == nil || !strings.Contains(err.Error(), "initramfs is not built yet") {
		t.Errorf("without an initramfs: %v", err)
	}
}

func TestMACsAreDistinct(t *testing.T) {
	if got, want := MAC(0, 1), "52:54:00:00:01:01"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
