package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/shell/cells"
	"dipper/shell/grammar"
	"dipper/shell/output"
	"dipper/shell/terminal"
)

// statusPatience is how long the prompt waits for the first status: a machine
// whose control plane hangs still has a shell.
const statusPatience = 2 * time.Second

// prompting reads commands from a terminal until the user leaves.
func (c *conversation) prompting(ctx context.Context) error {
	c.editor = terminal.NewEditor(c.screen, c.history)
	c.greet(ctx)
	go c.watchStatus(ctx)
	go c.watchEvents(ctx)
	for !c.over {
		line, err := c.readLine(ctx)
		switch {
		case errors.Is(err, terminal.ErrInterrupted):
			continue
		case errors.Is(err, io.EOF) && !errors.Is(err, terminal.ErrGone):
			// Ctrl-D is exit, one level at a time.
			c.line(ctx, "exit")
			continue
		case err != nil:
			c.leave(context.WithoutCancel(ctx), 0)
			return ErrLost
		}
		if memorable(line) {
			c.history.Add(line)
		}
		c.line(ctx, line)
		if ctx.Err() != nil {
			c.leave(context.WithoutCancel(ctx), 0)
			return ErrLost
		}
	}
	c.leave(ctx, 0)
	return nil
}

// readLine reads a command, which goes on over line ends within quotes.
func (c *conversation) readLine(ctx context.Context) (string, error) {
	line, err := c.editor.ReadLine(ctx, prompter{c})
	for err == nil && grammar.Incomplete(line) {
		var more string
		more, err = c.editor.ReadLine(ctx, continuation{})
		line += "\n" + more
	}
	return line, err
}

// greet says what the machine is and how it is.
func (c *conversation) greet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	status, err := c.API.Status(ctx)
	if err != nil {
		c.complain("the control plane does not answer: " + err.Error())
		return
	}
	c.seen(status)
	candidates, _ := c.API.Candidates(ctx) // the banner does without; configure asks again
	fmt.Fprint(c.out, strings.Join(c.banner(status, candidates), "\n")+"\n")
}

// maxGreeting is how many lines of problems are said unasked: a configuration
// may have fifty mistakes of three lines each.
const maxGreeting = 13

// banner is what a user should know before the first command.
func (c *conversation) banner(s api.Status, candidates []api.Candidate) []string {
	style := c.style()
	title := "this machine"
	if s.Hostname != "" {
		title = cells.Safe(s.Hostname)
	}
	if s.Role != "" {
		title += ", " + s.Role
	}
	lines := []string{fmt.Sprintf("%s: %s since %s", style.Bold(title), paintState(style, s.State), style.Time(s.Since))}
	warn := func(mood output.Mood, format string, args ...any) {
		const mark = "  ! "
		said := wrapped(strings.Repeat(" ", len(mark))+fmt.Sprintf(format, args...), style.Width)
		said[0] = style.Paint(mood, mark) + said[0][len(mark):]
		lines = append(lines, said...)
	}
	for _, p := range s.Problems[:min(len(s.Problems), maxGreeting)] {
		warn(output.Bad, "%s", p)
	}
	if more := len(s.Problems) - maxGreeting; more > 0 {
		warn(output.Bad, "... and %d more lines: \"show status\"", more)
	}
	switch {
	case !grammar.Allows(c.Actor.Role, api.Admin):
	case brokenBoot(s):
		warn(output.Plain, `"configure", then "rollback boot": what is right of the boot config, to be mended by "set" and committed`)
	case s.State == api.Maintenance:
		warn(output.Plain, `"configure" makes a configuration here; "load override terminal" takes one that is pasted`)
	}
	if !s.ConfirmBy.IsZero() {
		warn(output.Warning, "a commit is not confirmed: in %s it is undone%s", output.Duration(s.ConfirmBy.Sub(style.Now).Round(time.Second)), c.ifAdmin(`; "confirm" keeps it`))
	}
	if s.Unsaved {
		warn(output.Warning, "the running configuration is not saved: \"show changes\"%s", c.ifAdmin(`, "save"`))
	}
	if s.Volatile {
		warn(output.Warning, "no state volume: nothing is kept over a reboot%s", c.ifAdmin(`; "format state-volume" makes one`))
	}
	for _, k := range candidates {
		if k.Changed {
			warn(output.Plain, "%s has uncommitted changes since %s", who(k.Owner), style.Time(k.Since))
		}
	}
	return lines
}

