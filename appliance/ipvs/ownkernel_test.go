package ipvs

import (
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// onOwnKernel tells this binary that it runs in a machine of TestOnOwnKernel.
const onOwnKernel = "DIPPER_IPVS_TEST_ON_OWN_KERNEL"

// TestOnOwnKernel runs the tests of live_test.go on the kernel of the image, in
// a machine with Debian's ipvsadm.
func TestOnOwnKernel(t *testing.T) {
	if os.Getenv(onOwnKernel) != "" {
		return // it is what runs here
	}
	cluster := lab.StartT(t, &lab.Description{Name: "ipvs", Nodes: []*lab.Node{{
		Name: "host", Peer: true,
		Change: func(c *machine.Config) error { c.Memory = 512; return nil },
	}}})
	program, err := os.ReadFile(buildTests(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	host := cluster.Peer("host")
	if _, err := host.RunWith(ctx, "base64 -d >/tmp/ipvs.test; chmod +x /tmp/ipvs.test", base64.StdEncoding.EncodeToString(program)); err != nil {
		t.Fatal(err)
	}
	out, err := host.Run(ctx, onOwnKernel+"=1 /tmp/ipvs.test -test.run='^TestKernel' -test.v -test.timeout=9m 2>&1")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
}

// buildTests builds this package's tests without a C library, which the
// machine may have in another version.
func buildTests(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ipvs.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}
