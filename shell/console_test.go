package shell

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dipper/appliance/api"
	"dipper/shell/session"
)

// pseudo is a terminal of the kernel, with the test at its other end.
type pseudo struct {
	t      *testing.T
	master *os.File
	path   string // of the end that the console opens

	mu    sync.Mutex
	shown bytes.Buffer
	more  chan struct{}
	read  int
}

func newPseudo(t *testing.T) *pseudo {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	p := &pseudo{t: t, master: master, more: make(chan struct{})}
	if err := raw.Control(func(fd uintptr) {
		number, err := unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		if err == nil {
			err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		}
		if err != nil {
			t.Error(err)
		}
		p.path = fmt.Sprintf("/dev/pts/%d", number)
	}); err != nil {
		t.Fatal(err)
	}
	// Keeps the terminal while the console has it closed.
	keep, err := os.OpenFile(p.path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		keep.Close()
		master.Close()
	})
	go p.pump()
	return p
}

func (p *pseudo) pump() {
	chunk := make([]byte, 4096)
	for {
		n, err := p.master.Read(chunk)
		p.mu.Lock()
		p.shown.Write(chunk[:n])
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *pseudo) press(keys string) {
	p.t.Helper()
	if _, err := io.WriteString(p.master, keys); err != nil {
		p.t.Fatal(err)
	}
}

// all is what was shown until now.
func (p *pseudo) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown.String()
}

// expect waits until something is shown after what was expected before.
func (p *pseudo) expect(pattern string) string {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	find := regexp.MustCompile(pattern)
	for {
		p.mu.Lock()
		text, more := p.shown.String()[p.read:], p.more
		at := find.FindStringIndex(text)
		if at != nil {
			p.read += at[1]
		}
		p.mu.Unlock()
		if at != nil {
			return text[:at[1]]
		}
		select {
		case <-more:
		case <-limit.C:
			p.t.Fatalf("%q does not come; there is %q", pattern, text)
		}
	}
}

// attended is a console on a pseudo terminal.
type attended struct {
	*pseudo
	gate  *gate
	board *statusBoard
	files *configurations
}

