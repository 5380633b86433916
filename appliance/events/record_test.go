package events

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/api"
)

func TestEventsForgetTheOldest(t *testing.T) {
	e := New(time.Now, slog.New(slog.DiscardHandler))
	for i := range 3 * maxKept {
		e.Add(t.Context(), Server, "number %d", i+1)
	}
	numbers := func(after int) (all []int) {
		for event := range e.After(t.Context(), after, false) {
			all = append(all, event.Number)
		}
		return all
	}
	all := numbers(0)
	if len(all) != maxKept || all[0] != 2*maxKept+1 || all[len(all)-1] != 3*maxKept {
		t.Errorf("%d events are kept, from %d to %d; want the last %d of %d", len(all), all[0], all[len(all)-1], maxKept, 3*maxKept)
	}
	if rest := numbers(3*maxKept - 2); len(rest) != 2 || rest[0] != 3*maxKept-1 {
		t.Errorf("after all but two: %v", rest)
	}
	if rest := numbers(3 * maxKept); len(rest) != 0 {
		t.Errorf("after all: %v", rest)
	}
}

func TestEventsAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		e := New(time.Now, slog.New(slog.DiscardHandler))
		seen := make(chan api.Event)
		go func() {
			defer close(seen)
			for event := range e.After(ctx, 0, true) {
				seen <- event
			}
		}()
		synctest.Wait()
		anna := api.WithActor(t.Context(), api.Actor{User: "anna"})
		e.Add(anna, Commit, "revision %d", 7)
		if got := <-seen; got.Text != "revision 7" || got.Actor.User != "anna" || got.Number != 1 || !got.Time.Equal(time.Now()) {
			t.Errorf("followed %+v", got)
		}
		cancel()
		if _, more := <-seen; more {
			t.Error("followed on after the end")
		}
	})
}

// TestEventsInLog: everything is in the log, and what is said in sessions is not
// for the consoles.
func TestEventsInLog(t *testing.T) {
	var text strings.Builder
	h := slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	e := New(time.Now, slog.New(h))
	ctx := api.WithActor(t.Context(), api.Actor{User: "ann", From: "10.0.0.1"})
	e.Add(ctx, Session, "login")
	e.Add(ctx, Command, "show version: ok")
	e.Add(ctx, Commit, "revision 2")
	want := `level=DEBUG msg="session: login" user=ann from=10.0.0.1
level=DEBUG msg="command: show version: ok" user=ann from=10.0.0.1
level=INFO msg="commit: revision 2" user=ann from=10.0.0.1
`
	if got := text.String(); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

// TestAnEventIsOneLine keeps who chooses a name or a comment from writing lines
// of the audit log, and from steering the terminals of those who read it.
func TestAnEventIsOneLine(t *testing.T) {
	for said, want := range map[string]string{
		"drained, 3 are left: \"maintenance\" für Zoë":        "drained, 3 are left: \"maintenance\" für Zoë",
		"x: ok\n2026-11-21 12:00:00  command  anna: save: ok": `x: ok\n2026-11-21 12:00:00  command  anna: save: ok`,
		"\x1b]0;root\a\x1b[2J\r\u009b31m":                     `\x1b]0;root\a\x1b[2J\r\u009b31m`,
		"\u202ekcab\u2028next":                                `\u202ekcab\u2028next`,
		"\xff\xfe":                                            `\xff\xfe`,
		strings.Repeat("ä", 1<<20):                            strings.Repeat("ä", 2<<10) + "...",
	} {
		e := New(time.Now, slog.New(slog.DiscardHandler))
		e.Add(t.Context(), Command, "%s", said)
		got, _ := e.since(0)
		if got[0].Text != want {
			t.Errorf("%.60q: got %.60q, want %.60q", said, got[0].Text, want)
		}
	}
}
