package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/u-root/mkuimage/cpio"

	"dipper/qemu/machine"
)

// floorLine is what bench/floor prints.
var floorLine = regexp.MustCompile(`floor: up (\d+) ns after the kernel's start \(<nil>\)`)

// buildFloor makes an initramfs of nothing but the floor's init. It is not
// compressed, so that unpacking it is no work.
func buildFloor(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "floor")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
		"-o", program, "dipper/qemu/bench/floor")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOAMD64=v1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("floor: %w: %s", err, out)
	}
	code, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "floor.cpio")
	archive, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer archive.Close()
	writer := cpio.Newc.Writer(archive)
	err = cpio.WriteRecords(writer, []cpio.Record{
		cpio.Directory("dev", 0o755),
		cpio.CharDev("dev/console", 0o600, 5, 1), // the kernel gives it to init
		cpio.StaticFile("init", string(code), 0o755),
	})
	if err != nil {
		return "", err
	}
	return path, cpio.WriteTrailer(writer)
}

// floorUp waits for the floor's line, and returns its clock.
func floorUp(ctx context.Context, m *machine.Machine) (time.Duration, error) {
	line, err := m.Console().Expect(ctx, floorLine)
	if err != nil {
		return 0, err
	}
	nanoseconds, err := strconv.ParseInt(floorLine.FindStringSubmatch(line)[1], 10, 64)
	return time.Duration(nanoseconds), err
}
