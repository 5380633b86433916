// Package journal owns the machine's log: the lines of PID 1 and of the output
// of its children. It gives each line to the kernel's log (and so to every
// console and to pstore), to a bounded file for readers, and keeps the latest
// lines in memory for the sentence that PID 1 writes when a child dies.
//
// A line is never waited for: what a slow reader cannot take is dropped,
// counted and reported, because PID 1 must not stand still for a console.
//
// It knows nothing of processes, only of readers and writers.
package journal

import (
	"context"
	"io"
	"strconv"
	"sync"
	"time"
)

// Priority is a syslog severity (RFC 5424 section 6.2.1).
type Priority int

// The severities in use.
const (
	Error   Priority = 3
	Warning Priority = 4
	Notice  Priority = 5
	Info    Priority = 6
	Debug   Priority = 7 // in the log, but on no console unless asked for
)

// Sizes of what is kept and of what may wait.
const (
	ringLines  = 512
	ringBytes  = 128 << 10
	queueLines = 2048
)

// Line is one line of the log, cleaned: printable, without a newline, and
// short enough for the kernel.
type Line struct {
	At       time.Duration // since the kernel's start
	Source   string        // "init" or a child's name
	Priority Priority
	Text     string
}

// Journal takes lines and hands them on. Its methods are safe for concurrent
// use, and none but Run and Flush waits for anything.
type Journal struct {
	now    func() time.Duration
	kernel *sink
	file   *sink

	mu   sync.Mutex
	ring ring
}

// New makes a Journal. now is the time since the kernel's start. Lines wait,
// as many as have room, until their writers are run with Run.
func New(now func() time.Duration) *Journal {
	return &Journal{
		now:    now,
		kernel: newSink(queueLines, kernelLimit()),
		file:   newSink(queueLines, nil),
		ring:   ring{maxLines: ringLines, maxBytes: ringBytes},
	}
}

// Log adds text, which may hold several lines, as lines of source.
func (j *Journal) Log(p Priority, source, text string) {
	s := splitter{emit: func(raw []byte) { j.add(p, source, raw) }}
	s.write([]byte(text))
	s.flush()
}

// Pump adds every line that r gives until r ends. A line may begin with its
// severity, as "<4>"; without it is Info.
func (j *Journal) Pump(source string, r io.Reader) error {
	s := splitter{emit: func(raw []byte) {
		p, text := severity(raw)
		j.add(p, source, text)
	}}
	defer s.flush()
	buffer := make([]byte, 4096)
	for {
		n, err := r.Read(buffer)
		s.write(buffer[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// add cleans one raw line and hands its pieces to the ring and the writers.
func (j *Journal) add(p Priority, source string, raw []byte) {
	at := j.now()
	for _, text := range pieces(clean(raw), textLimit(source)) {
		l := Line{At: at, Source: source, Priority: p, Text: text}
		j.mu.Lock()
		j.ring.add(l)
		j.mu.Unlock()
		j.kernel.put(l)
		j.file.put(l)
	}
}

// Tail answers the texts of the latest n lines of source, oldest first, none
// of them older than since.
func (j *Journal) Tail(source string, since time.Duration, n int) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ring.tail(source, since, n)
}

// RunKernel writes lines to the kernel's log, an open /dev/kmsg, until ctx ends.
func (j *Journal) RunKernel(ctx context.Context, kmsg io.Writer) {
	j.kernel.run(ctx, func(l Line) error {
		_, err := kmsg.Write(record(l))
		return err
	})
}

// RunFile writes lines to a file, which is renamed to path.1 when it is full,
// until ctx ends.
func (j *Journal) RunFile(ctx context.Context, path string) {
	f := &boundedFile{path: path, limit: fileLimit}
	defer f.close()
	j.file.run(ctx, func(l Line) error { return f.write(fileLine(l)) })
}

// Flush waits until the lines so far are written, or until ctx ends.
func (j *Journal) Flush(ctx context.Context) {
	j.kernel.flush(ctx)
	j.file.flush(ctx)
}

// dropped is the line that stands for n lines that are gone.
func dropped(n int64, last Line) Line {
	last.Source, last.Priority = "init", Warning
	last.Text = "log: dropped " + strconv.FormatInt(n, 10) + " lines that came faster than they could be written"
	return last
}
