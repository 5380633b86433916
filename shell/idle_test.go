package shell

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"dipper/appliance/api"
	"dipper/shell/session"
)

// wire is one direction of a connection in memory. It takes whatever is
// written: both sides of SSH begin by writing.
type wire struct {
	mu     sync.Mutex
	more   sync.Cond
	text   []byte
	closed bool
}

func newWire() *wire {
	w := &wire{}
	w.more.L = &w.mu
	return w
}

func (w *wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.text) == 0 {
		if w.closed {
			return 0, io.EOF
		}
		w.more.Wait()
	}
	n := copy(p, w.text)
	w.text = w.text[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, io.ErrClosedPipe
	}
	w.text = append(w.text, p...)
	w.more.Broadcast()
	return len(p), nil
}

func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.more.Broadcast()
}

// end is one end of two wires: a net.Conn that knows no deadlines.
type end struct {
	net.Conn // nil: what is not here is not asked for
	in, out  *wire
}

func (e end) Read(p []byte) (int, error)       { return e.in.Read(p) }
func (e end) Write(p []byte) (int, error)      { return e.out.Write(p) }
func (e end) SetDeadline(time.Time) error      { return nil }
func (e end) SetReadDeadline(time.Time) error  { return nil }
func (e end) SetWriteDeadline(time.Time) error { return nil }
func (e end) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 22} }
func (e end) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 4000} }

func (e end) Close() error {
	e.in.close()
	e.out.close()
	return nil
}

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
			access.Listen = []string{}
			gate := newGate(t, access)
			synctest.Test(t, func(t *testing.T) {
				s := &SSH{Gate: gate, Begin: func(s session.Session) Conversation { return ticker{s} }, Log: slog.New(slog.DiscardHandler)}
				gate.changed, gate.more = make(chan struct{}), make(chan struct{}) // of this bubble
				ctx, cancel := context.WithCancel(t.Context())
				ran := make(chan error, 1)
				go func() { ran <- s.Run(ctx) }()
				synctest.Wait()
				if err := s.loadHostKey(ctx, true); err != nil { // it listens nowhere
					t.Fatal(err)
				}
				seen := visit(t, ctx, s, joe, tc.use, tc.typed)
				gate.mu.Lock()
				notes := strings.Join(gate.notes, "\n")
				gate.mu.Unlock()
				if ended := strings.Contains(notes, "logout: idle for 10m0s"); ended == tc.lives {
					t.Errorf("after an hour: %q", notes)
				}
				if told := strings.Contains(seen, "\r\n*** idle for 10m0s: this session ends\r\n"); told == tc.lives {
					t.Errorf("seen: %q", seen)
				}
				cancel()
				if err := <-ran; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// enter logs in over wires.
func enter(t *testing.T, ctx context.Context, s *SSH, joe *person) *gossh.Client {
	there, back := newWire(), newWire()
	s.arrived(ctx, end{in: there, out: back})
	conn, channels, requests, err := gossh.NewClientConn(end{in: back, out: there}, "", &gossh.ClientConfig{
		User: "joe", Auth: []gossh.AuthMethod{gossh.PublicKeys(joe.signer())}, HostKeyCallback: gossh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return gossh.NewClient(conn, channels, requests)
}

// visit uses a terminal for an hour, and answers what was to be seen on it.
func visit(t *testing.T, ctx context.Context, s *SSH, joe *person, use func(*gossh.Session) error, typed time.Duration) string {
	c := enter(t, ctx, s, joe)
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
