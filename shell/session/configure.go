package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dipper/appliance/api"
	"dipper/shell/cells"
	"dipper/shell/grammar"
	"dipper/shell/output"
)

// configurationTable is the table of the commands in configuration mode.
func configurationTable() []*command {
	everyday := everydayTable()
	table := append(configurationWords(),
		&command{Name: "run", Help: "run a command as outside of configuration mode", Sub: everyday})
	return append(table, configurationHabits(table, everyday)...)
}

// configurationWords are the commands of configuration mode alone.
func configurationWords() []*command {
	return slices.Concat(levelWords(), levelCommands(), []*command{
		{Name: "compare", Help: "what the candidate changes", Args: []grammar.Arg{optional(whichArg("compare with"))},
			Options: showFlags()[:1], Run: verb{do: compare, json: true}},
		commitCommand(),
		{Name: "confirm", Help: "keep a commit that waits to be confirmed", Run: verb{do: confirm}},
		{Name: "revert", Help: "undo a commit that waits to be confirmed", Run: verb{do: revert}},
		{Name: "rollback", Help: "make the candidate what was committed before", Args: []grammar.Arg{{
			Name: "revision", Help: "number of a revision; 0, or none, is the running configuration", Kind: "revision", Check: isRevision,
			Values: []grammar.Value{bootValue()}, Optional: true,
		}}, Run: verb{do: rollback}},
		{Name: "load", Help: "take settings from a file", Sub: loadTable(loadInto)},
		{Name: "save", Help: "keep the running configuration over a reboot", Run: verb{do: save},
			Options: []grammar.Option{option("comment", "why", grammar.Arg{Name: "text", Help: "comment"})}},
		{Name: "update", Help: "put your changes on top of what runs now", Run: verb{do: updateCandidate}},
		{Name: "discard", Help: "forget all changes", Run: verb{do: editPlain(api.EditDiscard)}},
		{Name: "exit", Help: "go back to where edit was said, or leave configuration mode", Bare: true, Run: verb{do: exitLevel}, Sub: []*command{
			{Name: "configuration-mode", Help: "leave configuration mode from any level", Run: verb{do: exitConfiguration}},
			{Name: "discard", Help: "leave it without a question", Run: verb{do: leaveAnyway}, Hidden: true},
		}},
		{Name: "quit", Help: "leave configuration mode", Run: verb{do: exitConfiguration}},
		{Name: "help", Help: "how to use this shell", Run: verb{do: help}},
	})
}

// configure opens a candidate.
func configure(ctx context.Context, c *call) error {
	shared := c.Command().Name == "shared"
	others, err := c.API.Candidates(ctx)
	if err != nil {
		return err
	}
	candidate, err := c.API.OpenCandidate(ctx, shared)
	if err != nil {
		return err
	}
	c.enterCandidate(&candidate)
	for _, o := range others {
		if o.ID == candidate.ID {
			if o.Changed {
				c.say(output.Warning, "the shared candidate has changes already, since %s: \"compare\" shows them", c.style.Time(o.Since))
			}
			continue
		}
		what := "has a candidate open"
		if o.Changed {
			what = "has uncommitted changes"
		}
		c.say(output.Warning, "%s %s since %s", who(o.Owner), what, c.style.Time(o.Since))
	}
	return nil
}

// enterCandidate begins configuration mode, and nil ends it.
func (c *conversation) enterCandidate(k *api.Candidate) {
	c.candidate, c.level, c.came = k, nil, nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.editing = api.Candidate{}
	if k != nil {
		c.editing = *k
	}
}

// tookEdit notes what an edit made of the candidate.
func (c *conversation) tookEdit(k api.Candidate) {
	c.candidate = &k
	c.sees(k)
}

// say tells the user something that is no answer: scripts do not see it among
// the output.
func (c *call) say(mood output.Mood, format string, args ...any) {
	for _, l := range cells.Wrap(fmt.Sprintf(format, args...), c.style.Width) {
		fmt.Fprintf(c.errOut, "%s\n", c.style.Paint(mood, l))
	}
}

