package grammar

import (
	"strings"

	"dipper/appliance/api"
)

// Choices is what may stand at the end of a line.
type Choices struct {
	// Word is the unfinished word as it is read, and Start where it begins
	// in the line, in bytes.
	Word   string
	Start  int
	Quoted bool
	// Known are the words of the table that begin with Word.
	Known []Choice
	// Asked are the values of which only the appliance or the user knows.
	Asked []Asked
	// Enter tells that the line may end without another word.
	Enter bool
}

// Choice is a word that may stand there.
type Choice struct{ Word, Help string }

// Asked is a value that may stand there.
type Asked struct {
	Arg *Arg
	// Before are the values of the same argument that are there already.
	Before []string
}

// Complete says what may stand at the end of a stage, after its last blank or
// instead of its last word, and what the words before it mean so far. An error is
// what Parse says to them.
func Complete[R any](top []*Command[R], role api.Role, s Stage) (Choices, *Call[R], error) {
	words, last := unfinishedWord(s)
	c := Choices{Word: last.Text, Start: last.Start, Quoted: last.Quoted}
	p := &place[R]{top: top}
	for _, w := range words {
		if err := p.read(role, w); err != nil {
			return c, nil, err
		}
	}
	c.Enter = last.Start == last.End && p.complete()
	for _, e := range offered(p.next()) {
		switch {
		case e.arg != nil:
			c.argument(p, e.arg)
		case Allows(role, e.role) && strings.HasPrefix(e.word, last.Text) && !last.Quoted:
			c.Known = append(c.Known, Choice{e.word, e.help})
		}
	}
	return c, &p.call, nil
}

// argument adds what may stand for an argument.
func (c *Choices) argument(p interface{ before(*Arg) []string }, a *Arg) {
	for _, v := range a.Values {
		if strings.HasPrefix(v.Word, c.Word) {
			c.Known = append(c.Known, Choice(v))
		}
	}
	if len(a.Values) == 0 || a.Check != nil || a.Kind != "" {
		c.Asked = append(c.Asked, Asked{Arg: a, Before: p.before(a)})
	}
}

// before lists the values of a repeated argument that were read.
func (p *place[R]) before(a *Arg) []string {
	if p.waiting != nil && p.waiting.Arg == a {
		return nil
	}
	return p.call.Texts(a.Name)
}

// unfinishedWord takes the word at the end of a stage from it: an empty one
// after a blank.
func unfinishedWord(s Stage) ([]Word, Word) {
	n := len(s.Words)
	if n > 0 && s.Words[n-1].End == s.End {
		return s.Words[:n-1], s.Words[n-1]
	}
	return s.Words, Word{Start: s.End, End: s.End}
}

// Last is the stage at the end of an unfinished line, and whether it is a
// filter.
func Last(line string) (s Stage, filter bool) {
	l := lexer{line: line}
	l.run()
	statement := l.statements[len(l.statements)-1]
	return statement[len(statement)-1], len(statement) > 1
}
