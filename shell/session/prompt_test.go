package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/shell/grammar"
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

func TestConfigurationMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.candidates["9"] = &fakeCandidate{Candidate: api.Candidate{ID: "9", Owner: api.Actor{User: "bob"}, Since: noon}}
		d := sit(t, f, 100, 30)
		d.types(ctrlL, "conf", enter)
		d.sees(`
ann@lb1> conf
bob has a candidate open since 2026-11-21 12:00:00 (now)

[edit]
ann@lb1# _`)
		d.types(ctrlL, "edit services web", enter, ctrlL, "set ", tab, "?")
		d.sees(`
ann@lb1# set
  scheduler  which real server gets the next connection (wrr)
  listen     VIP and port
ann@lb1# set
  scheduler  which real server gets the next connection (wrr)
  listen     VIP and port
ann@lb1# set _`)
		d.types(ctrlL, "sch", tab, "lcss", enter)
		d.sees(`
ann@lb1# set scheduler lcss
                       ^^^^
error: unknown scheduler "lcss": did you mean "lc"?

[edit services web]
ann@lb1# _`)
		d.types(ctrlL, "set scheduler wlc", enter, ctrlL, "exit", enter, ctrlL, "exit", enter)
		d.sees(`
ann@lb1# exit
There are uncommitted changes. Leave and forget them? [y/N] _`)
		d.types("n")
		d.sees(`
ann@lb1# exit
There are uncommitted changes. Leave and forget them? [y/N] n
error: nothing was done

[edit] changed
ann@lb1# _`)
		d.types(ctrlL, "commit", enter)
		d.sees(`
ann@lb1# commit
committed as revision 8 with 1 kernel edit

[edit]
ann@lb1# _`)
		d.types(ctrlD, ctrlL, ctrlD)
		if err := d.ends(); err != nil {
			t.Errorf("Ctrl-D: %v", err)
		}
		if len(f.candidates) != 1 {
			t.Errorf("candidates left: %v", f.candidates)
		}
	})
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

// TestOthers: sessions see each other and are told.
func TestOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := &Registry{}
		share := func(user, session string) func(*Session) {
			return func(s *Session) {
				s.Registry, s.Actor.User, s.Actor.Session = registry, user, session
			}
		}
		ann := sit(t, newFake(), 100, 24, share("ann", "1"))
		bob := sit(t, newFake(), 100, 24, share("bob", "2"))
		ann.types(ctrlL, "ha")
		bob.types("reboot", enter)
		if !strings.Contains(bob.vt.Screen(), "1 other sessions") {
			t.Errorf("bob is not told of ann:\n%s", bob.vt.Screen())
		}
		bob.types("y")
		ann.sees(`
*** bob (10.0.0.1): reboot now
ann@lb1> ha_`)
		if strings.Contains(bob.vt.Screen(), "***") {
			t.Errorf("bob is told what he did himself:\n%s", bob.vt.Screen())
		}
		if bob.f.ended != api.Reboot {
			t.Errorf("ended: %q", bob.f.ended)
		}
		ann.types(ctrlU, ctrlL, "show users | except Since", enter)
		ann.sees(`
ann@lb1> show users | except Since
ann   admin  10.0.0.1  2026-11-21 12:00:00 (now)  0s    (this session)
bob   admin  10.0.0.1  2026-11-21 12:00:00 (now)  0s
ann@lb1> _`)
		// History is the user's, in whichever session.
		again := sit(t, newFake(), 100, 24, share("ann", "3"))
		again.types("set a password geheim", enter, ctrlL, "\x1b[A")
		again.sees(`ann@lb1> show users | except Since_`)
		for _, s := range []*seat{ann, bob, again} {
			s.types(ctrlU, ctrlD)
			if err := s.ends(); err != nil {
				t.Error(err)
			}
		}
		if left := registry.Sessions(); len(left) > 0 {
			t.Errorf("still there: %+v", left)
		}
	})
}

