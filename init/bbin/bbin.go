// Package bbin owns the administrator's commands in /bbin: a file system that lies
// packed in the root file system, and is mounted when the first of them is called.
// Nothing of it costs a boot that nobody looks into.
//
// Until then the commands' names in /bbin are links to our own executable, which
// calls Exec. It knows no command by its name.
package bbin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Commands is where a machine has its commands.
type Commands struct {
	Dir   string // what is mounted over, with the names of all commands
	Image string // the file system that is mounted there
}

// Machine answers those of a real machine.
func Machine() Commands { return Commands{Dir: "/bbin", Image: "/bbin.squashfs"} }

// ErrUnknown says that there is no command of this name.
var ErrUnknown = errors.New("no such command")

// Exec makes this process the command of that name, mounting the commands first
// where nobody has yet. It returns only when that fails.
func (c Commands) Exec(name string, argv []string) error {
	path := filepath.Join(c.Dir, name)
	if _, err := os.Lstat(path); err != nil {
		return fmt.Errorf("%s: %w", name, ErrUnknown)
	}
	if err := c.Mount(); err != nil {
		return fmt.Errorf("%s: the commands cannot be mounted: %w", name, err)
	}
	if err := unix.Exec(path, argv, os.Environ()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Mount mounts the commands unless they are mounted already, by this process or
// by one that is as early.
func (c Commands) Mount() error {
	unlock, err := lock(c.Image)
	if err != nil {
		return err
	}
	defer unlock()
	mounted, err := c.mounted()
	if err != nil || mounted {
		return err
	}
	return c.mount()
}

// lock lasts until it is undone, or this process ends. It is held by a descriptor
// of its own: the loop device keeps the one that it is given, and its locks.
func lock(path string) (unlock func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(&fs.PathError{Op: "lock", Path: path, Err: err}, f.Close())
		}
	}
}

func (c Commands) mounted() (bool, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(c.Dir, &s); err != nil {
		return false, &fs.PathError{Op: "statfs", Path: c.Dir, Err: err}
	}
	return s.Type == unix.SQUASHFS_MAGIC, nil
}

// mount mounts the image by way of a loop device, which goes with the mount.
func (c Commands) mount() error {
	image, err := os.Open(c.Image)
	if err != nil {
		return err
	}
	defer image.Close()
	device, err := attach(image)
	if err != nil {
		return err
	}
	defer device.Close()
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV
	if err := unix.Mount(device.Name(), c.Dir, "squashfs", flags, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", device.Name(), c.Dir, err)
	}
	return nil
}

// attempts is how often a free loop device is asked for: between the answer and
// its use another process may take it.
const attempts = 10

// attach makes a loop device of the image, read-only, that is detached when its
// last user is gone (loop(4)).
func attach(image *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for attempt := 1; ; attempt++ {
		device, err := attachFree(control, image)
		if err == nil || !errors.Is(err, unix.EBUSY) || attempt == attempts {
			return device, err
		}
	}
}

func attachFree(control, image *os.File) (*os.File, error) {
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, fmt.Errorf("free loop device: %w", err)
	}
	device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", number), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(image.Fd())}
	config.Info.Flags = unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR
	if err := unix.IoctlLoopConfigure(int(device.Fd()), &config); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", device.Name(), err), device.Close())
	}
	return device, nil
}
