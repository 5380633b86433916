package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Build is what machines boot.
type Build struct {
	Kernel    string
	Initramfs string // of the appliance; may be missing where there are only peers
}

// NotBuiltError says that something must be built first.
type NotBuiltError struct{ Path string }

// Error names what to run.
func (e *NotBuiltError) Error() string {
	return fmt.Sprintf("%s is not built yet: make image", e.Path)
}

// FindBuild looks into $DIPPER_BUILD, or build/amd64 of the tree that the
// working directory is in.
func FindBuild() (Build, error) {
	dir := os.Getenv("DIPPER_BUILD")
	if dir == "" {
		root, err := Root()
		if err != nil {
			return Build{}, err
		}
		dir = filepath.Join(root, "build", "amd64")
	}
	return Build{
		Kernel:    filepath.Join(dir, "vmlinuz"),
		Initramfs: filepath.Join(dir, "initramfs.cpio.zst"),
	}, nil
}

// check names what d needs and the build lacks.
func (b Build) check(d *Description) error {
	needed := []string{b.Kernel}
	for _, n := range d.Nodes {
		if !n.Peer {
			needed = append(needed, b.Initramfs)
			break
		}
	}
	for _, path := range needed {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return &NotBuiltError{path}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Root is the top of the tree that the working directory is in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod in the working directory or above it")
		}
		dir = filepath.Dir(dir)
	}
}
