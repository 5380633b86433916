package events

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dipper/appliance/api"
)

// rememberedIn are the events that a control plane finds in a directory.
func rememberedIn(t *testing.T, dir string) (*Record, []api.Event) {
	t.Helper()
	e := New(time.Now, slog.New(slog.DiscardHandler))
	e.KeepIn(filepath.Join(dir, "events"))
	all, _ := e.since(0)
	return e, all
}

func TestEventsOutliveTheControlPlane(t *testing.T) {
	dir := t.TempDir()
	anna := api.WithActor(t.Context(), api.Actor{User: "anna"})
	for restart := range 3 {
		e, found := rememberedIn(t, dir)
		if len(found) != restart {
			t.Fatalf("after %d restarts: %+v", restart, found)
		}
		for i, event := range found {
			if event.Number != i+1 || event.Text != "it happened" || event.Actor.User != "anna" || event.Kind != Commit || event.Time.IsZero() {
				t.Errorf("event %d is %+v", i+1, event)
			}
		}
		e.Add(anna, Commit, "it happened")
	}
}

// TestEventFilesAreBounded by their number and their size, and hold as many as
// are remembered.
func TestEventFilesAreBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		count int
		text  string
		least int
	}{
		"many":  {3*maxKept + 7, "x", maxKept},
		"large": {300, strings.Repeat("x", 20<<10), fileSize / (21 << 10)},
	} {
		dir := t.TempDir()
		e, _ := rememberedIn(t, dir)
		for range tt.count {
			e.Add(t.Context(), Command, "%s", tt.text)
		}
		_, found := rememberedIn(t, dir)
		if len(found) < tt.least || len(found) > maxKept || found[len(found)-1].Number != tt.count {
			t.Errorf("%s: %d are left of %d, want %d at least", name, len(found), tt.count, tt.least)
		}
		for _, file := range []string{"events", "events.1"} {
			if info, err := os.Stat(filepath.Join(dir, file)); err == nil && info.Size() > 2*fileSize {
				t.Errorf("%s: %s has %d bytes", name, file, info.Size())
			}
		}
	}
}

// TestHalfAnEvent is what a control plane leaves that is killed while it
// writes.
func TestHalfAnEvent(t *testing.T) {
	dir := t.TempDir()
	const whole = `{"number":%,"time":"2026-11-21T12:00:00Z","kind":"server","text":"enabled"}` + "\n"
	nth := func(n string) string { return strings.Replace(whole, "%", n, 1) }
	text := nth("1") + nth("3") + nth("4") + nth("5")[:30]
	if err := os.WriteFile(filepath.Join(dir, "events"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e, found := rememberedIn(t, dir)
	if len(found) != 2 || found[0].Number != 3 {
		t.Errorf("found %+v, want 3 and 4: there was a gap before", found)
	}
	e.Add(t.Context(), Server, "disabled")
	if _, found := rememberedIn(t, dir); len(found) != 3 || found[2].Number != 5 || found[2].Text != "disabled" {
		t.Errorf("found %+v, want one more", found)
	}
}