// attend attends to a console of which nobody says how large it is, unless change
// says otherwise.
func attend(t *testing.T, a api.Access, login ConsoleLogin, change ...func(*console)) *attended {
	t.Helper()
	p := newPseudo(t)
	at := &attended{pseudo: p, gate: newGate(t, a), board: &statusBoard{}, files: &configurations{}}
	c := &console{
		gate: at.gate, begin: func(s session.Session) Conversation { return talk{s} }, board: at.board, login: login,
		setup: at.files, log: slog.New(slog.DiscardHandler), name: p.path, sizePatience: time.Millisecond,
		open: func() (tty, error) {
			d, err := openTTY(p.path)
			if err != nil {
				return nil, err
			}
			return loud{d}, nil
		},
	}
	for _, f := range change {
		f(c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return at
}

// loud leaves the build machine's kernel messages alone.
type loud struct{ tty }

func (loud) Quiet() func() { return func() {} }

func joeWithPassword() api.Access {
	return api.Access{Users: []api.User{{Name: "joe", Role: api.Operate, PasswordHash: "$2b$04$Yh8D6rGoxBo2ogx3tLWBAueIafewdo4M/KJnulgxvIQPL6jPZZP1i"}}}
}

func serving() api.Status {
	return api.Status{Hostname: "lb1", Role: "director", State: api.Serving, HostKey: "SHA256:8Ww1", Addresses: []string{"192.168.4.5/24 eth0"}}
}

func TestConsoleLogin(t *testing.T) {
	c := attend(t, joeWithPassword(), LoginAsked, func(c *console) { c.sizePatience = patience })
	c.board.set(serving())
	c.expect(`== lb1 == director, serving(.|\n)*SSH key +SHA256:8Ww1(.|\n)*lb1 login: `)
	c.press("joe\r")
	c.expect("Password: ")
	c.press("allmine\r")
	// The terminal is asked for its size; this one says.
	c.expect("\x1b\\[6n")
	c.press("\x1b[50;132R")
	c.expect("132x50 vt220> ")
	if text := c.all(); strings.Contains(text, "allmine") {
		t.Errorf("the password is on the screen: %q", text)
	}
	c.press("who\r")
	c.expect("joe operator \n")
	c.press("exit\r")
	c.expect("lb1 login: ")
	c.gate.await(t, "the login", c.gate.noted("joe login by password on /dev/pts", "ok"))
	c.gate.await(t, "the logout", c.gate.noted("joe logout", "ok"))
	c.gate.await(t, "the end", func() bool { return len(c.gate.ended) == 1 && lost(c.gate.ended) == 0 })
}

func TestConsoleWrongPassword(t *testing.T) {
	c := attend(t, joeWithPassword(), LoginAsked)
	c.board.set(serving())
	for _, user := range []string{"joe", "eve", ""} {
		c.expect("lb1 login: ")
		c.press(user + "\r")
		if user == "" {
			continue
		}
		c.expect("Password: ")
		c.press("wrong\r")
		c.expect("Login incorrect")
	}
	c.expect("lb1 login: ")
	c.press("\x03") // ^C
	c.expect("lb1 login: ")
	c.gate.await(t, "the refusal", c.gate.noted("login refused to user", "eve", "denied"))
}

// TestConsoleNobodyHasAPassword says so instead of asking in vain; the status
// is there for anybody.
func TestConsoleNobodyHasAPassword(t *testing.T) {
	c := attend(t, one(newPerson(t, "joe")), LoginAsked)
	c.board.set(serving())
	c.expect("No user has a password: log in over SSH")
	c.expect("login: ")
	c.press("joe\r")
	c.expect("Password: ")
	c.press("\r")
	c.expect("Login incorrect")
}

// TestStatusDoesNotGarble changes the status while somebody types his name.
func TestStatusDoesNotGarble(t *testing.T) {
	c := attend(t, joeWithPassword(), LoginAsked)
	c.board.set(serving())
	c.expect("lb1 login: ")
	c.press("jo")
	c.expect("jo")
	changed := serving()
	changed.State, changed.Problems = api.Degraded, []string{"eth1 is down\x1b[2J"}
	c.board.set(changed)
	c.expect(`== lb1 == director, degraded(.|\n)*eth1 is down\.\[2J(.|\n)*lb1 login: jo`)
	c.press("e\r")
	c.expect("Password: ")
	c.press("allmine\r")
	c.expect("80x24 vt220> ") // it did not say its size
	c.board.set(serving())
	c.press("say hello\r")
	c.expect("hello")
	if text := c.all(); strings.Count(text, "==")/2 != 2 {
		t.Errorf("a status block is in the session: %q", text)
	}
}

// TestConsoleAccessIsTakenBack ends the session of a user who is removed.
func TestConsoleAccessIsTakenBack(t *testing.T) {
	c := attend(t, joeWithPassword(), LoginAsked)
	c.board.set(serving())
	c.expect("login: ")
	c.press("joe\rallmine\r") // typed ahead
	c.expect("> ")
	c.press("sleep\r")
	c.gate.change(func(a *api.Access) { a.Users = nil })
	c.gate.await(t, "the end", func() bool { return len(c.gate.ended) == 1 && lost(c.gate.ended) == 1 })
	c.expect("login: ")
}

func TestConsoleOpenAndOff(t *testing.T) {
	open := attend(t, api.Access{}, LoginOpen)
	open.board.set(serving())
	open.expect("Enter to go in: ")
	open.press("\r")
	open.expect("> ")
	open.press("who\r")
	open.expect("admin admin \n")

	off := attend(t, joeWithPassword(), LoginOff)
	off.board.set(serving())
	off.expect("== lb1 == director, serving")
	off.press("joe\rallmine\r")
	changed := serving()
	changed.State = api.Degraded
	off.board.set(changed)
	off.expect("== lb1 == director, degraded")
	if text := off.all(); strings.Contains(text, "login") || strings.Contains(text, "joe") {
		t.Errorf("there is something to log in at: %q", text)
	}
}

// TestMaintenanceShell leaves the questions by ^C and takes the prompt instead.
func TestMaintenanceShell(t *testing.T) {
	c := attend(t, api.Access{OneTimePassword: "quick-brown-fox"}, LoginAsked)
	c.board.set(api.Status{State: api.Maintenance})
	c.expect(`"shell": `)
	c.press("\r")
	c.expect("Role")
	c.press("\x03")
	c.expect(`"shell": `)
	c.press("shell\r")
	c.expect("> ")
	c.press("who\r")
	c.expect("admin admin \n")
	if got := c.files.last(); got != "" {
		t.Errorf("committed: %s", got)
	}
}

// TestStalledConsole stops reading what the console shows: its goroutine waits
// and the rest goes on.
func TestStalledConsole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	board := &statusBoard{}
	stalled := make(chan struct{})
	c := &console{
		gate: newGate(t, joeWithPassword()), board: board, login: LoginAsked, log: slog.New(slog.DiscardHandler), name: path,
		open: func() (tty, error) { return &stall{stalled: stalled, closed: make(chan struct{})}, nil },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx)
	}()
	board.set(serving())
	<-stalled
	for range 1000 {
		board.set(serving()) // does not wait
	}
	cancel()
	<-done
}

// stall is a terminal that takes nothing until it is closed.
type stall struct {
	stalled, closed chan struct{}
	once            sync.Once
}

func (s *stall) Read([]byte) (int, error) {
	<-s.closed
	return 0, os.ErrClosed
}

func (s *stall) Write([]byte) (int, error) {
	s.stalled <- struct{}{}
	<-s.closed
	return 0, os.ErrClosed
}

func (s *stall) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
func (s *stall) Size() session.Size { return session.Size{} }
func (s *stall) Quiet() func()      { return func() {} }
func (s *stall) Type() string       { return "vt220" }
