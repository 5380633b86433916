package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/events"
)

func as(t *testing.T, user, session string) context.Context {
	t.Helper()
	return api.WithActor(t.Context(), api.Actor{User: user, Role: api.Admin, Session: session, From: "192.0.2.1"})
}

// candidateOf opens a candidate and sets what the commands say.
func candidateOf(t *testing.T, ctx context.Context, b *backend, commands ...string) api.Candidate {
	t.Helper()
	c, err := b.OpenCandidate(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range commands {
		words := strings.Fields(command)
		if c, err = b.EditCandidate(ctx, c.ID, api.Edit{Kind: api.EditKind(words[0]), Words: words[1:]}); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	return c
}

func weight(t *testing.T, m *machine) string {
	t.Helper()
	table := m.table.String()
	_, rest, _ := strings.Cut(table, "-r 192.168.4.100:80 -g -w ")
	w, _, _ := strings.Cut(rest, "\n")
	return w
}

const heavier = "set services web real-servers 192.168.4.100 weight 9"

func TestCommit(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b, heavier)
		if !c.Changed || c.Stale {
			t.Errorf("candidate %+v: want it changed", c)
		}
		compared, err := b.CompareCandidate(anna, c.ID, "running")
		wantPlan := []string{"ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 9"}
		if err != nil || !slices.Equal(compared.Plan, wantPlan) || !slices.Equal(compared.Commands, []string{heavier}) || len(compared.Disturbed) > 0 {
			t.Errorf("compare: %+v, %v", compared, err)
		}
		if done, err := b.Commit(anna, c.ID, api.CommitOptions{CheckOnly: true}); err != nil || !slices.Equal(done.Plan, wantPlan) || done.Revision != 0 {
			t.Errorf("check: %+v, %v", done, err)
		}
		if w := weight(t, m); w != "1" {
			t.Errorf("comparing and checking made the weight %s", w)
		}
		done, err := b.Commit(anna, c.ID, api.CommitOptions{Comment: "more"})
		if err != nil || done.Revision != 2 || weight(t, m) != "9" {
			t.Errorf("commit: %+v, %v, weight %s", done, err, weight(t, m))
		}
		revisions, err := b.Revisions(anna)
		if err != nil || len(revisions) != 2 || revisions[0].User != "anna" || revisions[0].Comment != "more" || revisions[1].Via != "boot: test" {
			t.Errorf("revisions %+v, %v", revisions, err)
		}
		if s := b.Status(anna, -1); s.Unsaved || s.Source != "revision 2" {
			t.Errorf("status %+v", s)
		}
		// The candidate goes on, and back to what was booted with.
		if _, err := b.EditCandidate(anna, c.ID, api.Edit{Kind: api.EditRollback, Words: []string{"1"}}); err != nil {
			t.Fatal(err)
		}
		if done, err := b.Commit(anna, c.ID, api.CommitOptions{}); err != nil || done.Revision != 3 || weight(t, m) != "1" {
			t.Errorf("rollback: %+v, %v, weight %s", done, err, weight(t, m))
		}
		if done, err := b.Commit(anna, c.ID, api.CommitOptions{}); err != nil || done.Revision != 0 {
			t.Errorf("a commit of nothing: %+v, %v", done, err)
		}
	})
}

