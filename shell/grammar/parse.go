package grammar

import (
	"fmt"
	"slices"
	"strings"

	"dipper/appliance/api"
)

// Refused tells that the line makes sense but is not for this user.
type Refused struct {
	Mistake
	Need api.Role
}

// Unwrap gives the place on the line.
func (r *Refused) Unwrap() error { return &r.Mistake }

// Parse reads one stage along the table, on behalf of somebody with role.
// What is wrong is a *Mistake, or *Refused when the role does not suffice.
func Parse[R any](top []*Command[R], role api.Role, s Stage) (*Call[R], error) {
	p := &place[R]{top: top}
	for _, w := range s.Words {
		if err := p.read(role, w); err != nil {
			return nil, err
		}
	}
	if !p.complete() {
		return nil, p.unfinished(s.Words[len(s.Words)-1].End)
	}
	return &p.call, nil
}

// read takes one word.
func (p *place[R]) read(role api.Role, w Word) error {
	e, text, err := p.match(w)
	if err != nil {
		return err
	}
	if e.command != nil && e.command.Instead != "" {
		return &Mistake{Start: w.Start, End: w.End, Problem: fmt.Sprintf("there is no %q here", w.Text), Hint: e.command.Instead}
	}
	if !Allows(role, e.role) {
		return &Refused{Need: e.role, Mistake: Mistake{
			Start: w.Start, End: w.End,
			Problem: fmt.Sprintf("%s: this needs the role %s, and yours is %s", text, e.role, role),
			Hint:    "ask an administrator",
		}}
	}
	p.take(e, w, text)
	return nil
}

// match finds what a word is: a word of the table in full, a value, or the
// abbreviation of a word of the table, in this order.
func (p *place[R]) match(w Word) (expectation[R], string, error) {
	next := p.next()
	var short, hidden []expectation[R]
	for _, e := range next {
		switch {
		case e.arg != nil && e.arg.Verbatim:
			return e, w.Text, nil
		case e.arg != nil || w.Quoted:
		case e.word == w.Text || e.command != nil && e.command.Short == w.Text:
			return e, e.word, nil
		case !strings.HasPrefix(e.word, w.Text):
		case e.command != nil && e.command.Hidden:
			hidden = append(hidden, e)
		default:
			short = append(short, e)
		}
	}
	if len(short) == 0 {
		short = hidden
	}
	var wrong error
	for _, e := range next {
		if e.arg == nil || looksLikeFlag(w) && len(short) > 0 {
			continue
		}
		text, err := e.arg.accept(w)
		if err == nil {
			return e, text, nil
		}
		wrong = fmt.Errorf("%s: %w", e.arg.Name, err)
	}
	if len(short) == 1 {
		return short[0], short[0].word, nil
	}
	return expectation[R]{}, "", p.misread(w, short, wrong)
}

func looksLikeFlag(w Word) bool { return strings.HasPrefix(w.Text, "--") && !w.Quoted }

// misread explains a word that fits nowhere.
func (p *place[R]) misread(w Word, short []expectation[R], wrong error) error {
	m := &Mistake{Start: w.Start, End: w.End}
	switch {
	case w.Quoted && slices.Contains(wordsOf(offered(p.next())), w.Text):
		m.Problem, m.Hint = fmt.Sprintf("unknown command %q", w.Text), "write it without quotes"
	case len(short) > 1:
		m.Problem = fmt.Sprintf("%q is short for more than one word", w.Text)
		m.Hint = "it could be " + strings.Join(wordsOf(short), ", ")
	case wrong != nil:
		m.Problem = wrong.Error()
	case len(p.call.Path) == 0:
		m.Problem = fmt.Sprintf("unknown command %q", w.Text)
		m.Hint = guess(w.Text, wordsOf(offered(p.next())), "? lists the commands")
	default:
		words := wordsOf(offered(p.next()))
		m.Problem = fmt.Sprintf("%q is not expected after %q", w.Text, p.call.String())
		m.Hint = "nothing may follow it"
		if len(words) > 0 {
			m.Hint = guess(w.Text, words, "expected "+list(words))
		}
	}
	return m
}

// unfinished explains a line that ends too early, at a byte.
func (p *place[R]) unfinished(at int) error {
	var missing []string
	for _, e := range offered(p.next()) {
		if e.arg != nil {
			missing = append(missing, "<"+e.arg.Name+">")
		} else if e.command != nil {
			missing = append(missing, e.word)
		}
	}
	return &Mistake{
		Start: at, End: at,
		Problem: fmt.Sprintf("%q is not complete", p.call.String()), Hint: "expected " + list(missing),
	}
}

// list writes words for a sentence, not more than fit into one.
func list(words []string) string {
	const most = 16
	if len(words) == 1 {
		return words[0]
	}
	rest := ""
	if len(words) > most {
		rest = fmt.Sprintf(" and %d more", len(words)-most)
		words = words[:most]
	}
	return "one of " + strings.Join(words, ", ") + rest
}

func wordsOf[R any](expected []expectation[R]) []string {
	var words []string
	for _, e := range expected {
		if e.arg == nil {
			words = append(words, e.word)
		} else {
			words = append(words, "<"+e.arg.Name+">")
		}
	}
	return words
}

// guess names the word that was probably meant.
func guess(word string, words []string, otherwise string) string {
	best, least := "", 3 // edits; more than two are no typing mistake
	for _, w := range words {
		if d := distance(word, w); d < least && d < len(word) {
			best, least = w, d
		}
	}
	if best == "" {
		return otherwise
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance counts the letters to insert, remove, replace or swap between a and
// b.
func distance(a, b string) int {
	const enough = 3
	if d := len(a) - len(b); d >= enough || -d >= enough {
		return enough
	}
	before, last, now := []int(nil), []int(nil), make([]int, len(b)+1)
	for j := range now {
		now[j] = j
	}
	for i := range len(a) {
		before, last, now = last, now, make([]int, len(b)+1)
		now[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			now[j+1] = min(now[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				now[j+1] = min(now[j+1], before[j-1]+1)
			}
		}
	}
	return now[len(b)]
}

// Expand writes the words of a stage in full, which need not be a whole command.
func Expand[R any](top []*Command[R], s Stage) (string, error) {
	p := &place[R]{top: top}
	for _, w := range s.Words {
		if err := p.read("", w); err != nil {
			return "", err
		}
	}
	return p.call.String(), nil
}