// sentence is an answer in words.
func (c *call) sentence(format string, args ...any) {
	for _, l := range cells.Wrap(fmt.Sprintf(format, args...), c.style.Width) {
		c.printf("%s\n", l)
	}
}

// edit makes an edit of the words after the verb, below the present level.
func edit(kind api.EditKind) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		words := c.Words("path")
		e := api.Edit{Kind: kind, Words: c.path()}
		if kind == api.EditAnnotate {
			if text := words[len(words)-1]; !text.Quoted { // which may be a path whose comment was forgotten
				return mistakeAt(text, "annotate: the comment is not in quotes", `annotate PATH "text"; "" removes it`)
			}
			last := len(e.Words) - 1
			e.Words, e.Text = e.Words[:last], e.Words[last]
		}
		candidate, err := c.API.EditCandidate(ctx, c.candidate.ID, e)
		if err != nil {
			return c.atOwnPath(err)
		}
		c.tookEdit(candidate)
		return nil
	}
}

// editPlain makes an edit without words.
func editPlain(kind api.EditKind) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error { return c.edit(ctx, api.Edit{Kind: kind}) }
}

func (c *call) edit(ctx context.Context, e api.Edit) error {
	candidate, err := c.API.EditCandidate(ctx, c.candidate.ID, e)
	if err == nil {
		c.tookEdit(candidate)
	}
	return err
}

// updateCandidate brings the candidate to what runs now.
func updateCandidate(ctx context.Context, c *call) error {
	if err := c.edit(ctx, api.Edit{Kind: api.EditUpdate}); err != nil {
		return err
	}
	if !c.candidate.Changed {
		c.say(output.Plain, "the candidate is what runs now")
		return nil
	}
	c.say(output.Plain, `your changes are on top of what runs now: "compare" shows them`)
	if len(c.candidate.Clashes) == 0 {
		return nil
	}
	c.say(output.Warning, "what you and somebody else changed is now as you have it:")
	for _, clash := range c.candidate.Clashes {
		c.say(output.Warning, "  %s", cells.Safe(clash))
	}
	return nil
}

func rollback(ctx context.Context, c *call) error {
	which := cmp.Or(c.Value("revision"), "0")
	if err := c.edit(ctx, api.Edit{Kind: api.EditRollback, Words: []string{which}}); err != nil {
		return err
	}
	switch which {
	case "boot":
		return c.tookBoot(ctx)
	case "0":
		c.say(output.Plain, "the candidate is the running configuration now")
	default:
		c.say(output.Plain, "the candidate is revision %s now: \"compare\" shows what that changes, \"commit\" makes it so", which)
	}
	return nil
}

// tookBoot says what is wrong in a boot config that was taken to be mended.
func (c *call) tookBoot(ctx context.Context) error {
	s, err := c.API.Status(ctx)
	if err != nil {
		return err
	}
	if !brokenBoot(s) {
		c.say(output.Plain, "the candidate is what the machine booted with")
		return nil
	}
	c.say(output.Warning, "the candidate is what is right of %s; what is not:", cells.Safe(s.Source))
	for _, p := range s.Problems {
		c.printf("%s\n", strings.Join(wrapped("  "+p, c.style.Width), "\n"))
	}
	c.say(output.Plain, `"set" what is missing; "commit check" says what still is`)
	return nil
}

// brokenBoot reports whether the machine is in maintenance because of mistakes
// in its boot config.
func brokenBoot(s api.Status) bool {
	return s.State == api.Maintenance && s.Source != "" && len(s.Problems) > 0
}