func TestCommitRefused(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		table := m.table.String()
		{
			c := candidateOf(t, anna, b, "delete services web listen")
			var no *api.Error
			if _, err := b.Commit(anna, c.ID, api.CommitOptions{}); !errors.As(err, &no) || !strings.Contains(no.Error(), "listen is missing") {
				t.Errorf("got %v", err)
			}
			compared, err := b.CompareCandidate(anna, c.ID, "running")
			if err != nil || len(compared.Warnings) < 2 || len(compared.Tree) == 0 {
				t.Errorf("compare: %+v, %v", compared, err)
			}
		}
		{
			m.table.lacks = "mh"
			c := candidateOf(t, anna, b, heavier, "set services bad listen 192.168.4.15:81 forward dr scheduler mh")
			var no *api.Error
			if _, err := b.Commit(anna, c.ID, api.CommitOptions{}); !errors.As(err, &no) || !strings.Contains(no.Message, "is back") || !strings.Contains(no.Error(), `service "bad"`) {
				t.Errorf("got %v", err)
			}
			if s := b.Status(anna, -1); s.State != api.Serving || s.Unsaved {
				t.Errorf("status %+v", s)
			}
		}
		{
			c := candidateOf(t, anna, b)
			var no *api.Error
			_, err := b.EditCandidate(anna, c.ID, api.Edit{Kind: api.EditSet, Words: []string{"services", "web", "scheduler", "lcss"}})
			if !errors.As(err, &no) || no.Word != 4 {
				t.Errorf("got %+v, want the fourth word at fault", err)
			}
		}
		{
			viewer := api.WithActor(t.Context(), api.Actor{User: "vera", Role: api.Viewer})
			if _, err := b.OpenCandidate(viewer, false); err == nil {
				t.Error("a viewer configures")
			}
		}
		if got := m.table.String(); got != table {
			t.Errorf("table:\n%swant:\n%s", got, table)
		}
	})
}

func TestRoles(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		calls := map[string]struct {
			need api.Role
			call func(ctx context.Context) error
		}{
			"server": {api.Operate, func(ctx context.Context) error {
				_, err := b.SetServer(ctx, api.ServerVerb{Server: "192.168.4.100", Verb: api.Enable})
				return err
			}},
			"clear": {api.Operate, func(ctx context.Context) error {
				_, err := b.Clear(ctx, api.ClearQuery{What: "counters"})
				return err
			}},
			"save":  {api.Admin, func(ctx context.Context) error { _, err := b.Save(ctx, ""); return err }},
			"apply": {api.Admin, func(ctx context.Context) error { _, err := b.Apply(ctx, []byte(pair), false); return err }},
			"open":  {api.Admin, func(ctx context.Context) error { _, err := b.OpenCandidate(ctx, false); return err }},
		}
		for name, tt := range calls {
			for rank, role := range []api.Role{api.Viewer, api.Operate, api.Admin, ""} {
				err := tt.call(api.WithActor(t.Context(), api.Actor{Role: role}))
				allowed := role == tt.need || role == "" || rank == 2
				if (err == nil) != allowed {
					t.Errorf("%s by %q: %v", name, role, err)
				}
			}
			if err := tt.call(api.WithActor(t.Context(), api.Actor{Role: "emperor"})); err == nil {
				t.Errorf("%s by an unknown role", name)
			}
		}
	})
}

func TestCommitTellsWhatOperatorsOverride(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		if _, err := b.SetServer(anna, api.ServerVerb{Server: "192.168.4.100", Verb: api.Drain}); err != nil {
			t.Fatal(err)
		}
		c := candidateOf(t, anna, b, heavier)
		done, err := b.Commit(anna, c.ID, api.CommitOptions{})
		want := "192.168.4.100:80 of web stays drained by an operator: enable gives it weight 9"
		if err != nil || !slices.Contains(done.Warnings, want) || weight(t, m) != "0" {
			t.Errorf("warnings %q, %v, weight %s", done.Warnings, err, weight(t, m))
		}
		if _, err := b.SetServer(anna, api.ServerVerb{Server: "192.168.4.100", Verb: api.Enable}); err != nil || weight(t, m) != "9" {
			t.Errorf("enabled: %v, weight %s", err, weight(t, m))
		}
	})
}

