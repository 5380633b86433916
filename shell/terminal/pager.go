package terminal

import (
	"context"
	"errors"
	"io"
	"strings"

	"dipper/shell/cells"
)

// ErrEnough tells whoever writes to a Pager that the user has seen enough.
var ErrEnough = errors.New("the reader has seen enough")

// Pager writes to a Screen and waits for a key after every page. Somebody who
// types ahead is not waiting for pages, and gets none.
type Pager struct {
	ctx    context.Context
	screen *Screen
	rows   int    // that are on the page
	part   string // of a line that has not ended
	all    bool   // no more waiting
	enough bool
	find   string // what is skipped to
}

// NewPager makes a Pager; ctx ends its waiting.
func NewPager(ctx context.Context, s *Screen) *Pager { return &Pager{ctx: ctx, screen: s} }

// Write shows whole lines. One that is longer than maxLine counts as ended.
func (p *Pager) Write(text []byte) (int, error) {
	if p.enough {
		return 0, ErrEnough
	}
	p.part += string(text)
	for {
		line, rest, ended := strings.Cut(p.part, "\n")
		if !ended && len(p.part) < maxLine {
			return len(text), nil
		}
		p.part = rest
		if err := p.line(line); err != nil {
			return 0, err
		}
	}
}

// Close shows a last line that has no end.
func (p *Pager) Close() error {
	if p.part == "" || p.enough {
		return nil
	}
	line := p.part
	p.part = ""
	return p.line(line)
}

func (p *Pager) line(line string) error {
	size := p.screen.Size()
	if p.find != "" {
		if !strings.Contains(strings.ToLower(line), p.find) {
			return nil
		}
		p.find = ""
	}
	rows := max(1, (cells.Width(line)+size.Width-1)/size.Width)
	if !p.all && p.rows > 0 && p.rows+rows > size.Height-1 && !p.screen.keys.typedAhead() {
		if err := p.wait(); err != nil {
			return err
		}
		if p.find != "" {
			return p.line(line)
		}
	}
	p.rows += rows
	_, err := io.WriteString(p.screen, line+"\n")
	return err
}

const moreText = "-- more: space, enter, /text, G to the end, q --"

// wait asks what to do at the end of a page.
func (p *Pager) wait() error {
	if _, err := io.WriteString(p.screen, cells.Truncate(moreText, p.screen.Size().Width-1)); err != nil {
		return err
	}
	defer p.erase()
	for {
		answer, err := p.screen.Ask(p.ctx)
		if err != nil {
			p.enough = true
			return errors.Join(ErrEnough, err)
		}
		switch answer {
		case " ", "f":
			p.rows = 0
			return nil
		case "\n", "j":
			p.rows--
			return nil
		case "G", "a":
			p.all = true
			return nil
		case "q", "Q":
			p.enough = true
			return ErrEnough
		case "/":
			return p.askFind()
		}
	}
}

// askFind reads what to skip to.
func (p *Pager) askFind() error {
	p.erase()
	e := NewEditor(p.screen, nil)
	line, err := e.ReadLine(p.ctx, plainPrompt("/"))
	if err != nil && !errors.Is(err, ErrInterrupted) {
		return err
	}
	p.find = strings.ToLower(strings.TrimSpace(line))
	p.rows = 0
	return nil
}

func (p *Pager) erase() {
	if p.screen.dumb {
		_, _ = io.WriteString(p.screen, "\r"+strings.Repeat(" ", len(moreText))+"\r") // the next write tells
		return
	}
	_, _ = io.WriteString(p.screen, "\r\x1b[K") // as above
}

// plainPrompt is a prompt without any help.
type plainPrompt string

func (p plainPrompt) Prompt() string { return string(p) }