func showCandidate(ctx context.Context, c *call) error {
	if c.comparing != "" {
		return c.compareCandidate(ctx, c.comparing)
	}
	text, err := c.API.ShowCandidate(ctx, c.candidate.ID, c.query(c.path()))
	if err == nil {
		return c.writeText(text)
	}
	if hint := candidateHint(c.Words("path")); hint != "" {
		err = hinted(err, hint)
	}
	return c.atOwnPath(err)
}

// hinted adds what else to do to a refusal.
func hinted(err error, hint string) error {
	no, ok := asRefusal(err)
	if !ok {
		return err
	}
	with := *no
	with.Details = append(slices.Clone(no.Details), hint)
	return &with
}

func compare(ctx context.Context, c *call) error {
	return c.compareCandidate(ctx, cmp.Or(c.Value("configuration"), "running"))
}

// compareCandidate shows what the candidate differs in from another
// configuration.
func (c *call) compareCandidate(ctx context.Context, which string) error {
	k, err := c.API.CompareCandidate(ctx, c.candidate.ID, which)
	if err != nil {
		return err
	}
	if c.json {
		return c.writeJSON(k)
	}
	return drawComparison(c, k)
}

// commitCommand is commit with its options.
func commitCommand() *command {
	return &command{
		Name: "commit", Help: "make the candidate the running and the saved configuration", Role: api.Admin,
		Options: commitOptions(), Run: verb{do: commit, json: true},
	}
}

func commitOptions() []grammar.Option {
	return []grammar.Option{
		{Name: "check", Help: "only say what would be done"},
		option("confirmed", "undo it unless it is confirmed within a time (10m)", optional(spanArg)),
		option("comment", "why, for the list of revisions", grammar.Arg{Name: "text", Help: "comment"}),
		{Name: "anyway", Help: "although somebody else changed the running configuration"},
		{Name: "and-quit", Help: "and leave configuration mode then"},
		showFlags()[0],
	}
}

// timeToConfirm is how long a confirmed commit waits when nobody says, as in
// Junos.
const timeToConfirm = "10m"

func commit(ctx context.Context, c *call) error {
	o := api.CommitOptions{CheckOnly: c.Has("check"), Comment: c.Value("comment"), Anyway: c.Has("anyway")}
	if c.Has("confirmed") {
		span, err := parseSpan(cmp.Or(c.Value("confirmed"), timeToConfirm))
		if err != nil {
			return err
		}
		o.Confirm = api.Duration(span)
	}
	done, err := c.API.Commit(ctx, c.candidate.ID, o)
	if err != nil {
		return explainConflict(err)
	}
	c.renewCandidate(ctx)
	if c.json {
		err = c.writeJSON(done)
	} else {
		err = c.committed(done, o)
	}
	if err == nil && c.Has("and-quit") && !o.CheckOnly {
		return exitConfiguration(ctx, c)
	}
	return err
}

// renewCandidate learns how the candidate stands, after a commit or after what
// others did.
func (c *conversation) renewCandidate(ctx context.Context) {
	all, err := c.API.Candidates(ctx)
	if err != nil {
		return // the next edit tells
	}
	for _, k := range all {
		if c.candidate != nil && k.ID == c.candidate.ID {
			c.tookEdit(k)
		}
	}
}

// explainConflict says what to do when somebody else was faster.
func explainConflict(err error) error {
	no, ok := asRefusal(err)
	if !ok || !no.Conflict {
		return err
	}
	explained := *no
	explained.Details = append(append([]string{"what changed meanwhile:"}, no.Details...),
		`what to do: "update" puts your changes on top of what runs now, and "compare" shows them;`,
		`"commit anyway" makes the candidate all there is, and undoes what the other changed;`,
		`"discard" begins again from the running configuration`)
	return &explained
}

func asRefusal(err error) (*api.Error, bool) {
	var no *api.Error
	return no, errors.As(err, &no)
}

