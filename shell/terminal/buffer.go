package terminal

import (
	"strings"
	"unicode"

	"dipper/shell/cells"
)

// buffer is a line that is being edited, and where the cursor stands in it.
type buffer struct {
	text   string
	at     int    // in bytes, always between two characters
	killed string // what Ctrl-Y brings back
}

// maxLine bounds a line, in bytes.
const maxLine = 64 << 10

func (b *buffer) set(text string) { b.text, b.at = text, len(text) }

// insert puts text at the cursor; control characters have no place in a line.
func (b *buffer) insert(text string) {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(b.text)+len(text) > maxLine {
		return
	}
	b.text = b.text[:b.at] + text + b.text[b.at:]
	b.at += len(text)
}

// replace puts text instead of what stands between start and the cursor.
func (b *buffer) replace(start int, text string) {
	b.text = b.text[:start] + text + b.text[b.at:]
	b.at = start + len(text)
}

// before is where the character before the cursor begins.
func (b *buffer) before() int {
	last, at := 0, 0
	cells.Clusters(b.text[:b.at], func(c string, _ int) bool {
		last = at
		at += len(c)
		return true
	})
	return last
}

// after is where the character at the cursor ends.
func (b *buffer) after() int {
	end := b.at
	cells.Clusters(b.text[b.at:], func(c string, _ int) bool {
		end += len(c)
		return false
	})
	return end
}

// wordBefore is where the word before the cursor begins; in says what words
// are made of.
func (b *buffer) wordBefore(in func(rune) bool) int {
	head := strings.TrimRightFunc(b.text[:b.at], func(r rune) bool { return !in(r) })
	return len(strings.TrimRightFunc(head, in))
}

// wordAfter is where the word after the cursor ends.
func (b *buffer) wordAfter(in func(rune) bool) int {
	tail := strings.TrimLeftFunc(b.text[b.at:], func(r rune) bool { return !in(r) })
	return len(b.text) - len(strings.TrimLeftFunc(tail, in))
}

func notBlank(r rune) bool     { return !unicode.IsSpace(r) }
func alphanumeric(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// cut removes from start to end, where the cursor stays.
func (b *buffer) cut(start, end int) {
	b.text = b.text[:start] + b.text[end:]
	b.at = start
}

// kill removes from start to end and keeps it for Ctrl-Y.
func (b *buffer) kill(start, end int) {
	if start < end {
		b.killed = b.text[start:end]
	}
	b.cut(start, end)
}

// transpose swaps the characters around the cursor.
func (b *buffer) transpose() {
	if b.at == len(b.text) {
		b.at = b.before()
	}
	first := b.before()
	if first == b.at {
		return
	}
	end := b.after()
	b.text = b.text[:first] + b.text[b.at:end] + b.text[first:b.at] + b.text[end:]
	b.at = end
}

// edit applies a key that changes the line or moves the cursor, and reports
// whether it is one.
func (b *buffer) edit(k key) bool {
	switch k.code {
	case keyText, keyPasted:
		b.insert(k.text)
	case keyBackspace:
		b.cut(b.before(), b.at)
	case keyDelete, keyEOF:
		b.cut(b.at, b.after())
	case keyLeft:
		b.at = b.before()
	case keyRight:
		b.at = b.after()
	case keyHome:
		b.at = 0
	case keyEnd:
		b.at = len(b.text)
	case keyWordLeft:
		b.at = b.wordBefore(alphanumeric)
	case keyWordRight:
		b.at = b.wordAfter(alphanumeric)
	case keyKill:
		b.kill(b.at, len(b.text))
	case keyKillBefore:
		b.kill(0, b.at)
	case keyKillWord:
		b.kill(b.wordBefore(notBlank), b.at)
	case keyKillWordBefore:
		b.kill(b.wordBefore(alphanumeric), b.at)
	case keyKillWordAfter:
		b.kill(b.at, b.wordAfter(alphanumeric))
	case keyYank:
		b.insert(b.killed)
	case keyTranspose:
		b.transpose()
	default:
		return false
	}
	return true
}
