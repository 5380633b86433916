package squashfs

import (
	"bytes"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/image/rootfs"
)

// nodes has one of everything that a tree of programs has.
var nodes = []rootfs.Node{
	{Path: "bb", Mode: 0o755, Body: bytes.Repeat([]byte("code"), 100_000)},
	{Path: "empty", Mode: 0o644, Body: []byte{}},
	{Path: "ip", Mode: fs.ModeSymlink | 0o777, Target: "bb"},
	{Path: "lib", Mode: fs.ModeDir | 0o750},
	{Path: "lib/secret", Mode: 0o600, Body: []byte("x")},
}

func packed(t *testing.T) []byte {
	t.Helper()
	image, err := Pack(t.Context(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestReadGivesWhatWasPacked(t *testing.T) {
	got, err := Read(t.Context(), packed(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(nodes, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSameBytes packs in other surroundings, and at another time.
func TestSameBytes(t *testing.T) {
	here := packed(t)
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TZ", "Pacific/Auckland")
	t.Setenv("SOURCE_DATE_EPOCH", "1780000000")
	defer syscall.Umask(syscall.Umask(0o077))
	if there := packed(t); !bytes.Equal(here, there) {
		t.Error("not the same bytes")
	}
}

func TestPackRefusesADevice(t *testing.T) {
	device := rootfs.Node{Path: "null", Mode: fs.ModeDevice | fs.ModeCharDevice | 0o600, Major: 1, Minor: 3}
	if _, err := Pack(t.Context(), []rootfs.Node{device}); err == nil || !strings.Contains(err.Error(), "null: mode Dcrw-------") {
		t.Errorf("got %v", err)
	}
}

func TestPackerNamesItsVersion(t *testing.T) {
	packer, err := Packer(t.Context())
	if err != nil || !strings.HasPrefix(packer, "mksquashfs 4.") {
		t.Errorf("%q, %v", packer, err)
	}
}