func TestSecondCommitterIsTold(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		first := candidateOf(t, anna, b, heavier)
		second := candidateOf(t, bert, b, "set services web scheduler wlc")
		if err := b.CloseCandidate(bert, first.ID); err == nil {
			t.Error("bert closed anna's private candidate")
		}
		if _, err := b.Commit(bert, first.ID, api.CommitOptions{}); err == nil {
			t.Error("bert committed anna's private candidate")
		}
		if _, err := b.Commit(anna, first.ID, api.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		var no *api.Error
		_, err := b.Commit(bert, second.ID, api.CommitOptions{})
		if !errors.As(err, &no) || !no.Conflict || !slices.Contains(no.Details, heavier) {
			t.Errorf("got %v, want a conflict that says what changed", err)
		}
		if _, err := b.Commit(bert, second.ID, api.CommitOptions{Anyway: true}); err != nil {
			t.Fatal(err)
		}
		if w := weight(t, m); w != "1" {
			t.Errorf("bert's candidate says weight 1, it is %s", w)
		}
	})
}

// TestUpdate: changes go on top of what somebody else committed meanwhile, and
// then nothing is in the way of the commit.
func TestUpdate(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		first := candidateOf(t, anna, b, heavier, "set hostname lb7", "delete services web real-servers 192.168.4.200")
		second := candidateOf(t, bert, b, "set services web scheduler wlc", "set hostname lb8", "delete services web real-servers 192.168.4.200")
		if _, err := b.Commit(anna, first.ID, api.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		c, err := b.EditCandidate(bert, second.ID, api.Edit{Kind: api.EditUpdate})
		if err != nil || c.Stale || !c.Changed {
			t.Fatalf("updated: %+v, %v", c, err)
		}
		if clashes := []string{"hostname: yours is lb8, and meanwhile it became lb7"}; !slices.Equal(c.Clashes, clashes) {
			t.Errorf("what both changed: %q, want %q", c.Clashes, clashes)
		}
		k, err := b.CompareCandidate(bert, second.ID, "running")
		want := []string{"[edit]", "-  hostname: lb7", "+  hostname: lb8", "[edit services web]", "-  scheduler: wrr", "+  scheduler: wlc"}
		if err != nil || !slices.Equal(k.Tree, want) {
			t.Errorf("compared: %q, %v, want %q", k.Tree, err, want)
		}
		if _, err := b.Commit(bert, second.ID, api.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		if w := weight(t, m); w != "9" {
			t.Errorf("anna's weight 9 is %s after bert's commit", w)
		}
	})
}

func TestSharedCandidate(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		c, err := b.OpenCandidate(anna, true)
		if err != nil {
			t.Fatal(err)
		}
		joined, err := b.OpenCandidate(bert, true)
		if err != nil || joined.ID != c.ID {
			t.Errorf("bert got %+v, %v; want to join %s", joined, err, c.ID)
		}
		if _, err := b.EditCandidate(bert, c.ID, api.Edit{Kind: api.EditSet, Words: strings.Fields(heavier)[1:]}); err != nil {
			t.Fatal(err)
		}
		if err := b.SessionEnded(anna, "s1", false); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Commit(bert, c.ID, api.CommitOptions{}); err != nil || weight(t, m) != "9" {
			t.Errorf("commit: %v, weight %s", err, weight(t, m))
		}
	})
}

// TestOpenedCandidatesAreEvents: others who configure can be told.
func TestOpenedCandidatesAreEvents(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		candidateOf(t, anna, b)
		for _, ctx := range []context.Context{anna, bert} {
			if _, err := b.OpenCandidate(ctx, true); err != nil {
				t.Fatal(err)
			}
		}
		var told []string
		for e := range b.Events(t.Context(), 0, false) {
			if e.Kind == events.Edit {
				told = append(told, e.Actor.User+" "+e.Text)
			}
		}
		want := []string{"anna opens a candidate", "anna opens a shared candidate", "bert joins the shared candidate"}
		if !slices.Equal(told, want) {
			t.Errorf("got %q, want %q", told, want)
		}
	})
}

