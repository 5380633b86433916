// Package terminal works a user's terminal: it reads keys, edits lines with a
// history, shows long output page by page and live displays, and keeps up with
// the window's size. It must not know what the lines mean. There is no state
// outside of a Screen: as many as there are users work side by side.
package terminal

import (
	"context"
	"io"
	"strings"
	"sync"

	"dipper/shell/cells"
)

// Size is that of a window, in cells.
type Size struct{ Width, Height int }

// Terminal is what a user sits at.
type Terminal struct {
	Width, Height int         // 0: not known
	Resized       <-chan Size // nil: never
	Asked         bool        // a serial line: nobody tells its size, so the terminal is asked
	Type          string      // as in TERM
}

// defaultSize is taken where the terminal does not say, as on a serial line.
var defaultSize = Size{Width: 80, Height: 24}

// Screen is a terminal at work.
type Screen struct {
	keys  keyQueue
	dumb  bool
	plain bool // dumb, or a VT100: neither colours nor marks around what is pasted
	asked bool // for its size, before every prompt

	mu      sync.Mutex
	out     io.Writer
	size    Size
	midline bool // text stands before the cursor
}

// Open starts to work a terminal until ctx ends or in does. Keys are read all
// the time, so that Ctrl-C is seen while a command runs; a read of in that is
// under way when ctx ends is only over when in says so.
func Open(ctx context.Context, t Terminal, in io.Reader, out io.Writer) *Screen {
	s := &Screen{out: out, dumb: t.Type == "" || t.Type == "dumb"}
	s.plain = s.dumb || strings.HasPrefix(t.Type, "vt10")
	s.resize(Size{t.Width, t.Height})
	s.keys.init()
	if s.asked = t.Asked && !s.dumb; s.asked {
		s.keys.reported = s.reported
	}
	go s.keys.fill(ctx, in)
	if t.Resized != nil {
		go s.follow(ctx, t.Resized)
	}
	return s
}

func (s *Screen) follow(ctx context.Context, resized <-chan Size) {
	for {
		select {
		case size, open := <-resized:
			if !open {
				return
			}
			s.resize(size)
			s.keys.push(key{code: keyResized})
		case <-ctx.Done():
			return
		}
	}
}

// Sizes that are no nonsense.
const (
	leastWidth, leastHeight = 10, 3
	mostSize                = 1000
)

// resize takes a new size; what is nonsense counts as not known.
func (s *Screen) resize(size Size) {
	if size.Width < leastWidth || size.Width > mostSize {
		size.Width = defaultSize.Width
	}
	if size.Height < leastHeight || size.Height > mostSize {
		size.Height = defaultSize.Height
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = size
}

// askSize asks a terminal how large it is, by sending the cursor as far as it
// goes and asking where it is (ECMA-48, CUP and DSR). The answer comes when it
// comes, or never: nobody waits for it. Who types ahead is not looking.
func (s *Screen) askSize() {
	if !s.asked || s.keys.typedAhead() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Gone when this fails, which the next read says.
	_, _ = io.WriteString(s.out, "\x1b7\x1b[999;999H\x1b[6n\x1b8")
}

// reported takes the answer.
func (s *Screen) reported(size Size) {
	if size.Width < leastWidth || size == s.Size() {
		return // ESC [ 1 ; 2 R is also a key: Shift-F3
	}
	s.resize(size)
	s.keys.push(key{code: keyResized})
}

// Size is the window's present size.
func (s *Screen) Size() Size {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// Plain reports whether the terminal has no colours. A VT100 had none, and
// programs that read what they see, such as Ansible's, say that they are one.
func (s *Screen) Plain() bool { return s.plain }

// Write shows text. Lines end with "\n".
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := string(p)
	if _, err := io.WriteString(s.out, crlf(text)); err != nil {
		return 0, err
	}
	last := strings.LastIndexAny(text, "\r\n")
	s.midline = s.midline && last < 0 || cells.Width(text[last+1:]) > 0
	return len(p), nil
}

// unfinished reports whether the line that the cursor is in has text before it,
// as after a program whose last line has no end.
func (s *Screen) unfinished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.midline
}

// crlf ends lines as a terminal in raw mode wants it.
func crlf(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
}

// Clear empties the window and puts the cursor into its first line, and reports
// whether the terminal can do that.
func (s *Screen) Clear() bool {
	if s.dumb {
		return false
	}
	// Gone when this fails, which the next read says.
	_, _ = io.WriteString(s, "\x1b[H\x1b[2J")
	return true
}

// OnInterrupt has Ctrl-C call f instead of being read as a key, until the
// answered function is called. What was typed before Ctrl-C is forgotten.
func (s *Screen) OnInterrupt(f func()) (restore func()) { return s.keys.onInterrupt(f) }

// Announce shows a message above the line that is being edited, or after the
// command that runs.
func (s *Screen) Announce(message string) { s.keys.push(key{code: keyNotice, text: message}) }

// AnnounceLate shows a message as Announce does, which is asked for when it is
// shown: what was true may not be so after a command. Nothing is shown of "".
func (s *Screen) AnnounceLate(message func() string) {
	s.keys.push(key{code: keyNotice, late: &message})
}

// Refresh has the prompt written anew.
func (s *Screen) Refresh() { s.keys.push(key{code: keyRefresh}) }

// Ask reads one key and answers it as text, for a question.
func (s *Screen) Ask(ctx context.Context) (string, error) {
	for {
		k, err := s.keys.next(ctx)
		if err != nil {
			return "", err
		}
		switch k.code {
		case keyText:
			return k.text, nil
		case keyEnter:
			return "\n", nil
		case keyInterrupt, keyEOF:
			return "", ErrInterrupted
		}
	}
}
