package shell

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"dipper/appliance/api"
)

// TestStrangers floods the server with connections that never log in, each in
// its own way. Somebody at work does not notice, somebody new gets in, and the
// server is left as it was before.
func TestStrangers(t *testing.T) {
	tests := map[string]func(c net.Conn){
		"idle":          func(net.Conn) {},
		"half-open":     func(c net.Conn) { io.WriteString(c, "SSH-2.0-half\r\n") },
		"huge line":     func(c net.Conn) { io.WriteString(c, strings.Repeat("x", 64<<10)) },
		"binary":        func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n"+strings.Repeat("\x00\xff\x7f\x80", 4<<10)) },
		"huge packet":   func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n\xff\xff\xff\xff\xff") },
		"HTTP":          func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
		"slow greeting": func(c net.Conn) { io.WriteString(c, "S") },
	}
	for name, speak := range tests {
		t.Run(name, func(t *testing.T) {
			joe := newPerson(t, "joe")
			a := one(joe)
			a.MaxPerAddress, a.MaxPerMinute = 1000, 100_000 // all of them come from here
			s := start(t, a)
			there := s.mustDial(t, joe)
			if _, err := openSession(t, there).Output("say hello"); err != nil { // all that serves it has begun
				t.Fatal(err)
			}
			before := runtime.NumGoroutine()
			var conns []net.Conn
			for range 500 {
				c, err := net.Dial("tcp", s.address)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, c)
				speak(c)
			}
			if out, err := openSession(t, there).Output("say still here"); err != nil || string(out) != "still here\n" {
				t.Errorf("somebody at work: %q, %v", out, err)
			}
			// Those that made room for others are ending.
			eventually(t, "no more than the places for strangers to be taken", func() bool { return len(s.all()) <= maxStrangers+1 })
			for _, c := range conns {
				c.Close()
			}
			eventually(t, "the strangers to be gone", func() bool { return len(s.all()) == 1 })
			eventually(t, "their goroutines to end", func() bool { return runtime.NumGoroutine() <= before+4 })
			// The places of strangers come back.
			eventually(t, "somebody new to get in", func() bool {
				c, err := s.dial("joe", gossh.PublicKeys(joe.signer()))
				if err == nil {
					c.Close()
				}
				return err == nil
			})
		})
	}
}

// TestHandshakeTimeout ends who does not log in, and who logs in and does
// nothing.
func TestHandshakeTimeout(t *testing.T) {
	joe := newPerson(t, "joe")
	startInMemory(t, one(joe), nothing, func(t *testing.T, s *inMemory) {
		idle := newLine()
		s.arrived(s.ctx, idle.server())
		if _, err := io.Copy(io.Discard, idle.client()); err != nil {
			t.Errorf("a connection that says nothing: %v", err)
		}
		lazy := s.enter(t, joe, newLine())
		if err := lazy.Wait(); err == nil {
			t.Error("a login without a session ended well")
		}
		s.gate.await(t, "the reason", s.gate.noted("login refused from 192.0.2.9", "took too long to log in"))
	})
}

