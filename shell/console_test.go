package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

func attend(t *testing.T, a api.Access, login ConsoleLogin) *attended {
	t.Helper()
	p := newPseudo(t)
	at := &attended{pseudo: p, gate: newGate(t, a), board: &statusBoard{}, files: &configurations{}}
	c := &console{
		gate: at.gate, begin: func(s session.Session) Conversation { return talk{s} }, board: at.board, login: login,
		setup: at.files, log: slog.New(slog.DiscardHandler), name: p.path,
		open: func() (tty, error) {
			d, err := openTTY(p.path)
			if err != nil {
				return nil, err
			}
			return loud{d}, nil
		},
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
	c := attend(t, joeWithPassword(), LoginAsked)
	c.board.set(serving())
	c.expect(`== lb1 == director, serving(.|\n)*SSH key +SHA256:8Ww1(.|\n)*lb1 login: `)
	c.press("joe\r")
	c.expect("Password: ")
	c.press("allmine\r")
	// The terminal is asked for its size; this one says.
	c.expect("\x1b\\[6n")
	c.press("\x1b[50;132R")
	c.expect("132x50 vt220> ")
	if text := c.shown.String(); strings.Contains(text, "allmine") {
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
	if text := c.shown.String(); strings.Count(text, "==")/2 != 2 {
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
	if text := off.shown.String(); strings.Contains(text, "login") || strings.Contains(text, "joe") {
		t.Errorf("there is something to log in at: %q", text)
	}
}

// configurations keeps what is committed.
type configurations struct {
	mu        sync.Mutex
	committed []string
	text      string
	refuse    error
}

func (f *configurations) ShowConfig(_ context.Context, which string, _ api.ShowQuery) (string, error) {
	if which == "12" {
		return "", &api.Error{Message: "there is no revision 12"}
	}
	return "# " + which + "\nrole: director\n", nil
}

func (f *configurations) Revisions(context.Context) ([]api.Revision, error) {
	return []api.Revision{{Number: 7, Time: time.Unix(1e9, 0)}, {Number: 8, Time: time.Unix(2e9, 0)}}, nil
}

func (f *configurations) OpenCandidate(context.Context, bool) (api.Candidate, error) {
	return api.Candidate{ID: "c1"}, nil
}

func (f *configurations) EditCandidate(_ context.Context, _ string, e api.Edit) (api.Candidate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text = e.Text
	return api.Candidate{}, f.refuse
}

func (f *configurations) Commit(ctx context.Context, _ string, o api.CommitOptions) (api.Committed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.committed = append(f.committed, fmt.Sprintf("%s (%s by %s)", f.text, o.Comment, api.ActorOf(ctx).User))
	return api.Committed{}, nil
}

func (f *configurations) CloseCandidate(context.Context, string) error { return nil }

func (f *configurations) Interfaces(context.Context) ([]api.Interface, error) {
	return []api.Interface{{Name: "lo", Kind: "loopback"}, {Name: "tunl0", Kind: "ipip"}, {Name: "eth0", MAC: "52:54:00:00:01:00", Carrier: true}}, nil
}

func (f *configurations) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.committed) == 0 {
		return ""
	}
	return f.committed[len(f.committed)-1]
}

// TestFirstConfiguration is the conversation on a machine in maintenance, with
// the key from a URL.
func TestFirstConfiguration(t *testing.T) {
	joe := newPerson(t, "joe")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/joe.keys" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, joe.read("key.pub"))
	}))
	defer web.Close()
	c := attend(t, api.Access{OneTimePassword: "quick-brown-fox"}, LoginAsked)
	c.board.set(api.Status{State: api.Maintenance, Problems: []string{"no boot config found"}, HostKey: "SHA256:8Ww1"})
	c.expect(`== dipper == maintenance(.|\n)*SSH login +admin, password quick-brown-fox(.|\n)*Enter to set this machine up, or "shell": `)
	c.press("\r")
	for _, turn := range []struct{ question, answer string }{
		{`Role \[director\]: `, ""},
		{`Name of this machine \[lb1\]: `, "lb7"},
		{`There are: eth0 \(connected\)\s+Interface \[eth0\]: `, ""},
		{`Its address.*: `, "192.168.4.5"},
		{`expected an address with a prefix length(.|\n)*Its address.*: `, "192.168.4.5/24"},
		{`Default gateway \[none\]: `, ""},
		{`VIP.*: `, "192.168.4.15:80"},
		{`How to reach.*: `, "dr"},
		{`Real server 1.*: `, "192.168.4.100"},
		{`Real server 2.*: `, ""},
		{`Public key.*: `, web.URL + "/nothing"},
		{`404 Not Found(.|\n)*Public key.*: `, web.URL + "/joe.keys"},
		{`One more key.*: `, ""},
		{`Password.*: `, "secret secret"},
		{`hostname: lb7(.|\n)*Commit this\? \[yes\]: `, ""},
	} {
		c.expect(turn.question)
		c.press(turn.answer + "\r")
	}
	c.expect("Committed")
	got := c.files.last()
	if !strings.Contains(got, joe.read("key.pub")) || !strings.Contains(got, "(first configuration by admin)") || strings.Contains(c.shown.String(), "secret secret") {
		t.Errorf("committed: %s", got)
	}
	if shown := c.shown.String(); !strings.Contains(got, "$2a$") || strings.Contains(shown, "$2a$") || !strings.Contains(shown, `password-hash: "(as given)"`) {
		t.Errorf("shown: %s", shown)
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

func TestConsoles(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]string{
		"ttyS0\n":           "/dev/ttyS0",
		"tty0 ttyS0 hvc0\n": "/dev/tty1 /dev/ttyS0 /dev/hvc0",
		"":                  "",
	}
	for text, want := range tests {
		file := filepath.Join(dir, "active")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := consolesIn(file, "/dev")
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
	if got, err := consolesIn(filepath.Join(dir, "none"), "/dev"); err != nil || len(got) != 0 {
		t.Errorf("no terminals: got %q, %v", got, err)
	}
}

func TestBlock(t *testing.T) {
	got := block(api.Status{
		Hostname: "lb1", Role: "director", State: api.Serving, Source: "fw_cfg", HostKey: "SHA256:8Ww1",
		Addresses: []string{"192.168.4.5/24 eth0", "192.168.2.5/24 eth1"}, VIPs: []string{"192.168.4.15"},
		Problems: []string{"one", "two"}, Advice: []string{"sit down", "mend the configuration where it comes from: it is looked for again every minute;"},
		Unsaved: true, Volatile: true, ConfirmBy: time.Date(2026, 11, 21, 12, 30, 0, 0, time.UTC),
	}, "")
	want := `
== lb1 == director, serving
  config from  fw_cfg
  addresses    192.168.4.5/24 eth0
               192.168.2.5/24 eth1
  VIPs         192.168.4.15 held by this machine
  SSH key      SHA256:8Ww1
  problem      one
               two
  warning      the configuration returns to the one before at 12:30:00 UTC,
               unless confirmed
               the running configuration is not saved
               no state volume: nothing is kept over a reboot
  what to do   sit down
               mend the configuration where it comes from: it is looked for
               again every minute;

`
	if got != want {
		t.Errorf("got:%s\nwant:%s", got, want)
	}
}

// TestBlockOfARealServer names who answers for a VIP.
func TestBlockOfARealServer(t *testing.T) {
	s := api.Status{Hostname: "rs1", Role: "real-server", State: api.Serving, VIPs: []string{"192.168.4.15"}}
	if got := block(s, ""); !strings.Contains(got, "VIPs         192.168.4.15 held by the director;") || strings.Contains(got, "warning") {
		t.Errorf("got:%s", got)
	}
	s.Role, s.State = "director", api.Stopping
	if got := block(s, ""); !strings.Contains(got, "192.168.4.15 given up") {
		t.Errorf("stopping:%s", got)
	}
}

// TestBlockPointsAtMistakes keeps a caret under the word at fault, and what a
// configuration says from steering the screen.
func TestBlockPointsAtMistakes(t *testing.T) {
	got := block(api.Status{Hostname: "lb1\x1b[2J", State: api.Maintenance, Problems: []string{
		"the boot config has mistakes, and nothing of it was applied:",
		"   9 |     schedular: wrr   \u009b31m",
		"     |     ^",
	}}, "")
	want := `
== lb1.[2J == maintenance
  problem      the boot config has mistakes, and nothing of it was applied:
   9 |     schedular: wrr   .31m
     |     ^

`
	if got != want {
		t.Errorf("got:%q\nwant:%q", got, want)
	}
}

func TestAskSize(t *testing.T) {
	tests := map[string]struct {
		sent string
		want session.Size
		left string // for the next reader
	}{
		"answer":             {"\x1b[50;132R", session.Size{Width: 132, Height: 50}, ""},
		"typed before":       {"show\x1b[24;80R", session.Size{Width: 80, Height: 24}, "show"},
		"no answer":          {"show version", assumed, "show version"},
		"nonsense":           {"\x1b[0;0R", assumed, ""},
		"more than a screen": {"\x1b[99999;1R", assumed, "\x1b[99999;1R"},
	}
	for name, tt := range tests {
		in, out := io.Pipe()
		k := newKeyboard(in)
		go io.WriteString(out, tt.sent)
		v := k.view()
		if got := askSize(v, io.Discard); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
		left := make([]byte, len(tt.left))
		if _, err := io.ReadFull(v, left); err != nil || string(left) != tt.left {
			t.Errorf("%s: left is %q, %v; want %q", name, left, err, tt.left)
		}
		out.CloseWithError(errors.New("over"))
		if _, err := v.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "over") {
			t.Errorf("%s: got %v", name, err)
		}
		k.close()
	}
}

// TestViewsDoNotSteal lets a reader go that waits for a key. The key is for
// the next one.
func TestViewsDoNotSteal(t *testing.T) {
	in, out := io.Pipe()
	k := newKeyboard(in)
	defer k.close()
	first := k.view()
	gone := make(chan error, 1)
	go func() {
		_, err := first.Read(make([]byte, 1))
		gone <- err
	}()
	first.close()
	if err := <-gone; !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	go io.WriteString(out, "x")
	one := make([]byte, 1)
	if n, err := k.view().Read(one); n != 1 || err != nil || one[0] != 'x' {
		t.Errorf("got %q, %v", one, err)
	}
}

// TestDeviceTakesMoreThanItKeeps: what has no room at once is written later.
func TestDeviceTakesMoreThanItKeeps(t *testing.T) {
	p := newPseudo(t)
	d, err := openTTY(p.path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	text := strings.Repeat("0123456789abcdef", 1<<12) + "the end"
	if n, err := d.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("wrote %d of %d bytes, %v", n, len(text), err)
	}
	p.expect("the end$")
	if got := len(p.shown.String()); got != len(text) {
		t.Errorf("%d bytes of %d came", got, len(text))
	}
}
