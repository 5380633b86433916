package shell

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// TestMultiplexing runs many sessions over one connection of OpenSSH's client.
func TestMultiplexing(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	shared := []string{"-o", "ControlMaster=auto", "-o", "ControlPersist=yes", "-o", "ControlPath=" + joe.file("control")}
	t.Cleanup(func() { joe.ssh(s, "", append(shared, "-O", "exit", "host")...) })
	for i := range 5 {
		text := fmt.Sprint("number ", i)
		if out, errOut, status := joe.ssh(s, "", append(shared, "host", "say", text)...); out != text+"\n" || status != 0 {
			t.Fatalf("session %d: %q, %q, %d", i, out, errOut, status)
		}
	}
	if _, _, status := joe.ssh(s, "", append(shared, "host", "moan")...); status != 3 {
		t.Errorf("got status %d, want 3", status)
	}
	joe.ssh(s, "", append(shared, "-O", "exit", "host")...)
	s.gate.await(t, "the logout", s.gate.noted("joe logout: ok"))
	logins := 0
	for _, n := range s.gate.notes {
		logins += strings.Count(n, "login by")
	}
	if logins != 1 || len(s.gate.ended) != 6 {
		t.Errorf("%d logins and %d sessions, want 1 and 6", logins, len(s.gate.ended))
	}
}

// TestStatusComesBeforeTheEnd holds the order that TestMultiplexing needs:
// OpenSSH closes a channel when the output has ended and its own input has, and
// a status that comes later is lost. With the other order it lost every fourth
// on a busy host, and none on an idle one.
func TestStatusComesBeforeTheEnd(t *testing.T) {
	var sent recorder
	(&channel{stream: &sent}).finish(3)
	if want := []string{"exit-status 00000003", "end of output", "close"}; !slices.Equal(sent.calls, want) {
		t.Errorf("sent %q, want %q", sent.calls, want)
	}
}

// recorder is a channel that keeps what it is told to send.
type recorder struct {
	gossh.Channel
	calls []string
}

func (r *recorder) SendRequest(name string, _ bool, payload []byte) (bool, error) {
	r.calls = append(r.calls, fmt.Sprintf("%s %x", name, payload))
	return true, nil
}

func (r *recorder) CloseWrite() error {
	r.calls = append(r.calls, "end of output")
	return nil
}

func (r *recorder) Close() error {
	r.calls = append(r.calls, "close")
	return nil
}

