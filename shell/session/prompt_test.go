package session

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/shell/terminal/vt"
)

// seat is a user at a terminal.
type seat struct {
	t    *testing.T
	f    *fake
	vt   *vt.Terminal
	keys *io.PipeWriter
	done chan error
}

// sit begins a session in a bubble of testing/synctest.
func sit(t *testing.T, f *fake, width, height int, change ...func(*Session)) *seat {
	in, keys := io.Pipe()
	d := &seat{t: t, f: f, vt: vt.New(width, height), keys: keys, done: make(chan error, 1)}
	s := &Session{
		API: f, Actor: api.Actor{User: "ann", Role: api.Admin, From: "10.0.0.1", Session: "s1"},
		In: in, Out: d.vt, Err: d.vt, Terminal: &Terminal{Width: width, Height: height, Type: "xterm"},
		Env: map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, Registry: &Registry{}, Now: func() time.Time { return noon },
	}
	for _, c := range change {
		c(s)
	}
	go func() { d.done <- s.Interact(t.Context()) }()
	synctest.Wait()
	return d
}

func (d *seat) types(keys ...string) {
	d.t.Helper()
	for _, k := range keys {
		if _, err := io.WriteString(d.keys, k); err != nil {
			d.t.Fatal(err)
		}
		synctest.Wait()
	}
}

// ends waits for the end of the session and closes the terminal.
func (d *seat) ends() error {
	d.t.Helper()
	err := <-d.done
	_ = d.keys.Close()
	if u := d.vt.Unknown(); len(u) > 0 {
		d.t.Errorf("the terminal does not know %q", u)
	}
	return err
}

func (d *seat) sees(want string) {
	d.t.Helper()
	if diff := cmp.Diff(strings.Split(strings.Trim(want, "\n"), "\n"), strings.Split(d.vt.Screen(), "\n")); diff != "" {
		d.t.Errorf("screen (-want +got):\n%s", diff)
	}
}

const ctrlC, ctrlD, tab, enter, ctrlL, ctrlU = "\x03", "\x04", "\t", "\r", "\x0c", "\x15"

func TestPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.status.Unsaved, f.status.Volatile, f.status.Problems = true, true, []string{"eth1: no carrier"}
		f.status.ConfirmBy = noon.Add(5 * time.Minute)
		f.candidates["9"] = &fakeCandidate{Candidate: api.Candidate{ID: "9", Owner: api.Actor{User: "bob", From: "10.0.0.2"}, Since: noon.Add(-time.Minute), Changed: true}}
		d := sit(t, f, 100, 30)
		d.sees(`
lb1, director: serving since 2026-11-20 10:00:00 (1d 2h ago)
  ! eth1: no carrier
  ! a commit is not confirmed: in 5m it is undone; "confirm" keeps it
  ! the running configuration is not saved: "show changes", "save"
  ! no state volume: nothing is kept over a reboot; "format state-volume" makes one
  ! bob (10.0.0.2) has uncommitted changes since 2026-11-21 11:59:00 (1m ago)
ann@lb1 (volatile, unconfirmed)*> _`)
		f.become(func(s *api.Status) { s.Unsaved, s.Volatile, s.ConfirmBy = false, false, time.Time{} })
		synctest.Wait()
		d.types(ctrlL)
		d.sees(`ann@lb1> _`)
		d.types("sh", tab, "serv", tab)
		d.sees(`ann@lb1> show service_`)
		d.types(tab)
		d.sees(`
ann@lb1> show service
  service   everything about one virtual service
  services  virtual services and their real servers
ann@lb1> show service_`)
		d.types(" ", tab)
		d.sees(`
ann@lb1> show service
  service   everything about one virtual service
  services  virtual services and their real servers
ann@lb1> show service
  dns6  1 of 1
  web   1 of 3
ann@lb1> show service _`)
		d.types(ctrlL, "w", tab, "| ma", tab, "?")
		d.sees(`
ann@lb1> show service web | match
  <expression>  regular expression (RE2); (?i) before it ignores case
ann@lb1> show service web | match _`)
		d.types(ctrlU, ctrlL, "show servces", enter)
		d.sees(`
ann@lb1> show servces
              ^^^^^^^
error: "servces" is not expected after "show": did you mean "services"?
ann@lb1> _`)
		d.types(ctrlL, "exit", enter)
		if err := d.ends(); err != nil {
			t.Errorf("exit: %v", err)
		}
	})
}