// TestAnnouncements: a session is told what others commit, and not what itself
// did.
func TestAnnouncements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.news = make(chan api.Event)
		d := sit(t, f, 100, 24)
		d.types(ctrlL)
		f.news <- api.Event{Number: 3, Kind: "commit", Actor: api.Actor{User: "bob", From: "10.0.0.2", Session: "s2"}, Text: "revision 8"}
		f.news <- api.Event{Number: 4, Kind: "commit", Actor: api.Actor{User: "ann", Session: "s1"}, Text: "revision 9"}
		f.news <- api.Event{Number: 5, Kind: "link", Text: "eth1 is up"}
		f.news <- api.Event{Number: 6, Kind: "commit", Text: "undone"}
		synctest.Wait()
		d.sees(`
*** bob (10.0.0.2): revision 8
*** undone
ann@lb1> _`)
		d.types(ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}

// TestAnnouncementsToWhoConfigures: who else begins to configure is told to those
// who do so already, and so is a commit that went past their candidate, once.
func TestAnnouncementsToWhoConfigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.news = make(chan api.Event)
		d := sit(t, f, 100, 24)
		d.types(ctrlL)
		bob := api.Actor{User: "bob", From: "10.0.0.2", Session: "s2"}
		tell := func(number int, kind, text string) {
			f.news <- api.Event{Number: number, Kind: kind, Actor: bob, Text: text}
			synctest.Wait()
		}
		tell(3, "candidate", "opens a candidate")
		d.sees(`ann@lb1> _`)
		d.types("configure", enter, "set hostname lb9", enter, ctrlL)
		tell(4, "candidate", "opens a candidate")
		tell(5, "commit", "revision 8 saved by bob")
		f.mu.Lock()
		f.candidates["1"].Stale = true
		f.mu.Unlock()
		tell(6, "commit", "revision 9")
		tell(7, "commit", "revision 10")
		d.sees(`
*** bob (10.0.0.2): opens a candidate
*** bob (10.0.0.2): revision 8 saved by bob
*** bob (10.0.0.2): revision 9
*** your candidate is a copy of what ran before: "update" puts your changes on top of what runs now
*** bob (10.0.0.2): revision 10
ann@lb1# _`)
		d.types("exit", enter, "y", ctrlL)
		tell(8, "candidate", "opens a candidate")
		d.sees(`ann@lb1> _`)
		d.types(ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
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

// TestEditLevel: the level is said in full, and there is none of what cannot be.
func TestEditLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sit(t, newFake(), 60, 24)
		d.types("configure", enter, "edit servi web", enter, ctrlL, "edit nonsense", enter)
		d.sees(`
ann@lb1# edit nonsense
              ^^^^^^^^
error: unknown key "nonsense"

[edit services web]
ann@lb1# _`)
		d.types("exit", enter, "exit", enter, ctrlD)
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

// TestBrokenBootConfig: who logs in is told how to mend it, and sees what is
// wrong with it when he takes the rest.
func TestBrokenBootConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.status = api.Status{State: api.Maintenance, Since: noon, Source: "label:DIPPER", Problems: []string{
			"the boot config has mistakes, and nothing of it was applied:",
			`dipper.yaml:9:5: services.web.scheduler: unknown scheduler "lcss"`, "   9 |     scheduler: lcss", "     |                ^",
		}}
		d := sit(t, f, 110, 24)
		d.sees(`
this machine: maintenance since 2026-11-21 12:00:00 (now)
  ! the boot config has mistakes, and nothing of it was applied:
  ! dipper.yaml:9:5: services.web.scheduler: unknown scheduler "lcss"
  !    9 |     scheduler: lcss
  !      |                ^
  ! "configure", then "rollback boot": what is right of the boot config, to be mended by "set" and committed
ann@dipper> _`)
		d.types("configure", enter, ctrlL, "rollback boot", enter)
		d.sees(`
ann@dipper# rollback boot
the candidate is what is right of label:DIPPER; what is not:
  the boot config has mistakes, and nothing of it was applied:
  dipper.yaml:9:5: services.web.scheduler: unknown scheduler "lcss"
     9 |     scheduler: lcss
       |                ^
"set" what is missing; "commit check" says what still is

[edit]
ann@dipper# _`)
		d.types("exit", enter, ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}

// TestSharedCandidate: it outlives the session that leaves it with changes.
func TestSharedCandidate(t *testing.T) {
	f := newFake()
	_, errOut, status := exec(t, f, api.Admin, "", "configure shared; set hostname lb2; exit")
	if status != 0 || errOut != "the shared candidate keeps its uncommitted changes\n" || len(f.candidates) != 1 {
		t.Errorf("exit status %d, %q, candidates %v", status, errOut, f.candidates)
	}
	f = newFake()
	if _, _, status := exec(t, f, api.Admin, "", "configure shared; exit"); status != 0 || len(f.candidates) != 0 {
		t.Errorf("without changes: exit status %d, candidates %v", status, f.candidates)
	}
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

// TestTooMany: where more fit than are shown, Tab goes no further than all do.
func TestTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		for i := range 300 {
			f.manyNames = append(f.manyNames, fmt.Sprintf("10.0.0.%03d", i))
		}
		d := sit(t, f, 100, 150)
		d.types(ctrlL, "server 10", tab) // the first hundred begin with 10.0.0.0
		s := d.vt.Screen()
		if !strings.HasSuffix(s, "  ... and more: type on\nann@lb1> server 10_") || !strings.Contains(s, "\n  10.0.0.099  weight 1\n") {
			t.Errorf("screen:\n%s", s)
		}
		d.types(ctrlU, "server 10.0.0.27", tab)
		if s := d.vt.Screen(); !strings.HasSuffix(s, "  10.0.0.279  weight 1\nann@lb1> server 10.0.0.27_") {
			t.Errorf("screen:\n%s", s)
		}
		d.types(ctrlU, ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}

// TestReminder: a commit that is about to be undone is told of, once.
func TestReminder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sit(t, newFake(), 100, 24)
		d.types(ctrlL)
		for _, left := range []time.Duration{5 * time.Minute, 50 * time.Second, 50 * time.Second} {
			d.f.become(func(s *api.Status) { s.ConfirmBy = noon.Add(left) })
			synctest.Wait()
		}
		d.sees(`
*** in 50s the unconfirmed commit is undone; "confirm" keeps it
ann@lb1 (unconfirmed)> _`)
		d.types(ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
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

// TestHelpIsTheGrammar: whatever `?` lists is accepted as the next word, and
// every other word of the tables is not, unless it is a hidden one there. All
// places that can be reached by words of the tables are tried.
func TestHelpIsTheGrammar(t *testing.T) {
	places := 0
	for _, configuring := range []bool{false, true} {
		c := &conversation{Session: &Session{API: newFake(), Actor: api.Actor{Role: api.Admin}}}
		if configuring {
			c.candidate = &api.Candidate{ID: "1"}
		}
		every := wordsOf(c.table())
		var visit func(line string, depth int)
		visit = func(line string, depth int) {
			places++
			o, err := c.offers(t.Context(), line)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			offered := map[string]bool{}
			for _, k := range o.Known {
				offered[k.Word] = true
			}
			_, complete := understood(c, line)
			if complete != o.Enter && line != "" {
				t.Errorf("%q: help says that it may end here: %v; it is so: %v", line, o.Enter, complete)
			}
			for _, w := range every {
				accepted, _ := understood(c, line+w)
				if accepted && !offered[w] && entersHidden(t, c, line+w) {
					continue
				}
				if len(o.Asked) == 0 && accepted != offered[w] && !abbreviates(w, offered) {
					t.Errorf("%q then %q: accepted %v, offered %v", line, w, accepted, offered[w])
				}
				if offered[w] && !accepted {
					t.Errorf("%q then %q is offered and not accepted", line, w)
				}
			}
			if depth == 0 {
				return
			}
			for w := range offered {
				visit(line+w+" ", depth-1)
			}
			for _, a := range o.Asked {
				if v := sample(a.Arg.Check); v != "" && !a.Arg.Repeated && !a.Arg.Verbatim {
					visit(line+v+" ", depth-1)
				}
			}
		}
		visit("", 3)
	}
	if places < 250 {
		t.Errorf("only %d places were visited", places)
	}
}

// entersHidden reports whether the last word of a line is a command that is
// not offered.
func entersHidden(t *testing.T, c *conversation, line string) bool {
	statements, err := grammar.Split(line)
	if err != nil {
		t.Fatal(err)
	}
	full, err := grammar.Expand(c.table(), statements[0][0])
	words := strings.Fields(full)
	return err == nil && hiddenWords(c.table())[words[len(words)-1]]
}

// hiddenWords are the names of a table that are not offered.
func hiddenWords(list []*command) map[string]bool {
	names := map[string]bool{}
	for _, c := range list {
		if c.Hidden {
			names[c.Name] = true
		}
		maps.Copy(names, hiddenWords(c.Sub))
	}
	return names
}

// abbreviates reports whether a word is short for one that is offered.
func abbreviates(word string, offered map[string]bool) bool {
	for o := range offered {
		if strings.HasPrefix(o, word) {
			return true
		}
	}
	return false
}

// sample is a value that passes a check.
func sample(check func(string) error) string {
	for _, v := range []string{"web", "5", "10m", "10.0.0.1", "http://a/b"} {
		if check == nil || check(v) == nil {
			return v
		}
	}
	return ""
}

// understood reports whether the words of a line fit so far, and whether the
// line is complete.
func understood(c *conversation, line string) (fits, complete bool) {
	_, err := c.offers(context.Background(), strings.TrimSuffix(line, " ")+" ")
	return err == nil, parses(c, line)
}

// TestAbbreviations: every prefix of a command that is unique among its
// siblings means that command, unless it is a hidden word itself, as ip is.
func TestAbbreviations(t *testing.T) {
	tried := 0
	for _, table := range [][]*command{operationalTable(), configurationTable()} {
		var visit func(path []string, list []*command)
		visit = func(path []string, list []*command) {
			notOffered := map[string]bool{}
			for _, c := range list {
				notOffered[c.Name] = c.Hidden
			}
			list = offeredIn(list)
			for _, c := range list {
				for n := 1; n <= len(c.Name); n++ {
					prefix := c.Name[:n]
					fits := 0
					for _, other := range list {
						if strings.HasPrefix(other.Name, prefix) {
							fits++
						}
					}
					if fits > 1 && prefix != c.Name || notOffered[prefix] {
						continue
					}
					tried++
					line := strings.Join(append(path[:len(path):len(path)], prefix), " ")
					got := meant(table, line)
					if want := strings.Join(append(path[:len(path):len(path)], c.Name), " "); got != want {
						t.Errorf("%q means %q, want %q", line, got, want)
					}
				}
				next := append(path[:len(path):len(path)], c.Name)
				for _, a := range c.Args {
					if !a.Optional {
						next = append(next, sample(a.Check))
					}
				}
				visit(next, c.Sub)
			}
		}
		visit(nil, table)
	}
	if tried < 300 {
		t.Errorf("only %d abbreviations were tried", tried)
	}
}

// crowded is a session on a director with so many real servers.
func crowded(count int) *conversation {
	f := newFake()
	for i := range count {
		f.manyNames = append(f.manyNames, fmt.Sprintf("10.0.%d.%d", i/250, i%250+1))
	}
	slices.Sort(f.manyNames)
	return &conversation{Session: &Session{API: f, Actor: api.Actor{Role: api.Admin}}}
}

// TestCompletionIsBounded: among ten thousand real servers it costs what it
// costs among two hundred.
func TestCompletionIsBounded(t *testing.T) {
	cost := func(c *conversation) float64 {
		return testing.AllocsPerRun(10, func() {
			o, err := c.offers(t.Context(), "server 10.0.")
			if err != nil || len(o.values) != maxOffered || !o.cut {
				t.Fatalf("%d values, more: %v, %v", len(o.values), o.cut, err)
			}
		})
	}
	few, many := cost(crowded(200)), cost(crowded(10_000))
	if many > few*1.1 {
		t.Errorf("%v allocations among 10,000 real servers, %v among 200", many, few)
	}
}

// BenchmarkComplete completes among ten thousand real servers.
func BenchmarkComplete(b *testing.B) {
	c := crowded(10_000)
	for b.Loop() {
		if _, err := c.offers(b.Context(), "server 10.0.3"); err != nil {
			b.Fatal(err)
		}
	}
}
