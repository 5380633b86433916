package kernel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dipper/kernel-config/cache"
)

// recipe counts the changes of this package that change the image: raise it, and
// every kernel is built anew.
const recipe = 1

// Options say what to build and where. All fields must be set.
type Options struct {
	Arch      Arch
	Fragments fs.FS  // *.config
	Cache     string // directory; see DefaultCache
	Jobs      int    // of make
	Progress  func(format string, args ...any)
}

// Kernel is a built kernel in the cache. Its files are not to be changed.
type Kernel struct {
	Key     string // sha256 of all that went in, hexadecimal
	Release string // as uname -r says
	Image   string // path of vmlinuz
	Config  string // path of the .config
}

// The files of a kernel in the cache.
const (
	imageFile   = "vmlinuz"
	configFile  = "config"
	releaseFile = "kernelrelease"
)

// DefaultCache is $XDG_CACHE_HOME/dipper, or .cache/dipper in the home directory.
func DefaultCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	return filepath.Join(dir, "dipper"), nil
}

// Build gives the kernel that the fragments describe, from the cache where it is
// there. Runs at the same time are safe: one builds, the others wait for it.
func Build(ctx context.Context, o Options) (Kernel, error) {
	options, err := ReadFragments(o.Fragments, o.Arch.name)
	if err != nil {
		return Kernel{}, err
	}
	source, err := FindSource(ctx)
	if err != nil {
		return Kernel{}, err
	}
	key, err := o.key(ctx, source, options)
	if err != nil {
		return Kernel{}, err
	}
	if kernel, err := o.cached(key); !errors.Is(err, fs.ErrNotExist) {
		return kernel, err
	}
	unlock, err := o.lock()
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	// Another run may have built it while this one waited.
	if kernel, err := o.cached(key); !errors.Is(err, fs.ErrNotExist) {
		return kernel, err
	}
	if err := o.build(ctx, source, options, key); err != nil {
		return Kernel{}, err
	}
	return o.cached(key)
}

// key is the hash of everything that decides on the image's bytes. Comments in
// fragments do not.
func (o Options) key(ctx context.Context, source Source, options []Option) (string, error) {
	tools, err := toolchain(ctx)
	if err != nil {
		return "", errors.Join(err, CheckTools(ctx))
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "recipe %d\narch %s\nsource %s\ntools %s\nenvironment %q\n",
		recipe, o.Arch.name, source.Version, tools, buildEnvironment(uname(source)))
	hash.Write(merged(options))
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}

// uname is what uname -v shows after "#1 SMP".
func uname(source Source) string { return "Debian " + source.Version }

func (o Options) cached(key string) (Kernel, error) {
	dir := filepath.Join(o.Cache, "kernel", key)
	release, err := os.ReadFile(filepath.Join(dir, releaseFile))
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel cache: %w", err)
	}
	if err := cache.Use(dir, time.Now()); err != nil {
		return Kernel{}, fmt.Errorf("kernel: %w", err)
	}
	return Kernel{
		Key:     key,
		Release: strings.TrimSpace(string(release)),
		Image:   filepath.Join(dir, imageFile),
		Config:  filepath.Join(dir, configFile),
	}, nil
}