// committed says what a commit did.
func (c *call) committed(done api.Committed, o api.CommitOptions) error {
	if len(done.Tree)+len(done.Plan) == 0 && done.Revision == 0 && done.ConfirmBy.IsZero() {
		c.printf("nothing to change\n")
		return nil
	}
	if o.CheckOnly {
		if err := drawComparison(c, done.Comparison); err != nil {
			return err
		}
		c.printf("the configuration is correct; nothing was changed\n")
		return nil
	}
	c.section("warnings", done.Warnings, output.Warning)
	c.edits("kernel edits that could not keep connections", withReasons(done.Comparison))
	edits := fmt.Sprintf("%d kernel edits", len(done.Plan))
	if len(done.Plan) == 1 {
		edits = "1 kernel edit"
	}
	switch {
	case !done.ConfirmBy.IsZero():
		c.sentence("committed with %s; it is undone in %s unless you \"confirm\"", edits, inFuture(c.style, done))
	case done.Revision > 0:
		c.printf("committed as revision %d with %s\n", done.Revision, edits)
	default:
		c.printf("committed with %s\n", edits)
	}
	return nil
}

func confirm(ctx context.Context, c *call) error {
	r, err := c.API.Confirm(ctx)
	if err != nil {
		return err
	}
	c.printf("confirmed: this is revision %d now\n", r.Number)
	return nil
}

func revert(ctx context.Context, c *call) error {
	if err := c.API.Revert(ctx); err != nil {
		return err
	}
	c.printf("the unconfirmed commit is undone\n")
	return nil
}

func save(ctx context.Context, c *call) error {
	// A comment makes a revision of its own. When the state cannot be found
	// out, saving once too often does no harm.
	if s, err := c.API.Status(ctx); err == nil && savedAlready(s) && !c.Has("comment") {
		c.printf("the running configuration is saved already, as %s\n", cells.Safe(s.Source))
		return nil
	}
	r, err := c.API.Save(ctx, c.Value("comment"))
	if err != nil {
		return err
	}
	if r.Number == 0 {
		c.printf("the running configuration is saved already\n")
		return nil
	}
	c.printf("saved as revision %d\n", r.Number)
	for note := range strings.Lines(r.Notes) {
		c.say(output.Warning, "%s", cells.Safe(strings.TrimSuffix(note, "\n")))
	}
	return nil
}

// savedAlready tells that what runs is the revision that the machine boots with,
// and that nothing is known to be wrong with where it is kept.
func savedAlready(s api.Status) bool {
	return !s.Unsaved && s.ConfirmBy.IsZero() && len(s.Problems) == 0 && strings.HasPrefix(s.Source, "revision ")
}

func exit(_ context.Context, c *call) error {
	c.over = true
	return nil
}

func exitConfiguration(ctx context.Context, c *call) error {
	if c.candidate.Shared {
		c.renewCandidate(ctx)
	}
	if c.candidate.Changed && !c.candidate.Shared && c.screen != nil {
		if err := c.confirmed(ctx, "There are uncommitted changes. Leave and forget them?"); err != nil {
			return err
		}
	} else if c.candidate.Changed {
		c.say(output.Warning, "%s", lostOrKept(c.candidate.Shared))
	}
	c.conversation.closeCandidate(ctx)
	return nil
}

func lostOrKept(shared bool) string {
	if shared {
		return "the shared candidate keeps its uncommitted changes"
	}
	return "warning: the changes were not committed and are gone"
}

// errNo is the answer to a question.
var errNo = errors.New("nothing was done")

// confirmed asks a question that somebody at a terminal has to answer by y.
func (c *call) confirmed(ctx context.Context, question string) error {
	fmt.Fprintf(c.conversation.out, "%s [y/N] ", question)
	answer, err := c.screen.Ask(ctx)
	if err != nil {
		fmt.Fprintln(c.conversation.out)
		return err
	}
	fmt.Fprintln(c.conversation.out, strings.TrimSpace(answer))
	if answer != "y" && answer != "Y" {
		return errNo
	}
	return nil
}
