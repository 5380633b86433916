package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"dipper/appliance/api"
	"dipper/shell/access"
	"dipper/shell/session"
)

// ConsoleLogin is who may come in on a console.
type ConsoleLogin string

// The kinds of console login. Whoever chooses owns the kernel's command line,
// and so the machine.
const (
	LoginAsked ConsoleLogin = "login" // users with a password; anybody in maintenance
	LoginOpen  ConsoleLogin = "open"  // anybody, as an admin
	LoginOff   ConsoleLogin = "off"   // nobody: the status is shown and no more
)

// tty is a terminal device.
type tty interface {
	io.ReadWriteCloser
	// Size is the window's, 0 where the device does not know.
	Size() session.Size
	// Quiet keeps the kernel's messages off all consoles, but for the worst,
	// until undo is called.
	Quiet() (undo func())
	Type() string // "vt220"
}

// console is one of the machine's consoles: a status block, and below it a
// login. All of its writing is done by its own goroutines; a device that
// stalls stalls nothing else.
type console struct {
	gate  api.Gate
	begin Begin
	board *statusBoard
	login ConsoleLogin
	setup Installer
	log   *slog.Logger
	open  func() (tty, error)
	name  string
	// sizePatience is how long the terminal may take to say how large it is.
	sizePatience time.Duration

	guesses *access.Guesses
	teller  *teller
}

// reopenInterval is how long a device that failed is left alone.
const reopenInterval = 5 * time.Second

// wrongPassword is how long the answer to a wrong password takes.
const wrongPassword = 2 * time.Second

// run attends to the console until ctx ends.
func (c *console) run(ctx context.Context) {
	c.guesses = access.NewGuesses()
	c.teller = newTeller(c.gate, c.log, ctx.Done())
	var telling sync.WaitGroup
	telling.Go(c.teller.run)
	defer telling.Wait()
	told := ""
	for ctx.Err() == nil {
		err := c.attendDevice(ctx)
		if ctx.Err() != nil {
			return
		}
		if text := err.Error(); text != told {
			c.log.Warn("console", "device", c.name, "error", err)
			told = text
		}
		pause(ctx, reopenInterval)
	}
}

func (c *console) attendDevice(ctx context.Context) error {
	device, err := c.open()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = device.Close() }) // wakes who reads
	defer func() {
		stop()
		_ = device.Close() // nothing of ours is lost
	}()
	keys := newKeyboard(device)
	defer keys.close()
	for ctx.Err() == nil {
		if err := c.visit(ctx, device, keys); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// visit lets one person in, and is over when he leaves.
func (c *console) visit(ctx context.Context, device tty, keys *keyboard) error {
	if c.login == LoginOff {
		return c.showStatus(ctx, crlf{device}, func(string) {}, nil)
	}
	view := keys.view()
	defer view.close()
	screen := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{view, device}, "")
	line, err := c.await(ctx, screen)
	if err != nil {
		return ignoreEOF(err) // ^C, or ^D on an empty line
	}
	defer device.Quiet()()
	g, err := c.identify(ctx, screen, strings.TrimSpace(line))
	if err != nil || g.User == "" {
		return err
	}
	return c.work(ctx, g, device, view)
}

// await shows the status until somebody has typed a line.
func (c *console) await(ctx context.Context, screen *term.Terminal) (string, error) {
	// The first block comes before the prompt, all others above it.
	first, err := c.showFirst(ctx, screen, screen.SetPrompt)
	if err != nil {
		return "", err
	}
	showing, stop := context.WithCancel(ctx)
	shown := make(chan error, 1)
	go func() { shown <- c.showStatus(showing, screen, screen.SetPrompt, first) }()
	line, err := screen.ReadLine()
	stop()
	if showErr := <-shown; err == nil && !errors.Is(showErr, context.Canceled) {
		err = showErr
	}
	return line, err
}

