package journal

import (
	"os"
)

// fileLimit bounds the log file; the one before it, path.1, is as large.
const fileLimit = 256 << 10

// boundedFile is a file that is renamed to path.1 before it grows over limit.
// It lives in memory (/run): writing it does not wait for a disk.
type boundedFile struct {
	path  string
	limit int64

	f    *os.File
	size int64
}

func (b *boundedFile) write(line []byte) error {
	if b.f != nil && b.size+int64(len(line)) > b.limit {
		b.close()
		if err := os.Rename(b.path, b.path+".1"); err != nil {
			return err
		}
	}
	if err := b.open(); err != nil {
		return err
	}
	n, err := b.f.Write(line)
	b.size += int64(n)
	if err != nil {
		b.close()
	}
	return err
}

// open opens the file if it is not, and takes up its size: PID 1 may have been
// here before.
func (b *boundedFile) open() error {
	if b.f != nil {
		return nil
	}
	f, err := os.OpenFile(b.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close() // the error of Stat is the one to tell
		return err
	}
	b.f, b.size = f, info.Size()
	return nil
}

func (b *boundedFile) close() {
	if b.f != nil {
		_ = b.f.Close() // every line went out with its write
		b.f = nil
	}
}