// TestBannerForViewers: nobody is told to do what his role may not.
func TestBannerForViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.status.Unsaved, f.status.Volatile, f.status.ConfirmBy = true, true, noon.Add(50*time.Second)
		d := sit(t, f, 100, 30, func(s *Session) { s.Actor.Role = api.Viewer })
		f.become(func(s *api.Status) { s.Edits++ })
		synctest.Wait()
		d.sees(`
lb1, director: serving since 2026-11-20 10:00:00 (1d 2h ago)
  ! a commit is not confirmed: in 50s it is undone
  ! the running configuration is not saved: "show changes"
  ! no state volume: nothing is kept over a reboot
*** in 50s the unconfirmed commit is undone
ann@lb1 (volatile, unconfirmed)*> _`)
		d.types(ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
	c := &conversation{Session: &Session{API: newFake(), Actor: api.Actor{Role: api.Operate}, Now: func() time.Time { return noon }}}
	if lines := c.banner(api.Status{State: api.Maintenance, Since: noon}, nil); len(lines) != 1 {
		t.Errorf("in maintenance an operator is told %q", lines)
	}
}

func TestPagerAndInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sit(t, newFake(), 80, 8)
		d.types(ctrlL, "show service web json", ctrlU, "show service web --json", enter)
		if !strings.Contains(d.vt.Screen(), "-- more: space, enter, /text, G to the end, q --") {
			t.Errorf("no pager:\n%s", d.vt.Screen())
		}
		d.types("q", ctrlL, "show service web --json | no-more", enter)
		if s := d.vt.Screen(); strings.Contains(s, "-- more") || !strings.HasSuffix(s, "}\nann@lb1> _") {
			t.Errorf("no-more:\n%s", s)
		}
		d.types(ctrlL, "monitor log", enter)
		d.sees(`
ann@lb1> monitor log
10:00:00 dipper appliance: serving
10:00:01 shell: listening
10:00:02 odd ?[2J line
10:00:10 appliance: tick
10:00:11 appliance: tick
10:00:12 appliance: tick
_`)
		d.types("x", "q")
		d.sees(`
ann@lb1> monitor log
10:00:00 dipper appliance: serving
10:00:01 shell: listening
10:00:02 odd ?[2J line
10:00:10 appliance: tick
10:00:11 appliance: tick
10:00:12 appliance: tick
ann@lb1> _`)
		d.types(ctrlL, "monitor log", enter, ctrlC)
		d.sees(`
10:00:00 dipper appliance: serving
10:00:01 shell: listening
10:00:02 odd ?[2J line
10:00:10 appliance: tick
10:00:11 appliance: tick
10:00:12 appliance: tick
^C
ann@lb1> _`)
		d.types(ctrlL, "show version", enter)
		d.sees(`
ann@lb1> show version
Dipper  0.4
kernel  6.12.57
ann@lb1> _`)
		d.types(ctrlL, "monitor services", enter)
		if s := d.vt.Screen(); !strings.HasPrefix(s, "lb1  services  12:00:00 UTC  q quits\nService") || !strings.Contains(s, "[2001:db8:4::100]:53") {
			t.Errorf("monitor:\n%s", s)
		}
		d.types("q")
		d.sees(`
ann@lb1> monitor services
ann@lb1> _`)
		d.types("exit", enter)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}

func TestLostSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := sit(t, f, 80, 24)
		d.types("configure", enter, "set hostname x", enter)
		_ = d.keys.Close()
		if err := d.ends(); !errors.Is(err, ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		if len(f.candidates) > 0 {
			t.Errorf("candidates left: %v", f.candidates)
		}
	})
}

