package peer

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/u-root/mkuimage/cpio"
	"golang.org/x/sys/unix"

	"dipper/kernel-config/cache"
)

// rootfs is what is ours in a peer besides the agent.
//
//go:embed rootfs
var rootfs embed.FS

// extraFiles of the packages are wanted besides programs and their libraries.
var extraFiles = []string{"etc/iproute2"}

// Initramfs returns the path of the peers' initramfs. It is built when the
// packages' versions, or what is ours in it, are new to this machine. It is not
// compressed: a peer boots from memory, and unpacking is what takes time.
func Initramfs(ctx context.Context) (string, error) {
	path, err := initramfs(ctx)
	if err != nil {
		return "", fmt.Errorf("peers' initramfs: %w", err)
	}
	return path, nil
}

func initramfs(ctx context.Context) (string, error) {
	dir, unlock, err := lockCache()
	if err != nil {
		return "", err
	}
	defer unlock()
	agent, err := buildAgent(ctx, dir)
	if err != nil {
		return "", err
	}
	root, err := unpacked(ctx, dir)
	if err != nil {
		return "", err
	}
	entries, err := assemble(ctx, root, agent)
	if err != nil {
		return "", err
	}
	key, err := digest(root, entries)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, key+".cpio")
	if _, err := os.Stat(path); err != nil {
		if err := writeOnce(path, entries); err != nil {
			return "", err
		}
	}
	return path, errors.Join(cache.Use(path, time.Now()), cache.Use(root, time.Now()))
}

// lockCache lets one process at a time build: others wait, and find it built.
func lockCache() (dir string, unlock func(), err error) {
	home, err := os.UserCacheDir()
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(home, "dipper", "peers")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return "", nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", nil, errors.Join(err, lock.Close())
	}
	return dir, func() { lock.Close() }, nil
}

// buildAgent leaves the caching to Go.
func buildAgent(ctx context.Context, cache string) (string, error) {
	path := filepath.Join(cache, "agent")
	_, err := output(ctx, "", "env", "CGO_ENABLED=0", "GOARCH=amd64", "GOAMD64=v1",
		"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "dipper/qemu/peer/agent")
	return path, err
}

// unpacked returns the directory with the unpacked packages. Where apt has no
// lists, or lists so old that what they name is not to be had any more, root
// fetches new ones.
func unpacked(ctx context.Context, cache string) (string, error) {
	root, err := unpackedNow(ctx, cache)
	if err == nil || os.Getuid() != 0 || ctx.Err() != nil {
		return root, err
	}
	if _, updateErr := output(ctx, "", "apt-get", "-q", "update"); updateErr != nil {
		return "", errors.Join(err, updateErr)
	}
	return unpackedNow(ctx, cache)
}

func unpackedNow(ctx context.Context, cache string) (string, error) {
	versions, err := known(ctx, cache, aptInputs, candidates)
	if err != nil {
		return "", err
	}
	return unpackedOnce(ctx, versions, cache)
}

// unpackedOnce unpacks packages if these versions are new to this machine.
func unpackedOnce(ctx context.Context, versions []string, cache string) (string, error) {
	root := filepath.Join(cache, hash(versions...))
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	unfinished, err := os.MkdirTemp(cache, "unfinished-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(unfinished)
	if err := unpack(ctx, versions, unfinished); err != nil {
		return "", err
	}
	return root, os.Rename(unfinished, root)
}

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// digest names an archive after all that goes into it. The unpacked packages
// are named after their versions; files of ours have their text hashed.
func digest(root string, entries []entry) (string, error) {
	parts := []string{root}
	for _, e := range entries {
		text := e.text
		if e.source != "" && !strings.HasPrefix(e.source, root) {
			content, err := os.ReadFile(e.source)
			if err != nil {
				return "", err
			}
			text = string(content)
		}
		parts = append(parts, e.path, fmt.Sprint(e.mode), text)
	}
	return hash(parts...), nil
}

func writeOnce(path string, entries []entry) error {
	file, err := os.CreateTemp(filepath.Dir(path), "unfinished-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // gone when all went well
	defer file.Close()
	if err := writeArchive(file, entries); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// assemble lists what a peer consists of.
func assemble(ctx context.Context, root, agent string) ([]entry, error) {
	files, err := wantedFiles(root)
	if err != nil {
		return nil, err
	}
	entries := []entry{
		{path: "dev/console", mode: cpio.S_IFCHR | 0o600, device: 1},
		{path: "bin/agent", mode: cpio.S_IFREG | 0o755, source: agent},
		link("init", "bin/busybox"),
		// Busybox's own shell runs its applets whatever is in PATH, its ip
		// instead of iproute2's.
		link("bin/sh", "dash"),
	}
	for _, path := range files {
		e, err := fileEntry(path, filepath.Join(root, path))
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	applets, err := appletLinks(ctx, root, entries)
	if err != nil {
		return nil, err
	}
	ours, err := ownFiles()
	if err != nil {
		return nil, err
	}
	entries = slices.Concat(entries, applets, ours)
	return append(entries, directoriesOf(entries, "proc", "sys", "tmp", "run", "root", "var/run")...), nil
}

func wantedFiles(root string) ([]string, error) {
	var programs []string
	for _, directory := range programDirectories {
		names, err := filesBelow(root, directory)
		if err != nil {
			return nil, err
		}
		programs = append(programs, names...)
	}
	libraries, err := libraries(root, programs)
	if err != nil {
		return nil, err
	}
	files := slices.Concat(programs, libraries)
	for _, path := range extraFiles {
		extra, err := filesBelow(root, path)
		if err != nil {
			return nil, err
		}
		files = append(files, extra...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// filesBelow are files and links, paths relative to root. A directory that is
// in no package has none.
func filesBelow(root, directory string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(filepath.Join(root, directory), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(root, path)
		files = append(files, relative)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return files, err
}

// appletLinks give busybox its names, but none that a real program has.
func appletLinks(ctx context.Context, root string, entries []entry) ([]entry, error) {
	listed, err := output(ctx, "", filepath.Join(root, "bin/busybox"), "--list")
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{"busybox": true}
	for _, e := range entries {
		if slices.Contains(programDirectories, filepath.Dir(e.path)) {
			taken[filepath.Base(e.path)] = true
		}
	}
	var links []entry
	for _, name := range strings.Fields(listed) {
		if !taken[name] {
			links = append(links, link("bin/"+name, "busybox"))
		}
	}
	return links, nil
}

func ownFiles() ([]entry, error) {
	var entries []entry
	err := fs.WalkDir(rootfs, "rootfs", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := rootfs.ReadFile(path)
		entries = append(entries, entry{
			path: strings.TrimPrefix(path, "rootfs/"), mode: cpio.S_IFREG | 0o644, text: string(text),
		})
		return err
	})
	return entries, err
}

// directoriesOf are the directories that entries are in, and more.
func directoriesOf(entries []entry, more ...string) []entry {
	set := make(map[string]bool)
	add := func(path string) {
		for ; path != "."; path = filepath.Dir(path) {
			set[path] = true
		}
	}
	for _, e := range entries {
		add(filepath.Dir(e.path))
	}
	for _, path := range more {
		add(path)
	}
	var directories []entry
	for _, path := range slices.Sorted(maps.Keys(set)) {
		directories = append(directories, directory(path))
	}
	return directories
}
