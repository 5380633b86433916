package volume

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mke2fsVersion made ext4img.gz. Another may lay a file system out otherwise.
const mke2fsVersion = "mke2fs 1.47.0"

// mke2fsConf takes the place of the machine's own, so that only the arguments
// below decide.
const mke2fsConf = `[defaults]
base_features = none
blocksize = 4096
inode_size = 256
inode_ratio = 65536
[fs_types]
ext4 = {
features = none
}
small = {
features = none
}
`

// features are those of the file system:
//
//	metadata_csum       damage is noticed
//	metadata_csum_seed  the UUID can be set without computing all checksums
//	meta_bg             grows to any size without space reserved for it
const features = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,meta_bg,sparse_super," +
	"large_file,huge_file,dir_nlink,extra_isize,metadata_csum,metadata_csum_seed"

var update = flag.Bool("update", false, "make ext4img.gz anew with mke2fs")

// made makes the file system with mke2fs and packs it.
func made(t *testing.T) []byte {
	t.Helper()
	version, err := exec.Command("mke2fs", "-V").CombinedOutput()
	if err != nil {
		t.Fatal("needs Debian's e2fsprogs: ", err)
	}
	if !strings.HasPrefix(string(version), mke2fsVersion) {
		t.Logf("%s may lay it out otherwise than %s", version, mke2fsVersion)
		return ext4Image
	}
	dir := t.TempDir()
	conf, image := filepath.Join(dir, "mke2fs.conf"), filepath.Join(dir, "image")
	if err := os.WriteFile(conf, []byte(mke2fsConf), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, make([]byte, imageBlocks*blockSize), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-I", "256", "-N", "256", "-m", "0", "-J", "size=4",
		"-O", features, "-L", Label, "-U", "00000000-0000-4000-8000-000000000000",
		"-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0,hash_seed=00000000-0000-4000-8000-000000000001", image)
	command.Env = append(os.Environ(), "MKE2FS_CONFIG="+conf, "E2FSPROGS_FAKE_TIME=1")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, data)
}

func pack(t *testing.T, image []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	zero := make([]byte, blockSize)
	for number := range imageBlocks {
		block := image[number*blockSize:][:blockSize]
		if bytes.Equal(block, zero) {
			continue
		}
		if err := binary.Write(zip, binary.LittleEndian, uint32(number)); err != nil {
			t.Fatal(err)
		}
		if _, err := zip.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// TestImage holds ext4img.gz against what mke2fs makes: what is in the
// repository is nothing but that.
func TestImage(t *testing.T) {
	want := made(t)
	if *update {
		if err := os.WriteFile("ext4img.gz", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	wantBlocks, err := unpack(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := unpack(ext4Image)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(wantBlocks) {
		t.Fatalf("%d blocks, want %d", len(got), len(wantBlocks))
	}
	for i := range got {
		if got[i] != wantBlocks[i] {
			t.Errorf("block %d is not what mke2fs makes", got[i].number)
		}
	}
}
