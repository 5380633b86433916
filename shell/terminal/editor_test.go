package terminal_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"dipper/shell/terminal"
	"dipper/shell/terminal/vt"
)

// helper completes the words of a small world.
type helper struct{}

func (helper) Prompt() string { return "lb1> " }

func (helper) Complete(_ context.Context, line string) terminal.Completion {
	start := strings.LastIndexByte(line, ' ') + 1
	switch line[start:] {
	case "sh":
		return terminal.Completion{Start: start, Insert: "show "}
	case "s":
		return terminal.Completion{Start: start, List: "  server\n  show"}
	}
	return terminal.Completion{Start: len(line)}
}

func (helper) Help(_ context.Context, line string) string { return "  after " + line + "|" }

// desk is a terminal with somebody at it.
type desk struct {
	t     *testing.T
	vt    *vt.Terminal
	keys  *io.PipeWriter
	lines []string
	err   error
	done  chan struct{}
	sizes chan terminal.Size
}

// sit starts to read lines until one is an error.
func sit(t *testing.T, kind string, width, height int, history *terminal.History, p terminal.Prompter) *desk {
	in, keys := io.Pipe()
	d := &desk{t: t, vt: vt.New(width, height), keys: keys, done: make(chan struct{}), sizes: make(chan terminal.Size)}
	ctx, cancel := context.WithCancel(context.Background())
	s := terminal.Open(ctx, terminal.Terminal{Width: width, Height: height, Type: kind, Resized: d.sizes}, in, d.vt)
	go func() {
		defer close(d.done)
		defer cancel()
		for {
			line, err := terminal.NewEditor(s, history).ReadLine(ctx, p)
			if err != nil && !errors.Is(err, terminal.ErrInterrupted) {
				d.err = err
				return
			}
			if err != nil {
				line = "interrupted"
			}
			d.lines = append(d.lines, line)
			if history != nil {
				history.Add(line)
			}
		}
	}()
	synctest.Wait()
	return d
}

// types presses keys, as bytes.
func (d *desk) types(keys ...string) {
	d.t.Helper()
	for _, k := range keys {
		for i := range len(k) {
			if _, err := io.WriteString(d.keys, k[i:i+1]); err != nil {
				d.t.Fatal(err)
			}
		}
		synctest.Wait()
	}
}

func (d *desk) leaves() {
	d.t.Helper()
	_ = d.keys.Close()
	<-d.done
	if u := d.vt.Unknown(); len(u) > 0 {
		d.t.Errorf("the terminal does not know %q", u)
	}
}

func (d *desk) sees(want string) {
	d.t.Helper()
	if diff := cmp.Diff(strings.Split(strings.TrimPrefix(want, "\n"), "\n"), strings.Split(d.vt.Screen(), "\n")); diff != "" {
		d.t.Errorf("screen (-want +got):\n%s", diff)
	}
}

// Keys by name.
const (
	ctrlA, ctrlB, ctrlC, ctrlD, ctrlE, ctrlF, ctrlG = "\x01", "\x02", "\x03", "\x04", "\x05", "\x06", "\x07"
	ctrlH, tab, ctrlK, ctrlL, enter, ctrlN, ctrlP   = "\x08", "\t", "\x0b", "\x0c", "\r", "\x0e", "\x10"
	ctrlR, ctrlT, ctrlU, ctrlV, ctrlW, ctrlY        = "\x12", "\x14", "\x15", "\x16", "\x17", "\x19"
	altB, altF, altD, altDot, altBackspace          = "\x1bb", "\x1bf", "\x1bd", "\x1b.", "\x1b\x7f"
	left, right, upKey, down                        = "\x1b[D", "\x1b[C", "\x1b[A", "\x1bOB"
	ctrlLeft, del, home, end                        = "\x1b[1;5D", "\x1b[3~", "\x1b[H", "\x1b[4~"
)

