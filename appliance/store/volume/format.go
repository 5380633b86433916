package volume

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// MinimalSize is the smallest disk that can be a state volume: room for fifty
// revisions of 1 MiB.
const MinimalSize = 64 << 20

// examined is how much of each end of a disk is looked at, and cleared before
// something else is written there: partition tables, RAID and volume groups,
// and file systems all leave their signs there.
const examined = 1 << 20

// HeldError is the error for a disk that holds something.
type HeldError struct {
	Device string
	What   string // "a GPT partition table"
}

// Error says what to do, too.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%s holds %s: name an empty disk, or say overwrite to lose what is on it", e.Device, e.What)
}

// makeFileSystem writes an empty file system on a disk. Its superblock comes
// last: until then the disk is no state volume.
func makeFileSystem(ctx context.Context, device string, overwrite bool) (err error) {
	disk, err := openDisk(device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	size, err := disk.size()
	if err != nil {
		return err
	}
	if size < MinimalSize {
		return fmt.Errorf("%s has %d MiB: a state volume needs %d MiB", device, size>>20, MinimalSize>>20)
	}
	if !overwrite {
		if err := disk.wantEmpty(size); err != nil {
			return err
		}
	}
	if err := disk.clear(ctx, size); err != nil {
		return fmt.Errorf("clear %s: %w", device, err)
	}
	if err := disk.write(); err != nil {
		return fmt.Errorf("make a file system on %s: %w", device, err)
	}
	// The kernel forgets the partitions that were there. A disk that can have
	// none, such as a partition itself, refuses, and has none to forget.
	_ = unix.IoctlSetInt(int(disk.Fd()), unix.BLKRRPART, 0)
	return nil
}

// disk is a block device that nobody else uses.
type disk struct{ *os.File }

// openDisk opens a device for itself alone: the kernel refuses one that is
// mounted, or part of something else.
func openDisk(device string) (disk, error) {
	info, err := os.Stat(device)
	if err != nil {
		return disk{}, err
	}
	if info.Mode()&os.ModeDevice == 0 || info.Mode()&os.ModeCharDevice != 0 {
		return disk{}, fmt.Errorf("%s is no disk", device)
	}
	file, err := os.OpenFile(device, os.O_RDWR|unix.O_EXCL, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return disk{}, fmt.Errorf("%s is in use: it, or a part of it, is mounted or belongs to another device", device)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES):
		return disk{}, fmt.Errorf("%s is read-only: %w", device, err)
	case err != nil:
		return disk{}, err
	}
	return disk{file}, nil
}

func (d disk) size() (int64, error) {
	size, err := d.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", d.Name(), err)
	}
	return size, nil
}

// wantEmpty refuses a disk with anything but zeros (or the ones of erased
// flash) at its ends, and one that has partitions.
func (d disk) wantEmpty(size int64) error {
	if partitions := partitionsOf(d.Name()); len(partitions) > 0 {
		return &HeldError{d.Name(), "the partitions " + strings.Join(partitions, ", ")}
	}
	for _, at := range []int64{0, size - examined} {
		part := make([]byte, examined)
		if _, err := d.ReadAt(part, at); err != nil {
			return fmt.Errorf("read %s: %w", d.Name(), err)
		}
		if !empty(part) {
			return &HeldError{d.Name(), recognise(part, at == 0)}
		}
	}
	return nil
}

func empty(part []byte) bool {
	first := part[0]
	return (first == 0 || first == 0xff) && !slices.ContainsFunc(part, func(b byte) bool { return b != first })
}

// recognise names what an administrator would want to know of. What is not
// known is something all the same.
func recognise(part []byte, beginning bool) string {
	if !beginning {
		return "something at its end, such as a spare partition table or a part of a RAID"
	}
	for _, known := range []struct {
		at   int
		sign string
		what string
	}{
		{0x438, "\x53\xef", "an ext2, ext3 or ext4 file system"},
		{0, "XFSB", "an XFS file system"},
		{0x10040, "_BHRfS_M", "a btrfs file system"},
		{0, "hsqs", "a squashfs file system"},
		{0x8001, "CD001", "an ISO 9660 file system"},
		{3, "NTFS", "an NTFS file system"},
		{54, "FAT", "a FAT file system"},
		{82, "FAT32", "a FAT file system"},
		{0, "LUKS\xba\xbe", "a LUKS encrypted volume"},
		{512, "LABELONE", "a volume group of LVM"},
		{4096, "\xfc\x4e\x2b\xa9", "a part of a RAID"},
		{4086, "SWAPSPACE2", "swap space"},
		{512, "EFI PART", "a GPT partition table"},
		{4096, "EFI PART", "a GPT partition table"},
		{510, "\x55\xaa", "a partition table or a boot sector"},
	} {
		if bytes.HasPrefix(part[known.at:], []byte(known.sign)) {
			return known.what
		}
	}
	return "data"
}

// partitionsOf lists the partitions that the kernel found on a disk.
func partitionsOf(device string) []string {
	target, err := filepath.EvalSymlinks(device)
	if err != nil {
		return nil
	}
	found, err := filepath.Glob(filepath.Join("/sys/class/block", filepath.Base(target), "*", "partition"))
	if err != nil {
		return nil
	}
	for i, partition := range found {
		found[i] = filepath.Base(filepath.Dir(partition))
	}
	return found
}

// clear writes zeros where the file system will be, and at both ends. What is
// between them is not read by anybody: the kernel initialises what it adds.
func (d disk) clear(ctx context.Context, size int64) error {
	zeros := make([]byte, examined)
	for at := int64(0); at < imageBlocks*blockSize; at += examined {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := d.WriteAt(zeros, at); err != nil {
			return err
		}
	}
	if _, err := d.WriteAt(zeros, size-examined); err != nil {
		return err
	}
	return d.Sync()
}

// write writes the image, its first block last.
func (d disk) write() error {
	blocks, err := unpack(ext4Image)
	if err != nil {
		return err
	}
	if err := personalise(&blocks[0]); err != nil {
		return err
	}
	for _, block := range append(slices.Clone(blocks[1:]), blocks[0]) {
		if block.number == blocks[0].number {
			if err := d.Sync(); err != nil {
				return err
			}
		}
		if _, err := d.WriteAt(block.data[:], int64(block.number)*blockSize); err != nil {
			return err
		}
	}
	return d.Sync()
}

func personalise(first *imageBlock) error {
	var uuid, hashSeed [16]byte
	if _, err := rand.Read(uuid[:]); err != nil {
		return err
	}
	if _, err := rand.Read(hashSeed[:]); err != nil {
		return err
	}
	sb := (*superblock)(first.data[superblockAt:])
	sb.personalise(uuid, hashSeed, time.Now().Unix())
	return nil
}