// TestWhatIsKeptIsForEverybody: a viewer completes and compares what is kept,
// and opens no candidate for it.
func TestWhatIsKeptIsForEverybody(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		viewer := api.WithActor(t.Context(), api.Actor{User: "vera", Role: api.Viewer})
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b, "set hostname lb2")
		if _, err := b.Commit(anna, c.ID, api.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := b.CloseCandidate(anna, c.ID); err != nil {
			t.Fatal(err)
		}
		got, err := b.CompleteConfig(viewer, "running", api.CompleteQuery{Kind: api.EditSet, Words: []string{"services", "web", "re"}})
		if err != nil || len(got) != 1 || got[0].Word != "real-servers" {
			t.Errorf("completed %+v, %v", got, err)
		}
		if got, err := b.CompleteConfig(viewer, "running", api.CompleteQuery{Kind: api.EditSet, Words: []string{"services", "web", "pers"}}); err != nil || len(got) != 0 {
			t.Errorf("what is not there is offered: %+v, %v", got, err)
		}
		revisions, err := b.Revisions(viewer)
		if err != nil || len(revisions) < 2 {
			t.Fatalf("revisions %+v, %v", revisions, err)
		}
		k, err := b.CompareConfigs(viewer, fmt.Sprint(revisions[1].Number), "running")
		if want := []string{"[edit]", "-  hostname: lb1", "+  hostname: lb2"}; err != nil || !slices.Equal(k.Tree, want) {
			t.Errorf("got %q, %v, want %q", k.Tree, err, want)
		}
		if open, _ := b.Candidates(viewer); len(open) > 0 {
			t.Errorf("left open: %+v", open)
		}
	})
}

func TestCommitConfirmed(t *testing.T) {
	tenMinutes := api.CommitOptions{Confirm: api.Duration(10 * time.Minute), Comment: "careful"}
	tests := map[string]struct {
		then   func(t *testing.T, m *machine, b *backend) // after the commit
		after  time.Duration
		weight string
		saved  bool
	}{
		"not yet over": {after: 9 * time.Minute, weight: "9"},
		"over":         {after: 11 * time.Minute, weight: "1"},
		"confirmed": {
			then: func(t *testing.T, m *machine, b *backend) {
				if r, err := b.Confirm(as(t, "bert", "s2")); err != nil || r.Number != 2 || r.Comment != "careful" {
					t.Errorf("Confirm = %+v, %v", r, err)
				}
			},
			after: time.Hour, weight: "9", saved: true,
		},
		"reverted": {
			then: func(t *testing.T, m *machine, b *backend) {
				if err := b.Revert(as(t, "bert", "s2")); err != nil {
					t.Error(err)
				}
			},
			weight: "1",
		},
		"session lost, not yet a minute ago": {
			then:  func(t *testing.T, m *machine, b *backend) { lose(t, b, "s1") },
			after: 59 * time.Second, weight: "9",
		},
		"session lost a minute ago": {
			then:  func(t *testing.T, m *machine, b *backend) { lose(t, b, "s1") },
			after: 61 * time.Second, weight: "1",
		},
		"another session lost": {
			then:  func(t *testing.T, m *machine, b *backend) { lose(t, b, "s2") },
			after: 5 * time.Minute, weight: "9",
		},
		"session lost, but another confirms": {
			then: func(t *testing.T, m *machine, b *backend) {
				lose(t, b, "s1")
				time.Sleep(30 * time.Second)
				if _, err := b.Confirm(as(t, "bert", "s2")); err != nil {
					t.Error(err)
				}
			},
			after: time.Hour, weight: "9", saved: true,
		},
		"a plain commit confirms": {
			then: func(t *testing.T, m *machine, b *backend) {
				bert := as(t, "bert", "s2")
				c := candidateOf(t, bert, b)
				if done, err := b.Commit(bert, c.ID, api.CommitOptions{}); err != nil || done.Revision != 2 {
					t.Errorf("commit: %+v, %v", done, err)
				}
			},
			after: time.Hour, weight: "9", saved: true,
		},
		"a second one extends, and goes all the way back": {
			then: func(t *testing.T, m *machine, b *backend) {
				time.Sleep(9 * time.Minute)
				anna := as(t, "anna", "s1")
				c := candidateOf(t, anna, b, "set services web real-servers 192.168.4.100 weight 5")
				if _, err := b.Commit(anna, c.ID, tenMinutes); err != nil {
					t.Fatal(err)
				}
				time.Sleep(9 * time.Minute)
				synctest.Wait()
				if w := weight(t, m); w != "5" {
					t.Errorf("weight %s, want 5 for another minute", w)
				}
			},
			after: 2 * time.Minute, weight: "1",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
				anna := as(t, "anna", "s1")
				c := candidateOf(t, anna, b, heavier)
				done, err := b.Commit(anna, c.ID, tenMinutes)
				if err != nil || done.Revision != 0 || !done.ConfirmBy.Equal(time.Now().Add(10*time.Minute)) {
					t.Fatalf("commit: %+v, %v", done, err)
				}
				if s := b.Status(anna, -1); s.ConfirmBy.IsZero() || !s.Unsaved || weight(t, m) != "9" {
					t.Errorf("status %+v, weight %s", s, weight(t, m))
				}
				if r, err := b.Revisions(anna); err != nil || len(r) > 0 {
					t.Errorf("what nobody confirmed is kept: %+v, %v", r, err)
				}
				if _, err := b.Save(anna, ""); err == nil {
					t.Error("what nobody confirmed was saved")
				}
				if tt.then != nil {
					tt.then(t, m, b)
				}
				time.Sleep(tt.after)
				synctest.Wait()
				if w := weight(t, m); w != tt.weight {
					t.Errorf("weight %s, want %s", w, tt.weight)
				}
				revisions, err := b.Revisions(anna)
				if err != nil || (len(revisions) > 0) != tt.saved {
					t.Errorf("revisions %+v, %v", revisions, err)
				}
			})
		})
	}
}

