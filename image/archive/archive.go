// Package archive owns how the root file system is packed: a newc cpio archive
// that depends on nothing but the tree, compressed as the kernel unpacks it. It
// knows nothing of what is in the tree.
package archive

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"

	"github.com/u-root/mkuimage/cpio"

	"dipper/image/rootfs"
)

// Write packs the nodes, which must have each directory before what is in it,
// with owner, times, device and inode numbers all zero.
func Write(w io.Writer, nodes []rootfs.Node) error {
	writer := cpio.Newc.Writer(w)
	for _, node := range nodes {
		if err := writer.WriteRecord(record(node)); err != nil {
			return fmt.Errorf("cpio: %s: %w", node.Path, err)
		}
	}
	if err := cpio.WriteTrailer(writer); err != nil {
		return fmt.Errorf("cpio: %w", err)
	}
	return nil
}

func record(node rootfs.Node) cpio.Record {
	info := cpio.Info{Name: node.Path, Mode: mode(node.Mode)}
	switch node.Mode.Type() {
	case fs.ModeSymlink:
		return cpio.StaticRecord([]byte(node.Target), info)
	case fs.ModeDevice | fs.ModeCharDevice:
		info.Rmajor, info.Rminor = uint64(node.Major), uint64(node.Minor)
		return cpio.Record{Info: info}
	case fs.ModeDir:
		return cpio.Record{Info: info}
	default:
		return cpio.StaticRecord(node.Body, info)
	}
}

// types are the file types that an image has, in both languages.
var types = map[fs.FileMode]uint64{
	0:                                 cpio.S_IFREG,
	fs.ModeDir:                        cpio.S_IFDIR,
	fs.ModeSymlink:                    cpio.S_IFLNK,
	fs.ModeDevice | fs.ModeCharDevice: cpio.S_IFCHR,
}

// stickyBit is S_ISVTX of inode(7).
const stickyBit = 0o1000

func mode(m fs.FileMode) uint64 {
	bits := types[m.Type()] | uint64(m.Perm())
	if m&fs.ModeSticky != 0 {
		bits |= stickyBit
	}
	return bits
}

// Read unpacks what Write has packed, to check an image that was built here: it is
// not meant for archives of others. It refuses what Write never writes: an
// owner, a time, a type or a mode bit that no image has.
func Read(packed []byte) ([]rootfs.Node, error) {
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(packed)))
	if err != nil {
		return nil, fmt.Errorf("cpio: %w", err)
	}
	var nodes []rootfs.Node
	for _, record := range records {
		node, err := parse(record)
		if err != nil {
			return nil, fmt.Errorf("cpio: %s: %w", record.Name, err)
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

func parse(record cpio.Record) (rootfs.Node, error) {
	info := record.Info
	node := rootfs.Node{Path: info.Name, Major: uint32(info.Rmajor), Minor: uint32(info.Rminor)}
	if info.UID != 0 || info.GID != 0 || info.MTime != 0 || info.Ino != 0 || info.Major != 0 || info.Minor != 0 {
		return node, fmt.Errorf("owner, time, inode and device are not all zero: %v", info)
	}
	node.Mode = fileMode(info.Mode)
	if mode(node.Mode) != info.Mode {
		return node, fmt.Errorf("mode %#o is not one of an image", info.Mode)
	}
	body := make([]byte, info.FileSize)
	if _, err := io.ReadFull(io.NewSectionReader(record, 0, int64(info.FileSize)), body); err != nil {
		return node, err
	}
	switch node.Mode.Type() {
	case fs.ModeSymlink:
		node.Target = string(body)
	case 0:
		node.Body = body
	}
	return node, nil
}

func fileMode(bits uint64) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	if bits&stickyBit != 0 {
		m |= fs.ModeSticky
	}
	for goType, unixType := range types {
		if bits&cpio.S_IFMT == unixType {
			m |= goType
		}
	}
	return m
}
