package bootconfig

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// made runs a program that makes a file system in a file of some size, of which
// FILE in its arguments is the name.
func made(t testing.TB, size int64, command ...string) string {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("%s is not installed, which makes the image that this test reads", command[0])
	}
	path := filepath.Join(t.TempDir(), "image")
	if size > 0 {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
	for i := range command {
		command[i] = strings.ReplaceAll(command[i], "FILE", path)
	}
	if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return path
}

func probeFile(t *testing.T, path string) (Filesystem, bool) {
	t.Helper()
	found, ok, err := probeDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	return found, ok
}

const mebi = 1 << 20

func TestProbeRealImages(t *testing.T) {
	empty := t.TempDir()
	for _, test := range []struct {
		name    string
		size    int64
		command string
		want    Filesystem
	}{
		{"FAT12", 1 * mebi, "mkfs.vfat -F 12 -n DIPPER FILE", Filesystem{"vfat", "DIPPER"}},
		{"FAT16", 16 * mebi, "mkfs.vfat -F 16 -n CIDATA FILE", Filesystem{"vfat", "CIDATA"}},
		{"FAT32", 64 * mebi, "mkfs.vfat -F 32 -n DIPPER FILE", Filesystem{"vfat", "DIPPER"}},
		{"FAT32 with 4096-byte sectors", 300 * mebi, "mkfs.vfat -F 32 -S 4096 -n DIPPER FILE", Filesystem{"vfat", "DIPPER"}},
		{"FAT without a label", 16 * mebi, "mkfs.vfat FILE", Filesystem{"vfat", ""}},
		{"ext4", 8 * mebi, "mkfs.ext4 -q -L DIPPER-STATE FILE", Filesystem{"ext4", "DIPPER-STATE"}},
		{"ext2", 8 * mebi, "mkfs.ext2 -q -L DIPPER FILE", Filesystem{"ext4", "DIPPER"}},
		{"ext4 with a full label", 8 * mebi, "mkfs.ext4 -q -L 0123456789abcdef FILE", Filesystem{"ext4", "0123456789abcdef"}},
		{"ISO 9660", 0, "genisoimage -quiet -V cidata -rock -joliet -o FILE " + empty, Filesystem{"iso9660", "cidata"}},
		{"ISO 9660 by xorriso", 0, "xorriso -outdev FILE -volid DIPPER -map " + empty + " /", Filesystem{"iso9660", "DIPPER"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := probeFile(t, made(t, test.size, strings.Fields(test.command)...))
			if !ok || got != test.want {
				t.Errorf("got %+v, %t, want %+v", got, ok, test.want)
			}
		})
	}
}

// TestProbeRelabelled has a label that only the root directory knows: mlabel
// and Windows change it there.
func TestProbeRelabelled(t *testing.T) {
	path := made(t, 16*mebi, "mkfs.vfat", "-F", "16", "-n", "OLD", "FILE")
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	entry := bytes.Index(image[512:], []byte("OLD        ")) + 512
	copy(image[entry:], "DIPPER     ")
	if got, ok := probe(bytes.NewReader(image)); !ok || got != (Filesystem{"vfat", "DIPPER"}) {
		t.Errorf("got %+v, %t, want label DIPPER", got, ok)
	}
}

// TestProbeReformatted has an ext4 on what was an ISO image before.
func TestProbeReformatted(t *testing.T) {
	image := append(extImage("DIPPER-STATE"), make([]byte, 16*2048-4096+2048)...)
	copy(image[16*2048:], "\x01CD001\x01")
	copy(image[16*2048+40:], "OLD-IMAGE")
	if got, ok := probe(bytes.NewReader(image)); !ok || got.Label != "DIPPER-STATE" {
		t.Errorf("got %+v, %t, want label DIPPER-STATE", got, ok)
	}
}

func TestProbeOthers(t *testing.T) {
	mbr := make([]byte, 64<<10)
	copy(mbr, "\xeb\x63\x90")
	mbr[510], mbr[511] = 0x55, 0xaa
	ntfs := bytes.Clone(mbr)
	copy(ntfs[3:], "NTFS    \x00\x02\x08\x00\x00\x00\x00\x00\x00\x00\xf8")
	for name, image := range map[string][]byte{
		"nothing":            nil,
		"zeros":              make([]byte, 64<<10),
		"master boot record": mbr,
		"NTFS":               ntfs,
	} {
		if got, ok := probe(bytes.NewReader(image)); ok {
			t.Errorf("%s: taken for %+v", name, got)
		}
	}
}

func FuzzProbe(f *testing.F) {
	f.Add(extImage("DIPPER"))
	fat := make([]byte, 1024)
	copy(fat[11:], "\x00\x02\x01\x01\x00\x02\x10\x00\x00\x08\xf8\x01\x00")
	fat[510], fat[511] = 0x55, 0xaa
	f.Add(fat)
	fat32 := bytes.Clone(fat)
	copy(fat32[22:], "\x00\x00")
	copy(fat32[36:], "\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff")
	f.Add(fat32)
	f.Fuzz(func(t *testing.T, image []byte) {
		found, ok := probe(bytes.NewReader(image))
		if !ok && found != (Filesystem{}) {
			t.Errorf("not recognised, and yet %+v", found)
		}
		if len(found.Label) > 32 {
			t.Errorf("label of %d bytes", len(found.Label))
		}
	})
}
