package session

import (
	"context"
	"slices"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/shell/cells"
	"dipper/shell/grammar"
	"dipper/shell/output"
	"dipper/shell/terminal"
)

// What completion may cost: values asked of the appliance, and the time for it.
const (
	maxOffered       = 100
	completePatience = 2 * time.Second
)

// offer is what may stand at the end of a line.
type offer struct {
	grammar.Choices
	values []api.Completion // that begin with the word
	cut    bool             // there are more values than were asked for
	filter bool
}

// offers finds what may stand at the end of a line: words of the table, and
// values that the appliance knows.
func (c *conversation) offers(ctx context.Context, line string) (offer, error) {
	stage, isFilter := grammar.Last(line)
	o := offer{filter: isFilter}
	var err error
	if isFilter {
		o.Choices, _, err = grammar.Complete(filters(), c.Actor.Role, stage)
		return o, err
	}
	var before *grammar.Call[verb]
	if o.Choices, before, err = grammar.Complete(c.table(), c.Actor.Role, stage); err != nil {
		return o, err
	}
	ctx, cancel := context.WithTimeout(ctx, completePatience)
	defer cancel()
	for _, asked := range o.Asked {
		// Completion without values is better than an error in its place.
		values, _ := c.values(ctx, before, asked, o.Word)
		for _, v := range values {
			if v.Word == "" || strings.HasPrefix(v.Word, o.Word) {
				o.values = append(o.values, v)
			}
		}
	}
	if len(o.values) > maxOffered {
		o.values, o.cut = o.values[:maxOffered], true
	}
	return o, nil
}

// values asks the appliance what may stand for an argument, after what was read
// before. One more than is shown is asked for.
func (c *conversation) values(ctx context.Context, before *grammar.Call[verb], asked grammar.Asked, word string) ([]api.Completion, error) {
	kind, path, _ := strings.Cut(asked.Arg.Kind, " ")
	switch kind {
	case "":
		return nil, nil
	case kindPath:
		words := slices.Concat(c.levelOf(before), asked.Before, []string{word})
		return c.API.CompleteCandidate(ctx, c.candidate.ID, api.CompleteQuery{Kind: api.EditKind(path), Words: words, Limit: maxOffered + 1})
	case kindTop:
		words := append(slices.Clone(asked.Before), word)
		return c.API.CompleteConfig(ctx, "running", api.CompleteQuery{Words: words, Limit: maxOffered + 1})
	}
	if kind == kindIPVSAdm {
		words, names := ipvsadmWords(c.Actor.Role, asked.Before)
		if names == "" {
			return words, nil
		}
		kind = names
	}
	return c.API.Names(ctx, api.NamesQuery{Kind: kind, Prefix: word, Limit: maxOffered + 1})
}

// Kinds of arguments that are paths of the configuration or ipvsadm's; the others
// are those of api.NamesQuery.
const (
	kindPath    = "path" // below a level; an api.EditKind may follow
	kindTop     = "top-path"
	kindIPVSAdm = "ipvsadm"
)

// Complete extends the line as far as it can only go one way, and lists the
// ways otherwise.
func (p prompter) Complete(ctx context.Context, line string) terminal.Completion {
	o, err := p.offers(ctx, line)
	if err != nil {
		return terminal.Completion{Start: len(line), List: p.explain(err)}
	}
	words := o.words()
	switch {
	case len(words) == 0:
		return terminal.Completion{Start: len(line), List: p.list(o)}
	case len(words) == 1 && !o.cut:
		return terminal.Completion{Start: o.Start, Insert: grammar.Quote(words[0]) + " "}
	}
	if common := commonPrefix(words); len(common) > len(o.Word) && !o.cut && !o.Quoted {
		return terminal.Completion{Start: o.Start, Insert: strings.TrimSuffix(grammar.Quote(common+"x"), "x")}
	}
	return terminal.Completion{Start: len(line), List: p.list(o)}
}

// words are those that may stand there.
func (o *offer) words() []string {
	var words []string
	for _, k := range o.Known {
		words = append(words, k.Word)
	}
	for _, v := range o.values {
		if v.Word != "" {
			words = append(words, v.Word)
		}
	}
	return words
}

func commonPrefix(words []string) string {
	common := words[0]
	for _, w := range words[1:] {
		for !strings.HasPrefix(w, common) {
			common = common[:len(common)-1]
		}
	}
	return strings.ToValidUTF8(common, "")
}

// Help lists what may come next.
func (p prompter) Help(ctx context.Context, line string) string {
	o, err := p.offers(ctx, line)
	if err != nil {
		return p.explain(err)
	}
	return p.list(o)
}

// explain shows a mistake in the line before its end.
func (prompter) explain(err error) string { return "  " + err.Error() }

// told says what a value is, and what it is at present.
func told(help, state string) string {
	if help == "" || state == "" {
		return help + state
	}
	return help + " (" + state + ")"
}

// list writes an offer as help.
func (p prompter) list(o offer) string {
	style := p.style()
	t := style.Table("", "")
	for _, k := range o.Known {
		t.Row("  "+k.Word, k.Help)
	}
	for _, v := range o.values {
		word := v.Word
		if word == "" {
			continue
		}
		t.Row("  "+cells.Safe(grammar.Quote(word)), told(cells.Safe(v.Help), cells.Safe(v.State)))
	}
	for _, v := range o.values {
		if v.Word == "" {
			t.Row("  "+style.Paint(output.Faint, cells.Safe(v.Help)), cells.Safe(v.State))
		}
	}
	for _, a := range o.Asked {
		isPath := strings.HasPrefix(a.Arg.Kind, kindPath) || a.Arg.Kind == kindTop
		if a.Arg.Kind == "" || len(o.values) == 0 && !isPath {
			t.Row("  <"+a.Arg.Name+">", a.Arg.Help)
		}
	}
	if o.Enter {
		t.Row("  <enter>", "run this")
		t.Row("  |", "filter what it says")
	}
	if t.Len() == 0 {
		return "  nothing fits here"
	}
	lines := t.Lines()[1:]
	if o.cut {
		lines = append(lines, "  ... and more: type on")
	}
	if width := p.screen.Size().Width; width > 0 {
		for i := range lines {
			lines[i] = cells.Truncate(lines[i], width)
		}
	}
	return strings.Join(lines, "\n")
}
