package shell

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"dipper/shell/session"
)

func TestAskSize(t *testing.T) {
	tests := map[string]struct {
		sent string
		want session.Size
		left string // for the next reader
	}{
		"answer":             {"\x1b[50;132R", session.Size{Width: 132, Height: 50}, ""},
		"typed before":       {"show\x1b[24;80R", session.Size{Width: 80, Height: 24}, "show"},
		"no answer":          {"show version", assumed, "show version"},
		"nonsense":           {"\x1b[0;0R", assumed, ""},
		"more than a screen": {"\x1b[99999;1R", assumed, "\x1b[99999;1R"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, out := io.Pipe()
				k := newKeyboard(in)
				defer k.close()
				go io.WriteString(out, tt.sent)
				v := k.view()
				if got := askSize(v, io.Discard, answerTime); got != tt.want {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				left := make([]byte, len(tt.left))
				if _, err := io.ReadFull(v, left); err != nil || string(left) != tt.left {
					t.Errorf("left is %q, %v; want %q", left, err, tt.left)
				}
				out.CloseWithError(errors.New("over"))
				if _, err := v.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "over") {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestViewsDoNotSteal lets a reader go that waits for a key. The key is for
// the next one.
func TestViewsDoNotSteal(t *testing.T) {
	in, out := io.Pipe()
	k := newKeyboard(in)
	defer k.close()
	first := k.view()
	gone := make(chan error, 1)
	go func() {
		_, err := first.Read(make([]byte, 1))
		gone <- err
	}()
	first.close()
	if err := <-gone; !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	go io.WriteString(out, "x")
	one := make([]byte, 1)
	if n, err := k.view().Read(one); n != 1 || err != nil || one[0] != 'x' {
		t.Errorf("got %q, %v", one, err)
	}
}
