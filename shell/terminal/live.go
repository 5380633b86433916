package terminal

import (
	"context"
	"io"
	"strings"
	"time"

	"dipper/shell/cells"
)

// Live shows what draw answers, again after every interval and whenever the
// window's size changes, until the user presses q or ctx ends. draw gets the
// room there is; more lines are cut. A dumb terminal gets one page after the
// other.
func (s *Screen) Live(ctx context.Context, every time.Duration, draw func(context.Context, Size) ([]string, error)) error {
	if !s.dumb {
		defer func() { _, _ = io.WriteString(s, "\r\x1b[?25h\x1b[?1049l") }() // gone when this fails
		if _, err := io.WriteString(s, "\x1b[?1049h\x1b[?25l"); err != nil {
			return err
		}
	}
	s.askSize()
	for {
		lines, err := draw(ctx, s.Size())
		if err != nil {
			return err
		}
		if err := s.page(lines); err != nil {
			return err
		}
		if again, err := s.pause(ctx, every); !again {
			return err
		}
	}
}

// UntilQuit answers a context that ends when the user presses q, for what is
// shown line by line. Keys are read until stop is called; other ones do nothing.
func (s *Screen) UntilQuit(ctx context.Context) (quit context.Context, stop func()) {
	quit, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer cancel()
		for again := true; again; {
			k, err := s.keys.next(quit)
			again = err == nil && !quits(k)
		}
	}()
	return quit, func() {
		cancel()
		<-over
	}
}

// quits tells whether a key ends a display.
func quits(k key) bool {
	return k.code == keyText && (k.text == "q" || k.text == "Q") || k.code == keyInterrupt || k.code == keyEOF
}

// page shows lines on the whole window.
func (s *Screen) page(lines []string) error {
	if s.dumb {
		_, err := io.WriteString(s, strings.Join(lines, "\n")+"\n\n")
		return err
	}
	size := s.Size()
	lines = lines[:min(len(lines), size.Height)]
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(cells.Truncate(l, size.Width))
		if cells.Width(l) < size.Width { // at the margin it would erase the last character
			b.WriteString("\x1b[K")
		}
	}
	if len(lines) < size.Height {
		b.WriteString("\n\x1b[J")
	}
	_, err := io.WriteString(s, b.String())
	return err
}

// pause waits for the next page; false tells to end.
func (s *Screen) pause(ctx context.Context, every time.Duration) (again bool, err error) {
	waiting, stop := context.WithTimeout(ctx, every)
	defer stop()
	for {
		k, err := s.keys.next(waiting)
		switch {
		case ctx.Err() != nil:
			return false, nil
		case waiting.Err() != nil:
			return true, nil
		case err != nil:
			return false, err
		case quits(k):
			return false, nil
		case k.code == keyText && k.text == " ":
			s.askSize()
			return true, nil
		case k.code == keyResized:
			return true, nil
		}
	}
}
