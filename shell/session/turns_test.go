package session

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"dipper/appliance/api"
)

// slow holds what asks for services until it is let go.
type slow struct {
	*fake
	asked chan struct{} // somebody asks
	free  chan struct{}
}

func (s slow) Services(ctx context.Context) ([]api.Service, error) {
	s.asked <- struct{}{}
	<-s.free
	return s.fake.Services(ctx)
}

// TestTablesInTurn shows one table at a time, whoever asks; other commands wait
// for none, and neither does anybody for a client that reads nothing.
func TestTablesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slow{newFake(), make(chan struct{}, 10), make(chan struct{})}
		registry := &Registry{}
		run := func(ctx context.Context, command string, out io.Writer) <-chan int {
			ended := make(chan int, 1)
			s := &Session{
				API: f, Actor: api.Actor{User: "ann", Role: api.Admin, From: "10.0.0.1", Session: "s1"},
				In: strings.NewReader(""), Out: out, Err: io.Discard, Registry: registry,
			}
			go func() { ended <- s.Exec(ctx, command) }()
			synctest.Wait()
			return ended
		}
		never, unread := io.Pipe()
		first := run(t.Context(), "show services", unread)
		second := run(t.Context(), "show rates", io.Discard)
		leaving, leave := context.WithCancelCause(t.Context())
		third := run(leaving, "show real-servers", io.Discard)
		if len(f.asked) != 1 {
			t.Errorf("%d tables are made at once", len(f.asked))
		}
		if status := <-run(t.Context(), "show version", io.Discard); status != 0 {
			t.Errorf("show version: status %d", status)
		}
		leave(errors.New("gone"))
		if status := <-third; status == 0 {
			t.Error("who has gone is shown a table")
		}
		f.free <- struct{}{} // what the first one sees now, he does not read
		synctest.Wait()
		f.free <- struct{}{}
		if status := <-second; status != 0 {
			t.Errorf("the second: status %d", status)
		}
		if len(f.asked) != 2 {
			t.Errorf("%d tables were made, want 2", len(f.asked))
		}
		never.Close()
		<-first
	})
}

// TestALongTurnIsOver sends what is too much to be held as it comes, and lets
// the next one in: whoever reads a million connections slowly costs neither
// memory nor others' time.
func TestALongTurnIsOver(t *testing.T) {
	var sent strings.Builder
	ended := 0
	h := &held{out: &sent, end: func() { ended++ }}
	line := strings.Repeat("x", 1<<20)
	for n := range 20 {
		if _, err := io.WriteString(h, line); err != nil {
			t.Fatal(err)
		}
		if n < maxHeld>>20 && (sent.Len() > 0 || ended > 0) {
			t.Fatalf("%d MiB: %d bytes are sent, the turn ended %d times", n+1, sent.Len(), ended)
		}
		if n >= maxHeld>>20 && (sent.Len() != (n+1)<<20 || h.text.Len() > 0 || ended == 0) {
			t.Fatalf("%d MiB: %d bytes are sent and %d held, the turn ended %d times", n+1, sent.Len(), h.text.Len(), ended)
		}
	}
	if err := h.flush(); err != nil || sent.String() != strings.Repeat(line, 20) {
		t.Errorf("%d bytes were sent in the end, %v", sent.Len(), err)
	}
}
