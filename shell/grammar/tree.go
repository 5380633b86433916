package grammar

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dipper/appliance/api"
)

// Command is a line of the table: a word, what may follow it, and what is done
// then. R is what runs it; grammar only hands it back.
//
// After the name come the arguments, in order, and then either one of the
// subcommands or options in any order.
type Command[R any] struct {
	Name, Help string
	Short      string   // an abbreviation that means it, whatever else begins so
	Role       api.Role // the lowest that may use it; "": as its parent
	Args       []Arg
	Options    []Option
	Sub        []*Command[R]
	Bare       bool // although there are subcommands, none need follow
	Run        R
	// Hidden is understood and not offered: other machines' word for it. An
	// abbreviation means it only where it means nothing that is offered.
	Hidden bool
	// Instead is what to type in place of a Hidden word, which is not done,
	// whatever follows it.
	Instead string
}

// Arg is a value that is typed.
type Arg struct {
	Name   string // what it stands for: "address"
	Help   string
	Kind   string  // of the values that the appliance knows, for completion
	Values []Value // those that are known here; they may be abbreviated
	// Check says what is wrong with a value; nil: nothing. With Values, a
	// value is either one of them or passes Check, if there is one.
	Check    func(string) error
	Optional bool
	Repeated bool // takes all words up to an option
	Verbatim bool // takes all words that follow, also those that look like options
}

// Value is one of a fixed choice.
type Value struct{ Word, Help string }

// Option is a word that may stand after the arguments, once.
type Option struct {
	Name, Help string
	Arg        *Arg // nil: the word alone says it; an Optional one need not follow
}

// Call is a line that made sense.
type Call[R any] struct {
	Path   []*Command[R]
	values map[string][]Word // by name of argument or option
	words  []string          // in full
	given  map[string]Word   // the options' own words
	end    int
}

// Option is the word that an option was given by, with its place.
func (c *Call[R]) Option(name string) Word { return c.given[name] }

// End is where the last word ends on the line.
func (c *Call[R]) End() int { return c.end }

// Command is the command that was called.
func (c *Call[R]) Command() *Command[R] { return c.Path[len(c.Path)-1] }

// String is the line in full: without abbreviations, quoted where need be.
func (c *Call[R]) String() string { return strings.Join(c.words, " ") }

// Has reports whether an argument or option was given.
func (c *Call[R]) Has(name string) bool { _, ok := c.values[name]; return ok }

// Value is the argument or option's value, "" when it was not given.
func (c *Call[R]) Value(name string) string {
	if w := c.values[name]; len(w) > 0 {
		return w[0].Text
	}
	return ""
}

// Values are all that was given as a value of an argument or option, but for
// some.
func (c *Call[R]) Values(except ...string) []Word {
	var all []Word
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		if !slices.Contains(except, name) {
			all = append(all, c.values[name]...)
		}
	}
	return all
}

// Words are the values of an argument that may be repeated, with their places.
func (c *Call[R]) Words(name string) []Word { return c.values[name] }

// Texts are the values of an argument that may be repeated.
func (c *Call[R]) Texts(name string) []string {
	var texts []string
	for _, w := range c.values[name] {
		texts = append(texts, w.Text)
	}
	return texts
}

// Allows reports whether somebody with role may do what needs at least need.
// Nobody in particular (the machine itself) may do everything.
func Allows(role, need api.Role) bool {
	order := []api.Role{api.Viewer, api.Operate, api.Admin}
	return role == "" || need == "" || slices.Index(order, role) >= slices.Index(order, need)
}

// place is how far a line has been read: what is behind is settled, and next
// says all that may follow. Parse and Complete have no other knowledge.
type place[R any] struct {
	call    Call[R]
	top     []*Command[R]
	arg     int     // the argument that is next
	began   bool    // a repeated argument has at least one word
	waiting *Option // its value is next
}

// expectation is one thing that may come next: a word or an argument.
type expectation[R any] struct {
	word, help string
	role       api.Role
	command    *Command[R]
	option     *Option
	arg        *Arg
}

