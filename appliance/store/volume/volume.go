// Package volume owns the state volume as a block device: finding it by its
// label, making it on a disk that somebody names, mounting it, and growing its
// file system to the size of its disk.
//
// It knows nothing of what is kept there. The image has no e2fsprogs: a new
// file system is one that mke2fs made when this package was written, ext4img.gz,
// and the kernel replays the journal and grows it.
package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dipper/appliance/store"
)

// Label is the label of the state volume's file system, as init/bootconfig
// looks for it.
const Label = "DIPPER-STATE"

// Volume is the state volume of this machine, mounted or not. It is safe for
// concurrent use.
type Volume struct {
	directory string // where it is mounted

	mu    sync.Mutex
	files *store.Directory
	notes []string
}

// New makes a Volume that is to be mounted on a directory, which need not be
// there yet.
func New(directory string) *Volume { return &Volume{directory: directory} }

// Open mounts the state volume, or finds it mounted by an earlier control
// plane, and gives its files and its device. Without any, files are nil. Of
// several the first that a machine would boot from is taken.
func (v *Volume) Open(ctx context.Context) (store.FileSystem, string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.notes = nil
	device, err := mounted(v.directory)
	if err != nil {
		return nil, "", err
	}
	if device == "" {
		devices, err := labelled(ctx, "/")
		if err != nil || len(devices) == 0 {
			return nil, "", err
		}
		if device, err = v.mountOne(ctx, devices); err != nil {
			return nil, "", err
		}
	}
	if err := v.use(device); err != nil {
		return nil, "", err
	}
	return v.files, device, nil
}

// use opens the mounted file system, grown to its disk.
func (v *Volume) use(device string) error {
	if err := grow(v.directory, device); err != nil {
		v.notes = append(v.notes, fmt.Sprintf("%s: the file system does not grow to the size of its disk: %v", device, err))
	}
	files, err := store.OpenDirectory(v.directory)
	if err != nil {
		return err
	}
	if v.files != nil { // what was on it could not be used the last time
		err = v.files.Close()
	}
	v.files = files
	return err
}

// Notes says what is odd about the volume though it can be used.
func (v *Volume) Notes() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.notes)
}

// mountOne mounts the device that init/bootconfig would boot from: the first
// with a boot file or, where none has one, the first.
func (v *Volume) mountOne(ctx context.Context, devices []string) (string, error) {
	if len(devices) > 1 {
		v.notes = append(v.notes, fmt.Sprintf("%d volumes are labelled %s: %s", len(devices), Label, strings.Join(devices, ", ")))
		for _, device := range devices {
			if v.holdsBootFile(ctx, device) {
				return device, nil
			}
		}
	}
	return devices[0], v.mount(ctx, devices[0])
}

// holdsBootFile mounts a device, and leaves it mounted if it has a boot file.
func (v *Volume) holdsBootFile(ctx context.Context, device string) bool {
	if err := v.mount(ctx, device); err != nil {
		v.notes = append(v.notes, err.Error())
		return false
	}
	if _, err := os.Lstat(filepath.Join(v.directory, store.BootFile)); err == nil {
		return true
	}
	if err := unix.Unmount(v.directory, 0); err != nil {
		v.notes = append(v.notes, fmt.Sprintf("unmount %s: %v", device, err))
	}
	return false
}

// mountFlags trust the volume with nothing but data.
const mountFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NOSYMFOLLOW

// mountOptions: data reaches the disk before the names that lead to it, and a
// file system that turns out to be damaged is written no more.
const mountOptions = "data=ordered,errors=remount-ro"

func (v *Volume) mount(ctx context.Context, device string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.MkdirAll(v.directory, 0o700); err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	if err := unix.Mount(device, v.directory, "ext4", mountFlags, mountOptions); err != nil {
		return fmt.Errorf("mount %s: %w", device, mountError(err))
	}
	return nil
}

// mountError says what the kernel means.
func mountError(err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("it is in use: %w", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EUCLEAN), errors.Is(err, unix.EBADMSG), errors.Is(err, unix.EIO):
		return fmt.Errorf("its file system is damaged, check it with e2fsck on another machine: %w", err)
	}
	return err
}

// Format makes a disk the state volume and mounts it. A disk that holds
// anything is refused with a *HeldError unless overwrite; one that is in use
// always.
func (v *Volume) Format(ctx context.Context, device string, overwrite bool) (store.FileSystem, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if device, err := mounted(v.directory); err != nil || device != "" {
		return nil, errors.Join(err, fmt.Errorf("the state volume is mounted already: %s", device))
	}
	if err := makeFileSystem(ctx, device, overwrite); err != nil {
		return nil, err
	}
	if err := v.mount(ctx, device); err != nil {
		return nil, err
	}
	if err := v.use(device); err != nil {
		return nil, err
	}
	return v.files, nil
}

// Space gives the size of the mounted volume and what of it is free, in bytes.
func (v *Volume) Space() (size, free uint64, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.files == nil {
		return 0, 0, fmt.Errorf("state volume: %w", fs.ErrNotExist)
	}
	var at unix.Statfs_t
	if err := unix.Statfs(v.directory, &at); err != nil {
		return 0, 0, fmt.Errorf("state volume: %w", err)
	}
	return at.Blocks * uint64(at.Bsize), at.Bavail * uint64(at.Bsize), nil
}

// Close unmounts the volume.
func (v *Volume) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.files == nil {
		return nil
	}
	err := v.files.Close()
	v.files = nil
	return errors.Join(err, unix.Unmount(v.directory, 0))
}

// mounted gives the device that is mounted on a directory, "" when none is
// (proc_pid_mountinfo(5)).
func mounted(directory string) (string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("read the mounts: %w", err)
	}
	device := ""
	for line := range strings.Lines(string(table)) {
		before, after, _ := strings.Cut(line, " - ")
		place, source := strings.Fields(before), strings.Fields(after)
		if len(place) > 4 && len(source) > 1 && place[4] == path.Clean(directory) {
			device = source[1] // the last one covers the others
		}
	}
	return device, nil
}
