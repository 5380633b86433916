package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/api"
	"dipper/shell/session"
)

// welcomed is a Conversation that shows which sessions the control plane had
// been told of when it began.
type welcomed struct {
	session.Session
	gate *gate
}

func (w welcomed) Exec(context.Context, string) int {
	w.gate.mu.Lock()
	defer w.gate.mu.Unlock()
	var began []string
	for _, a := range w.gate.began {
		began = append(began, a.User+" "+string(a.Role)+" "+a.Session)
	}
	_, err := w.Out.Write([]byte(w.Actor.Session + ": " + strings.Join(began, ", ")))
	if err != nil {
		return 1
	}
	return 0
}

func (w welcomed) Interact(ctx context.Context) error {
	w.Exec(ctx, "")
	return nil
}

// TestLoginsAreTold tells the control plane of the first session of each
// connection before it begins, and of none that may give but one command.
func TestLoginsAreTold(t *testing.T) {
	joe, ann, bot := newPerson(t, "joe"), newPerson(t, "ann"), newPerson(t, "bot")
	a := one(joe)
	a.Users = append(a.Users, one(ann).Users...)
	a.Users[1].Role = api.Viewer // who may confirm is for the control plane to say
	forced := one(bot).Users[0]
	forced.Keys[0] = `command="show services" ` + forced.Keys[0]
	a.Users = append(a.Users, forced)
	s := start(t, a, func(srv *SSH) {
		gate := srv.Gate.(*gate)
		srv.Begin = func(w session.Session) Conversation { return welcomed{w, gate} }
	})
	show := func(p *person, times int) (last string) {
		c := s.mustDial(t, p)
		for range times {
			out, err := openSession(t, c).Output("show")
			if err != nil {
				t.Fatal(err)
			}
			last = string(out)
		}
		return last
	}
	own, began, _ := strings.Cut(show(joe, 1), ": ")
	if began != "joe admin "+own {
		t.Errorf("session %s began when the control plane knew of %q", own, began)
	}
	own, began, _ = strings.Cut(show(ann, 3), ": ")
	if !strings.HasSuffix(began, strings.TrimSuffix(own, "3")+"1") || strings.Count(began, "ann viewer") != 1 {
		t.Errorf("session %s began when the control plane knew of %q", own, began)
	}
	if _, began, _ = strings.Cut(show(bot, 1), ": "); strings.Contains(began, "bot") {
		t.Errorf("told of a key for one command: %q", began)
	}
}

// TestConsoleLoginIsTold does the same at a console.
func TestConsoleLoginIsTold(t *testing.T) {
	c := attend(t, joeWithPassword(), LoginAsked)
	c.board.set(serving())
	c.expect("lb1 login: ")
	c.press("joe\rallmine\r")
	c.expect("> ")
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if began := c.gate.began; len(began) != 1 || began[0].User != "joe" || began[0].From != "console" || began[0].Session == "" {
		t.Errorf("told of %+v", began)
	}
}

// restarting is a control plane that is away for the first calls.
type restarting struct {
	gate
	away  int
	after error
}

func (r *restarting) SessionBegan(context.Context) error {
	if r.away--; r.away >= 0 {
		return errors.New("connection refused")
	}
	return r.after
}

func (r *restarting) SessionEnded(ctx context.Context, _ string, _ bool) error {
	return r.SessionBegan(ctx)
}

// TestToldWhenThePlaneIsBack: what happens while the control plane is restarted
// is told when it is back, by somebody who may be gone himself; and nobody waits
// for one that has ended with the machine.
func TestToldWhenThePlaneIsBack(t *testing.T) {
	const forever = 1 << 30
	refused := &api.Error{Message: "it is another's"}
	login := func(p *teller, ctx context.Context) { p.began(ctx) }
	end := func(p *teller, ctx context.Context) { p.ended(ctx, "s1", true) }
	for name, tt := range map[string]struct {
		plane  *restarting
		tell   func(*teller, context.Context)
		over   time.Duration // when the shell ends
		took   time.Duration
		warned bool
	}{
		"login, at once":                {&restarting{}, login, time.Hour, 0, false},
		"login, restarted":              {&restarting{away: 5}, login, time.Hour, 5 * tellInterval, false},
		"login, away":                   {&restarting{away: forever}, login, time.Hour, arrivalPatience, true},
		"login, refused":                {&restarting{away: 1, after: refused}, login, time.Hour, tellInterval, true},
		"end, at once":                  {&restarting{}, end, time.Hour, 0, false},
		"end, restarted":                {&restarting{away: 40}, end, time.Hour, 40 * tellInterval, false},
		"end, away":                     {&restarting{away: forever}, end, time.Hour, auditPatience, true},
		"end, refused":                  {&restarting{after: refused}, end, time.Hour, 0, true},
		"end, with the machine":         {&restarting{away: forever}, end, 0, 0, true},
		"end, while the machine does":   {&restarting{away: forever}, end, tellInterval / 2, tellInterval / 2, true},
		"end, before the control plane": {&restarting{}, end, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				cancel() // the session is over
				over, stop := context.WithTimeout(t.Context(), tt.over)
				defer stop()
				var said strings.Builder
				began := time.Now()
				tt.tell(newTeller(tt.plane, slog.New(slog.NewTextHandler(&said, nil)), over.Done()), ctx)
				if took := time.Since(began); took != tt.took || (said.Len() > 0) != tt.warned {
					t.Errorf("took %v, want %v; said %q", took, tt.took, &said)
				}
			})
		})
	}
}

