package volume

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dipper/appliance/store"
)

// thinDisk is a disk that may have less behind it than it says, as a thin
// volume on a full array: writes beyond fail with I/O errors. left is how many
// bytes more it takes from now on; 0: all.
func thinDisk(t *testing.T, size int64) (device string, left func(bytes int64)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this kernel refuses mounts to others than root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Skip("this kernel refuses a tmpfs: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	image := filepath.Join(dir, "disk")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
		t.Fatal(err)
	}
	return loop(t, image), func(bytes int64) {
		var now unix.Statfs_t
		if err := unix.Statfs(dir, &now); err != nil {
			t.Fatal(err)
		}
		if bytes != 0 {
			bytes += int64(now.Blocks-now.Bfree) * now.Bsize
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT, fmt.Sprintf("size=%d", bytes)); err != nil { // 0: no limit
			t.Fatal(err)
		}
	}
}

// TestWriteErrors has a disk that takes no new blocks from some time on: a save
// that finds none is an error, and what was saved last is there, then and when
// the disk is well.
func TestWriteErrors(t *testing.T) {
	device, left := thinDisk(t, 64<<20)
	// Not ours, which this kernel may not let grow beyond its image.
	if out, err := exec.Command("mkfs.ext4", "-q", "-L", Label, device).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	v := New(filepath.Join(t.TempDir(), "state"))
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	files, err := v.reopen(t, device)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(files, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, "first")
	left(1 << 20)
	saved, last := 1, "first"
	for {
		text := strings.Repeat(string(rune('a'+saved%26)), 400_000)
		if _, err = s.Save(store.Revision{}, []byte(text)); err != nil {
			break
		}
		if saved, last = saved+1, text; saved == 100 {
			t.Fatal("a hundred saves on a disk with 1 MB left")
		}
	}
	t.Logf("%d saves, and then: %v", saved, err)
	// A loop device says what its file does. It is not the file system that is full.
	if _, free, spaceErr := v.Space(); spaceErr != nil || free < 32<<20 || !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EIO) {
		t.Errorf("%v, with %d bytes free (%v)", err, free, spaceErr)
	}
	// A small one may find blocks that the disk has already. Then it is saved.
	for range 3 {
		if _, err := s.Save(store.Revision{}, []byte("small")); err == nil {
			saved, last = saved+1, "small"
		}
	}
	if _, got, err := s.Saved(); err != nil || string(got) != last {
		t.Errorf("while it is broken, saved are %d bytes (%v), want those of save %d", len(got), err, saved)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	left(0)
	if out, err := exec.Command("e2fsck", "-p", device).CombinedOutput(); err != nil && exitOf(err) != 1 { // 1: corrected
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
	if files, err = v.reopen(t, device); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(files, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, got, err := s.Saved(); err != nil || string(got) != last {
		t.Errorf("when it is well again, saved are %d bytes (%v), want those of save %d", len(got), err, saved)
	}
	mustSave(t, s, "afterwards")
}

func exitOf(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// TestBrokenSuperblock damages the superblock of a volume with revisions. It is
// not mounted, or not found where nothing says any more what it was; nothing is
// written to it; and with the superblock back, everything is there.
func TestBrokenSuperblock(t *testing.T) {
	for name, tt := range map[string]struct {
		damage func(s *superblock)
		found  bool
		want   string // of the error
	}{
		"another checksum": {func(s *superblock) { s[checksumAt]++ }, true, "its file system is damaged, check it with e2fsck"},
		"unknown feature":  {func(s *superblock) { s[0x60+3] |= 0x80; sign(s) }, true, "its file system is damaged, check it with e2fsck"},
		"no blocks":        {func(s *superblock) { clear(s[4:8]); sign(s) }, true, "its file system is damaged, check it with e2fsck"},
		"no magic":         {func(s *superblock) { clear(s[magicAt : magicAt+2]); sign(s) }, false, "its file system is damaged, check it with e2fsck"},
		"zeros":            {func(s *superblock) { clear(s[:]) }, false, "its file system is damaged, check it with e2fsck"},
		"another label":    {func(s *superblock) { copy(s[labelAt:], "DIPPER-STATIC\x00"); sign(s) }, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			image := sparse(t, MinimalSize)
			device := loop(t, image)
			v := New(filepath.Join(t.TempDir(), "state"))
			files, err := v.Format(t.Context(), device, false)
			if err != nil {
				t.Fatal(err)
			}
			keep(t, files)
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			whole := damage(t, device, tt.damage)
			if found := carriesLabel(device); found != tt.found {
				t.Errorf("found is %t, want %t", found, tt.found)
			}
			err = v.mount(t.Context(), device)
			if tt.want == "" {
				if err != nil {
					t.Errorf("it is well but for its name: %v", err)
				}
				if err := unix.Unmount(v.directory, 0); err != nil {
					t.Error(err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("mounted: %v, want %q", err, tt.want)
			}
			damage(t, device, func(s *superblock) { *s = whole })
			if files, err = v.reopen(t, device); err != nil {
				t.Fatal(err)
			}
			wantKept(t, files)
			if err := v.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func sign(s *superblock) { binary.LittleEndian.PutUint32(s[checksumAt:], s.checksum()) }

// damage edits the superblock on a device, and gives what it was.
func damage(t *testing.T, device string, edit func(*superblock)) (before superblock) {
	t.Helper()
	file, err := os.OpenFile(device, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.ReadAt(before[:], superblockAt)
	after := before
	edit(&after)
	if err == nil {
		_, err = file.WriteAt(after[:], superblockAt)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return before
}
