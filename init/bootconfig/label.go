package bootconfig

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
)

// Filesystem is what the superblock of a block device says.
type Filesystem struct {
	Type  string // as mount(2) names it: "ext4", "iso9660", "vfat"
	Label string // without padding; "": none
}

// probe recognises the file systems that a boot config can lie on. It reads a
// few kilobytes at most, and asks for ext4 first: a disk that was an ISO image
// before keeps the image's descriptors under a new ext4, not the reverse.
func probe(device io.ReaderAt) (Filesystem, bool) {
	for _, recognise := range []func(io.ReaderAt) (Filesystem, bool){probeExt, probeISO9660, probeFAT} {
		if found, ok := recognise(device); ok {
			return found, true
		}
	}
	return Filesystem{}, false
}

// probeExt recognises ext2, ext3 and ext4, which the ext4 driver mounts alike
// (Documentation/filesystems/ext4/super.rst: s_magic, s_volume_name).
func probeExt(device io.ReaderAt) (Filesystem, bool) {
	const superblock, magic, volumeName = 1024, 0x38, 0x78
	sb, ok := readAt(device, superblock, volumeName+16)
	if !ok || binary.LittleEndian.Uint16(sb[magic:]) != 0xef53 {
		return Filesystem{}, false
	}
	label, _, _ := bytes.Cut(sb[volumeName:volumeName+16], []byte{0})
	return Filesystem{Type: "ext4", Label: string(label)}, true
}

// probeISO9660 looks for the primary volume descriptor (ECMA-119, section 8.4).
func probeISO9660(device io.ReaderAt) (Filesystem, bool) {
	const firstDescriptor, descriptorSize, primary, last = 16 * 2048, 2048, 1, 255
	for i := range int64(8) {
		d, ok := readAt(device, firstDescriptor+i*descriptorSize, 72)
		if !ok || string(d[1:6]) != "CD001" || d[0] == last {
			break
		}
		if d[0] == primary {
			return Filesystem{Type: "iso9660", Label: padded(d[40:72])}, true
		}
	}
	return Filesystem{}, false
}

// fatLayout is what the boot sector of FAT12, FAT16 and FAT32 says, as far as it
// matters for the label (Microsoft FAT specification 1.03).
type fatLayout struct {
	label         string // BS_VolLab
	rootDirectory int64  // offset in bytes
	rootSize      int    // bytes; of FAT32 only the first cluster, where mkfs puts the label
}

// probeFAT recognises FAT12, FAT16 and FAT32. The label is an entry of the root
// directory; the boot sector's copy, which some tools do not keep, is second.
func probeFAT(device io.ReaderAt) (Filesystem, bool) {
	sector, ok := readAt(device, 0, 512)
	if !ok {
		return Filesystem{}, false
	}
	layout, ok := parseFAT(sector)
	if !ok {
		return Filesystem{}, false
	}
	label := layout.label
	if directory, ok := readAt(device, layout.rootDirectory, layout.rootSize); ok {
		if entry, ok := fatVolumeEntry(directory); ok {
			label = entry
		}
	}
	if label == "NO NAME" {
		label = ""
	}
	return Filesystem{Type: "vfat", Label: label}, true
}

// parseFAT refuses what is no FAT boot sector: a master boot record and NTFS
// end in the same two bytes, so the fields must make sense.
func parseFAT(s []byte) (fatLayout, bool) {
	le := binary.LittleEndian
	sectorSize, clusterSectors := int64(le.Uint16(s[11:])), int64(s[13])
	reserved, tables, rootEntries := int64(le.Uint16(s[14:])), int64(s[16]), int64(le.Uint16(s[17:]))
	media, tableSectors := s[21], int64(le.Uint16(s[22:]))
	sane := s[510] == 0x55 && s[511] == 0xaa &&
		sectorSize >= 512 && sectorSize <= 4096 && sectorSize&(sectorSize-1) == 0 &&
		clusterSectors > 0 && clusterSectors&(clusterSectors-1) == 0 &&
		reserved > 0 && tables > 0 && tables <= 2 && (media == 0xf0 || media >= 0xf8)
	if !sane {
		return fatLayout{}, false
	}
	if tableSectors != 0 {
		return fatLayout{
			label:         padded(s[43:54]),
			rootDirectory: (reserved + tables*tableSectors) * sectorSize,
			rootSize:      int(rootEntries) * fatEntrySize,
		}, true
	}
	tableSectors = int64(le.Uint32(s[36:]))
	rootCluster := int64(le.Uint32(s[44:]))
	if tableSectors == 0 || rootCluster < 2 {
		return fatLayout{}, false
	}
	return fatLayout{
		label:         padded(s[71:82]),
		rootDirectory: (reserved + tables*tableSectors + (rootCluster-2)*clusterSectors) * sectorSize,
		rootSize:      int(min(clusterSectors*sectorSize, 64<<10)),
	}, true
}

// A directory entry: 11 bytes of name, then attributes.
const (
	fatEntrySize  = 32
	fatVolumeID   = 0x08
	fatDirectory  = 0x10
	fatLongName   = 0x0f // all of read-only, hidden, system, volume ID
	fatEntryFree  = 0xe5
	fatEntryKanji = 0x05 // stands for 0xe5 as a character
)

func fatVolumeEntry(directory []byte) (label string, ok bool) {
	for ; len(directory) >= fatEntrySize && directory[0] != 0; directory = directory[fatEntrySize:] {
		attributes := directory[11]
		if directory[0] == fatEntryFree || attributes&fatLongName == fatLongName {
			continue
		}
		if attributes&fatVolumeID == 0 || attributes&fatDirectory != 0 {
			continue
		}
		name := bytes.Clone(directory[:11])
		if name[0] == fatEntryKanji {
			name[0] = fatEntryFree
		}
		return padded(name), true
	}
	return "", false
}

// padded is a label in a field filled up with spaces, or NUL by careless tools.
func padded(field []byte) string {
	return strings.TrimRight(string(field), " \x00")
}

// readAt reads size bytes at offset; not ok if there are fewer.
func readAt(device io.ReaderAt, offset int64, size int) ([]byte, bool) {
	data := make([]byte, size)
	n, _ := device.ReadAt(data, offset) // a short or failed read is no such file system
	return data, n == size
}
