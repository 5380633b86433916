package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dipper/appliance/store"
)

// sparse makes a file that stands for a disk.
func sparse(t *testing.T, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	file, err := os.Create(name)
	if err == nil {
		err = errors.Join(file.Truncate(size), file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// loop makes a block device of a file.
func loop(t *testing.T, file string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this kernel refuses loop devices to others than root")
	}
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Skip("this kernel refuses loop devices: ", err) // TestOnOwnKernel has disks
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return device
}

// wantClean has Debian's e2fsck find nothing wrong, and returns the number of
// blocks that it counts.
func wantClean(t *testing.T, image string) int {
	t.Helper()
	out, err := exec.Command("e2fsck", "-f", "-n", image).CombinedOutput()
	if err != nil {
		t.Errorf("e2fsck: %v\n%s", err, out)
	}
	counted := regexp.MustCompile(`/(\d+) blocks`).FindSubmatch(out)
	if counted == nil {
		t.Fatalf("e2fsck counts no blocks:\n%s", out)
	}
	var blocks int
	if _, err := fmt.Sscan(string(counted[1]), &blocks); err != nil {
		t.Fatal(err)
	}
	return blocks
}

// keep writes revisions, and reads them back with the volume mounted anew.
func keep(t *testing.T, files store.FileSystem) {
	t.Helper()
	s, err := store.Open(files, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if _, err := s.Save(store.Revision{}, fmt.Appendf(nil, "hostname: lb%d\n", i)); err != nil {
			t.Fatal(err)
		}
	}
}

func wantKept(t *testing.T, files store.FileSystem) {
	t.Helper()
	s, err := store.Open(files, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, saved, err := s.Saved(); err != nil || string(saved) != "hostname: lb59\n" || len(s.Revisions()) != store.Kept {
		t.Errorf("saved is %q (%v), %d revisions", saved, err, len(s.Revisions()))
	}
}

// TestFormat makes state volumes on this machine's kernel. It may not let a
// file system grow, which TestOnOwnKernel sees to.
func TestFormat(t *testing.T) {
	for _, size := range []int64{MinimalSize, 200<<20 + 12345*512, 2 << 30} {
		t.Run(fmt.Sprint(size>>20, " MiB"), func(t *testing.T) {
			image := sparse(t, size)
			device := loop(t, image)
			v := New(filepath.Join(t.TempDir(), "state"))
			files, err := v.Format(t.Context(), device, false)
			if err != nil {
				t.Fatal(err)
			}
			keep(t, files)
			if size, free, err := v.Space(); err != nil || size < 11<<20 || free == 0 || free > size {
				t.Errorf("%d bytes, %d free (%v)", size, free, err)
			}
			if _, err := New(t.TempDir()).Format(t.Context(), device, true); err == nil || !strings.Contains(err.Error(), "in use") {
				t.Errorf("formatted while it is mounted: %v", err)
			}
			if _, err := v.Format(t.Context(), device, true); err == nil {
				t.Error("formatted a second time")
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			wantClean(t, device)
			if !carriesLabel(device) {
				t.Error("the label is not found")
			}
			files, err = v.reopen(t, device)
			if err != nil {
				t.Fatal(err)
			}
			wantKept(t, files)
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			var held *HeldError
			if _, err := v.Format(t.Context(), device, false); !errors.As(err, &held) || held.What != "an ext2, ext3 or ext4 file system" {
				t.Errorf("formatted over a state volume: %v", err)
			}
		})
	}
}

// reopen mounts a device again, as Open does with one that it found.
func (v *Volume) reopen(t *testing.T, device string) (store.FileSystem, error) {
	t.Helper()
	if err := v.mount(t.Context(), device); err != nil {
		return nil, err
	}
	files, again, err := v.Open(t.Context()) // finds it mounted
	if err == nil && again != device {
		t.Errorf("found %s, want %s", again, device)
	}
	return files, err
}

// TestTwoAreNotTheSame: each volume has its own UUID.
func TestTwoAreNotTheSame(t *testing.T) {
	uuids := make(map[string]bool)
	for range 2 {
		image := sparse(t, MinimalSize)
		device := loop(t, image)
		if err := makeFileSystem(t.Context(), device, false); err != nil {
			t.Fatal(err)
		}
		wantClean(t, image)
		out, err := exec.Command("dumpe2fs", "-h", image).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		uuid := regexp.MustCompile(`UUID: +(\S+)`).FindString(string(out))
		if uuid == "" || !strings.Contains(string(out), "volume name:   "+Label) {
			t.Errorf("dumpe2fs says\n%s", out)
		}
		uuids[uuid] = true
	}
	if len(uuids) != 2 {
		t.Error("two volumes have one UUID")
	}
}

// TestHeld has disks with something on them.
func TestHeld(t *testing.T) {
	for _, tt := range []struct{ what, command, input string }{
		{"an ext2, ext3 or ext4 file system", "mke2fs -q -t ext4 FILE", ""},
		{"a FAT file system", "mkfs.vfat FILE", ""},
		{"a FAT file system", "mkfs.vfat -F 32 FILE", ""},
		{"a GPT partition table", "dd of=FILE bs=512 seek=1 conv=notrunc", "EFI PART"},
		{"a partition table or a boot sector", "dd of=FILE bs=1 seek=510 conv=notrunc", "\x55\xaa"},
		{"swap space", "mkswap FILE", ""},
		{"data", "dd if=/dev/urandom of=FILE bs=512 count=1 seek=1000 conv=notrunc", ""},
		{"something at its end, such as a spare partition table or a part of a RAID", "dd if=/dev/urandom of=FILE bs=512 count=1 seek=131071 conv=notrunc", ""},
	} {
		t.Run(tt.command, func(t *testing.T) {
			image := sparse(t, MinimalSize)
			words := strings.Fields(strings.ReplaceAll(tt.command, "FILE", image))
			command := exec.Command(words[0], words[1:]...)
			command.Stdin = strings.NewReader(tt.input)
			if out, err := command.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			device := loop(t, image)
			before, err := os.ReadFile(image)
			if err != nil {
				t.Fatal(err)
			}
			var held *HeldError
			if err := makeFileSystem(t.Context(), device, false); !errors.As(err, &held) || held.What != tt.what {
				t.Errorf("got %v, want %s", err, tt.what)
			}
			if after, err := os.ReadFile(image); err != nil || !bytes.Equal(before, after) {
				t.Error("the disk was written to")
			}
			if err := makeFileSystem(t.Context(), device, true); err != nil {
				t.Fatal(err)
			}
			wantClean(t, image)
			if out, err := exec.Command("wipefs", "--noheadings", "--output", "TYPE", image).Output(); err != nil || strings.TrimSpace(string(out)) != "ext4" {
				t.Errorf("wipefs finds %q (%v), want ext4 alone", out, err)
			}
		})
	}
}

func TestNoDisk(t *testing.T) {
	file := sparse(t, MinimalSize)
	small := loop(t, sparse(t, MinimalSize-4096))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		ctx          context.Context
		device, want string
	}{
		{t.Context(), "/dev/nonexistent", "no such file"},
		{t.Context(), "/dev/null", "is no disk"},
		{t.Context(), file, "is no disk"},
		{t.Context(), t.TempDir(), "is no disk"},
		{t.Context(), small, "has 63 MiB: a state volume needs 64 MiB"},
		{canceled, loop(t, file), "context canceled"},
	} {
		if err := makeFileSystem(tt.ctx, tt.device, true); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.device, err, tt.want)
		}
	}
}
