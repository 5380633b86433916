package volume

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// labelled lists the devices below a root whose ext4 carries the label, in the
// order in which init/bootconfig tries them: by name, those on USB last. A
// device that cannot be read is none.
func labelled(root string) ([]string, error) {
	class := filepath.Join(root, "sys/class/block")
	entries, err := os.ReadDir(class)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list disks: %w", err)
	}
	var fixed, usb []string
	for _, entry := range entries {
		device := path.Join("/dev", strings.ReplaceAll(entry.Name(), "!", "/"))
		if madeUp(entry.Name()) || !carriesLabel(filepath.Join(root, device)) {
			continue
		}
		if target, err := filepath.EvalSymlinks(filepath.Join(class, entry.Name())); err == nil && strings.Contains(target, "/usb") {
			usb = append(usb, device)
		} else {
			fixed = append(fixed, device)
		}
	}
	return slices.Concat(fixed, usb), nil
}

// madeUp leaves out what is no disk, and floppy drives, which take seconds to
// say that they are empty.
func madeUp(name string) bool {
	for _, prefix := range []string{"loop", "ram", "zram", "nbd", "fd", "sr"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func carriesLabel(device string) bool {
	file, err := os.Open(device)
	if err != nil {
		return false
	}
	defer file.Close() // opened to read
	var sb superblock
	if _, err := file.ReadAt(sb[:], superblockAt); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	return sb.valid() && strings.EqualFold(sb.label(), Label)
}
