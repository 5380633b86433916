package shell

import (
	"context"
	"crypto/ed25519"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"
)

// FuzzRequests sends anything as a request of a session that has not begun.
func FuzzRequests(f *testing.F) {
	pty := gossh.Marshal(struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}{"xterm", 80, math.MaxUint32, 0, 0, "\x00"})
	f.Add("pty-req", pty)
	f.Add("pty-req", pty[:11])
	f.Add("window-change", gossh.Marshal(struct{ A, B, C, D uint32 }{math.MaxUint32, 0, 1, 1}))
	f.Add("env", gossh.Marshal(struct{ A, B string }{"LANG", strings.Repeat("x", maxEnv+1)}))
	f.Add("signal", gossh.Marshal(struct{ A string }{"INT"}))
	f.Add("break", []byte{})
	f.Fuzz(func(t *testing.T, kind string, payload []byte) {
		switch kind {
		case "shell", "exec", "subsystem":
			return // begin something
		}
		c := &connection{server: &SSH{Log: slog.New(slog.DiscardHandler)}, done: make(chan struct{})}
		ch := &channel{connection: c, env: map[string]string{}}
		ctx, cancel := context.WithCancel(t.Context())
		ch.cancel = cancel
		for range 3 { // nobody takes what comes of it
			ch.request(ctx, &gossh.Request{Type: kind, Payload: payload})
		}
		if ch.terminal != nil && (ch.terminal.Width < 0 || ch.terminal.Width > math.MaxInt16 || ch.terminal.Height < 0 || ch.terminal.Height > math.MaxInt16 || len(ch.terminal.Type) > maxEnv) {
			t.Errorf("%q makes the terminal %+v", payload, ch.terminal)
		}
		for name, value := range ch.env {
			if len(value) > maxEnv || len(ch.env) > len(passedEnv) {
				t.Errorf("%q sets %s", payload, name)
			}
		}
	})
}

// FuzzProveKeys asks for proofs of anything.
func FuzzProveKeys(f *testing.F) {
	key, err := gossh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(gossh.Marshal(struct{ Key []byte }{key.PublicKey().Marshal()}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, asked []byte) {
		proof, err := proveKeys([]gossh.Signer{key}, []byte("session"), asked)
		if err == nil && len(proof) > 1024 {
			t.Errorf("%q proves %d bytes", asked, len(proof))
		}
	})
}

// FuzzScreen answers the question for a size with anything.
func FuzzScreen(f *testing.F) {
	f.Add("\x1b[24;80R")
	f.Add("abc\x1b[1;1Rdef")
	f.Add("\x1b[9999;9999R")
	f.Fuzz(func(t *testing.T, sent string) {
		in, out := io.Pipe()
		k := newKeyboard(in)
		defer k.close()
		go func() {
			_, _ = io.WriteString(out, sent) // the test may be over before
			out.Close()
		}()
		if size := askSize(k.view(), io.Discard, answerTime); size.Width < 10 || size.Width >= 1<<14 || size.Height < 2 || size.Height >= 1<<14 {
			t.Errorf("%q is a screen of %+v", sent, size)
		}
	})
}
