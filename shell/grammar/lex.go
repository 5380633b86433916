// Package grammar is the shell's language: lines become words, words are read
// along a table of commands, and the same table says what may come next. It
// owns the lexer, the table's types, the reading of a line and its completion;
// all of it is pure. It must not know what a command does, nor how a terminal
// works.
package grammar

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Word is one word of a line. Start and End are where it stands in the line,
// in bytes, quotes included.
type Word struct {
	Text       string
	Start, End int
	Quoted     bool // at least a part of it: never an abbreviation, never a flag
}

// Stage is a command or a filter: the words between two pipes.
type Stage struct {
	Words      []Word
	Start, End int
}

// Statement is a command with its filters: what stands between semicolons or
// line ends.
type Statement []Stage

// Mistake is a line that makes no sense, and where.
type Mistake struct {
	Start, End int // bytes in the line
	Problem    string
	Hint       string // what to do; may be empty
}

// Error makes *Mistake an error.
func (m *Mistake) Error() string {
	if m.Hint == "" {
		return m.Problem
	}
	return m.Problem + ": " + m.Hint
}

// Split reads a line: "show log | match 'a b'; show version". A word may be
// quoted as a whole or in parts, by "…" with Go's \" \\ \n \t \x41 and the like in it, or by '…'
// in which nothing is special. Outside of quotes a backslash takes the meaning
// from a blank, a quote, '|', ';', '#' and itself, and stays in front of
// anything else, so that "match 10\.0" means what it says. A word that begins
// with '#' begins a comment up to the line's end.
func Split(line string) ([]Statement, error) {
	l := lexer{line: line}
	l.run()
	if l.open != 0 {
		return nil, &Mistake{
			Start: l.opened, End: len(line),
			Problem: "a quote is not closed", Hint: fmt.Sprintf("it ends with another %c", l.open),
		}
	}
	var statements []Statement
	for _, s := range l.statements {
		if len(s) == 1 && len(s[0].Words) == 0 {
			continue // nothing between two semicolons, or a comment
		}
		for i, stage := range s {
			if len(stage.Words) == 0 {
				return nil, emptyStage(i, stage)
			}
		}
		statements = append(statements, s)
	}
	return statements, nil
}

func emptyStage(i int, s Stage) error {
	if i == 0 {
		return &Mistake{Start: s.End, End: s.End + 1, Problem: "there is no command before the |"}
	}
	return &Mistake{
		Start: s.Start - 1, End: s.Start, Problem: "there is no filter after the |",
		Hint: "a | that is part of a word must be quoted",
	}
}

// Incomplete reports whether the line ends within quotes, so that it goes on
// on the next one.
func Incomplete(line string) bool {
	l := lexer{line: line}
	l.run()
	return l.open != 0
}

// lexer reads a line from left to right. What it has read so far makes sense
// at any time, which is what completion lives on.
type lexer struct {
	line       string
	at         int
	statements []Statement
	stage      Stage
	open       rune // the quote that is not closed yet
	opened     int  // where
}

func (l *lexer) run() {
	l.statements = []Statement{nil}
	for l.at < len(l.line) {
		r, size := utf8.DecodeRuneInString(l.line[l.at:])
		switch {
		case r == '|':
			l.endStage(size)
		case r == ';' || r == '\n':
			l.endStage(size)
			l.statements = append(l.statements, nil)
		case r == '#':
			l.comment()
		case unicode.IsSpace(r):
			l.at += size
		default:
			l.stage.Words = append(l.stage.Words, l.word())
		}
	}
	l.endStage(0)
}

// endStage closes the present stage before a separator of size bytes.
func (l *lexer) endStage(size int) {
	l.stage.End = l.at
	last := len(l.statements) - 1
	l.statements[last] = append(l.statements[last], l.stage)
	l.at += size
	l.stage = Stage{Start: l.at}
}

func (l *lexer) comment() {
	end := strings.IndexByte(l.line[l.at:], '\n')
	if end < 0 {
		end = len(l.line) - l.at
	}
	l.at += end
}

// special is what ends a word or means something to the lexer.
const special = "\"'\\|;#"

func (l *lexer) word() Word {
	w := Word{Start: l.at}
	var text strings.Builder
	for l.at < len(l.line) {
		r, size := utf8.DecodeRuneInString(l.line[l.at:])
		if unicode.IsSpace(r) || r == '|' || r == ';' {
			break
		}
		switch r {
		case '"', '\'':
			w.Quoted = true
			l.quoted(r, &text)
			continue
		case '\\':
			l.escape(&text)
			continue
		}
		text.WriteString(l.line[l.at : l.at+size])
		l.at += size
	}
	w.Text, w.End = text.String(), l.at
	return w
}

// escape reads a backslash outside of quotes and what it stands before.
func (l *lexer) escape(text *strings.Builder) {
	l.at++
	r, size := utf8.DecodeRuneInString(l.line[l.at:])
	if !unicode.IsSpace(r) && !strings.ContainsRune(special, r) || size == 0 {
		text.WriteByte('\\')
	}
	text.WriteString(l.line[l.at : l.at+size])
	l.at += size
}

// quoted reads from a quote to its partner.
func (l *lexer) quoted(quote rune, text *strings.Builder) {
	l.open, l.opened = quote, l.at
	l.at++
	for l.at < len(l.line) {
		c := l.line[l.at]
		l.at++
		switch {
		case rune(c) == quote:
			l.open = 0
			return
		case c == '\\' && quote == '"':
			l.at += unescape(l.line[l.at:], text)
		default:
			text.WriteByte(c)
		}
	}
}

// unescape reads what stands after a backslash between double quotes and
// answers how many bytes that is. They are Go's escapes but for the control
// characters and octal numbers, which in an expression mean something else;
// anything else keeps its backslash.
func unescape(rest string, text *strings.Builder) int {
	const escapes = "\"\\ntrxuU"
	if rest == "" || !strings.ContainsRune(escapes, rune(rest[0])) {
		text.WriteByte('\\')
		return 0
	}
	r, wide, tail, err := strconv.UnquoteChar(`\`+rest, '"')
	switch {
	case err != nil:
		text.WriteByte('\\')
		return 0
	case wide:
		text.WriteRune(r)
	default:
		text.WriteByte(byte(r))
	}
	return len(rest) - len(tail)
}

// Quote writes a word so that Split reads it back.
func Quote(word string) string {
	bare := func(r rune) bool {
		return unicode.IsPrint(r) && !unicode.IsSpace(r) && !strings.ContainsRune(special, r) && r != utf8.RuneError
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !bare(r) }) < 0 {
		return word
	}
	var b strings.Builder
	b.WriteByte('"')
	for len(word) > 0 {
		end := strings.IndexAny(word, notEscaped)
		if end == 0 {
			fmt.Fprintf(&b, `\x%02x`, word[0])
			word = word[1:]
			continue
		}
		if end < 0 {
			end = len(word)
		}
		quoted := strconv.Quote(word[:end])
		b.WriteString(quoted[1 : len(quoted)-1])
		word = word[end:]
	}
	b.WriteByte('"')
	return b.String()
}

// notEscaped are characters of which unescape does not know Go's short escape.
const notEscaped = "\a\b\f\v"
