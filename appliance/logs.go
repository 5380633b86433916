package appliance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"strings"
	"time"
)

// logPoll is how often the log is looked at for those who follow it.
const logPoll = 200 * time.Millisecond

// Log reads the files that PID 1 writes.
func (b *backend) Log(_ context.Context, n int) ([]string, error) {
	var all []string
	for _, name := range b.logFiles {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		all = append(all, strings.Split(strings.TrimRight(string(text), "\n"), "\n")...)
	}
	return all[max(0, len(all)-max(0, n)):], nil
}

// FollowLog gives the lines that come. PID 1 renames a full file and begins
// another: the end of the old one is read first.
func (b *backend) FollowLog(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		t := &tail{path: b.logFiles[len(b.logFiles)-1]}
		defer t.close()
		if err := t.open(io.SeekEnd); err != nil {
			yield("", fmt.Errorf("log: %w", err))
			return
		}
		ticker := time.NewTicker(logPoll)
		defer ticker.Stop()
		for {
			lines, err := t.news()
			if err != nil {
				yield("", fmt.Errorf("log: %w", err))
				return
			}
			for _, line := range lines {
				if !yield(line, nil) {
					return
				}
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

// tail reads a file that grows and is replaced now and then.
type tail struct {
	path    string
	file    *os.File
	reader  *bufio.Reader
	partial string // the beginning of a line that is not whole yet
}

// open begins at the start of the file or, with io.SeekEnd, behind what it has.
func (t *tail) open(whence int) error {
	file, err := os.Open(t.path)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, whence); err != nil {
		return errors.Join(err, file.Close())
	}
	t.close()
	t.file, t.reader, t.partial = file, bufio.NewReader(file), ""
	return nil
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close() // read only
	}
}

// news answers the whole lines that were added.
func (t *tail) news() ([]string, error) {
	lines, err := t.read()
	if err != nil || !t.replaced() {
		return lines, err
	}
	rest, err := t.read() // what was written before it was renamed
	if err != nil {
		return lines, err
	}
	lines = append(lines, rest...)
	if err := t.open(io.SeekStart); errors.Is(err, fs.ErrNotExist) {
		return lines, nil // the next one is not there yet
	} else if err != nil {
		return lines, err
	}
	more, err := t.read()
	return append(lines, more...), err
}

func (t *tail) read() ([]string, error) {
	var lines []string
	for {
		text, err := t.reader.ReadString('\n')
		t.partial += text
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		lines = append(lines, strings.TrimSuffix(t.partial, "\n"))
		t.partial = ""
	}
}

// replaced tells whether the name belongs to another file by now.
func (t *tail) replaced() bool {
	now, err := os.Stat(t.path)
	if err != nil {
		return false
	}
	ours, err := t.file.Stat()
	return err == nil && !os.SameFile(now, ours)
}
