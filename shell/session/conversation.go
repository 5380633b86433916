package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"dipper/appliance/api"
	"dipper/shell/cells"
	"dipper/shell/grammar"
	"dipper/shell/output"
	"dipper/shell/terminal"
)

// conversation is a Session under way.
type conversation struct {
	*Session
	ctx    context.Context
	out    io.Writer
	errOut io.Writer
	change func(func(*Presence)) // of this session in the registry

	screen  *terminal.Screen // nil: no terminal
	editor  *terminal.Editor
	history *terminal.History
	noMore  bool // the user wants no pager

	stdin  io.Reader     // of the only command; nil: there is none
	lines  *bufio.Reader // of a script
	number int           // of the script's line

	candidate *api.Candidate // in configuration mode; begins and ends with enterCandidate
	level     []string       // of edit; goTo changes it
	came      [][]string     // levels that edit was said at, for exit: there is one unless level is the top
	over      bool           // exit was said

	reminded time.Time // of which unconfirmed commit; watchStatus's own
	outdated string    // which candidate was told of; watchEvents' own

	mu      sync.Mutex
	status  api.Status    // as it was last seen
	editing api.Candidate // of configuration mode, as it was last seen; without ID outside of it
}

// verb is what a command does.
type verb struct {
	do   func(ctx context.Context, c *call) error
	live bool // shows what happens: never paged
	json bool // has an answer that --json and | json can show

	configuration bool // shows one, which | display writes in several ways and | compare compares
}

type command = grammar.Command[verb]

// call is a command that is being carried out.
type call struct {
	*grammar.Call[verb]
	*conversation
	asking context.Context // ends with the command
	out    io.Writer
	style  output.Style
	json   bool

	display   string // format of a configuration
	comparing string // with which a configuration is compared instead of shown
	noPager   bool
}

// printf writes to the command's output. When nobody is there any more, the
// context says so.
func (c *call) printf(format string, args ...any) { fmt.Fprintf(c.out, format, args...) }

// exitStatus is a program's exit status other than 0: it has said why.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// mistakeAt is something wrong with a word that grammar could not know.
func mistakeAt(w grammar.Word, problem, hint string) error {
	return &grammar.Mistake{Start: w.Start, End: w.End, Problem: problem, Hint: hint}
}

// line runs the commands of a line up to the first that fails.
func (c *conversation) line(ctx context.Context, line string) int {
	statements, err := grammar.Split(line)
	if err != nil {
		c.audit(ctx, "a line that cannot be read", 0, err) // which may hold anything
		return c.report(line, err)
	}
	for _, s := range statements {
		if status := c.statement(ctx, line, s); status != 0 || c.over {
			return status
		}
	}
	return 0
}

// statement runs one command with its filters.
func (c *conversation) statement(ctx context.Context, line string, s grammar.Statement) int {
	began := c.Now()
	text := redacted(s[0].Words)
	c.change(func(p *Presence) { p.Doing, p.Active = text, began })
	defer c.change(func(p *Presence) { p.Doing = "" })
	parsed, err := grammar.Parse(c.table(), c.Actor.Role, s[0])
	if err == nil {
		text = redacted(s[0].Words, parsed)
		err = blame(c.run(ctx, line, parsed, s[1:]), parsed.Values("comment"))
	}
	c.audit(ctx, text, c.Now().Sub(began), err)
	return c.report(line, err)
}

// run carries a command out, its output going through the filters.
func (c *conversation) run(ctx context.Context, line string, parsed *grammar.Call[verb], stages []grammar.Stage) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if c.screen != nil {
		defer c.screen.OnInterrupt(func() {
			_, _ = io.WriteString(c.screen, "^C\n") // says that it was heard
			cancel(terminal.ErrInterrupted)
		})()
	}
	call := &call{Call: parsed, conversation: c, asking: ctx, style: c.style()}
	call.json, call.style.Exact = parsed.Has("--json"), parsed.Has("--exact")
	out, err := call.pipe(ctx, stages)
	if err != nil {
		return err
	}
	call.out = out
	err = parsed.Command().Run.do(ctx, call)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, terminal.ErrInterrupted) {
		err = cause
	}
	if closed := out.close(); err == nil {
		err = closed
	}
	if errors.Is(err, terminal.ErrEnough) {
		return nil
	}
	return err
}

