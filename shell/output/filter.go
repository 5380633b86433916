package output

import (
	"bytes"
	"io"
	"regexp"
	"strconv"
)

// Filter takes text and hands some of it on. Close hands on what is left; it
// does not close what is behind it.
type Filter interface {
	io.Writer
	Close() error
}

// lines cuts what is written into lines and hands each, with its end, to f.
type lines struct {
	part []byte
	f    func(line []byte) error
}

// maxLine bounds a line that does not end, in bytes; it counts as ended then.
const maxLine = 1 << 20

func (l *lines) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		end := bytes.IndexByte(l.part, '\n') + 1
		if end == 0 && len(l.part) < maxLine {
			return len(p), nil
		}
		if end == 0 {
			end = len(l.part)
		}
		if err := l.f(l.part[:end]); err != nil {
			return 0, err
		}
		l.part = l.part[end:]
	}
}

func (l *lines) Close() error {
	if len(l.part) == 0 {
		return nil
	}
	part := append(l.part, '\n')
	l.part = nil
	return l.f(part)
}

// Match hands on the lines that match a regular expression, or with except
// those that do not.
func Match(w io.Writer, re *regexp.Regexp, except bool) Filter {
	return &lines{f: func(line []byte) error {
		if re.Match(bytes.TrimRight(line, "\r\n")) == except {
			return nil
		}
		_, err := w.Write(line)
		return err
	}}
}

// Count hands on the number of lines.
func Count(w io.Writer) Filter {
	n := 0
	return &atEnd{
		lines: lines{f: func([]byte) error { n++; return nil }},
		end: func() error {
			_, err := io.WriteString(w, strconv.Itoa(n)+"\n")
			return err
		},
	}
}

// maxLast bounds what Last keeps, in bytes: of very long lines it hands on
// fewer.
const maxLast = 8 << 20

// Last hands on the last n lines.
func Last(w io.Writer, n int) Filter {
	var kept [][]byte
	size := 0
	return &atEnd{
		lines: lines{f: func(line []byte) error {
			kept, size = append(kept, bytes.Clone(line)), size+len(line)
			for len(kept) > n || size > maxLast {
				size -= len(kept[0])
				kept[0] = nil
				kept = kept[1:]
			}
			return nil
		}},
		end: func() error {
			for _, line := range kept {
				if _, err := w.Write(line); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// First hands on the first n lines.
func First(w io.Writer, n int) Filter {
	return &lines{f: func(line []byte) error {
		if n <= 0 {
			return nil
		}
		n--
		_, err := w.Write(line)
		return err
	}}
}

// atEnd is a filter that answers when all is there.
type atEnd struct {
	lines
	end func() error
}

func (a *atEnd) Close() error {
	if err := a.lines.Close(); err != nil {
		return err
	}
	return a.end()
}
