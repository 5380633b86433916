package terminal

import (
	"fmt"
	"io"
	"strings"

	"dipper/shell/cells"
)

// emit writes to the terminal without looking at errors: when it is gone, the
// next read says so.
func (e *Editor) emit(text string) { _, _ = io.WriteString(e.screen, text) }

// show writes the prompt and the line over what is there, and puts the cursor
// in its place. Nothing is shown while more keys are waiting.
func (e *Editor) show(p Prompter) error {
	if e.quiet = e.screen.keys.typedAhead(); e.quiet && e.shown {
		return nil
	}
	return e.draw(p)
}

func (e *Editor) draw(p Prompter) error {
	prompt := p.Prompt()
	e.prompted = prompt
	if e.search != nil {
		prompt = e.search.prompt()
	}
	head := ""
	if at := strings.LastIndexByte(prompt, '\n'); at >= 0 && !e.shown {
		head = prompt[:at+1]
	}
	prompt = lastLine(prompt)
	var text string
	switch {
	case e.screen.dumb:
		text = e.dumbLine(prompt)
	case e.screen.plain && !e.shown: // who reads for the prompt gets nothing else
		text = head + e.placed(prompt)
	default:
		text = e.erased() + head + e.placed(prompt)
	}
	e.shown = true
	_, err := io.WriteString(e.screen, text)
	return err
}

// erased is what removes the line from the screen.
func (e *Editor) erased() string {
	up := ""
	if e.row > 0 {
		up = fmt.Sprintf("\x1b[%dA", e.row)
	}
	e.row = 0
	return up + "\r\x1b[J"
}

// placed is the prompt and the line, and what moves the cursor to its place.
func (e *Editor) placed(prompt string) string {
	width := e.screen.Size().Width
	end := position{}.after(prompt+e.line.text, width)
	cursor := position{}.after(prompt+e.line.text[:e.line.at], width)
	var b strings.Builder
	b.WriteString(prompt + e.line.text)
	if end.column == 0 && end.row > 0 {
		// The terminal stays at the margin until another character comes.
		b.WriteString(" \r\x1b[K")
	}
	if end.row > cursor.row {
		fmt.Fprintf(&b, "\x1b[%dA", end.row-cursor.row)
	}
	if end != cursor {
		b.WriteString("\r")
		if cursor.column > 0 {
			fmt.Fprintf(&b, "\x1b[%dC", cursor.column)
		}
	}
	e.row, e.lastColumn = cursor.row, cursor.column
	return b.String()
}

// dumbLine writes the line over the one before, by carriage return alone.
func (e *Editor) dumbLine(prompt string) string {
	text := prompt + e.line.text
	width := cells.Width(text)
	pad := max(0, e.dumbWidth-width)
	e.dumbWidth = width
	back := pad + width - cells.Width(prompt+e.line.text[:e.line.at])
	e.lastColumn = width
	return "\r" + text + strings.Repeat(" ", pad) + strings.Repeat("\b", back)
}

// position is where on the screen something stands, from where the prompt
// begins.
type position struct{ row, column int }

// after is where the cursor stands after text, on a window of some width.
func (p position) after(text string, width int) position {
	coloured := text
	if w := cells.Width(coloured); w < width && p.column == 0 {
		return position{p.row, w}
	}
	cells.Clusters(text, func(_ string, w int) bool {
		if p.column+w > width {
			p = position{p.row + 1, 0}
		}
		if p.column += w; p.column >= width {
			p = position{p.row + 1, 0}
		}
		return true
	})
	return p
}

// above shows text where the line is, and the line below it.
func (e *Editor) above(p Prompter, text string) error {
	text = strings.TrimSuffix(text, "\n") + "\n"
	if e.screen.dumb {
		text = "\n" + text
	} else {
		text = e.erased() + text
	}
	if _, err := io.WriteString(e.screen, text); err != nil {
		return err
	}
	e.dumbWidth = 0
	return e.draw(p)
}

// leave puts the cursor behind the line, which stays on the screen.
func (e *Editor) leave(p Prompter, mark string) error {
	e.line.at, e.search = len(e.line.text), nil
	err := e.draw(p)
	e.emit(mark)
	e.shown, e.row, e.dumbWidth = false, 0, 0
	return err
}
