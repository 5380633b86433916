package volume

import (
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// onOwnKernel tells this binary that it runs in a machine of TestOnOwnKernel.
const onOwnKernel = "DIPPER_VOLUME_TEST_ON_OWN_KERNEL"

// diskSizes are those of the disks of that machine: the smallest, one that no
// block group ends with, and larger ones.
func diskSizes() []int64 { return []int64{MinimalSize, 300<<20 + 4096*7, 2 << 30, 40 << 30} }

// TestOnOwnKernel makes state volumes on disks of several sizes, on the kernel
// of the image, and has e2fsck look at them when their machine is off.
func TestOnOwnKernel(t *testing.T) {
	if os.Getenv(onOwnKernel) != "" {
		return // TestDisks is what runs there
	}
	var disks []machine.Disk
	for _, size := range diskSizes() {
		disks = append(disks, machine.Disk{Path: sparse(t, size)})
	}
	cluster := lab.StartT(t, &lab.Description{Name: "state-volume", Nodes: []*lab.Node{{
		Name: "host", Peer: true,
		Change: func(c *machine.Config) error { c.Memory, c.Disks = 512, disks; return nil },
	}}})
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	host := cluster.Peer("host")
	if _, err := host.RunWith(ctx, "base64 -d >/tmp/package.test; chmod +x /tmp/package.test", base64.StdEncoding.EncodeToString(testBinary(t))); err != nil {
		t.Fatal(err)
	}
	out, err := host.Run(ctx, onOwnKernel+"=1 /tmp/package.test -test.run=^TestDisks -test.v 2>&1; sync")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
	if !strings.Contains(out, "--- PASS: TestDisks") {
		t.Fatal("TestDisks did not pass")
	}
	if err := cluster.Close(); err != nil {
		t.Fatal(err)
	}
	for i, disk := range disks {
		if blocks, want := wantClean(t, disk.Path), int(diskSizes()[i]/blockSize); blocks < want*99/100 || blocks > want {
			t.Errorf("disk of %d MiB: the file system has %d blocks of %d", diskSizes()[i]>>20, blocks, want)
		}
		out, err := exec.Command("du", "--block-size=1M", disk.Path).Output()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("disk of %d MiB: %s MiB were written", diskSizes()[i]>>20, strings.Fields(string(out))[0])
	}
}

// testBinary builds the tests of this package without a C library.
func testBinary(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "package.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// TestDisks is what TestOnOwnKernel runs in its machine.
func TestDisks(t *testing.T) {
	if os.Getenv(onOwnKernel) == "" {
		return // TestOnOwnKernel runs it in a machine with disks
	}
	v := New("/tmp/state")
	if files, device, err := v.Open(t.Context()); files != nil || device != "" || err != nil {
		t.Fatalf("found %s (%v) before there was any", device, err)
	}
	for i, size := range diskSizes() {
		t.Run(strconv.Itoa(int(size>>20))+" MiB", func(t *testing.T) { testDisk(t, v, "/dev/vd"+string(rune('a'+i)), size) })
	}
	testSeveral(t, v)
}

func testDisk(t *testing.T, v *Volume, device string, size int64) {
	start := time.Now()
	files, err := v.Format(t.Context(), device, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("made in %v", time.Since(start).Round(time.Millisecond))
	if len(v.Notes()) > 0 {
		t.Errorf("notes: %q", v.Notes())
	}
	total, free, err := v.Space()
	if err != nil || int64(total) < size*9/10 || int64(free) < size*8/10 {
		t.Errorf("%d MiB, %d MiB free (%v)", total>>20, free>>20, err)
	}
	t.Logf("%d MiB, %d MiB free", total>>20, free>>20)
	keep(t, files)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if files, err = v.reopen(t, device); err != nil {
		t.Fatal(err)
	}
	wantKept(t, files)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

// testSeveral has more than one state volume: the first that a machine would
// boot from is taken, and the others are told of.
func testSeveral(t *testing.T, v *Volume) {
	if err := makeFileSystem(t.Context(), "/dev/vda", true); err != nil {
		t.Fatal(err)
	}
	files, device, err := v.Open(t.Context())
	if err != nil || device != "/dev/vdb" {
		t.Fatalf("opened %s (%v), want /dev/vdb, the first with a boot file", device, err)
	}
	wantKept(t, files)
	if len(v.Notes()) == 0 || !strings.Contains(v.Notes()[0], "4 volumes are labelled DIPPER-STATE: /dev/vda, /dev/vdb") {
		t.Errorf("notes: %q", v.Notes())
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.reopen(t, "/dev/vda"); err != nil { // it grows when it is opened
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}