// showFirst writes a block as soon as there is something to show, and answers
// what is closed when there is more.
func (c *console) showFirst(ctx context.Context, screen io.Writer, setPrompt func(string)) (<-chan struct{}, error) {
	for {
		s, known, changed := c.board.get()
		if known {
			text, prompt := c.greeting(ctx, s)
			setPrompt(prompt)
			_, err := io.WriteString(screen, text)
			return changed, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// showStatus writes a block for every change. On a screen, it stands above the
// line that is being typed.
func (c *console) showStatus(ctx context.Context, screen io.Writer, setPrompt func(string), changed <-chan struct{}) error {
	for {
		if changed != nil {
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var err error
		if changed, err = c.showFirst(ctx, screen, setPrompt); err != nil {
			return err
		}
	}
}

// crlf ends lines as a raw terminal wants them.
type crlf struct{ io.Writer }

func (w crlf) Write(p []byte) (int, error) {
	if _, err := w.Writer.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// greeting is the block, with what to do at the prompt, and the prompt.
func (c *console) greeting(ctx context.Context, s api.Status) (text, prompt string) {
	a, err := c.gate.Access(ctx, -1)
	if err != nil {
		a = api.Access{} // the control plane is away: nobody can log in now
	}
	text = block(s, a.OneTimePassword)
	name := orElse(s.Hostname, "dipper")
	rules, _ := access.Compile(a) // the SSH server tells what is wrong
	switch {
	case a.OneTimePassword != "":
		return text, `Enter to set this machine up, or "shell": `
	case c.login == LoginOpen:
		return text, "Enter to go in: "
	case !rules.TakesPasswords():
		return text + "No user has a password: log in over SSH.\n", name + " login: "
	}
	return text, name + " login: "
}

// identify finds out who somebody is who typed a line. No user and no error:
// nobody, who may try again.
func (c *console) identify(ctx context.Context, screen *term.Terminal, line string) (access.Grant, error) {
	a, err := c.gate.Access(ctx, -1)
	if err != nil {
		_, err = fmt.Fprintf(screen, "The control plane does not answer: %v\n", err)
		return access.Grant{}, err
	}
	switch {
	case a.OneTimePassword != "":
		return c.maintain(ctx, screen, line)
	case c.login == LoginOpen:
		return access.Grant{User: "admin", Role: api.Admin, Means: "an open console"}, nil
	case line == "":
		return access.Grant{}, nil
	}
	return c.password(ctx, screen, a, line)
}

// maintain lets anybody in on a machine that has nothing to protect yet, and
// leads him through the first configuration unless he wants the shell.
func (c *console) maintain(ctx context.Context, screen *term.Terminal, line string) (access.Grant, error) {
	g := access.Grant{User: "admin", Role: api.Admin, Means: "the console of a machine in maintenance"}
	if line == "shell" {
		return g, nil
	}
	ctx = api.WithActor(ctx, c.actor(g, newID()))
	return access.Grant{}, install(ctx, screen, c.setup)
}

// password asks for one. The answer to a wrong one says and takes the same
// whether the user exists or not.
func (c *console) password(ctx context.Context, screen *term.Terminal, a api.Access, name string) (access.Grant, error) {
	text, err := screen.ReadPassword("Password: ")
	if err != nil {
		return access.Grant{}, ignoreEOF(err)
	}
	began := time.Now()
	rules, _ := access.Compile(a)
	g, err := access.Grant{}, errNotNow
	if c.guesses.Allow(netip.Addr{}, began) {
		g, err = lookAt(rules, memoryFree, name, text)
	}
	if err == nil {
		c.guesses.Right(netip.Addr{}, time.Now())
		return g, nil
	}
	c.note(ctx, api.Actor{From: "console"}, fmt.Sprintf("login refused to user %q on %s: %v", name, c.name, err), "denied")
	pause(ctx, wrongPassword-time.Since(began))
	_, err = io.WriteString(screen, "Login incorrect\n")
	return access.Grant{}, err
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (c *console) actor(g access.Grant, id string) api.Actor {
	return api.Actor{User: g.User, Role: g.Role, From: "console", Session: id}
}

// work is a session, until its user leaves, is not let in any more, or does
// nothing for long.
func (c *console) work(ctx context.Context, g access.Grant, device tty, view *view) error {
	who := c.actor(g, newID())
	ctx, cancel := context.WithCancel(api.WithActor(ctx, who))
	defer cancel()
	defer context.AfterFunc(ctx, view.close)()
	c.note(ctx, who, "login by "+g.Means+" on "+c.name, "ok")
	c.teller.began(ctx)
	size := device.Size()
	serial := size.Width == 0
	if serial {
		size = askSize(view, device, c.sizePatience)
	}
	stop := view.onIdle(c.follow(ctx, g, cancel))
	defer stop()
	err := c.begin(session.Session{
		Actor: who, In: view, Out: device, Err: device, Env: map[string]string{"TERM": device.Type()},
		Terminal: &session.Terminal{Width: size.Width, Height: size.Height, Type: device.Type(), Asked: serial},
	}).Interact(ctx)
	lost := errors.Is(err, session.ErrLost)
	if err != nil && !lost && ctx.Err() == nil {
		if _, err := fmt.Fprintf(device, "%v\r\n", err); err != nil {
			return err
		}
	}
	c.note(ctx, who, "logout", "ok")
	c.teller.ended(ctx, who.Session, lost || ctx.Err() != nil)
	_, err = io.WriteString(device, "\r\n")
	return err
}

// follow ends the session, by cancel, when its user is not let in any more. It
// answers how long the session may be idle, as it is at the time.
func (c *console) follow(ctx context.Context, g access.Grant, cancel context.CancelFunc) (idle func() time.Duration, end context.CancelFunc) {
	ctx = api.WithActor(ctx, api.Actor{}) // the rules are for the console, not for who sits at it
	limit := make(chan time.Duration, 1)
	limit <- 0
	go func() {
		generation := -1
		for ctx.Err() == nil {
			a, err := c.gate.Access(ctx, generation)
			if err != nil {
				generation = -1
				pause(ctx, retryInterval)
				continue
			}
			generation = a.Generation
			<-limit
			limit <- time.Duration(a.IdleTimeout)
			if rules, _ := access.Compile(a); g.Proven() && !rules.Holds(g) {
				cancel()
			}
		}
	}()
	return func() time.Duration {
		d := <-limit
		limit <- d
		return d
	}, cancel
}

func (c *console) note(ctx context.Context, who api.Actor, text, result string) {
	ctx, cancel := context.WithTimeout(api.WithActor(context.WithoutCancel(ctx), who), auditPatience)
	defer cancel()
	if err := c.gate.Audit(ctx, api.AuditEntry{Kind: "session", Text: text, Result: result}); err != nil {
		c.log.Warn("console: not among the events", "text", text, "result", result, "error", err)
	}
}
