package terminal

import (
	"context"
	"errors"
	"io"
	"strings"

	"dipper/shell/cells"
)

// ErrInterrupted tells that the user pressed Ctrl-C instead of finishing.
var ErrInterrupted = errors.New("interrupted")

// Prompter says what stands before a line, each time that it is shown.
type Prompter interface{ Prompt() string }

// Helper is a Prompter that helps to write the line. What it is given is the
// line up to the cursor. Without one, Tab and '?' are text.
type Helper interface {
	Prompter
	// Complete is called for Tab.
	Complete(ctx context.Context, line string) Completion
	// Help is called for '?' and answers what may come next.
	Help(ctx context.Context, line string) string
}

// Completion is what Tab does.
type Completion struct {
	Start  int    // from here to the cursor stands what is replaced
	Insert string // by this
	List   string // what is shown below, when the user is to choose; lines
}

// Editor reads lines from a Screen.
type Editor struct {
	screen  *Screen
	history *History

	line    buffer
	literal bool // the next key is text, whatever it is

	shown      bool   // the prompt is on the screen
	prompted   string // what stood before the line when it was drawn last
	quiet      bool   // keys are waiting: showing the line would be work for nothing
	row        int    // on which row below the prompt's the cursor stands
	lastColumn int    // and in which column
	dumbWidth  int    // of what is on a dumb terminal's line

	recalled int    // how many lines back in the history; 0: the user's own
	own      string // the user's own line meanwhile
	search   *search
}

// NewEditor makes an Editor with a history, which may be nil.
func NewEditor(s *Screen, h *History) *Editor {
	if h == nil {
		h = &History{}
	}
	return &Editor{screen: s, history: h}
}

// ReadLine reads a line. The error is ErrInterrupted after Ctrl-C, io.EOF after
// Ctrl-D on an empty line, and ErrGone when the terminal's input has ended.
func (e *Editor) ReadLine(ctx context.Context, p Prompter) (string, error) {
	e.line = buffer{killed: e.line.killed}
	e.row, e.recalled, e.search, e.literal, e.shown, e.dumbWidth = 0, 0, nil, false, false, 0
	if e.screen.unfinished() {
		e.emit("\n")
	}
	e.screen.askSize()
	if !e.screen.plain {
		defer e.emit("\x1b[?2004l")
		e.emit("\x1b[?2004h") // pasted text comes between marks
	}
	// The prompt comes last: programs that type wait for it.
	if err := e.show(p); err != nil {
		return "", err
	}
	for {
		k, err := e.screen.keys.next(ctx)
		if err != nil {
			return "", err
		}
		line, done, err := e.press(ctx, p, k)
		if done || err != nil {
			return line, err
		}
	}
}

// press acts on a key; done tells that the line is finished.
func (e *Editor) press(ctx context.Context, p Prompter, k key) (line string, done bool, err error) {
	if e.search != nil && !e.searching(k) {
		return "", false, e.show(p)
	}
	if e.literal {
		e.literal = false
		if k.code == keyText {
			k.code = keyPasted
		}
	}
	switch {
	case k.code == keyEnter:
		return e.line.text, true, e.leave(p, "\n")
	case k.code == keyInterrupt:
		return "", true, errors.Join(e.leave(p, "^C\n"), ErrInterrupted)
	case k.code == keyEOF && e.line.text == "":
		return "", true, errors.Join(e.leave(p, "\n"), io.EOF)
	}
	return "", false, e.act(ctx, p, k)
}

// act does what a key means that does not finish the line, and shows it.
func (e *Editor) act(ctx context.Context, p Prompter, k key) error {
	helper, helps := p.(Helper)
	switch k.code {
	case keyNotice:
		return e.notice(p, k)
	case keyRefresh:
		if !e.quiet && p.Prompt() == e.prompted {
			return nil
		}
	case keyTab:
		if helps {
			return e.complete(ctx, helper)
		}
		k = key{code: keyPasted, text: " "}
	case keyLiteral:
		e.literal = true
		return nil
	case keyText:
		if helps && k.text == "?" && !withinQuotes(e.line.text[:e.line.at]) {
			return e.help(ctx, helper)
		}
		if e.appended(k.text) {
			return nil
		}
	}
	e.edit(k)
	return e.show(p)
}

// notice shows a message above the line.
func (e *Editor) notice(p Prompter, k key) error {
	text := k.text
	if k.late != nil {
		text = (*k.late)()
	}
	if text == "" {
		return nil
	}
	return e.above(p, strings.Join(cells.Wrap(text, e.screen.Size().Width), "\n"))
}

// edit acts on the keys that only change the line or how it is shown.
func (e *Editor) edit(k key) {
	switch k.code {
	case keyUp:
		e.recall(e.recalled + 1)
	case keyDown:
		e.recall(e.recalled - 1)
	case keySearch:
		e.search = &search{own: e.line.text}
	case keyLastWord:
		if lines := e.history.Lines(); len(lines) > 0 {
			words := strings.Fields(lines[len(lines)-1])
			e.line.insert(words[len(words)-1])
		}
	case keyClear:
		if e.screen.Clear() {
			e.row = 0
		}
	default:
		e.line.edit(k)
	}
}

// appended shows a character at the end of the line by that character alone,
// where that is enough: it saves a slow line most of the work.
func (e *Editor) appended(text string) bool {
	if e.line.at != len(e.line.text) || len(text) != 1 || e.quiet || e.screen.keys.typedAhead() || e.search != nil {
		return false
	}
	width := e.screen.Size().Width
	if e.lastColumn+2 >= width {
		return false
	}
	e.line.insert(text)
	e.lastColumn++
	e.emit(text)
	return true
}

// recall shows the line that is n back in the history.
func (e *Editor) recall(n int) {
	lines := e.history.Lines()
	if n < 0 || n > len(lines) {
		return
	}
	if e.recalled == 0 {
		e.own = e.line.text
	}
	e.recalled = n
	if n == 0 {
		e.line.set(e.own)
		return
	}
	e.line.set(lines[len(lines)-n])
}

func (e *Editor) complete(ctx context.Context, p Helper) error {
	c := p.Complete(ctx, e.line.text[:e.line.at])
	if c.Start >= 0 && c.Start <= e.line.at && c.Insert != "" {
		e.line.replace(c.Start, c.Insert)
	}
	if c.List != "" {
		return e.above(p, e.echoed(p)+c.List)
	}
	return e.show(p)
}

func (e *Editor) help(ctx context.Context, p Helper) error {
	return e.above(p, e.echoed(p)+p.Help(ctx, e.line.text[:e.line.at]))
}

// echoed is the line as it stays on the screen above an answer to it.
func (e *Editor) echoed(p Prompter) string { return lastLine(p.Prompt()) + e.line.text + "\n" }

// withinQuotes reports whether a quote is open at the end of a line.
func withinQuotes(line string) bool {
	var open rune
	escaped := false
	for _, r := range line {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && open != '\'':
			escaped = true
		case open == 0 && (r == '"' || r == '\''):
			open = r
		case r == open:
			open = 0
		}
	}
	return open != 0
}

func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }
