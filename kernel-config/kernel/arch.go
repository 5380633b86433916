package kernel

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Arch is how one architecture, named as Go names it, is built.
type Arch struct {
	name   string // GOARCH; also the name of its fragment
	kbuild string // the kernel's name for it
	image  string // make target
	path   string // of the image, in the object directory
}

var arches = map[string]Arch{
	"amd64": {name: "amd64", kbuild: "x86_64", image: "bzImage", path: "arch/x86/boot/bzImage"},
}

// ForArch finds an architecture by its Go name.
func ForArch(name string) (Arch, error) {
	arch, ok := arches[name]
	if !ok {
		return Arch{}, fmt.Errorf("architecture %q is not supported: use one of %s",
			name, strings.Join(slices.Sorted(maps.Keys(arches)), ", "))
	}
	return arch, nil
}

// timestamp is the age of everything in the image, in a form that date(1) reads.
const timestamp = "2026-01-01 00:00:00 UTC"

// make prepares a run of the kernel's make. Its environment is made up here, so
// that neither variables of the caller (MAKEFLAGS of an outer make, a locale,
// CFLAGS) nor names of user, host, time and directory reach the image.
func (a Arch) make(source, object, version string, args ...string) func(context.Context) *exec.Cmd {
	args = append([]string{"-C", source, "O=" + object, "ARCH=" + a.kbuild}, args...)
	return func(ctx context.Context) *exec.Cmd {
		command := exec.CommandContext(ctx, "make", args...)
		// make hands a SIGTERM on to its jobs; a SIGKILL would leave them running.
		command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
		command.WaitDelay = 10 * time.Second
		command.Env = append(buildEnvironment(version), "PATH="+os.Getenv("PATH"), "TMPDIR="+os.TempDir())
		return command
	}
}

func buildEnvironment(version string) []string {
	return []string{
		"LC_ALL=C",
		"TZ=UTC",
		"KBUILD_BUILD_USER=dipper",
		"KBUILD_BUILD_HOST=dipper",
		"KBUILD_BUILD_VERSION=1",
		"KBUILD_BUILD_TIMESTAMP=" + timestamp,
		// Debian's addition (init/Makefile): uname -v names the source, no date.
		"KBUILD_BUILD_VERSION_TIMESTAMP=" + version,
	}
}
