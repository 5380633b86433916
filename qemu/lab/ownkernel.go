package lab

import (
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dipper/qemu/machine"
)

// Bounds of tests in a machine. The inner one ends first, and says where.
const (
	ownKernelPatience = 20 * time.Minute
	ownKernelTimeout  = "19m"
	ownKernelMemory   = 512 // MiB: the test binary is in memory twice
)

// RunOnOwnKernel runs those tests of the calling package whose names match
// pattern on the kernel of the image, in a machine with Debian's programs, and
// takes over their outcome. The environment is as in "NAME=value".
func RunOnOwnKernel(t *testing.T, pattern string, environment ...string) {
	t.Helper()
	cluster := StartT(t, &Description{Name: "own-kernel", Nodes: []*Node{{
		Name: "host", Peer: true,
		Change: func(c *machine.Config) error { c.Memory = ownKernelMemory; return nil },
	}}})
	program, err := os.ReadFile(buildTests(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), ownKernelPatience)
	defer stop()
	host := cluster.Peer("host")
	if _, err := host.RunWith(ctx, "base64 -d >/tmp/package.test; chmod +x /tmp/package.test", base64.StdEncoding.EncodeToString(program)); err != nil {
		t.Fatal(err)
	}
	command := append(environment, "/tmp/package.test", "-test.run='"+pattern+"'", "-test.v", "-test.timeout="+ownKernelTimeout, "2>&1")
	out, err := host.Run(ctx, strings.Join(command, " "))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
}

// buildTests builds the tests in the working directory without a C library,
// which the machine may have in another version.
func buildTests(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "package.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}
