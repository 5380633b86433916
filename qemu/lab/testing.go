package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dipper/qemu/machine"
)

// StartT is Start for a test: the cluster ends with it. When the test fails its
// files are kept below build/lab, and their place printed. Without a build or
// QEMU the test is skipped, or failed where the environment says
// DIPPER_LAB=require. DIPPER_ACCEL is tcg (the default), kvm or auto.
func StartT(t testing.TB, d *Description) *Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("boots machines: not with -short")
	}
	options, err := OptionsFromEnvironment(t.Context(), d, filepath.Join("build", "lab", fileName(t.Name())))
	var notBuilt *NotBuiltError
	switch {
	case (errors.As(err, &notBuilt) || errors.Is(err, exec.ErrNotFound)) && os.Getenv("DIPPER_LAB") != "require":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	if err := os.RemoveAll(options.Dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { clean(t, options.Dir) })
	c, err := Start(t.Context(), d, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// OptionsFromEnvironment are Options with what the environment says, and files
// in a directory below the top of the tree. It checks that d can be started.
func OptionsFromEnvironment(ctx context.Context, d *Description, dir string) (Options, error) {
	build, err := FindBuild()
	if err != nil {
		return Options{}, err
	}
	if err := build.check(d); err != nil {
		return Options{}, err
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		return Options{}, err
	}
	accelerator, err := machine.ChooseAccelerator(ctx, os.Getenv("DIPPER_ACCEL"), build.Kernel)
	if err != nil {
		return Options{}, err
	}
	root, err := Root()
	if err != nil {
		return Options{}, err
	}
	return Options{Build: build, Dir: filepath.Join(root, dir), Accelerator: accelerator}, nil
}

func clean(t testing.TB, dir string) {
	if t.Failed() {
		t.Logf("command lines, consoles and captures are kept in %s", dir)
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

// fileName makes a path element of a test's name.
func fileName(test string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("/\\:*?\"<>| ", r) {
			return '_'
		}
		return r
	}, test)
}