// TestUndoneWhenTheKernelIs tells of the end of an unconfirmed commit when the
// kernel has been put back, and not before.
func TestUndoneWhenTheKernelIs(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		var edits atomic.Int32
		m.table.editing = func() {
			if edits.Add(1) == 2 && b.Status(anna, -1).ConfirmBy.IsZero() {
				t.Error("told before it was done")
			}
		}
		c := candidateOf(t, anna, b, heavier)
		if _, err := b.Commit(anna, c.ID, api.CommitOptions{Confirm: api.Duration(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := b.Status(anna, -1); edits.Load() != 2 || !s.ConfirmBy.IsZero() || weight(t, m) != "1" {
			t.Errorf("%d edits, want 2; status %+v, weight %s", edits.Load(), s, weight(t, m))
		}
		if kept, err := b.running.loadPending(); err != nil || kept != nil {
			t.Errorf("a restart would find %+v, %v", kept, err)
		}
	})
}

func lose(t *testing.T, b *backend, session string) {
	t.Helper()
	if err := b.SessionEnded(t.Context(), session, true); err != nil {
		t.Error(err)
	}
}

// TestUnconfirmedOutlivesTheControlPlane kills it before the deadline, and
// starts it again before and after.
func TestUnconfirmedOutlivesTheControlPlane(t *testing.T) {
	for name, tt := range map[string]struct {
		away   time.Duration
		before string // weight right after the restart
	}{
		"back in time": {time.Minute, "9"},
		"back late":    {time.Hour, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				m.options.Uptime = nil
				m.boots(pair)
				b, kill := m.serves(t)
				anna := as(t, "anna", "s1")
				c := candidateOf(t, anna, b, heavier)
				if _, err := b.Commit(anna, c.ID, api.CommitOptions{Confirm: api.Duration(10 * time.Minute)}); err != nil {
					t.Fatal(err)
				}
				kill()
				time.Sleep(tt.away)
				b, kill = m.serves(t)
				defer kill()
				if w := weight(t, m); w != tt.before {
					t.Errorf("after the restart: weight %s, want %s", w, tt.before)
				}
				if confirmBy := b.Status(anna, -1).ConfirmBy; confirmBy.IsZero() != (tt.before == "1") {
					t.Errorf("to be confirmed by %v", confirmBy)
				}
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if w := weight(t, m); w != "1" || b.Status(anna, -1).Unsaved {
					t.Errorf("in the end: weight %s", w)
				}
			})
		})
	}
}

