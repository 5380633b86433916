package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"dipper/shell/grammar"
	"dipper/shell/output"
	"dipper/shell/terminal"
)

// filterSpec is what a filter does to a command's output.
type filterSpec struct {
	// wrap puts the filter before w; nil: it is about the command itself.
	wrap func(w io.Writer, f *grammar.Call[filterSpec]) output.Filter
	set  func(c *call, f *grammar.Call[filterSpec]) error
}

type filter = grammar.Command[filterSpec]

// filters is the table of what may stand after a pipe.
func filters() []*filter {
	expression := []grammar.Arg{{Name: "expression", Help: "regular expression (RE2); (?i) before it ignores case", Check: isExpression}}
	number := []grammar.Arg{{Name: "lines", Help: "how many lines (10)", Optional: true, Check: isNumber(1, 1_000_000)}}
	with := []grammar.Arg{optional(whichArg("compare with"))}
	table := []*filter{
		{Name: "match", Help: "lines that match an expression", Args: expression, Run: filterSpec{wrap: match(false)}},
		{Name: "except", Help: "lines that do not match an expression", Args: expression, Run: filterSpec{wrap: match(true)}},
		{Name: "count", Help: "the number of lines", Run: filterSpec{
			wrap: func(w io.Writer, _ *grammar.Call[filterSpec]) output.Filter { return output.Count(w) },
		}},
		{Name: "last", Help: "the last lines", Args: number, Run: filterSpec{
			wrap: func(w io.Writer, f *grammar.Call[filterSpec]) output.Filter { return output.Last(w, numberOf(f)) },
		}},
		{Name: "first", Help: "the first lines", Args: number, Run: filterSpec{
			wrap: func(w io.Writer, f *grammar.Call[filterSpec]) output.Filter { return output.First(w, numberOf(f)) },
		}},
		{Name: "json", Help: "the answer as JSON", Run: filterSpec{set: setJSON}},
		{Name: "exact", Help: "numbers in full", Run: filterSpec{set: setExact}},
		{Name: "display", Help: "how to write a configuration", Args: []grammar.Arg{{
			Name: "format", Help: "format", Values: []grammar.Value{
				{Word: "set", Help: "as set commands"}, {Word: "json", Help: "as JSON"}, {Word: "yaml", Help: "as in the boot config"},
			},
		}}, Run: filterSpec{set: setDisplay}},
		{Name: "compare", Help: "what a configuration differs in from another", Args: with, Bare: true, Run: filterSpec{set: setCompare}, Sub: []*filter{
			{Name: "rollback", Help: "as Junos has it", Args: with, Run: filterSpec{set: setCompare}, Hidden: true},
		}},
		{Name: "no-more", Help: "all at once, without waiting after each page", Run: filterSpec{set: setNoMore}},
	}
	return append(table, filterHabits(table)...)
}

func match(except bool) func(io.Writer, *grammar.Call[filterSpec]) output.Filter {
	return func(w io.Writer, f *grammar.Call[filterSpec]) output.Filter {
		return output.Match(w, regexp.MustCompile(f.Value("expression")), except) // checked when it was read
	}
}

// someLines is how many the first and the last are when nobody says.
const someLines = 10

func numberOf(f *grammar.Call[filterSpec]) int {
	if !f.Has("lines") {
		return someLines
	}
	n, _ := strconv.Atoi(f.Value("lines")) // checked when it was read
	return n
}

func setJSON(c *call, _ *grammar.Call[filterSpec]) error {
	if !c.Command().Run.json {
		return fmt.Errorf("%s: its output is text: there is no JSON of it", c.Call.String())
	}
	c.json = true
	return nil
}

func setExact(c *call, _ *grammar.Call[filterSpec]) error {
	c.style.Exact = true
	return nil
}

func setDisplay(c *call, f *grammar.Call[filterSpec]) error {
	if !c.Command().Run.configuration {
		return fmt.Errorf("%s: only a configuration is written in several ways", c.Call.String())
	}
	c.display = f.Value("format")
	return nil
}

func setCompare(c *call, f *grammar.Call[filterSpec]) error {
	if !c.Command().Run.configuration || c.Has("path") {
		return fmt.Errorf(`%s: only a whole configuration can be compared: "show | compare" in configuration mode`, c.Call.String())
	}
	c.comparing = cmp.Or(f.Value("configuration"), "running")
	return nil
}

func setNoMore(c *call, _ *grammar.Call[filterSpec]) error {
	c.noPager = true
	return nil
}

// noFilter says of what stands behind a pipe that it is no filter.
func noFilter(err error) error {
	var m *grammar.Mistake
	if errors.As(err, &m) {
		m.Problem = strings.Replace(m.Problem, "unknown command", "unknown filter", 1)
		m.Hint = strings.Replace(m.Hint, "? lists the commands", "? behind the | lists them", 1)
	}
	return err
}

// pipeline is where a command writes to.
type pipeline struct {
	io.Writer
	closers []func() error // the first filter first
}

func (p *pipeline) close() error {
	var first error
	for _, c := range p.closers {
		if err := c(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// pipe puts the filters between a command and the user.
func (c *call) pipe(ctx context.Context, stages []grammar.Stage) (*pipeline, error) {
	var parsed []*grammar.Call[filterSpec]
	for _, s := range stages {
		f, err := grammar.Parse(filters(), c.Actor.Role, s)
		if err != nil {
			return nil, noFilter(err)
		}
		if set := f.Command().Run.set; set != nil {
			if err := set(c, f); err != nil {
				return nil, mistakeAt(grammar.Word{Start: s.Words[0].Start, End: f.End()}, err.Error(), "")
			}
			continue
		}
		parsed = append(parsed, f)
	}
	if len(parsed) > 0 {
		c.style.Width = 0 // it does not go to the window as it is
	}
	p := &pipeline{Writer: c.conversation.out}
	live := (c.Command().Run.live || c.Has("follow")) && len(parsed) == 0
	if c.screen != nil && !live && !c.noPager && !c.noMore {
		pager := terminal.NewPager(ctx, c.screen)
		p.Writer, p.closers = pager, []func() error{pager.Close}
	}
	for i := len(parsed) - 1; i >= 0; i-- {
		f := parsed[i].Command().Run.wrap(p.Writer, parsed[i])
		p.Writer, p.closers = f, append([]func() error{f.Close}, p.closers...)
	}
	return p, nil
}
