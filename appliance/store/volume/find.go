package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// labelled lists the devices below a root whose ext4 carries the label, in the
// order in which init/bootconfig tries them: by name, those on USB last. A
// device that cannot be read is none.
func labelled(ctx context.Context, root string) ([]string, error) {
	class := filepath.Join(root, "sys/class/block")
	entries, err := os.ReadDir(class)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list disks: %w", err)
	}
	var fixed, usb []string
	carries := probe(ctx, root, entries)
	for _, entry := range entries {
		device := devicePath(entry)
		if !carries[device] {
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

func devicePath(entry fs.DirEntry) string {
	return path.Join("/dev", strings.ReplaceAll(entry.Name(), "!", "/"))
}

// probePatience is for a disk to give up its superblock: a dying one may take
// minutes, and must not keep the machine from its boot.
const probePatience = 5 * time.Second

// probe finds out which devices carry the label, all at once. Those that do not
// answer in time carry none; what waits for them ends when they do.
func probe(ctx context.Context, root string, entries []fs.DirEntry) map[string]bool {
	type answer struct {
		device  string
		carries bool
	}
	answers := make(chan answer, len(entries))
	asked := 0
	for _, entry := range entries {
		if madeUp(entry.Name()) {
			continue
		}
		asked++
		go func() { answers <- answer{devicePath(entry), carriesLabel(filepath.Join(root, devicePath(entry)))} }()
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	carries := make(map[string]bool)
	for range asked {
		select {
		case a := <-answers:
			carries[a.device] = a.carries
		case <-ctx.Done():
			return carries
		}
	}
	return carries
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
