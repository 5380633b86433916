package archive

import (
	"bytes"
	"io/fs"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/mkuimage/cpio"

	"dipper/image/rootfs"
)

// nodes has one of everything that an image has.
var nodes = []rootfs.Node{
	{Path: "bin", Mode: fs.ModeDir | 0o755},
	{Path: "bin/dipper", Mode: fs.ModeSymlink | 0o777, Target: "/init"},
	{Path: "dev", Mode: fs.ModeDir | 0o755},
	{Path: "dev/console", Mode: fs.ModeDevice | fs.ModeCharDevice | 0o600, Major: 5, Minor: 1},
	{Path: "empty", Mode: 0o644, Body: []byte{}},
	{Path: "init", Mode: 0o755, Body: []byte("odd")},
	{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
}

func packedNodes(t *testing.T, nodes []rootfs.Node) []byte {
	t.Helper()
	var packed bytes.Buffer
	if err := Write(&packed, nodes); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestReadGivesWhatWasWritten(t *testing.T) {
	got, err := Read(packedNodes(t, nodes))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(nodes, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestForeignListing asks cpio(1), which shares no code with this package.
func TestForeignListing(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("cpio is not installed: no second opinion on the archive")
	}
	list := exec.Command("cpio", "-itvn", "--quiet")
	list.Stdin = bytes.NewReader(packedNodes(t, nodes))
	list.Env = []string{"LC_ALL=C", "TZ=UTC"}
	output, err := list.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	const want = `
drwxr-xr-x 0 0 0 0 Jan 1 1970 bin
lrwxrwxrwx 0 0 0 5 Jan 1 1970 bin/dipper -> /init
drwxr-xr-x 0 0 0 0 Jan 1 1970 dev
crw------- 0 0 0 5, 1 Jan 1 1970 dev/console
-rw-r--r-- 0 0 0 0 Jan 1 1970 empty
-rwxr-xr-x 0 0 0 3 Jan 1 1970 init
drwxrwxrwt 0 0 0 0 Jan 1 1970 tmp
`
	var got strings.Builder
	got.WriteString("\n")
	for line := range strings.Lines(string(output)) {
		got.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadRefusesWhatIsNotOurs(t *testing.T) {
	for _, test := range []struct {
		name string
		info cpio.Info
	}{
		{"owner", cpio.Info{Name: "x", Mode: cpio.S_IFREG | 0o644, UID: 1000}},
		{"group", cpio.Info{Name: "x", Mode: cpio.S_IFREG | 0o644, GID: 1000}},
		{"time", cpio.Info{Name: "x", Mode: cpio.S_IFREG | 0o644, MTime: 1780000000}},
		{"inode", cpio.Info{Name: "x", Mode: cpio.S_IFREG | 0o644, Ino: 7}},
		{"setuid", cpio.Info{Name: "x", Mode: cpio.S_IFREG | 0o4755}},
		{"block device", cpio.Info{Name: "x", Mode: cpio.S_IFBLK | 0o600}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var packed bytes.Buffer
			writer := cpio.Newc.Writer(&packed)
			if err := writer.WriteRecord(cpio.StaticRecord(nil, test.info)); err != nil {
				t.Fatal(err)
			}
			if err := cpio.WriteTrailer(writer); err != nil {
				t.Fatal(err)
			}
			if got, err := Read(packed.Bytes()); err == nil {
				t.Errorf("read as %v", got)
			}
		})
	}
}