// TestClientThatNeverReads makes a command that writes without end wait, at a
// bounded cost, and leaves the others alone.
func TestClientThatNeverReads(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	c := s.mustDial(t, joe)
	const floods = maxSessionsPerConnection - 1
	for range floods {
		work := openSession(t, c)
		// A pipe that nobody reads; the client's own buffers fill, then its window.
		if _, err := work.StdoutPipe(); err != nil {
			t.Fatal(err)
		}
		if err := work.Start("flood"); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := openSession(t, c).Output("say same connection"); err != nil || string(out) != "same connection\n" {
		t.Errorf("another session: %q, %v", out, err)
	}
	if out, err := openSession(t, s.mustDial(t, joe)).Output("say other"); err != nil || string(out) != "other\n" {
		t.Errorf("another connection: %q, %v", out, err)
	}
	// Client and server are one process here: both sides' buffers count, at
	// 2 MiB for a window.
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if limit := uint64(64<<20 + floods*2*(4<<20)); m.HeapInuse > limit {
		t.Errorf("%d bytes are in use, want less than %d", m.HeapInuse, limit)
	}
}

// TestFloodIntoNothing: a command that writes without end, to a client behind a
// cable that was cut, ends like any other there.
func TestFloodIntoNothing(t *testing.T) {
	joe := newPerson(t, "joe")
	startInMemory(t, one(joe), nothing, func(t *testing.T, s *inMemory) {
		cable := newLine()
		c := s.enter(t, joe, cable)
		defer c.Close()
		work := openSession(t, c)
		out, err := work.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := work.Start("flood"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, out, 1<<20); err != nil {
			t.Fatal(err)
		}
		cable.sever()
		s.gate.await(t, "its end", func() bool { return len(s.gate.ended) == 1 && first(s.gate.ended) })
		synctest.Wait()
		if left := len(s.all()); left != 0 {
			t.Errorf("%d connections are left", left)
		}
	})
}

// TestWrongPasswords counts how many of many wrong ones are looked at.
func TestWrongPasswords(t *testing.T) {
	joe := newPerson(t, "joe")
	a := one(joe)
	a.MaxPerMinute = 1000
	a.Users[0].PasswordHash = "$2b$04$Yh8D6rGoxBo2ogx3tLWBAueIafewdo4M/KJnulgxvIQPL6jPZZP1i"
	s := start(t, a)
	there := s.mustDial(t, joe)
	began := time.Now()
	tries := 0
	for range 40 {
		c, err := s.dial("joe", gossh.RetryableAuthMethod(gossh.PasswordCallback(func() (string, error) {
			tries++
			return "wrong", nil
		}), maxAuthTries))
		if err == nil {
			c.Close()
			t.Fatal("a wrong password lets in")
		}
	}
	if tries < 100 {
		t.Fatalf("only %d passwords were tried", tries)
	}
	s.gate.await(t, "what was not looked at", s.gate.noted("not looked at"))
	s.gate.mu.Lock()
	looked := 0
	for _, n := range s.gate.notes {
		looked += strings.Count(n, "wrong password for user")
	}
	lines := len(s.gate.notes)
	s.gate.mu.Unlock()
	// Five at once, and one more for every ten seconds that the test took.
	if most := 5 + int(time.Since(began)/(10*time.Second)) + 1; looked > most {
		t.Errorf("%d passwords were looked at, want at most %d", looked, most)
	}
	if most := refusalsAtOnce + int(time.Since(began)/refusalPause) + 2; lines > most {
		t.Errorf("%d lines in the log, want at most %d", lines, most)
	}
	if out, err := openSession(t, there).Output("say at work"); err != nil || string(out) != "at work\n" {
		t.Errorf("somebody at work: %q, %v", out, err)
	}
	if _, err := s.dial("joe", gossh.PublicKeys(joe.signer())); err != nil {
		t.Errorf("a key, while passwords are not looked at: %v", err)
	}
}

// TestHugeCommand is refused, and harms nobody.
func TestHugeCommand(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	c := s.mustDial(t, joe)
	if err := openSession(t, c).Run("say " + strings.Repeat("x", maxCommand)); err == nil {
		t.Error("a huge command is taken")
	}
	for _, request := range []string{"exec", "shell", "subsystem", "pty-req", "env", "signal", "window-change", "break"} {
		work := openSession(t, c)
		for _, payload := range [][]byte{nil, {0}, {0xff, 0xff, 0xff, 0xff}, []byte(strings.Repeat("\xff", 30000))} {
			if _, err := work.SendRequest(request, true, payload); err != nil {
				t.Errorf("%s: %v", request, err)
			}
		}
		work.Close()
	}
	if out, err := openSession(t, c).Output("say well"); err != nil || string(out) != "well\n" {
		t.Errorf("the next command: %q, %v", out, err)
	}
}

// TestManyUsers compiles rules of a thousand users, as fast as it must be for
// a change to be felt at once; counted, not timed.
func TestManyUsers(t *testing.T) {
	joe := newPerson(t, "joe")
	a := one(joe)
	for i := range 1000 {
		a.Users = append(a.Users, api.User{Name: "user" + string(rune('a'+i%26)) + strings.Repeat("x", i/26), Role: api.Viewer, Keys: a.Users[0].Keys})
	}
	s := start(t, a)
	if _, err := openSession(t, s.mustDial(t, joe)).Output("who"); err != nil {
		t.Error(err)
	}
}
