package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
)

// logger logs to PID 1.
func logger() *slog.Logger { return newLogger(os.Stderr) }

// newLogger logs to PID 1, which adds the time and the program's name. A line
// begins with its severity, "<4>" for a warning (sd-daemon(3)).
func newLogger(w io.Writer) *slog.Logger {
	line := &line{out: w}
	return slog.New(severity{line: line, Handler: slog.NewTextHandler(line, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		},
	})})
}

// severity puts a record's severity in front of what its Handler writes.
type severity struct {
	slog.Handler
	line *line
}

// line collects one record, so that it goes out in one write.
type line struct {
	mu   sync.Mutex
	text bytes.Buffer
	out  io.Writer
}

func (l *line) Write(p []byte) (int, error) { return l.text.Write(p) }

func (s severity) Handle(ctx context.Context, r slog.Record) error {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	s.line.text.Reset()
	s.line.text.WriteString(prefix(r.Level))
	if err := s.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := s.line.out.Write(s.line.text.Bytes())
	return err
}

func (s severity) WithAttrs(attrs []slog.Attr) slog.Handler {
	return severity{Handler: s.Handler.WithAttrs(attrs), line: s.line}
}

func (s severity) WithGroup(name string) slog.Handler {
	return severity{Handler: s.Handler.WithGroup(name), line: s.line}
}

// prefix is a level as syslog's severity (RFC 5424 section 6.2.1).
func prefix(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "<3>"
	case l >= slog.LevelWarn:
		return "<4>"
	case l >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}
