package appliance

import (
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/events"
	"dipper/appliance/store"
)

// TestConfirmTimes refuses times that no timer can be set to: the commit would
// be undone at once, or never.
func TestConfirmTimes(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b, heavier)
		for _, span := range []time.Duration{-1, maxConfirm + 1, math.MaxInt64, math.MinInt64} {
			var no *api.Error
			if _, err := b.Commit(anna, c.ID, api.CommitOptions{Confirm: api.Duration(span)}); !errors.As(err, &no) || !strings.Contains(no.Message, "commit confirmed") {
				t.Errorf("%v: got %v", span, err)
			}
		}
		if w := weight(t, m); w != "1" {
			t.Errorf("weight %s after refused commits", w)
		}
		done, err := b.Commit(anna, c.ID, api.CommitOptions{Confirm: api.Duration(maxConfirm)})
		if left := time.Until(done.ConfirmBy); err != nil || left != maxConfirm || weight(t, m) != "9" {
			t.Errorf("the longest: %v left, weight %s, %v", left, weight(t, m), err)
		}
	})
}

// TestOddComments keeps what somebody wrote, whatever it is: the revision can be
// read, and is found on the volume after a reboot.
func TestOddComments(t *testing.T) {
	comments := []string{
		"", "two\nlines: {a: b}", "\x1b[2J\a\x00\x7f", "\u0085\u2028\ufeff\u202e", `"quoted" \ '`, "# role: real-server", "---\n...\n",
		"\xff\xfe", strings.Repeat("ä", maxComment/2),
	}
	volume := &disk{Memory: store.NewMemory()}
	bootsWith(t, volume, pair, func(t *testing.T, _ *machine, b *backend) {
		anna := as(t, "anna", "s1")
		for i, comment := range comments {
			c := candidateOf(t, anna, b, "set services web real-servers 192.168.4.100 weight "+string(rune('2'+i%8)))
			if _, err := b.Commit(anna, c.ID, api.CommitOptions{Comment: comment}); err != nil {
				t.Errorf("%q: %v", comment, err)
			}
		}
		c := candidateOf(t, anna, b, heavier)
		if _, err := b.Commit(anna, c.ID, api.CommitOptions{Comment: strings.Repeat("x", maxComment+1)}); err == nil || !strings.Contains(err.Error(), "comment") {
			t.Errorf("a comment without end: %v", err)
		}
		if _, err := b.Save(anna, strings.Repeat("x", maxComment+1)); err == nil || !strings.Contains(err.Error(), "comment") {
			t.Errorf("a comment without end, saved: %v", err)
		}
		for _, text := range eventsOf(t, b, events.Commit) {
			if strings.ContainsAny(text, "\n\r\x1b\x00\u0085\u2028\u202e") {
				t.Errorf("an event %q", text)
			}
		}
	})
	kept, err := store.Open(volume, time.Now())
	if err != nil || len(kept.Problems()) > 0 {
		t.Fatalf("%v, problems %q", err, kept.Problems())
	}
	revisions := kept.Revisions()
	if len(revisions) != len(comments)+1 { // and what was booted with
		t.Fatalf("%d revisions", len(revisions))
	}
	for i, comment := range comments {
		r, yaml, err := kept.Read(revisions[len(comments)-1-i].Number)
		if err != nil || r.Comment != strings.ToValidUTF8(comment, "\ufffd") && comment != "\xff\xfe" {
			t.Errorf("%q: reads as %q, %v", comment, r.Comment, err)
		}
		if !strings.HasPrefix(string(yaml), "# the cluster of the tests") {
			t.Errorf("%q: the configuration begins with %.40q", comment, yaml)
		}
	}
}

// confirmation is a way in which a commit of ten minutes goes on.
type confirmation struct {
	then   []func(t *testing.T, m *machine, b *backend) // after the commit
	after  time.Duration                                // and then
	weight string                                       // heavier's is 9, and 1 was before
	saved  bool
}

