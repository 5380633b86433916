package session

import (
	"fmt"
	"strings"

	"dipper/shell/cells"
	"dipper/shell/grammar"
)

// point puts carets under the words at fault: under the line as the user typed
// it, where that is a single one on the screen, or else under a copy of it.
func (c *conversation) point(line string, m *grammar.Mistake) {
	start := min(m.Start, len(line))
	from := strings.LastIndexByte(line[:start], '\n') + 1
	row, _, more := strings.Cut(line[from:], "\n")
	end := max(start, min(m.End, from+len(row)))
	asShown := func(text string) string { return cells.Safe(strings.ReplaceAll(text, "\t", " ")) }
	before, word, after := asShown(line[from:start]), asShown(line[start:end]), asShown(line[end:from+len(row)])
	copied := true
	switch prompt := cells.Width(c.promptLine()); {
	case c.screen == nil:
		if cells.Width(before+word+after) > 500 {
			return // nobody would find the place
		}
	case c.editor != nil && from == 0 && !more && !behindOthers(line, start) && prompt+cells.Width(before+word+after) < c.screen.Size().Width:
		before, copied = strings.Repeat(" ", prompt)+before, false
	default:
		before, word, after = excerpt(before, word, after, c.screen.Size().Width-1)
	}
	if copied {
		fmt.Fprintln(c.errOut, before+word+after)
	}
	fmt.Fprintln(c.errOut, strings.Repeat(" ", cells.Width(before))+strings.Repeat("^", max(1, cells.Width(word))))
}

// behindOthers reports whether a place on a line is behind its first command,
// which may have said something below the line.
func behindOthers(line string, at int) bool {
	statements, err := grammar.Split(line)
	return err == nil && len(statements) > 0 && at > statements[0][len(statements[0])-1].End
}

// excerpt is what has room of a line around a word of it. '<' and '>' stand where
// something is left out.
func excerpt(before, word, after string, room int) (string, string, string) {
	word = cells.Truncate(word, room/2)
	spare := room - max(1, cells.Width(word)) // a caret behind the last word needs a cell too
	before = lastOf(before, max(spare/2, spare-cells.Width(after)))
	return before, word, cells.Truncate(after, spare-cells.Width(before))
}

// lastOf cuts the beginning of a text, so that the rest fits into a width.
func lastOf(text string, width int) string {
	if cells.Width(text) <= width {
		return text
	}
	cells.Clusters(text, func(cluster string, _ int) bool {
		text = text[len(cluster):]
		return cells.Width(text) > width-1
	})
	return "<" + text
}
