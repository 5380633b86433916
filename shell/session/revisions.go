package session

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"dipper/appliance/api"
	"dipper/shell/cells"
	"dipper/shell/grammar"
	"dipper/shell/output"
)

// whichArg is a configuration that is kept.
func whichArg(help string) grammar.Arg {
	return grammar.Arg{
		Name: "configuration", Help: help, Kind: "revision",
		Values: []grammar.Value{{Word: "running", Help: "which the kernel follows"}, {Word: "saved", Help: "which the machine boots with"}, bootValue()},
		Check:  isConfiguration,
	}
}

// bootValue is what the machine booted with.
func bootValue() grammar.Value {
	return grammar.Value{Word: "boot", Help: "what the machine found when it booted, without what is wrong in it"}
}

// showConfiguration shows the running configuration, whole or a part.
func showConfiguration() *command {
	return &command{
		Name: "configuration", Help: "the running configuration, without secrets",
		Args: []grammar.Arg{{Name: "path", Help: "a part of it, as after set", Kind: kindTop, Optional: true, Repeated: true}},
		Options: append([]grammar.Option{
			option("of", "another configuration", whichArg("running, saved, boot or the number of a revision")),
			option("display", "how to write it", formatArg()),
		}, showFlags()[0]),
		Run: verb{do: drawConfiguration, json: true, configuration: true},
	}
}

func formatArg() grammar.Arg {
	return grammar.Arg{Name: "format", Help: "format", Values: []grammar.Value{
		{Word: "set", Help: "as set commands"}, {Word: "json", Help: "as JSON"}, {Word: "yaml", Help: "as in the boot config"},
	}}
}

// query is which part of a configuration is wanted, and how.
func (c *call) query(path []string) api.ShowQuery {
	format := c.display
	if format == "" {
		format = c.Value("display")
	}
	if c.json {
		format = "json"
	}
	formats := map[string]api.ShowFormat{"set": api.FormatCommands, "json": api.FormatJSON, "": api.FormatYAML, "yaml": api.FormatYAML}
	return api.ShowQuery{Path: path, Format: formats[format]}
}

func drawConfiguration(ctx context.Context, c *call) error {
	which := cmp.Or(c.Value("of"), "running")
	if c.comparing != "" {
		return c.compareKept(ctx, c.comparing, which)
	}
	text, err := c.API.ShowConfig(ctx, which, c.query(c.Texts("path")))
	if err != nil {
		return c.atPath(err, c.Words("path"), 0)
	}
	return c.writeText(text)
}

// writeText writes text that the control plane rendered.
func (c *call) writeText(text string) error {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err := io.WriteString(c.out, cells.Safe(text))
	return err
}

// showRevisions lists revisions or compares two.
func showRevisions() *command {
	list := show("revisions", "what was committed before", fetch(Appliance.Revisions), drawRevisions)
	list.Bare = true
	compared := grammar.Arg{Name: "revision", Help: "number of a revision", Kind: "revision", Check: isKeptRevision}
	list.Sub = []*command{{
		Name: "compare", Help: "what a revision differs in from the running configuration",
		Args: []grammar.Arg{compared}, Options: showFlags()[:1], Run: verb{do: compareRevision, json: true},
	}}
	return list
}

func drawRevisions(c *call, revisions []api.Revision) error {
	t := c.style.Table(">Number", "Time (UTC)", "User", "~Via", "Comment")
	for _, r := range revisions {
		t.Row(strconv.Itoa(r.Number), c.style.Time(r.Time), orDash(r.User), orDash(r.Via), cells.Safe(r.Comment))
	}
	return c.table(t, "there are no revisions yet")
}

func compareRevision(ctx context.Context, c *call) error {
	return c.compareKept(ctx, c.Value("revision"), "running")
}

// compareKept shows what leads from one configuration that is kept to another.
func (c *call) compareKept(ctx context.Context, from, to string) error {
	comparison, err := c.API.CompareConfigs(ctx, from, to)
	if err != nil {
		return err
	}
	if c.json {
		return c.writeJSON(comparison)
	}
	return drawComparison(c, comparison)
}

// drawComparison shows a difference: as a tree, as kernel edits, and what
// connections would not survive.
func drawComparison(c *call, k api.Comparison) error {
	if len(k.Tree)+len(k.Plan)+len(k.Warnings)+len(k.Disturbed) == 0 {
		c.printf("no difference\n")
		return nil
	}
	for _, l := range k.Tree {
		c.printf("%s\n", paintDifference(c.style, cells.Safe(l)))
	}
	c.edits("kernel edits", k.Plan)
	c.section("connections that would not survive", k.Disturbed, output.Bad)
	c.section("warnings", k.Warnings, output.Warning)
	return nil
}

