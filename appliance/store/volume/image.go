package volume

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ext4Image is an empty ext4 of imageBlocks blocks as mke2fs made it: those
// of its blocks that are not zero, each behind its number (32 bits, little
// endian), in gzip. TestImage makes it anew.
//
//go:embed ext4img.gz
var ext4Image []byte

const (
	blockSize   = 4096
	imageBlocks = 4096 // 16 MiB, of which the journal takes 4
)

// imageBlock is a block of the image that is not zero.
type imageBlock struct {
	number uint32
	data   [blockSize]byte
}

// unpack gives the image's blocks, in the order of their numbers.
func unpack(packed []byte) ([]imageBlock, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("file system image: %w", err)
	}
	var blocks []imageBlock
	for {
		var block imageBlock
		err := binary.Read(unzipped, binary.LittleEndian, &block.number)
		if errors.Is(err, io.EOF) {
			return blocks, nil
		}
		if err == nil {
			_, err = io.ReadFull(unzipped, block.data[:])
		}
		if err != nil {
			return nil, fmt.Errorf("file system image: %w", err)
		}
		blocks = append(blocks, block)
	}
}