// lock keeps other runs out of the object directory until unlock. The kernel
// drops it with the process, whatever ends it.
func (o Options) lock() (unlock func(), err error) {
	dir := filepath.Join(o.Cache, "kernel")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("kernel cache: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock-"+o.Arch.name), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("kernel cache: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		o.Progress("waiting for another build of the kernel")
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return func() { file.Close() }, nil
}

func (o Options) build(ctx context.Context, source Source, options []Option, key string) error {
	if err := CheckTools(ctx); err != nil {
		return err
	}
	tree, err := source.Unpack(ctx, o.Cache, o.Progress)
	if err != nil {
		return err
	}
	object, err := o.objectDirectory(ctx, source)
	if err != nil {
		return err
	}
	config, err := Configure(ctx, o.Arch, tree, object, options)
	if err != nil {
		return err
	}
	if err := Verify(options, config); err != nil {
		return fmt.Errorf("kernel configuration:\n%w", err)
	}
	o.Progress("building %s with %d jobs, about 20 minutes on 2 cores when nothing is built yet", key[:12], o.Jobs)
	if err := o.compile(ctx, tree, object, source); err != nil {
		return err
	}
	return o.store(object, key)
}

// objectDirectory is where make leaves its objects, so that a change of one
// option costs a partial build. It is emptied when source or tools have changed:
// kbuild sees changed options and flags, but not a new tree under an old date.
func (o Options) objectDirectory(ctx context.Context, source Source) (string, error) {
	dir := filepath.Join(o.Cache, "kernel", "object-"+o.Arch.name)
	tools, err := toolchain(ctx)
	if err != nil {
		return "", err
	}
	stamp := []byte(fmt.Sprintf("recipe %d\nsource %s\n%s\n", recipe, source.Version, tools))
	stampFile := filepath.Join(dir, "dipper-stamp")
	if old, err := os.ReadFile(stampFile); err == nil && bytes.Equal(old, stamp) {
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("object directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("object directory: %w", err)
	}
	return dir, os.WriteFile(stampFile, stamp, 0o644)
}

// compile runs make; its full output is in make.log in the object directory, its
// end in the error.
func (o Options) compile(ctx context.Context, tree, object string, source Source) error {
	log, err := os.Create(filepath.Join(object, "make.log"))
	if err != nil {
		return fmt.Errorf("kernel build: %w", err)
	}
	defer log.Close()
	progress := &compileProgress{report: o.Progress}
	command := o.Arch.make(tree, object, uname(source), "-j"+strconv.Itoa(o.Jobs), o.Arch.image)(ctx)
	command.Stdout = io.MultiWriter(log, progress)
	command.Stderr = command.Stdout
	if err := command.Run(); err != nil {
		return fmt.Errorf("make %s: %w; the end of %s:\n%s", o.Arch.image, err, log.Name(), progress.tail())
	}
	return nil
}

// store puts the built kernel into the cache, complete, by a rename.
func (o Options) store(object, key string) error {
	temporary, err := os.MkdirTemp(filepath.Join(o.Cache, "kernel"), ".store-")
	if err != nil {
		return fmt.Errorf("kernel cache: %w", err)
	}
	defer os.RemoveAll(temporary)
	files := map[string]string{
		imageFile:   o.Arch.path,
		configFile:  ".config",
		releaseFile: "include/config/kernel.release",
	}
	for name, built := range files {
		if err := install(filepath.Join(temporary, name), filepath.Join(object, built)); err != nil {
			return err
		}
	}
	if err := os.Chmod(temporary, 0o755); err != nil {
		return fmt.Errorf("kernel cache: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(o.Cache, "kernel", key)); err != nil {
		return fmt.Errorf("kernel cache: %w", err)
	}
	return nil
}

// Install puts the kernel at image, with "config" and "kernelrelease" (one line, as
// uname -r says it) beside it. Files that are right already are not touched.
func (k Kernel) Install(image string) error {
	dir := filepath.Dir(image)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("install kernel: %w", err)
	}
	return errors.Join(
		install(image, k.Image),
		install(filepath.Join(dir, configFile), k.Config),
		install(filepath.Join(dir, releaseFile), filepath.Join(filepath.Dir(k.Image), releaseFile)),
	)
}

// install makes file to the same bytes as file from: whole or not at all, and not
// touched where it is the same already, so that make sees no change.
func install(to, from string) error {
	want, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if got, err := os.ReadFile(to); err == nil && bytes.Equal(got, want) {
		return nil
	}
	temporary := to + ".tmp" + strconv.Itoa(os.Getpid())
	if err := os.WriteFile(temporary, want, 0o644); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return os.Rename(temporary, to)
}