// tenMinutes is how long that commit may be confirmed.
func tenMinutes() api.CommitOptions {
	return api.CommitOptions{Confirm: api.Duration(10 * time.Minute), Comment: "careful"}
}

func loses(session string) func(*testing.T, *machine, *backend) {
	return func(t *testing.T, _ *machine, b *backend) { lose(t, b, session) }
}

func waits(d time.Duration) func(*testing.T, *machine, *backend) {
	return func(*testing.T, *machine, *backend) {
		time.Sleep(d)
		synctest.Wait()
	}
}

func bertConfirms(t *testing.T, _ *machine, b *backend) {
	if r, err := b.Confirm(as(t, "bert", "s2")); err != nil || r.Number != 2 || r.Comment != "careful" {
		t.Errorf("Confirm = %+v, %v", r, err)
	}
}

func bertReverts(t *testing.T, _ *machine, b *backend) {
	if err := b.Revert(as(t, "bert", "s2")); err != nil {
		t.Error(err)
	}
}

func bertCommits(t *testing.T, _ *machine, b *backend) {
	bert := as(t, "bert", "s2")
	c := candidateOf(t, bert, b)
	if done, err := b.Commit(bert, c.ID, api.CommitOptions{}); err != nil || done.Revision != 2 {
		t.Errorf("commit: %+v, %v", done, err)
	}
}

func annaCommitsAgain(t *testing.T, _ *machine, b *backend) {
	anna := as(t, "anna", "s1")
	c := candidateOf(t, anna, b, "set services web real-servers 192.168.4.100 weight 5")
	if _, err := b.Commit(anna, c.ID, tenMinutes()); err != nil {
		t.Fatal(err)
	}
}

func weighs(want string) func(*testing.T, *machine, *backend) {
	return func(t *testing.T, m *machine, _ *backend) {
		if w := weight(t, m); w != want {
			t.Errorf("weight %s, want %s", w, want)
		}
	}
}

func TestCommitConfirmed(t *testing.T) {
	type steps = []func(*testing.T, *machine, *backend)
	tests := map[string]confirmation{
		"not yet over": {after: 9 * time.Minute, weight: "9"},
		"over":         {after: 11 * time.Minute, weight: "1"},
		"confirmed":    {then: steps{bertConfirms}, after: time.Hour, weight: "9", saved: true},
		"reverted":     {then: steps{bertReverts}, weight: "1"},

		"session lost, not yet a minute ago": {then: steps{loses("s1")}, after: 59 * time.Second, weight: "9"},
		"session lost a minute ago":          {then: steps{loses("s1")}, after: 61 * time.Second, weight: "1"},
		"another session lost":               {then: steps{loses("s2")}, after: 5 * time.Minute, weight: "9"},
		"session lost, but another confirms": {then: steps{loses("s1"), waits(30 * time.Second), bertConfirms}, after: time.Hour, weight: "9", saved: true},

		"a plain commit confirms": {then: steps{bertCommits}, after: time.Hour, weight: "9", saved: true},
		"a second one extends, and goes all the way back": {
			then:  steps{waits(9 * time.Minute), annaCommitsAgain, waits(9 * time.Minute), weighs("5")},
			after: 2 * time.Minute, weight: "1",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { bubble(t, pair, tt.goesOn) })
	}
}

// goesOn commits for ten minutes, and looks at what comes of it.
func (tt confirmation) goesOn(t *testing.T, m *machine, b *backend) {
	anna := as(t, "anna", "s1")
	c := candidateOf(t, anna, b, heavier)
	done, err := b.Commit(anna, c.ID, tenMinutes())
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
	for _, step := range append(tt.then, waits(tt.after), weighs(tt.weight)) {
		step(t, m, b)
	}
	revisions, err := b.Revisions(anna)
	if err != nil || (len(revisions) > 0) != tt.saved {
		t.Errorf("revisions %+v, %v", revisions, err)
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
