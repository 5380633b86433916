package peer

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/u-root/mkuimage/cpio"
)

// entry is a file of an archive.
type entry struct {
	path   string // without leading slash
	mode   uint64 // as in stat(2), with the type
	device uint64 // minor number of a character device with major number 5: consoles
	source string // host file of the contents
	text   string // contents if there is no source; a link's target
}

func directory(path string) entry { return entry{path: path, mode: cpio.S_IFDIR | 0o755} }
func link(path, target string) entry {
	return entry{path: path, mode: cpio.S_IFLNK | 0o777, text: target}
}

// writeArchive writes a cpio archive as the kernel unpacks it, sorted, so that
// directories come before what is in them.
func writeArchive(w io.Writer, entries []entry) error {
	buffer := bufio.NewWriterSize(w, 1<<20)
	archive := cpio.Newc.Writer(buffer)
	for _, e := range slices.SortedFunc(slices.Values(entries), func(a, b entry) int { return cmp.Compare(a.path, b.path) }) {
		record, err := e.record()
		if err != nil {
			return err
		}
		if err := archive.WriteRecord(record); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
	}
	if err := cpio.WriteTrailer(archive); err != nil {
		return err
	}
	return buffer.Flush()
}

func (e entry) record() (cpio.Record, error) {
	info := cpio.Info{Name: e.path, Mode: e.mode, NLink: 1}
	switch {
	case e.mode&cpio.S_IFMT == cpio.S_IFDIR:
		return cpio.Record{Info: info}, nil
	case e.mode&cpio.S_IFMT == cpio.S_IFCHR:
		info.Rmajor, info.Rminor = 5, e.device
		return cpio.Record{Info: info}, nil
	case e.source == "":
		return cpio.StaticRecord([]byte(e.text), info), nil
	}
	contents, err := os.ReadFile(e.source)
	return cpio.StaticRecord(contents, info), err
}

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
		return entry{path: path, mode: cpio.S_IFREG | uint64(info.Mode().Perm()), source: source}, nil
	}
	return entry{}, fmt.Errorf("%s: neither a file nor a link", source)
}
