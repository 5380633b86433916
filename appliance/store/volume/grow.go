package volume

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resizeRequest is EXT4_IOC_RESIZE_FS (fs/ext4/ext4.h): _IOW('f', 16, __u64),
// with the new number of blocks.
const resizeRequest = 0x40086610

// grow makes a mounted file system as large as its device. It does nothing
// when it is so already, to a block group: the kernel leaves out a last group
// that has no room for its own tables.
func grow(directory, device string) (err error) {
	root, err := os.Open(directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	blocks, err := deviceBlocks(device)
	if err != nil {
		return err
	}
	var now unix.Statfs_t
	if err := unix.Fstatfs(int(root.Fd()), &now); err != nil {
		return fmt.Errorf("size of the file system: %w", err)
	}
	if now.Type != unix.EXT4_SUPER_MAGIC || now.Bsize != blockSize {
		return nil // somebody made it with another block size, and as large as they wanted it
	}
	if _, _, failed := unix.Syscall(unix.SYS_IOCTL, root.Fd(), resizeRequest, uintptr(unsafe.Pointer(&blocks))); failed != 0 {
		return fmt.Errorf("resize to %d blocks: %w", blocks, failed)
	}
	return nil
}

func deviceBlocks(device string) (blocks uint64, err error) {
	file, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	size, err := file.Seek(0, io.SeekEnd)
	return uint64(size) / blockSize, err
}