// TestProveKeys checks the proofs as a client does.
func TestProveKeys(t *testing.T) {
	var signers []gossh.Signer
	for range 2 {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s, err := gossh.NewSignerFromKey(private)
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, s)
	}
	session := []byte("a session")
	ask := func(keys ...gossh.Signer) (p []byte) {
		for _, k := range keys {
			p = append(p, gossh.Marshal(struct{ Key []byte }{k.PublicKey().Marshal()})...)
		}
		return p
	}
	proof, err := proveKeys(signers, session, ask(signers[1], signers[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []gossh.Signer{signers[1], signers[0]} {
		var next struct {
			Blob []byte
			Rest []byte `ssh:"rest"`
		}
		var signature gossh.Signature
		if err := gossh.Unmarshal(proof, &next); err != nil {
			t.Fatal(err)
		}
		if err := gossh.Unmarshal(next.Blob, &signature); err != nil {
			t.Fatal(err)
		}
		signed := gossh.Marshal(struct {
			Purpose      string
			Session, Key []byte
		}{"hostkeys-prove-00@openssh.com", session, s.PublicKey().Marshal()})
		if err := s.PublicKey().Verify(signed, &signature); err != nil {
			t.Error(err)
		}
		proof = next.Rest
	}
	for name, bad := range map[string][]byte{
		"another's key": ask(newPerson(t, "x").signer()),
		"three keys":    ask(signers[0], signers[0], signers[0]),
		"garbage":       []byte("garbage"),
		"half a key":    ask(signers[0])[:20],
	} {
		if _, err := proveKeys(signers, session, bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestTerminal drives a prompt: sizes, typed lines, ^C and exit.
func TestTerminal(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	work := openSession(t, s.mustDial(t, joe))
	if err := work.RequestPty("xterm-256color", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	in, out := pipes(t, work)
	if err := work.Shell(); err != nil {
		t.Fatal(err)
	}
	expect(t, out, "80x24 xterm-256color> ")
	for _, width := range []int{100, 120, 132} {
		if err := work.WindowChange(50, width); err != nil {
			t.Fatal(err)
		}
	}
	if err := work.Signal(gossh.SIGINT); err != nil {
		t.Fatal(err)
	}
	expect(t, out, "^C")
	write(t, in, "size\r")
	expect(t, out, "132x50\n")
	write(t, in, "say hello\rexit\r")
	expect(t, out, "hello\n")
	if err := work.Wait(); err != nil {
		t.Error(err)
	}
	s.gate.await(t, "the end", func() bool { return len(s.gate.ended) == 1 && !first(s.gate.ended) })
}

func pipes(t *testing.T, s *gossh.Session) (io.WriteCloser, *bufio.Reader) {
	t.Helper()
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return in, bufio.NewReader(out)
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got[:n], err, want)
	}
}

// TestSignalEndsCommand ends a command and not the connection.
func TestSignalEndsCommand(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	c := s.mustDial(t, joe)
	work := openSession(t, c)
	if err := work.Start("sleep"); err != nil {
		t.Fatal(err)
	}
	if err := work.Signal(gossh.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := work.Wait(); err == nil || !strings.Contains(err.Error(), "status 130") {
		t.Errorf("got %v", err)
	}
	if _, err := openSession(t, c).Output("who"); err != nil {
		t.Errorf("the next command: %v", err)
	}
}

// TestLost tells sessions that their users ended from those that broke.
func TestLost(t *testing.T) {
	joe := newPerson(t, "joe")
	tests := map[string]struct {
		end  func(t *testing.T, c *gossh.Client, work *gossh.Session, in io.WriteCloser)
		lost bool
	}{
		"exit":              {func(t *testing.T, _ *gossh.Client, _ *gossh.Session, in io.WriteCloser) { write(t, in, "exit\r") }, false},
		"end of input":      {func(_ *testing.T, _ *gossh.Client, _ *gossh.Session, in io.WriteCloser) { in.Close() }, false},
		"connection closed": {func(_ *testing.T, c *gossh.Client, _ *gossh.Session, _ io.WriteCloser) { c.Close() }, true},
		"window was closed": {func(_ *testing.T, _ *gossh.Client, work *gossh.Session, _ io.WriteCloser) { work.Close() }, true},
		"while it is at work": {func(t *testing.T, c *gossh.Client, _ *gossh.Session, in io.WriteCloser) {
			write(t, in, "sleep\r")
			c.Close()
		}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, one(joe))
			c := s.mustDial(t, joe)
			work := openSession(t, c)
			if err := work.RequestPty("vt100", 24, 80, nil); err != nil {
				t.Fatal(err)
			}
			in, out := pipes(t, work)
			if err := work.Shell(); err != nil {
				t.Fatal(err)
			}
			expect(t, out, "80x24 vt100> ")
			tt.end(t, c, work, in)
			s.gate.await(t, "the end", func() bool { return len(s.gate.ended) == 1 })
			s.gate.mu.Lock()
			defer s.gate.mu.Unlock()
			if got := first(s.gate.ended); got != tt.lost {
				t.Errorf("lost is %v, want %v", got, tt.lost)
			}
		})
	}
}

// TestLostWithOpenSSH kills Debian's client while it works.
func TestLostWithOpenSSH(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	client := exec.Command("ssh", append(joe.options(s), "-tt", "host")...)
	in, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	stdout, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	write(t, in, "say ready\r")
	for seen := make([]byte, 1); !strings.Contains(out.String(), "ready"); {
		if _, err := stdout.Read(seen); err != nil {
			t.Fatalf("%v after %q", err, out.String())
		}
		out.Write(seen)
	}
	if err := client.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = client.Wait() // was killed
	s.gate.await(t, "the lost session", func() bool { return len(s.gate.ended) == 1 && first(s.gate.ended) })
}

// TestSilentClient stops answering, as behind a cable that was cut.
func TestSilentClient(t *testing.T) {
	joe := newPerson(t, "joe")
	startInMemory(t, one(joe), nothing, func(t *testing.T, s *inMemory) {
		cable := newLine()
		c := s.enter(t, joe, cable)
		defer c.Close()
		if err := openSession(t, c).Start("sleep"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // of the bubble: whoever answers may stay
		if left := len(s.all()); left != 1 {
			t.Errorf("%d connections of a client that answers", left)
		}
		cable.sever()
		s.gate.await(t, "the end of the session", func() bool { return len(s.gate.ended) == 1 && first(s.gate.ended) })
		s.gate.await(t, "the reason", s.gate.noted("joe logout: the client does not answer any more"))
	})
}

// TestTooManySessions has a limit on one connection.
func TestTooManySessions(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	c := s.mustDial(t, joe)
	for i := range maxSessionsPerConnection {
		work := openSession(t, c)
		if err := work.Start("sleep"); err != nil {
			t.Fatalf("session %d: %v", i, err)
		}
	}
	if _, err := c.NewSession(); err == nil || !strings.Contains(err.Error(), "too many sessions") {
		t.Errorf("one more: %v", err)
	}
	if _, err := openSession(t, s.mustDial(t, joe)).Output("who"); err != nil {
		t.Errorf("another connection: %v", err)
	}
}

// TestQuickCommands are over before the client knows that they began, if the
// server is careless: the answer comes before the work.
func TestQuickCommands(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	c := s.mustDial(t, joe)
	for i := range 500 {
		if out, err := openSession(t, c).Output("say hello"); err != nil || string(out) != "hello\n" {
			t.Fatalf("command %d: %q, %v", i, out, err)
		}
	}
}