// TestErrorsWrapBetweenWords: and what points into a line stays under it.
func TestErrorsWrapBetweenWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.status.Problems = []string{"eth1: no carrier, since somebody pulled the cable", "  12 |     scheduler: lcss # mark", "     |                ^"}
		d := sit(t, f, 40, 24)
		d.types("show nonsense", enter)
		d.sees(`
lb1, director: serving since 2026-11-20
10:00:00 (1d 2h ago)
  ! eth1: no carrier, since somebody
    pulled the cable
  !   12 |     scheduler: lcss # mark
  !      |                ^
ann@lb1> show nonsense
              ^^^^^^^^
error: "nonsense" is not expected after
"show": expected one of arp, boot,
candidates, changes, configuration,
connections, events, host-keys,
interfaces, log, neighbours, rates,
real-servers, revisions, routes, service
and 8 more
ann@lb1> _`)
		d.types(ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}

// TestCaptureLeavesItselfOut: what carries the session is not captured, whoever
// reads it and whatever else is to be seen. At a console nothing carries it.
func TestCaptureLeavesItselfOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		carried := func(s *Session) {
			s.Local, s.Remote = netip.MustParseAddrPort("[::ffff:192.168.4.5]:22"), netip.MustParseAddrPort("10.0.0.1:40000")
		}
		d := sit(t, f, 100, 24, carried)
		d.types("capture eth0", enter, "capture any count 5 tcp port 22 or arp", enter, "capture any tcp count 2", enter, ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
		s := &Session{API: f, Actor: api.Actor{User: "ann", Role: api.Admin}, Out: io.Discard, Err: io.Discard}
		carried(s)
		s.Exec(t.Context(), "capture any")
		exec(t, f, api.Admin, "", "capture eth0")
		const own = "tcp and host 192.168.4.5 and port 22 and host 10.0.0.1 and port 40000"
		want := []api.CaptureQuery{
			{Interface: "eth0", Without: own}, {Interface: "any", Filter: "tcp port 22 or arp", Count: 5, Without: own},
			{Interface: "any", Filter: "tcp", Count: 2, Without: own},
			{Interface: "any", Without: own}, {Interface: "eth0"},
		}
		if diff := cmp.Diff(want, f.captured); diff != "" {
			t.Errorf("captured (-want +got):\n%s", diff)
		}
	})
}

// TestExecNeverPages: programs ask for a terminal too.
func TestExecNeverPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, keys := io.Pipe()
		screen := vt.New(80, 5)
		s := &Session{
			API: newFake(), Actor: api.Actor{User: "ann", Role: api.Admin}, In: in, Out: screen, Err: screen,
			Terminal: &Terminal{Width: 80, Height: 5, Type: "dumb"}, Now: func() time.Time { return noon },
		}
		done := make(chan int, 1)
		go func() { done <- s.Exec(t.Context(), "show services --json") }()
		synctest.Wait()
		select {
		case status := <-done:
			if status != 0 {
				t.Errorf("exit status %d", status)
			}
		default:
			t.Errorf("it waits:\n%s", screen.Screen())
		}
		_ = keys.Close()
	})
}

// TestTypedAhead: what is pasted runs line by line, and no page waits for it.
func TestTypedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := sit(t, f, 80, 10)
		d.types("\x1b[200~configure\nset hostname lb2\nset a ?\tb\ncommit\nrun show services --json\nexit\n\x1b[201~")
		if !strings.HasSuffix(d.vt.Screen(), "ann@lb1> _") {
			t.Errorf("screen:\n%s", d.vt.Screen())
		}
		want := []string{"set role director", "set hostname lb1", "set services web listen 192.168.4.15:80", "set services web scheduler wrr", "set hostname lb2", "set a ? b"}
		if diff := cmp.Diff(want, f.running); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		d.types(ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}
