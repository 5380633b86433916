package appliance

import (
	"errors"
	"math"
	"strings"
	"testing"
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
