package manifest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var example = Manifest{
	Version:    "1.2.0",
	Arch:       "amd64",
	Source:     Source{Commit: "82d193e31c5fbd3fbb2d5f4ba1b6ae8a2b0d1e7f", Time: time.Unix(1780000000, 0).UTC()},
	Kernel:     Kernel{Release: "6.12.117-dipper", Package: "linux-source-6.12", Version: "6.12.117-1~deb12u1"},
	Go:         "go1.26.8",
	Compressor: "zstd 1.5.4 -19",
	Packer:     "mksquashfs 4.5.1 -comp zstd",
	Commands:   []string{"ip", "ls"},
	Artefacts: []Artefact{
		Describe("vmlinuz", []byte("kernel")),
		DescribeCompressed("initramfs.cpio.zst", []byte("packed"), []byte("unpacked")),
	},
}

// exampleText has hashes that sha256sum(1) gave: printf kernel | sha256sum.
const exampleText = `{
  "version": "1.2.0",
  "arch": "amd64",
  "source": {
    "commit": "82d193e31c5fbd3fbb2d5f4ba1b6ae8a2b0d1e7f",
    "dirty": false,
    "time": "2026-05-28T20:26:40Z"
  },
  "kernel": {
    "release": "6.12.117-dipper",
    "package": "linux-source-6.12",
    "version": "6.12.117-1~deb12u1"
  },
  "go": "go1.26.8",
  "compressor": "zstd 1.5.4 -19",
  "packer": "mksquashfs 4.5.1 -comp zstd",
  "commands": [
    "ip",
    "ls"
  ],
  "artefacts": [
    {
      "name": "vmlinuz",
      "size": 6,
      "sha256": "6923dd1bc0460082c5d55a831908c24a282860b7f1cd6c2b79cf1bc8857c639c"
    },
    {
      "name": "initramfs.cpio.zst",
      "size": 6,
      "sha256": "88cb8a087b6e8cebfc9ae5602f5a2159a6bcf923e7f2c56809bcda6cad1727a7",
      "unpacked": {
        "size": 8,
        "sha256": "83055ac700349169ca7c30f7e3a30edd88a3c031d4c1f975a23f7b9129f1dda8"
      }
    }
  ]
}
`

func TestEncode(t *testing.T) {
	got, err := example.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleText, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeGivesWhatWasEncoded(t *testing.T) {
	got, err := Decode([]byte(exampleText))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHolds(t *testing.T) {
	const name = "initramfs.cpio.zst"
	for _, test := range []struct {
		name                                 string
		file, compressor, contents, unpacked string
		want                                 bool
	}{
		{"the same", name, "zstd 1.5.4 -19", "packed", "unpacked", true},
		{"another compressor", name, "zstd 1.5.7 -19", "packed", "unpacked", false},
		{"damaged file", name, "zstd 1.5.4 -19", "pack", "unpacked", false},
		{"changed input", name, "zstd 1.5.4 -19", "packed", "changed", false},
		{"a file that is not there", "initramfs.cpio.gz", "zstd 1.5.4 -19", "packed", "unpacked", false},
		{"a file that is not compressed", "vmlinuz", "zstd 1.5.4 -19", "kernel", "kernel", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := example.Holds(test.file, test.compressor, []byte(test.contents), []byte(test.unpacked))
			if got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
