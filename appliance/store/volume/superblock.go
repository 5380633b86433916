package volume

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// superblock is that of ext4 (fs/ext4/ext4.h, struct ext4_super_block), in
// little endian.
type superblock [1024]byte

// superblockAt is where it is, in bytes from the beginning of the device.
const superblockAt = 1024

// Where its fields are.
const (
	magicAt    = 0x38
	madeAt     = 0x108 // time of mke2fs, seconds
	uuidAt     = 0x68
	labelAt    = 0x78
	hashSeedAt = 0xec
	checksumAt = 0x3fc

	extMagic = 0xef53
)

func (s *superblock) valid() bool {
	return binary.LittleEndian.Uint16(s[magicAt:]) == extMagic
}

func (s *superblock) label() string {
	label, _, _ := bytes.Cut(s[labelAt:labelAt+16], []byte{0})
	return string(label)
}

// personalise makes the file system another than all that were made of the
// same image. The metadata's checksums do not depend on the UUID, since the
// image has the feature metadata_csum_seed.
func (s *superblock) personalise(uuid, hashSeed [16]byte, made int64) {
	uuid[6] = uuid[6]&0x0f | 0x40 // RFC 9562, section 5.4: random
	uuid[8] = uuid[8]&0x3f | 0x80
	copy(s[uuidAt:], uuid[:])
	copy(s[hashSeedAt:], hashSeed[:])
	binary.LittleEndian.PutUint32(s[madeAt:], uint32(made))
	binary.LittleEndian.PutUint32(s[checksumAt:], s.checksum())
}

// checksum is the kernel's (fs/ext4/super.c, ext4_superblock_csum): CRC-32C
// without the inversion at its end.
func (s *superblock) checksum() uint32 {
	return ^crc32.Checksum(s[:checksumAt], crc32.MakeTable(crc32.Castagnoli))
}
