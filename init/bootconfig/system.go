package bootconfig

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// mountPoints is a directory of a memory file system that only root may enter.
const mountPoints = "/run/dipper/volumes"

// System is the machine that this process runs on. It must be root, with proc,
// sys, dev and run mounted.
func System(network Network, log *slog.Logger) Machine {
	return Machine{Root: "/", Mounter: kernelMounter{mountPoints}, Network: network, Log: log}
}

// kernelMounter mounts in fresh directories below its own.
type kernelMounter struct{ directory string }

var _ Mounter = kernelMounter{}

// Mount mounts read-only: nothing on the volume can become a program or a
// device here. A journal that needs it is replayed all the same (Documentation/
// admin-guide/ext4.rst): a read of a file system that crashed is right that way.
func (m kernelMounter) Mount(device, fsType string) (directory string, unmount func() error, err error) {
	if err := os.MkdirAll(m.directory, 0o700); err != nil {
		return "", nil, err
	}
	directory, err = os.MkdirTemp(m.directory, "volume-")
	if err != nil {
		return "", nil, err
	}
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := mountReadOnly(device, directory, fsType, flags); err != nil {
		err = fmt.Errorf("%s: %w", fsType, err)
		return "", nil, errors.Join(err, os.Remove(directory))
	}
	unmount = func() error {
		if err := unix.Unmount(directory, 0); err != nil {
			return err
		}
		return os.Remove(directory)
	}
	return directory, unmount, nil
}

// mountReadOnly mounts a device. One that is mounted to be written, as the
// control plane does with the state volume, cannot be mounted read-only beside
// that, since both are one file system: then the mount alone is.
func mountReadOnly(device, directory, fsType string, flags uintptr) error {
	err := unix.Mount(device, directory, fsType, flags, "")
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	if err := unix.Mount(device, directory, fsType, flags&^unix.MS_RDONLY, ""); err != nil {
		return err
	}
	if err := unix.Mount("", directory, "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
		return errors.Join(err, unix.Unmount(directory, 0))
	}
	return nil
}