// TestEditing presses keys on a line and compares the line. The screen must
// show it too, on every kind of terminal.
func TestEditing(t *testing.T) {
	for _, tt := range []struct {
		name string
		keys []string
		want string
	}{
		{"letters", []string{"show"}, "show"},
		{"backspace", []string{"shox", "\x7f", "w"}, "show"},
		{"insert", []string{"shw", left, "o"}, "show"},
		{"home and end", []string{"ho", ctrlA, "s", ctrlE, "w"}, "show"},
		{"home and end keys", []string{"ho", home, "s", end, "w"}, "show"},
		{"back and forth", []string{"shw", ctrlB, ctrlB, ctrlF, "o"}, "show"},
		{"delete", []string{"sxhow", ctrlA, ctrlF, ctrlD}, "show"},
		{"delete key", []string{"xshow", ctrlA, del}, "show"},
		{"kill to the end and yank", []string{"b a", ctrlA, ctrlF, ctrlK, ctrlA, ctrlY, " "}, " a b"},
		{"kill before", []string{"xyz show", ctrlB, ctrlB, ctrlB, ctrlB, ctrlU}, "show"},
		{"kill word", []string{"show 10.0.0.1", ctrlW}, "show "},
		{"kill word before", []string{"show 10.0.0.1", altBackspace}, "show 10.0.0."},
		{"word left and kill word", []string{"show a-b", altB, altB, altD}, "show -b"},
		{"ctrl-left", []string{"show b", ctrlLeft, "a"}, "show ab"},
		{"word right", []string{"show b", ctrlA, altF, "s"}, "shows b"},
		{"transpose", []string{"hsow", ctrlA, ctrlF, ctrlT}, "show"},
		{"transpose at the end", []string{"shwo", ctrlT}, "show"},
		{"completed", []string{"sh", tab, "x"}, "show x"},
		{"completed in the middle", []string{"sh x", ctrlA, ctrlF, ctrlF, tab}, "show  x"},
		{"literal question mark", []string{"a", ctrlV, "?"}, "a?"},
		{"question mark within quotes", []string{`m "a?`, `"`}, `m "a?"`},
		{"pasted", []string{"\x1b[200~sh\t? x\x1b[201~"}, "sh ? x"},
		{"accents", []string{"e\u0301é", left, "x"}, "e\u0301xé"},
		{"wide", []string{"名前", left, "の"}, "名の前"},
		{"backspace takes the accent too", []string{"ae\u0301", "\x7f"}, "a"},
		{"broken UTF-8 is dropped", []string{"a\xff\xc3(b"}, "ab"},
		{"unknown sequences are dropped", []string{"a\x1b[5~\x1b[1;2P\x1bxb"}, "ab"},
		{"long", []string{strings.Repeat("0123456789", 12), ctrlA, "x"}, "x" + strings.Repeat("0123456789", 12)},
	} {
		for _, kind := range []string{"xterm", "dumb"} {
			t.Run(tt.name+" on "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := sit(t, kind, 40, 10, nil, helper{})
					d.types(tt.keys...)
					if kind == "xterm" {
						row, column := d.vt.Cursor()
						shown := strings.NewReplacer("\n", "", "_", " ").Replace(d.vt.Screen())
						if !strings.Contains(shown, strings.TrimRight(tt.want, " ")) {
							t.Errorf("cursor at %d,%d on screen %q, want the line %q", row, column, shown, tt.want)
						}
					}
					d.types(enter)
					d.leaves()
					if diff := cmp.Diff([]string{tt.want}, d.lines); diff != "" {
						t.Errorf("-want +got:\n%s", diff)
					}
				})
			})
		}
	}
}

func TestScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sit(t, "xterm", 20, 8, nil, helper{})
		d.types("a", left)
		d.sees(`lb1> a`)
		d.types(ctrlE, " b?")
		d.sees(`
lb1> a b
  after a b|
lb1> a b_`)
		d.types(ctrlU, "s", tab)
		d.sees(`
lb1> a b
  after a b|
lb1> s
  server
  show
lb1> s_`)
		d.types(ctrlL)
		d.sees(`lb1> s_`)
		d.types(ctrlU, "0123456789abcdef")
		d.sees(`
lb1> 0123456789abcde
f_`)
		d.types("\x7f")
		d.sees(`
lb1> 0123456789abcde
_`)
		d.types("\x7f", ctrlA)
		d.sees(`
lb1> 0123456789abcd`)
		if row, column := d.vt.Cursor(); row != 0 || column != 5 {
			t.Errorf("cursor at %d,%d", row, column)
		}
		d.types(ctrlC)
		d.sees(`
lb1> 0123456789abcd^
C
lb1> _`)
		d.leaves()
	})
}

func TestResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sit(t, "xterm", 40, 8, nil, helper{})
		d.types("show")
		d.sizes <- terminal.Size{Width: 20, Height: 8}
		synctest.Wait()
		d.sees(`lb1> show_`)
		d.leaves()
	})
}

func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sit(t, "xterm", 40, 8, nil, helper{})
		d.types("x", ctrlC, ctrlD)
		<-d.done
		if !errors.Is(d.err, io.EOF) || errors.Is(d.err, terminal.ErrGone) || !cmp.Equal(d.lines, []string{"interrupted"}) {
			t.Errorf("Ctrl-D: %v after %q", d.err, d.lines)
		}
		_ = d.keys.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		d := sit(t, "xterm", 40, 8, nil, helper{})
		d.types("a\rb")
		_ = d.keys.Close()
		<-d.done
		if !errors.Is(d.err, terminal.ErrGone) || !cmp.Equal(d.lines, []string{"a"}) {
			t.Errorf("the end of input: %v after %q", d.err, d.lines)
		}
	})
}

// TestUnfinishedLine: what a program says without an end of line stays on the
// screen, above the prompt.
func TestUnfinishedLine(t *testing.T) {
	for said, want := range map[string]string{
		"":                        "lb1> _",
		"hi":                      "hi\nlb1> _",
		"hi\n":                    "hi\nlb1> _",
		"50 %\r\x1b[K":            "lb1> _",
		"\x1b[31mno\x1b[0m":       "no\nlb1> _",
		"one\ntwo \x1b[2m\x1b[0m": "one\ntwo\nlb1> _",
	} {
		synctest.Test(t, func(t *testing.T) {
			in, keys := io.Pipe()
			screen := vt.New(40, 10)
			s := terminal.Open(t.Context(), terminal.Terminal{Width: 40, Height: 10, Type: "xterm"}, in, screen)
			if _, err := io.WriteString(s, said); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := terminal.NewEditor(s, nil).ReadLine(t.Context(), helper{})
				done <- err
			}()
			synctest.Wait()
			if got := screen.Screen(); got != want {
				t.Errorf("after %q the screen is %q, want %q", said, got, want)
			}
			_ = keys.Close()
			if err := <-done; !errors.Is(err, terminal.ErrGone) {
				t.Error(err)
			}
		})
	}
}

// TestInterrupt: Ctrl-C ends what runs, and what was typed before it is
// forgotten; what is typed after it is not.
func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, keys := io.Pipe()
		s := terminal.Open(t.Context(), terminal.Terminal{Width: 40, Height: 10, Type: "xterm"}, in, vt.New(40, 10))
		interrupted := 0
		restore := s.OnInterrupt(func() { interrupted++ })
		_, _ = io.WriteString(keys, "reboot\r"+ctrlC+"show\r")
		synctest.Wait()
		restore()
		line, err := terminal.NewEditor(s, nil).ReadLine(t.Context(), helper{})
		if interrupted != 1 || line != "show" || err != nil {
			t.Errorf("interrupted %d times, then read %q, %v", interrupted, line, err)
		}
		_ = keys.Close()
	})
}