// TestCandidatesOutliveTheControlPlane kills it between an edit and the commit.
func TestCandidatesOutliveTheControlPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots(pair)
		b, kill := m.serves(t)
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		mine := candidateOf(t, anna, b, heavier, "annotate services web")
		gone := candidateOf(t, bert, b, "set services web scheduler wlc")
		if err := b.CloseCandidate(bert, gone.ID); err != nil {
			t.Fatal(err)
		}
		stale := candidateOf(t, bert, b, "set services web scheduler rr", "rollback 0", "set services web scheduler sed")
		untouched := candidateOf(t, bert, b)
		kill()
		b, kill = m.serves(t)
		defer kill()
		open, err := b.Candidates(anna)
		if err != nil || len(open) != 3 || open[0].ID != mine.ID || open[0].Owner.User != "anna" || !open[0].Changed || open[0].Stale {
			t.Fatalf("open are %+v, %v", open, err)
		}
		if _, err := b.EditCandidate(bert, mine.ID, api.Edit{Kind: api.EditDiscard}); err == nil {
			t.Error("bert edits anna's private candidate")
		}
		if done, err := b.Commit(anna, mine.ID, api.CommitOptions{}); err != nil || done.Revision != 2 || weight(t, m) != "9" {
			t.Errorf("commit: %+v, %v, weight %s", done, err, weight(t, m))
		}
		var no *api.Error
		if _, err := b.Commit(bert, stale.ID, api.CommitOptions{}); !errors.As(err, &no) || !no.Conflict {
			t.Errorf("got %v, want a conflict", err)
		}
		text, err := b.ShowCandidate(bert, stale.ID, api.ShowQuery{Path: []string{"services", "web", "scheduler"}})
		if err != nil || !strings.Contains(text, "sed") {
			t.Errorf("bert's candidate says %q, %v", text, err)
		}
		if next := candidateOf(t, bert, b); next.ID == mine.ID || next.ID == stale.ID {
			t.Errorf("a new candidate is called %s", next.ID)
		}
		// What nobody has edited is what runs, whatever that is by now, until it is
		// edited: then it is what it was copied from, whatever runs.
		for _, tt := range []struct {
			edit  []string
			base  string // the weight that it began with
			stale bool
		}{{nil, "9", false}, {[]string{"set", "hostname", "lb7"}, "9", false}, {[]string{"set", "hostname", "lb8"}, "9", true}} {
			if tt.edit != nil {
				if _, err := b.EditCandidate(bert, untouched.ID, api.Edit{Kind: api.EditSet, Words: tt.edit[1:]}); err != nil {
					t.Fatal(err)
				}
			}
			if tt.stale {
				other := candidateOf(t, anna, b, "set services web real-servers 192.168.4.100 weight 8")
				if _, err := b.Commit(anna, other.ID, api.CommitOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			kill()
			b, kill = m.serves(t)
			text, err := b.ShowCandidate(bert, untouched.ID, api.ShowQuery{Path: []string{"services", "web", "real-servers", "192.168.4.100", "weight"}})
			if err != nil || text != tt.base+"\n" {
				t.Errorf("after %q: weight %q, %v, want %s", tt.edit, text, err, tt.base)
			}
			open, err := b.Candidates(bert)
			at := slices.IndexFunc(open, func(c api.Candidate) bool { return c.ID == untouched.ID })
			if err != nil || at < 0 || open[at].Stale != tt.stale || open[at].Changed != (tt.edit != nil) {
				t.Errorf("after %q: %+v, %v", tt.edit, open, err)
			}
		}
	})
}

