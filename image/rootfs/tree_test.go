package rootfs

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// contents has two commands; which ones there are is package busybox's.
var contents = Contents{
	Init:         []byte("our executable"),
	Commands:     []string{"ip", "ls"},
	Programs:     []byte("the commands"),
	Certificates: []byte("-----BEGIN CERTIFICATE-----"),
	Version:      "1.2.0-3-g82d193e",
	Commit:       "82d193e31c5fbd3fbb2d5f4ba1b6ae8a2b0d1e7f",
}

func tree(t *testing.T) []Node {
	t.Helper()
	nodes, err := Tree(contents)
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// TestTree holds every name and mode of the image against a listing that a person
// can read. A change of the image is a change of that file.
func TestTree(t *testing.T) { golden(t, "tree.golden", tree(t)) }

func TestPrograms(t *testing.T) {
	nodes, err := Programs([]byte("the busybox"), contents.Commands)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "programs.golden", nodes)
	if body := string(nodes[0].Body); nodes[0].Path != "bb" || body != "the busybox" {
		t.Errorf("%v holds %q", nodes[0], body)
	}
}

// TestEveryProgramHasItsName: what is mounted over /bbin has the names that were
// there before, or a command would be found only by who comes late.
func TestEveryProgramHasItsName(t *testing.T) {
	programs, err := Programs(nil, contents.Commands)
	if err != nil {
		t.Fatal(err)
	}
	var mounted, before []string
	for _, node := range programs {
		mounted = append(mounted, "bbin/"+node.Path)
	}
	for _, node := range tree(t) {
		if strings.HasPrefix(node.Path, "bbin/") {
			before = append(before, node.Path)
		}
	}
	if diff := cmp.Diff(mounted, before); diff != "" {
		t.Errorf("(-mounted +before):\n%s", diff)
	}
}

func golden(t *testing.T, name string, nodes []Node) {
	t.Helper()
	var got strings.Builder
	for _, node := range nodes {
		got.WriteString(node.String() + "\n")
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("run go test -update ./image/rootfs where this is meant (-want +got):\n%s", diff)
	}
}

func TestBodies(t *testing.T) {
	want := map[string]string{
		"init":          "our executable",
		"bbin.squashfs": "the commands",
		"etc/os-release": `NAME=Dipper
ID=dipper
PRETTY_NAME="Dipper 1.2.0-3-g82d193e"
VERSION_ID=1.2.0-3-g82d193e
BUILD_ID=82d193e31c5fbd3fbb2d5f4ba1b6ae8a2b0d1e7f
`,
		"etc/ssl/certs/ca-certificates.crt": "-----BEGIN CERTIFICATE-----",
	}
	got := make(map[string]string)
	for _, node := range tree(t) {
		if _, ok := want[node.Path]; ok {
			got[node.Path] = string(node.Body)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoNameServerIsBuiltIn(t *testing.T) {
	for _, node := range tree(t) {
		if strings.Contains(string(node.Body), "nameserver") {
			t.Errorf("%s names a name server:\n%s", node.Path, node.Body)
		}
		if node.Path == "etc/resolv.conf" && node.Target != "/run/dipper/resolv.conf" {
			t.Errorf("etc/resolv.conf leads to %q", node.Target)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		nodes []Node
		want  string
	}{
		{"world-writable file", []Node{file("log", 0o666, nil)}, "log: mode -rw-rw-rw- lets everybody write"},
		{"world-writable directory", []Node{directory("log", 0o777)}, "log: mode drwxrwxrwx lets everybody write"},
		{"world-writable device", []Node{characterDevice("null", 0o666, 1, 3)}, "null: mode Dcrw-rw-rw- lets everybody write"},
		{"setuid", []Node{file("su", 0o755|fs.ModeSetuid, nil)}, "su: mode urwxr-xr-x is not for an image"},
		{"same path twice", []Node{directory("etc", 0o755), directory("etc", 0o700)}, "etc: twice in the image"},
		{"no directory", []Node{file("etc/passwd", 0o644, nil)}, "etc/passwd: etc is no directory of the image"},
		{"a file for a directory", []Node{file("etc", 0o644, nil), file("etc/passwd", 0o644, nil)}, "etc/passwd: etc is no directory"},
		{"out of the tree", []Node{file("../init", 0o755, nil)}, `"../init": not a path inside the image`},
		{"absolute", []Node{file("/init", 0o755, nil)}, `"/init": not a path inside the image`},
		{"no name", []Node{directory(".", 0o755)}, `".": not a path inside the image`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := check(test.nodes)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant …%s…", err, test.want)
			}
		})
	}
}

func TestTreeRefusesCommandTwice(t *testing.T) {
	twice := contents
	twice.Commands = []string{"ls", "ls"}
	if _, err := Tree(twice); err == nil || !strings.Contains(err.Error(), "bbin/ls: twice") {
		t.Errorf("got %v", err)
	}
}
