package network

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

// TestOnOwnKernel runs this package's namespace tests on the kernel of the
// image, which has bonds, VLANs, tunnels and GUE where the host's may not, in a
// machine with Debian's iproute2, nftables, tcpdump and dnsmasq.
func TestOnOwnKernel(t *testing.T) {
	if os.Getenv(onOwnKernel) != "" {
		return
	}
	cluster := lab.StartT(t, &lab.Description{Name: "network", Nodes: []*lab.Node{{
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
	if _, err := host.RunWith(ctx, "base64 -d >/tmp/network.test; chmod +x /tmp/network.test", base64.StdEncoding.EncodeToString(program)); err != nil {
		t.Fatal(err)
	}
	out, err := host.Run(ctx, onOwnKernel+"=1 DIPPER_LAB=require /tmp/network.test -test.run='InNamespace$' -test.v -test.timeout=9m 2>&1")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
}

// buildTests builds this package's tests without a C library, whose files the
// guest may not have.
func buildTests(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "network.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}
