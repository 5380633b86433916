package peer

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/mkuimage/cpio"
)

func TestParseClosure(t *testing.T) {
	got := parseClosure(`curl
  Depends: libc6
 |Depends: debconf
  Depends: <debconf-2.0>
    cdebconf
libc6
<debconf-2.0>
libc6
`)
	if want := []string{"curl", "libc6"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseVersions(t *testing.T) {
	got := parseVersions(`Package: curl
Version: 7.88.1-10
Depends: libc6 (>= 2.34)
Description: command line tool: transfers data
 Version: is no field here

Package: libc6
Version: 2.36-9
`)
	if want := []string{"curl=7.88.1-10", "libc6=2.36-9"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPageNamesThePackages: what a peer has stands in docs/lab.md, by the name
// that one types.
func TestPageNamesThePackages(t *testing.T) {
	page, err := os.ReadFile("../../docs/lab.md")
	if err != nil {
		t.Fatal(err)
	}
	typed := strings.NewReplacer("iputils-", "", "openssh-client", "ssh", "-static", "", "-base", "")
	for _, p := range packages {
		// The shell that runs scripts is everybody's.
		if name := typed.Replace(p); name != "dash" && !strings.Contains(string(page), name) {
			t.Errorf("docs/lab.md does not name %s", name)
		}
	}
}

func TestArchiveIsWhatCpioReads(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "odd")
	if err := os.WriteFile(odd, []byte("five!"), 0o600); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	err := writeArchive(&archive, []entry{
		{path: "etc/odd", mode: cpio.S_IFREG | 0o640, source: odd},
		directory("etc"),
		{path: "etc/text", mode: cpio.S_IFREG | 0o755, text: "inline"},
		link("etc/link", "odd"),
		{path: "dev/console", mode: cpio.S_IFCHR | 0o600, device: 1},
		directory("dev"),
	})
	if err != nil {
		t.Fatal(err)
	}
	list := runCpio(t, dir, archive.Bytes(), "-tv", "--numeric-uid-gid")
	var got []string
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		got = append(got, strings.Join(slices.Delete(fields, len(fields)-4, len(fields)-1), " ")) // without the date
	}
	want := []string{
		"drwxr-xr-x 1 0 0 0 dev",
		"crw------- 1 0 0 5, 1 dev/console",
		"drwxr-xr-x 1 0 0 0 etc",
		"-rw-r----- 1 0 0 5 etc/odd",
		"-rwxr-xr-x 1 0 0 6 etc/text",
	}
	if len(got) != 6 || !strings.Contains(list, "etc/link -> odd") {
		t.Errorf("archive lists\n%s", list)
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("archive lacks %q:\n%s", line, list)
		}
	}
	runCpio(t, dir, archive.Bytes(), "-id", "etc/*")
	for name, want := range map[string]string{"odd": "five!", "text": "inline", "link": "five!"} {
		if got, err := os.ReadFile(filepath.Join(dir, "etc", name)); string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
}

func runCpio(t *testing.T, dir string, archive []byte, arguments ...string) string {
	t.Helper()
	cmd := exec.Command("cpio", append([]string{"--quiet"}, arguments...)...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(archive)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cpio: %v: %s", err, out)
	}
	return string(out)
}

func TestInitramfs(t *testing.T) {
	requirePackages(t)
	path, err := Initramfs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Initramfs(t.Context())
	if err != nil || again != path {
		t.Errorf("a second build made %s, %v, want %s", again, err, path)
	}
	archive, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := strings.Fields(runCpio(t, dir, archive, "-t"))
	for _, want := range []string{"init", "bin/agent", "bin/sh", "etc/rc", "usr/bin/curl", "sbin/ipvsadm", "lib64/ld-linux-x86-64.so.2"} {
		if !slices.Contains(files, want) {
			t.Errorf("lacks %s", want)
		}
	}
}

// TestEveryProgramFindsItsLibraries asks the loader in the initramfs itself.
func TestEveryProgramFindsItsLibraries(t *testing.T) {
	requirePackages(t)
	if os.Getuid() != 0 {
		t.Skip("needs root for chroot")
	}
	path, err := Initramfs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	runCpio(t, dir, archive, "-id", "-f", "dev/*")
	for _, program := range []string{"curl", "ipvsadm", "ip", "tc", "tcpdump", "keepalived", "nft", "socat", "iperf3", "dnsmasq", "conntrack", "ping", "arping", "ndisc6", "ethtool"} {
		out, err := exec.Command("chroot", dir, "/bin/sh", "-c",
			"PATH=/sbin:/usr/sbin:/bin:/usr/bin; /lib64/ld-linux-x86-64.so.2 --list $(command -v "+program+")").CombinedOutput()
		if err != nil || strings.Contains(string(out), "not found") {
			t.Errorf("%s: %v: %s", program, err, out)
		}
	}
}

func requirePackages(t *testing.T) {
	t.Helper()
	for _, program := range []string{"apt-get", "apt-cache", "dpkg", "cpio"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("DIPPER_LAB") == "require" {
				t.Fatalf("DIPPER_LAB=require: %v", err)
			}
			t.Skipf("needs Debian's tools: %v", err)
		}
	}
}
