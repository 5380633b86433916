package shell

import (
	"context"
	"io"
	"log/slog"
	"net"
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
	mu      sync.Mutex
	more    sync.Cond
	text    []byte
	severed bool
	closed  bool
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
	if !w.severed {
		w.text = append(w.text, p...)
		w.more.Broadcast()
	}
	return len(p), nil
}

// sever cuts the wire: what is written from then on gets nowhere, and nobody is
// told.
func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.severed = true
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

// line is both directions between a client and the server.
type line struct{ there, back *wire }

func newLine() line { return line{newWire(), newWire()} }

func (l line) client() end { return end{in: l.back, out: l.there} }
func (l line) server() end { return end{in: l.there, out: l.back} }

func (l line) sever() {
	l.there.sever()
	l.back.sever()
}

// inMemory is a server in a bubble of testing/synctest, which listens nowhere.
type inMemory struct {
	*SSH
	gate *gate
	ctx  context.Context
	end  func() // waits for its end
}

// startInMemory runs use in such a bubble, with the server's times as they are in
// service, which pass at once. What use needs of the file system is made before.
func startInMemory(t *testing.T, a api.Access, change func(*SSH), use func(t *testing.T, s *inMemory)) {
	t.Helper()
	a.Listen = []string{}
	gate := newGate(t, a)
	synctest.Test(t, func(t *testing.T) {
		gate.changed, gate.more = make(chan struct{}), make(chan struct{}) // of this bubble
		s := &SSH{Gate: gate, Begin: func(s session.Session) Conversation { return talk{s} }, Log: slog.New(slog.DiscardHandler)}
		change(s)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		synctest.Wait()
		if err := s.loadHostKey(ctx, true); err != nil { // it listens nowhere
			t.Fatal(err)
		}
		end := sync.OnceFunc(func() {
			cancel()
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
		defer end()
		use(t, &inMemory{s, gate, ctx, end})
	})
}

// nothing is changed of a server.
func nothing(*SSH) {}

// enter logs in over a line.
func (s *inMemory) enter(t *testing.T, p *person, l line) *gossh.Client {
	t.Helper()
	s.arrived(s.ctx, l.server())
	conn, channels, requests, err := gossh.NewClientConn(l.client(), "", &gossh.ClientConfig{
		User: p.user, Auth: []gossh.AuthMethod{gossh.PublicKeys(p.signer())}, HostKeyCallback: gossh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return gossh.NewClient(conn, channels, requests)
}
