package archive

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// text compresses, and is larger than a block of zstd (128 KiB).
func text() []byte {
	var b bytes.Buffer
	for i := range 100_000 {
		b.WriteString("server ")
		b.WriteByte(byte('a' + i*i%23))
	}
	return b.Bytes()
}

func TestCompressAndBack(t *testing.T) {
	packed, err := Compress(t.Context(), text())
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Decompress(t.Context(), packed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plain, text()) {
		t.Error("not the same bytes")
	}
	if len(packed) > len(plain)/8 {
		t.Errorf("%d bytes became %d", len(plain), len(packed))
	}
}

// TestFrameTellsItsSize reads the frame's header with zstd: a frame that does not
// know its size makes the kernel allocate the whole window, and one
// without a checksum lets it unpack a damaged image.
func TestFrameTellsItsSize(t *testing.T) {
	packed, err := Compress(t.Context(), text())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "text.zst")
	if err := os.WriteFile(path, packed, 0o644); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command("zstd", "-l", "-v", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, want := range []string{`Decompressed Size:.*\(800000 B\)`, `Window Size:.*\(524288 B\)`, `Check: XXH64`} {
		if !regexp.MustCompile(want).Match(output) {
			t.Errorf("no %q in\n%s", want, output)
		}
	}
}

func TestDecompressRefusesDamage(t *testing.T) {
	packed, err := Compress(t.Context(), text())
	if err != nil {
		t.Fatal(err)
	}
	packed[len(packed)/2] ^= 1
	if _, err := Decompress(t.Context(), packed); err == nil {
		t.Error("a damaged file was unpacked")
	}
}
