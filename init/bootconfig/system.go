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
	if err := unix.Mount(device, directory, fsType, flags, ""); err != nil {
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
