package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
)

// consoles is a Console and the machine's end of its line.
func consoles(t *testing.T) (*Console, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	return newConsole(near), far
}

func say(t *testing.T, machine net.Conn, text string) {
	t.Helper()
	if _, err := machine.Write([]byte(text)); err != nil {
		t.Error(err)
	}
}

func TestExpectGoesOnBehindTheLastMatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, machine := consoles(t)
		say(t, machine, "login: login: pass")
		go say(t, machine, "word: ")
		for _, want := range []string{"login: ", "login: ", "password: "} {
			got, err := c.Expect(t.Context(), regexp.MustCompile(`\w+: `))
			if err != nil || got != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
		if got, want := c.Output(), "login: login: password: "; got != want {
			t.Errorf("output %q, want %q", got, want)
		}
	})
}

func TestExpectTellsWhatWasSaidInstead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, machine := consoles(t)
		say(t, machine, "Kernel panic\n")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := c.Expect(ctx, regexp.MustCompile("login:"))
			ended <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "Kernel panic") {
			t.Errorf("got %v", err)
		}
		machine.Close()
		synctest.Wait()
		if _, err := c.Expect(t.Context(), regexp.MustCompile("login:")); !errors.Is(err, errConsoleEnded) {
			t.Errorf("got %v, want %v", err, errConsoleEnded)
		}
	})
}

func TestConsoleForgetsTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, machine := consoles(t)
		line := strings.Repeat("x", 1<<16-1) + "\n"
		for range keptOutput/len(line) + 2 {
			say(t, machine, line)
		}
		say(t, machine, "the end")
		got, err := c.Expect(t.Context(), regexp.MustCompile("the end"))
		if err != nil || got != "the end" {
			t.Errorf("got %q, %v", got, err)
		}
		if kept := len(c.Output()); kept != keptOutput {
			t.Errorf("kept %d bytes, want %d", kept, keptOutput)
		}
	})
}

func TestAttach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, machine := consoles(t)
		say(t, machine, "before ")
		user, terminal := net.Pipe()
		attached := make(chan error)
		go func() { attached <- c.Attach(t.Context(), terminal) }()
		expectRead(t, user, "before ")
		say(t, machine, "after")
		expectRead(t, user, "after")
		say(t, user, "typed")
		expectRead(t, machine, "typed")
		user.Close()
		if err := <-attached; err != nil {
			t.Errorf("a terminal went away: %v", err)
		}
	})
}

func expectRead(t *testing.T, from net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(from, b); err != nil || string(b) != want {
		t.Errorf("read %q, %v, want %q", b[:n], err, want)
	}
}

// TestMonitorKeepsEventsForWhoComesLater speaks QMP from QEMU's side.
func TestMonitorKeepsEventsForWhoComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			say(t, far, `{"QMP": {"version": {}, "capabilities": []}}`+"\n")
			expectRead(t, far, `{"execute":"qmp_capabilities","id":1}`+"\n")
			say(t, far, `{"return": {}, "id": 1}`+"\n")
			say(t, far, `{"event": "RESET", "data": {"guest": true}, "timestamp": {"seconds": 1, "microseconds": 2}}`+"\n")
			expectRead(t, far, `{"execute":"stop","id":2}`+"\n")
			say(t, far, `{"error": {"class": "GenericError", "desc": "no"}, "id": 2}`+"\n")
		}()
		m, err := newMonitor(t.Context(), near)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.execute(t.Context(), "stop", nil); fmt.Sprint(err) != "monitor: stop: no (GenericError)" {
			t.Errorf("got %v", err)
		}
		event, err := m.await(t.Context(), named("RESET"))
		if err != nil || event.Data["guest"] != true {
			t.Errorf("got %+v, %v", event, err)
		}
		far.Close()
		if _, err := m.await(t.Context(), named("SHUTDOWN")); !errors.Is(err, errMonitorEnded) {
			t.Errorf("got %v, want %v", err, errMonitorEnded)
		}
	})
}