// TestFlood: more keys than are kept wait with whoever sends them, and are let
// go of when the session ends.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, keys := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		terminal.Open(ctx, terminal.Terminal{Width: 40, Height: 10}, in, vt.New(40, 10))
		sent := make(chan int, 1)
		go func() {
			total := 0
			for {
				n, err := keys.Write(bytes.Repeat([]byte("x"), 4096))
				if total += n; err != nil {
					sent <- total
					return
				}
			}
		}()
		synctest.Wait()
		cancel()
		_ = in.Close() // as the end of the connection does
		if total := <-sent; total > 32<<10 {
			t.Errorf("%d keys were taken from somebody whom nobody reads", total)
		}
	})
}

// FuzzKeys holds that no bytes do harm: the line stays UTF-8 and the screen
// shows what the line is.
func FuzzKeys(f *testing.F) {
	for _, keys := range []string{
		"show\x01\x14\x19\x0b\x17\r", "\x1b[200~a\rb\x1b[201~", "\x12a\x12\x07", "e\u0301\x02\x04\x7f", "\xff\x1b[\x1b\x1b[A\x1bOA", "名\x02\x08\t?",
	} {
		f.Add([]byte(keys))
	}
	f.Fuzz(func(t *testing.T, keys []byte) {
		if len(keys) > 1000 {
			return
		}
		screen := vt.New(20, 30)
		s := terminal.Open(t.Context(), terminal.Terminal{Width: 20, Height: 30, Type: "xterm"}, strings.NewReader(string(keys)), screen)
		e := terminal.NewEditor(s, &terminal.History{})
		for {
			line, err := e.ReadLine(t.Context(), helper{})
			if strings.ToValidUTF8(line, "") != line {
				t.Fatalf("%q became %q", keys, line)
			}
			if errors.Is(err, terminal.ErrGone) {
				break
			}
		}
		if u := screen.Unknown(); len(u) > 0 {
			t.Fatalf("%q: the terminal does not know %q", keys, u)
		}
	})
}

// TestAskedSize: a serial line has nobody who tells its size, so the terminal is
// asked before every prompt, and answers into what is typed.
func TestAskedSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, keys := io.Pipe()
		screen := vt.New(30, 6)
		answers := make(chan string, 8)
		screen.Answers(func(a string) { answers <- a })
		go func() {
			for a := range answers {
				_, _ = io.WriteString(keys, a) // the test ends it
			}
		}()
		s := terminal.Open(t.Context(), terminal.Terminal{Type: "vt220", Asked: true}, in, screen)
		e := terminal.NewEditor(s, nil)
		lines := make(chan string)
		go func() {
			for {
				line, err := e.ReadLine(t.Context(), helper{})
				if err != nil {
					close(lines)
					return
				}
				lines <- line
			}
		}()
		enter := func(text, want string) {
			t.Helper()
			if _, err := io.WriteString(keys, text+"\r"); err != nil {
				t.Fatal(err)
			}
			if got := <-lines; got != want {
				t.Errorf("read %q, want %q", got, want)
			}
			synctest.Wait()
		}
		synctest.Wait()
		if got := s.Size(); got != (terminal.Size{Width: 30, Height: 6}) {
			t.Errorf("at first %+v", got)
		}
		screen.Resize(12, 4)
		enter("one", "one")
		if got := s.Size(); got != (terminal.Size{Width: 12, Height: 4}) {
			t.Errorf("after a resize %+v", got)
		}
		// It wraps where the window ends now, and Shift-F3 is no answer.
		enter("a line that is longer\x1b[1;2R", "a line that is longer")
		if want := "lb1> a line\nthat is long\ner\nlb1> _"; !strings.HasSuffix(screen.Screen(), want) {
			t.Errorf("screen:\n%s\nwant at its end:\n%s", screen.Screen(), want)
		}
		if u := screen.Unknown(); len(u) > 0 {
			t.Errorf("the terminal does not know %q", u)
		}
		_ = keys.Close()
		<-lines
		close(answers)
	})
}