// away is a control plane that answers to the end of sessions from some time on.
type away struct {
	api.Gate
	until time.Time
	told  []string
}

func (a *away) SessionEnded(ctx context.Context, session string, lost bool) error {
	if time.Now().Before(a.until) {
		return errors.New("connection refused")
	}
	a.told = append(a.told, fmt.Sprintf("%s %s lost: %t", api.ActorOf(ctx).User, session, lost))
	if session == "refused" {
		return &api.Error{Message: "it is another's"}
	}
	return nil
}

// TestLateEnds: what could not be told of ends is told when the control plane is
// back, in order, whatever it says to one of them.
func TestLateEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, stop := context.WithCancel(t.Context())
		plane := &away{until: time.Now().Add(time.Hour)}
		teller := newTeller(plane, slog.New(slog.DiscardHandler), over.Done())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			teller.run()
		}()
		for _, e := range []ending{{api.Actor{User: "joe"}, "s1", true}, {api.Actor{User: "ann"}, "refused", false}, {api.Actor{User: "joe"}, "s2", false}} {
			teller.ended(api.WithActor(t.Context(), e.actor), e.session, e.lost)
		}
		time.Sleep(2 * time.Hour) // of the bubble
		synctest.Wait()
		want := []string{"joe s1 lost: true", "ann refused lost: false", "joe s2 lost: false"}
		if !slices.Equal(plane.told, want) {
			t.Errorf("told %q, want %q", plane.told, want)
		}
		stop()
		<-ended
	})
}

// TestLateEndsAreBounded: what is too much is in the log, and nobody waits for it.
func TestLateEndsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		plane := &away{until: time.Now().Add(1000 * time.Hour)}
		teller := newTeller(plane, slog.New(slog.NewTextHandler(&said, nil)), nil) // which nobody runs
		for range maxLate + 2 {
			teller.ended(t.Context(), "s1", true)
		}
		if later, never := strings.Count(said.String(), "is told later"), strings.Count(said.String(), "was not told"); later != maxLate || never != 2 {
			t.Errorf("%d are told later, and %d never", later, never)
		}
	})
}

// TestLostWhileThePlaneIsAway loses a connection, which the control plane hears
// of an hour later.
func TestLostWhileThePlaneIsAway(t *testing.T) {
	joe := newPerson(t, "joe")
	plane := &away{}
	startInMemory(t, one(joe), func(s *SSH) { plane.Gate, s.Gate = s.Gate, plane }, func(t *testing.T, s *inMemory) {
		plane.until = time.Now().Add(time.Hour)
		cable := newLine()
		c := s.enter(t, joe, cable)
		defer c.Close()
		if err := openSession(t, c).Start("sleep"); err != nil {
			t.Fatal(err)
		}
		cable.sever()
		time.Sleep(2 * time.Hour) // of the bubble
		synctest.Wait()
		if len(plane.told) != 1 || !strings.HasPrefix(plane.told[0], "joe ") || !strings.HasSuffix(plane.told[0], " lost: true") {
			t.Errorf("told %q", plane.told)
		}
	})
}

// TestLeftWhileThePlaneIsAway leaves a console, which the control plane hears of
// an hour later.
func TestLeftWhileThePlaneIsAway(t *testing.T) {
	rules := newGate(t, api.Access{})
	synctest.Test(t, func(t *testing.T) {
		rules.changed, rules.more = make(chan struct{}), make(chan struct{}) // of this bubble
		plane := &away{Gate: rules, until: time.Now().Add(time.Hour)}
		keyboard, keys := io.Pipe()
		c := &console{
			gate: plane, begin: func(s session.Session) Conversation { return talk{s} }, board: &statusBoard{}, login: LoginOpen,
			log: slog.New(slog.DiscardHandler), open: func() (tty, error) { return typed{keyboard}, nil },
		}
		c.board.set(serving())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.run(ctx)
		}()
		if _, err := io.WriteString(keys, "\rexit\r"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour) // of the bubble
		synctest.Wait()
		if len(plane.told) != 1 || !strings.HasPrefix(plane.told[0], "admin ") || !strings.HasSuffix(plane.told[0], " lost: false") {
			t.Errorf("told %q", plane.told)
		}
		cancel()
		<-ended
	})
}

// typed is a terminal of which nobody looks at the screen.
type typed struct{ *io.PipeReader }

func (typed) Write(p []byte) (int, error) { return len(p), nil }
func (typed) Size() session.Size          { return session.Size{Width: 80, Height: 24} }
func (typed) Quiet() func()               { return func() {} }
func (typed) Type() string                { return "vt220" }

// TestEndIsNotHeldUp ends the shell with a session in it when the control plane
// is gone already, as at the end of a machine.
func TestEndIsNotHeldUp(t *testing.T) {
	joe := newPerson(t, "joe")
	gone := &left{}
	leave := func(s *SSH) {
		ticking(s)
		gone.Gate, s.Gate = s.Gate, gone
	}
	startInMemory(t, one(joe), leave, func(t *testing.T, s *inMemory) {
		c := s.enter(t, joe, newLine())
		defer c.Close()
		if err := openSession(t, c).Start("monitor services"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		s.end()
		if took := time.Since(began); gone.asked != 1 || took > time.Second {
			t.Errorf("told the end %d times, for %v", gone.asked, took)
		}
	})
}

// left is a control plane that has ended.
type left struct {
	api.Gate
	asked int
}

func (l *left) SessionEnded(context.Context, string, bool) error {
	l.asked++
	return errors.New("connection refused")
}
