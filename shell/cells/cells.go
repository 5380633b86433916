// Package cells measures text as a terminal shows it: in cells, of which a
// Chinese character takes two, a combining accent none, and a colour's escape
// sequence none either. It is pure.
package cells

import (
	"strings"

	"github.com/rivo/uniseg"
)

// Width is how many cells s takes.
func Width(s string) int {
	if plain(s) {
		return len(s)
	}
	return uniseg.StringWidth(strip(s))
}

// plain reports whether every byte is a cell.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// strip takes the colours from s.
func strip(s string) string {
	var b strings.Builder
	for s != "" {
		if n := sequence(s); n > 0 {
			s = s[n:]
			continue
		}
		next := strings.IndexByte(s[1:], '\x1b') + 1
		if next == 0 {
			next = len(s)
		}
		b.WriteString(s[:next])
		s = s[next:]
	}
	return b.String()
}

// sequence is the length of the CSI sequence (ECMA-48, 5.4) that s begins with,
// or 0.
func sequence(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	for i := 2; i < len(s); i++ {
		if s[i] >= 0x40 && s[i] <= 0x7e {
			return i + 1
		}
	}
	return 0
}

// Pad fills s with blanks up to a width, on its left when right is set.
func Pad(s string, width int, right bool) string {
	n := width - Width(s)
	switch {
	case n <= 0:
		return s
	case right:
		return strings.Repeat(" ", n) + s
	}
	return s + strings.Repeat(" ", n)
}

// Truncate cuts s to a width. What is cut ends with a '>' and, when s had
// colours, without any.
func Truncate(s string, width int) string {
	if Width(s) <= width {
		return s
	}
	if width <= 0 {
		return ""
	}
	var b strings.Builder
	used, coloured, state := 0, false, -1
	for s != "" {
		if n := sequence(s); n > 0 {
			b.WriteString(s[:n])
			s, coloured, state = s[n:], true, -1
			continue
		}
		cluster, rest, w, next := uniseg.FirstGraphemeClusterInString(s, state)
		if used+w > width-1 {
			break
		}
		b.WriteString(cluster)
		s, used, state = rest, used+w, next
	}
	b.WriteByte('>')
	if coloured {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// Clusters splits s into what a user sees as its characters, with their widths.
func Clusters(s string, yield func(cluster string, width int) bool) {
	state := -1
	for s != "" {
		cluster, rest, w, next := uniseg.FirstGraphemeClusterInString(s, state)
		if !yield(cluster, w) {
			return
		}
		s, state = rest, next
	}
}

// Safe shows control characters as "?" so that text from elsewhere cannot
// steer the terminal; line ends and tabs stay.
func Safe(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// Wrap cuts a line between words, so that each part fits into a width. Further
// parts are indented as the first. A word that is longer than a line, and a
// width of 0, which is not known, are left to the terminal.
func Wrap(line string, width int) []string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	if width <= 0 || Width(line) <= width {
		return []string{line}
	}
	lines := []string{}
	now := indent
	for word := range strings.FieldsSeq(line) {
		switch {
		case now == indent:
			now += word
		case Width(now)+1+Width(word) <= width:
			now += " " + word
		default:
			lines = append(lines, now)
			now = indent + word
		}
	}
	return append(lines, now)
}
