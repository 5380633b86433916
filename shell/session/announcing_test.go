package session

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/api"
)

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

// TestOthersInASharedCandidate: the prompt says whether it has changes, whoever
// made or discarded them, and so does exit, even before the others' edits have
// been told of. An answer that comes late takes nothing back.
func TestOthersInASharedCandidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.news = make(chan api.Event)
		d := sit(t, f, 100, 24)
		bob := api.Actor{User: "bob", From: "10.0.0.2", Session: "s2"}
		becomes := func(changed bool) {
			f.mu.Lock()
			defer f.mu.Unlock()
			k := f.candidates["1"]
			k.Changed = changed
			k.Edits++
		}
		tell := func(number int, who api.Actor, text string) {
			f.news <- api.Event{Number: number, Kind: "candidate", Actor: who, Text: text}
			synctest.Wait()
		}
		d.types("configure shared", enter, ctrlL)
		becomes(true)
		tell(3, bob, "edits the shared candidate")
		d.types(enter)
		d.sees(`
*** bob (10.0.0.2): edits the shared candidate
ann@lb1#

[edit] shared changed
ann@lb1# _`)
		d.types(ctrlL)
		becomes(false)
		tell(4, bob, "discards the changes in the shared candidate")
		d.types(enter)
		d.sees(`
*** bob (10.0.0.2): discards the changes in the shared candidate
ann@lb1#

[edit] shared
ann@lb1# _`)
		// What she did herself is not announced; the answer to it may come late.
		d.types(ctrlL)
		becomes(true)
		tell(5, api.Actor{User: "ann", Session: "s1"}, "edits the shared candidate")
		d.types(enter)
		d.sees(`
ann@lb1#

[edit] shared changed
ann@lb1# _`)
		becomes(false)
		tell(6, bob, "discards the changes in the shared candidate")
		becomes(true)
		d.types(ctrlL, "exit", enter)
		d.sees(`
ann@lb1# exit
the shared candidate keeps its uncommitted changes
ann@lb1> _`)
		d.types(ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
	late := &conversation{editing: api.Candidate{ID: "1", Edits: 3}}
	if late.sees(api.Candidate{ID: "1", Edits: 2, Changed: true}) || late.edits().Changed {
		t.Error("an older answer counts")
	}
	if !late.sees(api.Candidate{ID: "1", Edits: 4, Changed: true}) || !late.edits().Changed {
		t.Error("a newer answer does not count")
	}
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

// lasting is a director of which programs take until they are told to end.
type lasting struct {
	*fake
	end chan struct{}
}

func (l lasting) Program(context.Context, []string, io.Reader, io.Writer, io.Writer) (int, error) {
	<-l.end
	return 0, nil
}

// TestReminderComesLate: who waits for a command is reminded when it ends, of what
// is so then, and of nothing when the commit was confirmed meanwhile.
func TestReminderComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, now := lasting{newFake(), make(chan struct{})}, noon
		d := sit(t, f.fake, 60, 24, func(s *Session) { s.API, s.Now = f, func() time.Time { return now } })
		for _, confirmed := range []bool{true, false} {
			d.types(ctrlL, "debug slow", enter)
			by := now.Add(50 * time.Second)
			f.become(func(s *api.Status) { s.ConfirmBy = by })
			synctest.Wait()
			now = now.Add(20 * time.Second)
			if confirmed {
				f.become(func(s *api.Status) { s.ConfirmBy = time.Time{} })
				synctest.Wait()
			}
			f.end <- struct{}{}
			synctest.Wait()
			if confirmed {
				d.sees("ann@lb1> debug slow\nann@lb1> _")
			}
		}
		d.sees(`
ann@lb1> debug slow
*** in 30s the unconfirmed commit is undone; "confirm" keeps
it
ann@lb1 (unconfirmed)> _`)
		d.types(ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}