// style is how this user wants output.
func (c *conversation) style() output.Style {
	s := output.Style{Now: c.Now()}
	if c.screen != nil {
		s.Width = c.screen.Size().Width
		_, never := c.Env["NO_COLOR"]
		s.Colour = !c.screen.Plain() && (!never || c.Env["NO_COLOR"] == "")
	}
	return s
}

// auditPatience is how long a user waits for the record of a command.
const auditPatience = 5 * time.Second

// audit records a command. It is recorded too when its session is gone.
func (c *conversation) audit(ctx context.Context, text string, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditPatience)
	defer cancel()
	entry := api.AuditEntry{Kind: "command", Text: text, Result: result(err), Took: api.Duration(took)}
	err = c.API.Audit(ctx, entry)
	if _, refused := asRefusal(err); err != nil && !refused {
		// A connection that the other side gave up at this moment. Recorded
		// twice is better than not at all.
		err = c.API.Audit(ctx, entry)
	}
	if err != nil {
		fmt.Fprintf(c.errOut, "warning: this command is not in the audit log: %v\n", err)
	}
}

// result is one word or sentence for the audit log.
func result(err error) string {
	var refused *grammar.Refused
	var mistake *grammar.Mistake
	var no *api.Error
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, terminal.ErrInterrupted):
		return "interrupted"
	case errors.As(err, &refused):
		return "refused: needs the role " + string(refused.Need)
	case errors.As(err, &mistake):
		return "mistake"
	case errors.As(err, &no):
		return "failed: " + no.Message
	}
	return "failed: " + err.Error()
}

// report tells the user what went wrong, and answers the exit status.
func (c *conversation) report(line string, err error) int {
	var mistake *grammar.Mistake
	var no *api.Error
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.Is(err, terminal.ErrInterrupted):
		return exitInterrupted
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &mistake):
		c.point(line, mistake)
		if errors.As(err, &no) {
			c.complain(no.Message, no.Details...)
		} else {
			c.complain(mistake.Error())
		}
		return exitMistake
	case errors.As(err, &no):
		var at *blamed
		if errors.As(err, &at) {
			c.point(line, &grammar.Mistake{Start: at.word.Start, End: at.word.End})
		}
		c.complain(no.Message, no.Details...)
		if no.Exit != 0 {
			return no.Exit
		}
		return exitFailed
	}
	c.complain(err.Error())
	return exitFailed
}

// blamed is a refusal of the control plane that speaks of a word of the line.
type blamed struct {
	no   *api.Error
	word grammar.Word
}

func (b *blamed) Error() string { return b.no.Error() }

// Unwrap gives the refusal.
func (b *blamed) Unwrap() error { return b.no }

// blame finds the value on the line that a refusal speaks of; of several, the one
// that it names first: "there is no real server A of service B".
func blame(err error, values []grammar.Word) error {
	no, ok := asRefusal(err)
	var mistake *grammar.Mistake
	if !ok || errors.As(err, &mistake) {
		return err
	}
	said := strings.FieldsFunc(no.Message, func(r rune) bool { return strings.ContainsRune(` "'`, r) })
	for i, word := range said {
		said[i] = strings.TrimRight(word, ":,;.")
	}
	for i, word := range said {
		if len(word) == 1 && (i == 0 || said[i-1] != "revision") {
			continue // an article, or a number of something else
		}
		if at := slices.IndexFunc(values, func(v grammar.Word) bool { return v.Text == word }); at >= 0 {
			return &blamed{no, values[at]}
		}
	}
	return err
}

func (c *conversation) complain(message string, details ...string) {
	style := c.style()
	where := ""
	if c.number > 0 {
		where = fmt.Sprintf("line %d: ", c.number)
	}
	lines := wrapped("error: "+where+message, style.Width)
	lines[0] = style.Paint(output.Bad, "error: ") + strings.TrimPrefix(lines[0], "error: ")
	for _, d := range details {
		lines = append(lines, wrapped("  "+d, style.Width)...)
	}
	fmt.Fprintln(c.errOut, strings.Join(lines, "\n"))
}

// wrapped cuts a sentence to the window, and leaves alone what shows a line of a
// configuration with its number, or points into one.
func wrapped(line string, width int) []string {
	line = cells.Safe(line)
	if number, _, found := strings.Cut(line, "| "); found && strings.Trim(number, " 0123456789") == "" {
		return []string{line}
	}
	return cells.Wrap(line, width)
}