// TestMendBootConfig: what is right of a broken boot config is taken by rollback
// boot, mended by set and committed.
func TestMendBootConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots(strings.Replace(pair, "scheduler: wrr", "schedular: wrr", 1))
		b, kill := m.serves(t)
		defer kill()
		if s := b.Status(t.Context(), -1); s.State != api.Maintenance {
			t.Fatalf("status %+v", s)
		}
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b, "rollback boot", "set services web scheduler wlc")
		if _, err := b.Commit(anna, c.ID, api.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		if table := m.table.String(); !strings.Contains(table, "-s wlc") || !strings.Contains(table, "192.168.4.200") {
			t.Errorf("after the commit:\n%s", table)
		}
	})
}

// TestUnreadableBootConfig: of what is no YAML nothing is taken, and it is said
// where it is broken.
func TestUnreadableBootConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots("role: director\nservices: {web: [\n")
		b, kill := m.serves(t)
		defer kill()
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b)
		_, err := b.EditCandidate(anna, c.ID, api.Edit{Kind: api.EditRollback, Words: []string{"boot"}})
		var no *api.Error
		if !errors.As(err, &no) || len(no.Details) < 2 || !strings.Contains(no.Details[0], ":2:") {
			t.Errorf("got %v", err)
		}
	})
}

func TestCommitFromMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		b, kill := m.serves(t)
		defer kill()
		root := t.Context()
		access, err := b.Access(root, -1)
		if err != nil || len(access.OneTimePassword) < 16 || len(access.Users) > 0 {
			t.Errorf("access %+v, %v: want a one-time password", access, err)
		}
		c, err := b.OpenCandidate(root, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.EditCandidate(root, c.ID, api.Edit{Kind: api.EditOverride, Text: pair}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Commit(root, c.ID, api.CommitOptions{Confirm: api.Duration(time.Minute)}); err == nil {
			t.Error("there is nothing that an unconfirmed commit could go back to")
		}
		done, err := b.Commit(root, c.ID, api.CommitOptions{})
		if err != nil || done.Revision != 1 || weight(t, m) != "1" {
			t.Errorf("commit: %+v, %v", done, err)
		}
		if s := b.Status(root, -1); s.State != api.Serving || s.Unsaved {
			t.Errorf("status %+v", s)
		}
		if access, err := b.Access(root, -1); err != nil || access.OneTimePassword != "" || !slices.Equal(access.Listen, []string{"192.168.4.5:22"}) {
			t.Errorf("access %+v, %v: want no one-time password any more", access, err)
		}
	})
}

func TestSecretsAreNotShown(t *testing.T) {
	const hash = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
	bubble(t, pair+"management: {ssh: {users: {anna: {role: admin, password-hash: "+hash+"}}}}\n", func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b)
		for _, format := range []api.ShowFormat{api.FormatYAML, api.FormatCommands, api.FormatJSON} {
			for what, show := range map[string]func(q api.ShowQuery) (string, error){
				"candidate": func(q api.ShowQuery) (string, error) { return b.ShowCandidate(anna, c.ID, q) },
				"running":   func(q api.ShowQuery) (string, error) { return b.ShowConfig(anna, "running", q) },
			} {
				if text, err := show(api.ShowQuery{Format: format}); err != nil || strings.Contains(text, hash) || !strings.Contains(text, "anna") {
					t.Errorf("%s as %s, %v:\n%s", what, format, err, text)
				}
				if text, err := show(api.ShowQuery{Format: format, Secrets: true}); err != nil || !strings.Contains(text, hash) {
					t.Errorf("%s as %s, secrets asked for, %v:\n%s", what, format, err, text)
				}
			}
		}
		viewer := api.WithActor(t.Context(), api.Actor{User: "vera", Role: api.Viewer})
		if _, err := b.ShowConfig(viewer, "running", api.ShowQuery{Secrets: true}); err == nil {
			t.Error("a viewer sees secrets")
		}
		if access, err := b.Access(t.Context(), -1); err != nil || len(access.Users) != 1 || access.Users[0].PasswordHash != hash {
			t.Errorf("access %+v, %v", access, err)
		}
	})
}
