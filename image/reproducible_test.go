package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dipper/image/gotool"
	"dipper/image/manifest"
	"dipper/image/revision"
	"dipper/image/target"
)

// surroundings are what must not reach the image.
type surroundings struct {
	root  string // source tree
	umask int
}

// TestReproducible builds the initramfs from two copies of the source in different
// directories, with other caches, temporary directories, umasks, time zones and Go
// flags, and compares the bytes.
//
// Both builds share the go command's cache, which spares minutes and would hide a
// path that the compiler puts in. So the second part looks for paths of this
// machine in the bytes.
func TestReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two images, a minute or two: not with -short")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "another", "place")
	copySource(t, elsewhere, root)

	here := initramfsIn(t, surroundings{root: root, umask: 0o022})
	t.Setenv("TZ", "Pacific/Auckland")
	t.Setenv("GOFLAGS", "-tags=elsewhere")
	t.Setenv("HOSTNAME", "elsewhere")
	there := initramfsIn(t, surroundings{root: elsewhere, umask: 0o077})

	if !bytes.Equal(here.plain, there.plain) {
		t.Errorf("the archives differ from byte %d on: %s", firstDifference(here.plain, there.plain), difference(t, here, there))
	}
	if !bytes.Equal(here.file, there.file) {
		t.Error("the compressed archives differ")
	}
	for _, path := range pathsOfThisMachine(t, root, elsewhere) {
		if i := bytes.Index(here.plain, []byte(path)); i >= 0 {
			t.Errorf("%s is in the image: …%q…", path, here.plain[max(0, i-40):min(len(here.plain), i+80)])
		}
	}
}

// initramfsIn builds an initramfs. It changes the umask of the whole process, so
// that no test beside it may be parallel.
func initramfsIn(t *testing.T, s surroundings) packed {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	defer syscall.Umask(syscall.Umask(s.umask))
	machine, err := target.ByArch("amd64")
	if err != nil {
		t.Fatal(err)
	}
	o := order{
		tool: gotool.Tool{Root: s.root, Target: machine},
		revision: revision.Revision{
			Version: "1.2.0", Commit: strings.Repeat("0123456789", 4), Time: time.Unix(1780000000, 0).UTC(),
		},
		cache:    t.TempDir(),
		output:   t.TempDir(),
		progress: t.Logf,
	}
	p, err := o.programs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	initramfs, err := o.initramfs(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return initramfs
}

// copySource copies what the image is built from, and leaves out what was built.
func copySource(t *testing.T, to, from string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if name == ".git" || name == "build" {
			return fs.SkipDir
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), body, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// difference names the files that differ.
func difference(t *testing.T, here, there packed) string {
	t.Helper()
	hashes := make(map[string]string)
	var differing []string
	for _, node := range read(t, here.plain) {
		hashes[node.Path] = node.String() + manifest.Hash(node.Body)
	}
	for _, node := range read(t, there.plain) {
		if hashes[node.Path] != node.String()+manifest.Hash(node.Body) {
			differing = append(differing, node.Path)
		}
	}
	return strings.Join(differing, ", ")
}

// pathsOfThisMachine are those that a compiler could leave in an executable, each
// with its continuation: a short one like /src could be there for other reasons.
func pathsOfThisMachine(t *testing.T, roots ...string) []string {
	t.Helper()
	output, err := gotool.Tool{Root: roots[0]}.Run(t.Context(), roots[0], nil, "env", "GOROOT", "GOMODCACHE", "GOCACHE")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(output))
	paths := []string{lines[0] + "/src/", lines[1] + "/github.com/", lines[2] + "/", os.TempDir() + "/"}
	for _, root := range roots {
		paths = append(paths, root+"/init/", root+"/appliance/")
	}
	return paths
}
