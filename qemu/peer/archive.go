package peer

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// entry is a file of an archive.
type entry struct {
	path   string // without leading slash
	mode   uint32 // as in stat(2), with the type
	device uint32 // minor number of a character device with major number 5: consoles
	source string // host file of the contents
	text   string // contents if there is no source; a link's target
}

// Types of files (inode(7)).
const (
	typeMask      = 0o170000
	typeDirectory = 0o040000
	typeRegular   = 0o100000
	typeLink      = 0o120000
	typeCharacter = 0o020000
)

func directory(path string) entry { return entry{path: path, mode: typeDirectory | 0o755} }
func link(path, target string) entry {
	return entry{path: path, mode: typeLink | 0o777, text: target}
}

// writeArchive writes a cpio archive in "newc" format (Linux,
// Documentation/driver-api/early-userspace/buffer-format.rst), sorted, so that
// directories come before what is in them.
func writeArchive(w io.Writer, entries []entry) error {
	out := &padded{w: bufio.NewWriterSize(w, 1<<20)}
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.path, b.path) })
	for i, e := range entries {
		if err := writeEntry(out, i+1, e); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
	}
	if err := writeEntry(out, 0, entry{path: "TRAILER!!!"}); err != nil {
		return err
	}
	return out.w.Flush()
}

func writeEntry(out *padded, inode int, e entry) error {
	content := []byte(e.text)
	if e.source != "" {
		var err error
		if content, err = os.ReadFile(e.source); err != nil {
			return err
		}
	}
	major := 0
	if e.mode&typeMask == typeCharacter {
		major = 5
	}
	// magic, inode, mode, uid, gid, links, mtime, size, device major and
	// minor, special device major and minor, length of name with its 0, checksum
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		inode, e.mode, 0, 0, 1, 0, len(content), 0, 0, major, e.device, len(e.path)+1, 0)
	out.write([]byte(header + e.path + "\x00"))
	out.pad()
	out.write(content)
	out.pad()
	return out.err
}

// padded remembers the first error, so that a record is written in one go.
type padded struct {
	w     *bufio.Writer
	count int
	err   error
}

func (p *padded) write(b []byte) {
	if p.err == nil {
		_, p.err = p.w.Write(b)
		p.count += len(b)
	}
}

// pad fills up to a multiple of four, which headers and contents start at.
func (p *padded) pad() { p.write(make([]byte, -p.count&3)) }

// fileEntry describes a host file that is a regular file or a link.
func fileEntry(path, source string) (entry, error) {
	info, err := os.Lstat(source)
	switch {
	case err != nil:
		return entry{}, err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(source)
		return link(path, target), err
	case info.Mode().IsRegular():
		return entry{path: path, mode: typeRegular | uint32(info.Mode().Perm()), source: source}, nil
	}
	return entry{}, fmt.Errorf("%s: neither a file nor a link", source)
}
