// Package vt is a terminal for tests: it takes what a program writes to one and
// answers what a user would see. It knows the part of ECMA-48 and xterm that
// the shell uses, and refuses the rest.
package vt

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/rivo/uniseg"
)

// Terminal is a window's content. It is safe for concurrent use.
type Terminal struct {
	mu            sync.Mutex
	width, height int
	rows          [][]string // one string for each cell; "" behind a wide character
	row, column   int
	wrap          bool   // the next character begins a new row
	pending       string // of a sequence that is not whole
	saved         *Terminal
	hidden        bool   // the cursor
	marked        [2]int // where ESC 7 found the cursor
	answers       func(string)
	unknown       []string // what it did not understand
	scrolled      []string // rows that left at the top
}

// New makes a blank window.
func New(width, height int) *Terminal {
	t := &Terminal{width: width, height: height}
	t.clear()
	return t
}

// Answers has what the terminal says of itself sent to somebody. Without it, it
// says nothing, as a printer.
func (t *Terminal) Answers(send func(string)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers = send
}

// Resize makes the window another size, without telling anybody. What is not
// within it any more is lost.
func (t *Terminal) Resize(width, height int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.rows
	row, column := t.row, t.column
	t.width, t.height = width, height
	t.clear()
	for i := range min(len(before), height) {
		copy(t.rows[i], before[i])
	}
	t.row, t.column = min(row, height-1), min(column, width-1)
}

func (t *Terminal) clear() {
	t.rows = make([][]string, t.height)
	for i := range t.rows {
		t.rows[i] = make([]string, t.width)
	}
	t.row, t.column, t.wrap = 0, 0, false
}

// Write takes output.
func (t *Terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.pending + string(p)
	t.pending = ""
	for text != "" {
		n := t.step(text)
		if n == 0 {
			t.pending = text
			break
		}
		text = text[n:]
	}
	return len(p), nil
}

// step acts on what text begins with and answers its length; 0: it is not
// whole.
func (t *Terminal) step(text string) int {
	switch text[0] {
	case '\r':
		t.column, t.wrap = 0, false
		return 1
	case '\n':
		t.down()
		return 1
	case '\b':
		t.column, t.wrap = max(0, t.column-1), false
		return 1
	case 0x07:
		return 1
	case 0x1b:
		return t.escape(text)
	}
	cluster, _, width, _ := uniseg.FirstGraphemeClusterInString(text, -1)
	t.put(cluster, width)
	return len(cluster)
}

func (t *Terminal) put(cluster string, width int) {
	if t.wrap || t.column+width > t.width {
		t.column, t.wrap = 0, false
		t.down()
	}
	t.rows[t.row][t.column] = cluster
	for i := 1; i < width; i++ {
		t.rows[t.row][t.column+i] = ""
	}
	t.column += width
	if t.column >= t.width {
		t.column, t.wrap = t.width-1, true
	}
}

func (t *Terminal) down() {
	if t.row+1 < t.height {
		t.row++
		return
	}
	t.scrolled = append(t.scrolled, line(t.rows[0]))
	t.rows = append(t.rows[1:], make([]string, t.width))
}

// escape acts on an escape sequence.
func (t *Terminal) escape(text string) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '[':
	case '7':
		t.marked = [2]int{t.row, t.column}
		return 2
	case '8':
		t.row, t.column, t.wrap = t.marked[0], t.marked[1], false
		return 2
	default:
		t.unknown = append(t.unknown, fmt.Sprintf("%q", text[:2]))
		return 2
	}
	end := strings.IndexFunc(text[2:], func(r rune) bool { return r >= 0x40 && r <= 0x7e })
	if end < 0 {
		return 0
	}
	end += 2
	t.control(text[end], text[2:end])
	return end + 1
}

func (t *Terminal) control(final byte, parameters string) {
	n, err := strconv.Atoi(parameters)
	if err != nil {
		n = 0
	}
	switch final {
	case 'A':
		t.row, t.wrap = max(0, t.row-max(1, n)), false
	case 'C':
		t.column, t.wrap = min(t.width-1, t.column+max(1, n)), false
	case 'H':
		t.to(parameters)
	case 'n':
		if t.answers != nil {
			t.answers(fmt.Sprintf("\x1b[%d;%dR", t.row+1, t.column+1))
		}
	case 'J':
		t.erase(n == 2)
	case 'K':
		blank(t.rows[t.row][t.column:])
	case 'm':
	case 'h', 'l':
		t.mode(parameters, final == 'h')
	default:
		t.unknown = append(t.unknown, parameters+string(final))
	}
}

// to moves the cursor to "ROW;COLUMN", which count from 1.
func (t *Terminal) to(place string) {
	row, column := 1, 1
	if _, err := fmt.Sscanf(place, "%d;%d", &row, &column); err != nil {
		row, column = 1, 1
	}
	t.row, t.column, t.wrap = min(row, t.height)-1, min(column, t.width)-1, false
}

func (t *Terminal) erase(all bool) {
	if !all {
		blank(t.rows[t.row][t.column:])
	}
	for i := range t.rows {
		if all || i > t.row {
			blank(t.rows[i])
		}
	}
}

// mode knows the alternate screen, the cursor and bracketed paste.
func (t *Terminal) mode(parameters string, on bool) {
	switch {
	case parameters == "?1049" && on:
		saved := Terminal{rows: t.rows, row: t.row, column: t.column, wrap: t.wrap}
		t.saved = &saved
		t.clear()
	case parameters == "?1049" && t.saved != nil:
		t.rows, t.row, t.column, t.wrap = t.saved.rows, t.saved.row, t.saved.column, t.saved.wrap
		t.saved = nil
	case parameters == "?25":
		t.hidden = !on
	case parameters == "?2004" || parameters == "?1049":
	default:
		t.unknown = append(t.unknown, parameters)
	}
}

func blank(cells []string) {
	for i := range cells {
		cells[i] = " "
	}
}

func line(cells []string) string {
	var b strings.Builder
	wide := 0
	for _, c := range cells {
		if wide > 0 && c == "" {
			wide--
			continue
		}
		if c == "" {
			c = " "
		}
		b.WriteString(c)
		wide = uniseg.StringWidth(c) - 1
	}
	return strings.TrimRight(b.String(), " ")
}

// Screen is what is to be seen, rows without the blanks at their ends and
// without the empty ones at the bottom. The cursor is a '_' unless there is
// something else.
func (t *Terminal) Screen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var rows []string
	for i, cells := range t.rows {
		if i == t.row && !t.hidden && (cells[t.column] == "" || cells[t.column] == " ") {
			cells = append([]string(nil), cells...)
			cells[t.column] = "_"
		}
		rows = append(rows, line(cells))
	}
	return strings.TrimRight(strings.Join(rows, "\n"), "\n")
}

// All is what left the window at its top and what is to be seen.
func (t *Terminal) All() string {
	screen := t.Screen()
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(append(append([]string(nil), t.scrolled...), screen), "\n")
}

// Cursor is where the cursor stands.
func (t *Terminal) Cursor() (row, column int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.row, t.column
}

// Unknown is what the terminal did not understand: tests want nothing there.
func (t *Terminal) Unknown() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unknown
}
