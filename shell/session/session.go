// Package session is what a user of the machine talks to: a prompt or one
// command, the table of commands and what each of them does. It owns the
// commands, the two modes and the roles' limits; it must not know how the user
// came in (SSH, console) nor anything of the appliance but the control socket's
// calls.
package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"time"

	"dipper/appliance/api"
	"dipper/shell/terminal"
)

// Appliance is what a session asks of the control socket; *api.Client has it.
type Appliance interface {
	api.Configurator
	api.Operator

	Audit(ctx context.Context, e api.AuditEntry) error
	Status(ctx context.Context) (api.Status, error)
	NextStatus(ctx context.Context, revision int) (api.Status, error)
	Boot(ctx context.Context) ([]api.BootStep, error)
	Services(ctx context.Context) ([]api.Service, error)
	Log(ctx context.Context, lines int) ([]string, error)
	End(ctx context.Context, how api.Power) error
}

var _ Appliance = (*api.Client)(nil)

// Terminal is the user's terminal.
type Terminal = terminal.Terminal

// Size is that of a terminal's window, in cells.
type Size = terminal.Size

// Session is one user's way in. With a Terminal, In and Out are raw: the
// session does echo, line editing and "\r\n" itself.
type Session struct {
	API   Appliance
	Actor api.Actor
	// In is read ahead as long as the session lasts; a read that is under way
	// at its end is only over when In says so.
	In       io.Reader
	Out, Err io.Writer
	// Terminal is nil when there is none: no prompt, no colour, no pager, and
	// In belongs to the commands.
	Terminal *Terminal
	Env      map[string]string // TERM, NO_COLOR, LANG
	// Local and Remote are the ends of the TCP connection that carries the
	// session; not valid where none does, at a console.
	Local, Remote netip.AddrPort
	// Registry knows who else is here; nil: nobody.
	Registry *Registry
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// ErrLost tells that a session with a terminal ended without its user's will.
var ErrLost = errors.New("the session was lost")

// ExitError is the exit status of a script that failed.
type ExitError int

// Error is the status in words; nobody prints it.
func (e ExitError) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// The exit statuses of commands that programs do not choose.
const (
	exitFailed      = 1
	exitMistake     = 2   // the line makes no sense, or is not for this user
	exitInterrupted = 130 // as shells have it for SIGINT
)

// Interact prompts until exit, Ctrl-D or the end of In. Without a Terminal, In
// is a script: it runs up to the first command that fails, which is then an
// ExitError. A session with a terminal that ends otherwise is ErrLost.
func (s *Session) Interact(ctx context.Context) error {
	c, done := s.begin(ctx)
	defer done()
	if s.Terminal == nil {
		return c.script(c.ctx)
	}
	return c.prompting(c.ctx)
}

// Exec runs one command line, which may hold several commands, and answers its
// exit status. It never waits for somebody to read a page: programs ask for a
// terminal too.
func (s *Session) Exec(ctx context.Context, command string) int {
	c, done := s.begin(ctx)
	defer done()
	c.stdin, c.noMore = s.In, true
	status := c.line(c.ctx, command)
	return c.leave(c.ctx, status)
}

// begin starts a conversation; done ends it.
func (s *Session) begin(ctx context.Context) (c *conversation, done func()) {
	ctx, cancel := context.WithCancel(api.WithActor(ctx, s.Actor))
	c = &conversation{Session: s, ctx: ctx, out: s.Out, errOut: s.Err, change: func(func(*Presence)) {}}
	if s.Now == nil {
		s.Now = time.Now
	}
	presence := Presence{Actor: s.Actor, Since: s.Now(), Active: s.Now(), Terminal: s.Terminal != nil, end: cancel}
	c.history = &terminal.History{}
	if s.Terminal != nil {
		t := *s.Terminal
		if t.Type == "" {
			t.Type = s.Env["TERM"]
		}
		c.screen = terminal.Open(ctx, t, s.In, s.Out)
		c.out, c.errOut = c.screen, c.screen
		presence.announce = c.screen.Announce
	}
	leave := func() {}
	if s.Registry != nil {
		c.change, leave = s.Registry.enter(presence)
		c.history = s.Registry.history(s.Actor.User)
	}
	return c, func() {
		leave()
		cancel()
	}
}

// script runs the lines of In.
func (c *conversation) script(ctx context.Context) error {
	c.lines = bufio.NewReaderSize(c.In, 64<<10)
	for number := 1; ctx.Err() == nil; {
		line, taken, err := c.scriptLine()
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("script: %w", err)
		}
		c.number = number
		number += taken
		if status := c.line(ctx, line); status != 0 {
			c.leave(ctx, status)
			return ExitError(status)
		}
		if c.over || err != nil {
			break
		}
	}
	if status := c.leave(ctx, 0); status != 0 {
		return ExitError(status)
	}
	return ctx.Err()
}