func paintDifference(style output.Style, line string) string {
	switch {
	case strings.HasPrefix(line, "+"):
		return style.Paint(output.Good, line)
	case strings.HasPrefix(line, "-"):
		return style.Paint(output.Bad, line)
	case strings.HasPrefix(line, "!"):
		return style.Paint(output.Warning, line)
	}
	return line
}

// reason stands in a plan before what an edit does to connections: the edit is a
// command, and what follows it a comment.
const reason = "  # "

// withReasons are the edits that connections do not survive, each with where it
// comes from, how many connections that are, and why.
func withReasons(k api.Comparison) []string {
	whys := make(map[string]string, len(k.Disturbed))
	for _, edit := range k.Plan {
		if command, why, found := strings.Cut(edit, reason); found {
			whys[command] = reason + why
		}
	}
	var all []string
	for _, d := range k.Disturbed {
		command := d[strings.LastIndex(d, ": ")+1:] // all of it, if there is none
		all = append(all, d+whys[strings.TrimSpace(command)])
	}
	return all
}

// edits writes kernel edits under a heading, with what some do to connections
// beside them, or below where the window is too narrow.
func (c *call) edits(heading string, plan []string) {
	var lines []string
	for _, edit := range plan {
		edit = cells.Safe(edit)
		command, why, found := strings.Cut(edit, reason)
		mood := output.Plain
		if found {
			mood = output.Bad
		}
		parts := []string{edit}
		if found && c.style.Width > 0 && cells.Width("  "+edit) > c.style.Width {
			parts = []string{command}
			for _, part := range cells.Wrap(why, c.style.Width-len("    # ")) {
				parts = append(parts, "  # "+part)
			}
		}
		for _, part := range parts {
			lines = append(lines, "  "+c.style.Paint(mood, part)+"\n")
		}
	}
	if len(lines) > 0 {
		c.printf("%s:\n%s", heading, strings.Join(lines, ""))
	}
}

// section writes sentences under a heading; without any, nothing.
func (c *call) section(heading string, lines []string, mood output.Mood) {
	if len(lines) == 0 {
		return
	}
	c.printf("%s:\n", heading)
	for _, l := range lines {
		for _, part := range cells.Wrap("  "+cells.Safe(l), c.style.Width) {
			c.printf("%s\n", c.style.Paint(mood, part))
		}
	}
}

func drawCandidates(c *call, candidates []api.Candidate) error {
	t := c.style.Table("Owner", "Since", "~Kind", "Changed", "Base", "~Session")
	for _, k := range candidates {
		kind := "private"
		if k.Shared {
			kind = "shared"
		}
		base := strconv.Itoa(k.Base)
		if k.Stale {
			base = c.style.Paint(output.Warning, base+", running changed since")
		}
		t.Row(who(k.Owner), c.style.Time(k.Since), kind, yesNo(k.Changed), base, orDash(k.Owner.Session))
	}
	return c.table(t, "nobody changes the configuration")
}

// atPath gives an error of the control plane its place on the line: Word
// counts the words of the level first, which are not on the line.
func (c *conversation) atPath(err error, words []grammar.Word, level int) error {
	no, ok := asRefusal(err)
	if !ok || no.Word == 0 {
		return err
	}
	i := no.Word - 1 - level
	if i < 0 || len(words) == 0 {
		return err
	}
	at := grammar.Mistake{Start: words[len(words)-1].End + 1, End: words[len(words)-1].End + 1, Problem: no.Message}
	if i < len(words) { // otherwise a word is missing at the end
		at.Start, at.End = words[i].Start, words[i].End
	}
	return &placed{Mistake: at, no: no}
}

// placed is a refusal of the control plane at a word of the line.
type placed struct {
	grammar.Mistake
	no *api.Error
}

func (p *placed) Error() string { return p.no.Error() }

// Unwrap gives both.
func (p *placed) Unwrap() []error { return []error{&p.Mistake, p.no} }

// inFuture says when a commit is undone.
func inFuture(style output.Style, c api.Committed) string {
	return fmt.Sprintf("%s (%s UTC)", output.Duration(c.ConfirmBy.Sub(style.Now)), c.ConfirmBy.UTC().Format("15:04:05"))
}