// ifAdmin is a text for those who may do what it says.
func (c *conversation) ifAdmin(advice string) string {
	if !grammar.Allows(c.Actor.Role, api.Admin) {
		return ""
	}
	return advice
}

// seen keeps the newest status, and reports whether the prompt is another one.
func (c *conversation) seen(s api.Status) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.status
	c.status = s
	return before.Hostname != s.Hostname || before.Unsaved != s.Unsaved || before.Volatile != s.Volatile ||
		before.ConfirmBy.IsZero() != s.ConfirmBy.IsZero()
}

// retryInterval is how long a session waits for a control plane that is being
// restarted.
const retryInterval = 2 * time.Second

// watchStatus keeps the prompt true until ctx ends.
func (c *conversation) watchStatus(ctx context.Context) {
	for ctx.Err() == nil {
		c.mu.Lock()
		revision := c.status.Revision
		c.mu.Unlock()
		s, err := c.API.NextStatus(ctx, revision)
		if err != nil {
			pause(ctx, retryInterval)
			continue
		}
		if s.Revision == revision {
			pause(ctx, 100*time.Millisecond) // a server that does not wait
		}
		if c.seen(s) {
			c.screen.Refresh()
		}
		c.remind(ctx, s)
	}
}

// reminder is how long before an unconfirmed commit is undone everybody is
// reminded of it. A status comes twice a minute at least.
const reminder = time.Minute

// remind tells once of a commit that is about to be undone, if it still is when
// the user is told.
func (c *conversation) remind(ctx context.Context, s api.Status) {
	left := s.ConfirmBy.Sub(c.Now())
	if s.ConfirmBy.IsZero() || left > reminder || left <= 0 || s.ConfirmBy.Equal(c.reminded) {
		return
	}
	c.reminded = s.ConfirmBy
	c.screen.AnnounceLate(func() string {
		ctx, cancel := context.WithTimeout(ctx, statusPatience)
		defer cancel()
		now, err := c.API.Status(ctx)
		if err != nil {
			now = s // better told for nothing than not at all
		}
		left := now.ConfirmBy.Sub(c.Now())
		if !now.ConfirmBy.Equal(s.ConfirmBy) || left <= 0 {
			return ""
		}
		return fmt.Sprintf("*** in %s the unconfirmed commit is undone%s", output.Duration(left.Round(time.Second)), c.ifAdmin(`; "confirm" keeps it`))
	})
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// who names an actor for others.
func who(a api.Actor) string {
	name := a.User
	if name == "" {
		name = "root"
	}
	if a.From != "" {
		name += " (" + a.From + ")"
	}
	return cells.Safe(name)
}

// promptLine is the prompt's last line: user, machine and what to know all the
// time: '*' for what is not saved.
func (c *conversation) promptLine() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := c.status.Hostname
	if name == "" {
		name = "dipper"
	}
	if c.Actor.User != "" {
		name = c.Actor.User + "@" + name
	}
	var marks []string
	if c.status.Volatile {
		marks = append(marks, "volatile")
	}
	if !c.status.ConfirmBy.IsZero() {
		marks = append(marks, "unconfirmed")
	}
	if len(marks) > 0 {
		name += " (" + strings.Join(marks, ", ") + ")"
	}
	if c.status.Unsaved {
		name += "*"
	}
	if c.candidate != nil {
		return cells.Safe(name) + "# "
	}
	return cells.Safe(name) + "> "
}

// prompter helps the editor.
type prompter struct{ *conversation }

// Prompt has a line above in configuration mode: level and kind of candidate.
func (p prompter) Prompt() string {
	if p.candidate == nil {
		return p.promptLine()
	}
	words := []string{"edit"}
	for _, w := range p.level {
		words = append(words, grammar.Quote(w))
	}
	head := "[" + strings.Join(words, " ") + "]"
	if p.candidate.Shared {
		head += " shared"
	}
	if p.edits().Changed {
		head += " changed"
	}
	return "\n" + head + "\n" + p.promptLine()
}

// continuation is the prompt within quotes.
type continuation struct{}

func (continuation) Prompt() string { return "> " }