// next lists what may come next.
func (p *place[R]) next() []expectation[R] {
	var next []expectation[R]
	switch {
	case p.waiting != nil:
		next = append(next, expectation[R]{arg: p.waiting.Arg})
		if !p.waiting.Arg.Optional {
			return next
		}
	case len(p.call.Path) == 0:
		return commands(p.top)
	}
	cmd := p.call.Command()
	if p.arg < len(cmd.Args) {
		arg := &cmd.Args[p.arg]
		next = append(next, expectation[R]{arg: arg})
		if arg.Verbatim || !arg.Optional && !p.began {
			return next
		}
	}
	if !p.hasOptions() {
		next = append(next, commands(cmd.Sub)...)
	}
	for i, o := range cmd.Options {
		if !p.call.Has(o.Name) {
			next = append(next, expectation[R]{word: o.Name, help: o.Help, option: &cmd.Options[i]})
		}
	}
	return next
}

// hasOptions reports whether options were given to the present command:
// subcommands come before them.
func (p *place[R]) hasOptions() bool {
	return slices.ContainsFunc(p.call.Command().Options, func(o Option) bool { return p.call.Has(o.Name) })
}

// offered are the expectations that somebody is told of.
func offered[R any](all []expectation[R]) []expectation[R] {
	return slices.DeleteFunc(slices.Clone(all), func(e expectation[R]) bool { return e.command != nil && e.command.Hidden })
}

func commands[R any](list []*Command[R]) []expectation[R] {
	var e []expectation[R]
	for _, c := range list {
		e = append(e, expectation[R]{word: c.Name, help: c.Help, role: c.Role, command: c})
	}
	return e
}

// complete reports whether the line may end here.
func (p *place[R]) complete() bool {
	if len(p.call.Path) == 0 || p.waiting != nil && !p.waiting.Arg.Optional {
		return false
	}
	cmd := p.call.Command()
	if p.arg < len(cmd.Args) && !cmd.Args[p.arg].Optional && !p.began {
		return false
	}
	return len(cmd.Sub) == 0 || cmd.Bare
}

// take goes on by what w was found to be, written in full as text.
func (p *place[R]) take(e expectation[R], w Word, text string) {
	p.call.words = append(p.call.words, Quote(text))
	w.Text = text
	p.call.end = w.End
	waiting := p.waiting
	p.waiting = nil
	switch {
	case e.command != nil:
		p.call.Path = append(p.call.Path, e.command)
		p.arg, p.began = 0, false
	case e.option != nil:
		p.set(e.option.Name)
		if p.call.given == nil {
			p.call.given = map[string]Word{}
		}
		p.call.given[e.option.Name] = w
		if e.option.Arg != nil {
			p.waiting = e.option
		}
	case waiting != nil && e.arg == waiting.Arg:
		p.set(waiting.Name, w)
	default:
		p.set(e.arg.Name, append(p.call.values[e.arg.Name], w)...)
		p.began = e.arg.Repeated || e.arg.Verbatim
		if !p.began {
			p.arg++
		}
	}
}

func (p *place[R]) set(name string, words ...Word) {
	if p.call.values == nil {
		p.call.values = map[string][]Word{}
	}
	p.call.values[name] = words
}

// accept says what a value means in full, or what is wrong with it.
func (a *Arg) accept(w Word) (string, error) {
	if len(a.Values) == 0 {
		if a.Check != nil {
			return w.Text, a.Check(w.Text)
		}
		return w.Text, nil
	}
	var found []string
	for _, v := range a.Values {
		if v.Word == w.Text {
			return v.Word, nil
		}
		if strings.HasPrefix(v.Word, w.Text) && w.Text != "" && !w.Quoted {
			found = append(found, v.Word)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("%q is short for more than one: %s", w.Text, strings.Join(found, ", "))
	case a.Check != nil:
		return w.Text, a.Check(w.Text)
	}
	return "", fmt.Errorf("%q: expected %s", w.Text, a.choice())
}

// choice lists the fixed values.
func (a *Arg) choice() string {
	var words []string
	for _, v := range a.Values {
		words = append(words, v.Word)
	}
	return "one of " + strings.Join(words, ", ")
}
