package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dipper/image/archive"
	"dipper/image/manifest"
	"dipper/image/rootfs"
	"dipper/image/squashfs"
)

// built is the directory of a built image: DIPPER_BUILD, or where make image puts
// it. Without one the test is skipped, or fails where DIPPER_LAB=require says that
// there must be one.
func built(t *testing.T) string {
	t.Helper()
	directory := os.Getenv("DIPPER_BUILD")
	if directory == "" {
		directory = filepath.Join("..", "build", "amd64")
	}
	_, err := os.Stat(filepath.Join(directory, manifestFile))
	switch {
	case errors.Is(err, fs.ErrNotExist) && os.Getenv("DIPPER_LAB") != "require":
		t.Skipf("no image in %s: build it with make image", directory)
	case err != nil:
		t.Fatal(err)
	}
	return directory
}

func readFile(t *testing.T, directory, name string) []byte {
	t.Helper()
	contents, err := os.ReadFile(filepath.Join(directory, name))
	if err != nil {
		t.Fatal(err)
	}
	return contents
}

func readManifest(t *testing.T, directory string) manifest.Manifest {
	t.Helper()
	m, err := manifest.Decode(readFile(t, directory, manifestFile))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestManifestHolds(t *testing.T) {
	directory := built(t)
	m := readManifest(t, directory)
	for _, name := range []string{kernelFile, initramfsFile, billFile} {
		said, ok := m.Artefact(name)
		if !ok {
			t.Errorf("%s is not in the manifest", name)
			continue
		}
		is := manifest.Describe(name, readFile(t, directory, name))
		if said.Size != is.Size || said.SHA256 != is.SHA256 {
			t.Errorf("%s is %d bytes with hash %s, the manifest says %d and %s",
				name, is.Size, is.SHA256, said.Size, said.SHA256)
		}
	}
}

func TestSize(t *testing.T) {
	m := readManifest(t, built(t))
	kernel, _ := m.Artefact(kernelFile)
	initramfs, _ := m.Artefact(initramfsFile)
	if sum := kernel.Size + initramfs.Size; sum > sizeLimit {
		t.Errorf("%d bytes, %d too many:\n%s", sum, sum-sizeLimit, breakdown(t, m))
	}
}

// breakdown tells what the bytes are for.
func breakdown(t *testing.T, m manifest.Manifest) string {
	t.Helper()
	var lines strings.Builder
	lines.WriteString(summary("", m))
	for _, node := range unpacked(t) {
		if len(node.Body) > 100_000 {
			packed, err := archive.Compress(t.Context(), node.Body)
			if err != nil {
				t.Fatal(err)
			}
			lines.WriteString(size(len(packed), node.Path+", packed by itself"))
		}
	}
	return lines.String()
}

func unpacked(t *testing.T) []rootfs.Node {
	t.Helper()
	plain, err := archive.Decompress(t.Context(), readFile(t, built(t), initramfsFile))
	if err != nil {
		t.Fatal(err)
	}
	return read(t, plain)
}

func read(t *testing.T, plain []byte) []rootfs.Node {
	t.Helper()
	nodes, err := archive.Read(plain)
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// TestTree walks the archive itself: what package rootfs means to put there is its
// own test's matter.
func TestTree(t *testing.T) {
	sums := make(map[string]int)
	for _, node := range unpacked(t) {
		top, _, _ := strings.Cut(node.Path, "/")
		sums[top]++
		if node.Mode.Perm()&0o002 != 0 && node.Path != "tmp" && node.Mode.Type() != fs.ModeSymlink {
			t.Errorf("everybody may write: %v", node)
		}
		if node.Path == "tmp" && node.Mode != fs.ModeDir|fs.ModeSticky|0o777 {
			t.Errorf("not what /tmp is: %v", node)
		}
		if bytes.Contains(node.Body, []byte("nameserver 8.8.8.8")) {
			t.Errorf("a foreign name server is in %v", node)
		}
	}
	for top := range sums {
		switch top {
		case "bbin", "bbin.squashfs", "bin", "dev", "etc", "init", "proc", "root", "run", "sys", "tmp", "var":
		default:
			t.Errorf("unexpected at the top: %s", top)
		}
	}
	if want := len(readManifest(t, built(t)).Commands) + 2; sums["bbin"] != want {
		t.Errorf("%d entries for bbin, want one for each command, the busybox and the directory: %d", sums["bbin"], want)
	}
}

// TestCommands walks the file system of commands: each that the manifest names
// leads to the busybox, and has its name in the archive before it is mounted.
func TestCommands(t *testing.T) {
	targets := make(map[string]string)
	for _, node := range commands(t) {
		if node.Mode.Perm()&0o022 != 0 && node.Mode.Type() != fs.ModeSymlink {
			t.Errorf("others than root may write: %v", node)
		}
		targets[node.Path] = node.Target
	}
	links := make(map[string]string)
	for _, node := range unpacked(t) {
		links[node.Path] = node.Target
	}
	for _, name := range readManifest(t, built(t)).Commands {
		if targets[name] != "bb" || links["bbin/"+name] != "/init" {
			t.Errorf("%s leads to %q, and to %q before it is mounted, want bb and /init", name, targets[name], links["bbin/"+name])
		}
	}
}

// commands is the file system of commands, unpacked.
func commands(t *testing.T) []rootfs.Node {
	t.Helper()
	for _, node := range unpacked(t) {
		if node.Path != "bbin.squashfs" {
			continue
		}
		nodes, err := squashfs.Read(t.Context(), node.Body)
		if err != nil {
			t.Fatal(err)
		}
		return nodes
	}
	t.Fatal("no bbin.squashfs in the image")
	return nil
}

// TestExecutablesRunAnywhere: neither executable may need an interpreter, which is
// what a dynamic one names, as there is no library in the image.
func TestExecutablesRunAnywhere(t *testing.T) {
	for _, node := range append(unpacked(t), commands(t)...) {
		if node.Path != "init" && node.Path != "bb" {
			continue
		}
		path := filepath.Join(t.TempDir(), "executable")
		if err := os.WriteFile(path, node.Body, 0o755); err != nil {
			t.Fatal(err)
		}
		output, err := exec.Command("go", "version", "-m", path).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", node.Path, err, output)
		}
		for _, want := range []string{"CGO_ENABLED=0", "GOAMD64=v1", "-trimpath=true"} {
			if !strings.Contains(string(output), want) {
				t.Errorf("%s: not built with %s:\n%s", node.Path, want, output)
			}
		}
	}
}

// TestBillNamesWhatIsLinked compares the bill of materials with what the go command
// reads from our executable.
func TestBillNamesWhatIsLinked(t *testing.T) {
	directory := built(t)
	var bill struct {
		Packages []struct{ Name, VersionInfo string }
	}
	if err := json.Unmarshal(readFile(t, directory, billFile), &bill); err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]string)
	for _, p := range bill.Packages {
		listed[p.Name] = p.VersionInfo
	}
	output, err := exec.Command("go", "version", "-m", filepath.Join(directory, initFile)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		if fields[0] == "dep" && listed[fields[1]] != fields[2] {
			t.Errorf("%s %s is linked, the bill has version %q", fields[1], fields[2], listed[fields[1]])
		}
	}
	for _, name := range []string{"dipper", kernelFile, initramfsFile, "linux-source-6.12", "stdlib", rootsModule} {
		if listed[name] == "" {
			t.Errorf("%s is not in the bill", name)
		}
	}
}

func TestCertificates(t *testing.T) {
	text, err := certificates()
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----\n")); n < 100 {
		t.Errorf("%d roots: Mozilla trusts more than a hundred", n)
	}
}
