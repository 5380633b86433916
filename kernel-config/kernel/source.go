package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// sourcePackage is the Debian package with the kernel source.
const sourcePackage = "linux-source-6.12"

// A MissingPackageError says what to install before a kernel can be built.
type MissingPackageError struct {
	What     string   // what was looked for
	Packages []string // Debian packages that have it
}

// Error names the command that helps.
func (e *MissingPackageError) Error() string {
	return fmt.Sprintf("%s is missing: apt-get install %s", e.What, strings.Join(e.Packages, " "))
}

// Source is an installed kernel source package.
type Source struct {
	Version string // Debian's, as 6.12.117-1~deb12u1
	Tarball string
}

// FindSource looks for Debian's kernel source on this machine. A
// *MissingPackageError says what to install.
func FindSource(ctx context.Context) (Source, error) {
	source := Source{Tarball: "/usr/src/" + sourcePackage + ".tar.xz"}
	if _, err := os.Stat(source.Tarball); errors.Is(err, fs.ErrNotExist) {
		return Source{}, &MissingPackageError{What: source.Tarball, Packages: []string{sourcePackage}}
	} else if err != nil {
		return Source{}, fmt.Errorf("kernel source: %w", err)
	}
	version, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", sourcePackage).Output()
	if err != nil {
		return Source{}, fmt.Errorf("version of package %s, owner of %s: %w", sourcePackage, source.Tarball, err)
	}
	source.Version = string(version)
	return source, nil
}

// Unpack gives the unpacked source below cache, and unpacks it where it is not
// there yet. The tree is complete or absent: it appears by a rename. Nothing is
// ever written into it.
func (s Source) Unpack(ctx context.Context, cache string, progress func(string, ...any)) (string, error) {
	// A version may hold an epoch's colon, which make cannot have in a path.
	tree := filepath.Join(cache, "kernel-source", strings.ReplaceAll(s.Version, ":", "_"))
	if _, err := os.Stat(tree); err == nil {
		return tree, nil
	}
	progress("unpacking %s", s.Tarball)
	if err := os.MkdirAll(filepath.Dir(tree), 0o755); err != nil {
		return "", fmt.Errorf("kernel source: %w", err)
	}
	temporary, err := os.MkdirTemp(filepath.Dir(tree), ".unpack-")
	if err != nil {
		return "", fmt.Errorf("kernel source: %w", err)
	}
	defer os.RemoveAll(temporary)
	tar := exec.CommandContext(ctx, "tar", "-x", "-f", s.Tarball, "-C", temporary, "--strip-components=1", "--no-same-owner")
	if output, err := tar.CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpacking %s: %w\n%s", s.Tarball, err, output)
	}
	if err := os.Chmod(temporary, 0o755); err != nil {
		return "", fmt.Errorf("kernel source: %w", err)
	}
	err = os.Rename(temporary, tree)
	if errors.Is(err, fs.ErrExist) { // another run was faster
		err = nil
	}
	return tree, err
}
