package shell

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"dipper/appliance/api"
	"dipper/shell/session"
)

// ticker is a Conversation that shows something every minute and reads keys.
type ticker struct{ session.Session }

func (k ticker) Exec(ctx context.Context, _ string) int {
	for ctx.Err() == nil {
		if _, err := io.WriteString(k.Out, "tick\r\n"); err != nil {
			return 1
		}
		pause(ctx, time.Minute)
	}
	return 0
}

func (k ticker) Interact(ctx context.Context) error {
	go func() { _, _ = io.Copy(io.Discard, k.In) }() // ends with its input
	k.Exec(ctx, "")
	return nil
}

// ticking is a server of tickers.
func ticking(s *SSH) {
	s.Begin = func(s session.Session) Conversation { return ticker{s} }
}

// TestIdleTimeout: a key keeps a prompt, and what a display shows does not. A
// command that is all of its session is not left while it says something.
func TestIdleTimeout(t *testing.T) {
	for _, tc := range []struct {
		name  string
		use   func(s *gossh.Session) error
		typed time.Duration // between two keys; 0: none
		lives bool          // for an hour
	}{
		{"a prompt that shows", (*gossh.Session).Shell, 0, false},
		{"a prompt that is typed at", (*gossh.Session).Shell, 5 * time.Minute, true},
		{"one command on a terminal", func(s *gossh.Session) error { return s.Start("monitor services") }, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			joe := newPerson(t, "joe")
			access := one(joe)
			access.IdleTimeout = api.Duration(10 * time.Minute)
			startInMemory(t, access, ticking, func(t *testing.T, s *inMemory) {
				seen := visit(t, s, joe, tc.use, tc.typed)
				s.gate.mu.Lock()
				notes := strings.Join(s.gate.notes, "\n")
				s.gate.mu.Unlock()
				if ended := strings.Contains(notes, "logout: idle for 10m0s"); ended == tc.lives {
					t.Errorf("after an hour: %q", notes)
				}
				if told := strings.Contains(seen, "\r\n*** idle for 10m0s: this session ends\r\n"); told == tc.lives {
					t.Errorf("seen: %q", seen)
				}
			})
		})
	}
}

// visit uses a terminal for an hour, and answers what was to be seen on it.
func visit(t *testing.T, s *inMemory, joe *person, use func(*gossh.Session) error, typed time.Duration) string {
	c := s.enter(t, joe, newLine())
	defer c.Close()
	work, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := work.RequestPty("xterm", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	keys, err := work.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	work.Stdout = &seen
	if err := use(work); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < time.Hour; {
		if typed == 0 {
			time.Sleep(time.Hour)
			continue
		}
		time.Sleep(typed)
		if _, err := io.WriteString(keys, " "); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
	return seen.String()
}
