package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"
)

func atZero() time.Duration { return 0 }

func TestClean(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"plain text", "plain text"},
		{"dos\r", "dos"},
		{"a\tb", "a b"},
		{"\x1b[2J\x1b]0;owned\a", `\x1b[2J\x1b]0;owned\x07`},
		{"back\rwards", `back\x0dwards`},
		{"Grüße", "Grüße"},
		{"bad \xff\xfe", `bad \xff\xfe`},
		{"c1 \u009b31m", `c1 \u009b31m`},
		{"bidi \u202e", `bidi \u202e`},
		{"", ""},
	} {
		if got := clean([]byte(tt.raw)); got != tt.want {
			t.Errorf("clean(%q) = %q, want %q", tt.raw, got, tt.want)
		}
	}
}

func TestSeverity(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		p    Priority
		text string
	}{
		{"<4>careful", Warning, "careful"},
		{"<7>", Debug, ""},
		{"<8>no such severity", Info, "<8>no such severity"},
		{"<30>with facility", Info, "<30>with facility"},
		{"<4", Info, "<4"},
		{"", Info, ""},
	} {
		p, text := severity([]byte(tt.raw))
		if p != tt.p || string(text) != tt.text {
			t.Errorf("severity(%q) = %d, %q, want %d, %q", tt.raw, p, text, tt.p, tt.text)
		}
	}
}

// TestRecord holds the form that /dev/kmsg wants.
func TestRecord(t *testing.T) {
	got := string(record(Line{Source: "appliance", Priority: Info, Text: "hello"}))
	if want := "<30>dipper appliance: hello"; got != want {
		t.Errorf("record is %q, want %q", got, want)
	}
}

// FuzzPump feeds bytes in two parts and wants records that the kernel takes
// whole and a console can bear, and all the text in them.
func FuzzPump(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "a\nb", "a\r\nb\n", "<3>x\n", "\x00\x1b[31m\n", "no newline",
		strings.Repeat("x", rawMax-1) + "\n", strings.Repeat("x", rawMax), strings.Repeat("ü", rawMax),
		strings.Repeat("\x1b", rawMax+7), "\xff\xfe\n",
	} {
		f.Add([]byte(seed), len(seed)/2)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		cut = max(0, min(cut, len(in)))
		var whole, parts bytes.Buffer
		pump(t, &whole, in)
		pump(t, &parts, in[:cut], in[cut:])
		if whole.String() != parts.String() {
			t.Errorf("the log depends on how its bytes arrive:\n%q\n%q", whole.String(), parts.String())
		}
	})
}

// pump checks each record and collects them.
func pump(t *testing.T, into *bytes.Buffer, chunks ...[]byte) {
	t.Helper()
	j := &Journal{now: atZero, kernel: newSink(64, nil), file: newSink(1, nil), ring: ring{maxLines: 1}}
	check := func(raw []byte) {
		p, text := severity(raw)
		j.add(p, "appliance", text)
		for len(j.kernel.queue) > 0 {
			r := record((<-j.kernel.queue).line)
			checkRecord(t, r)
			into.Write(append(r, '\n'))
		}
	}
	s := splitter{emit: check}
	for _, c := range chunks {
		s.write(c)
	}
	s.flush()
}

func checkRecord(t *testing.T, r []byte) {
	t.Helper()
	if len(r) > lineMax {
		t.Errorf("record of %d bytes, the kernel keeps %d", len(r), lineMax)
	}
	if !utf8.Valid(r) {
		t.Errorf("record %q is no UTF-8", r)
	}
	for _, c := range string(r) {
		if !unicode.IsPrint(c) {
			t.Errorf("record %q holds %q", r, c)
		}
	}
}

func TestPiecesLoseNothing(t *testing.T) {
	text := strings.Repeat("aü€𝄞", 1000)
	for limit := utf8.UTFMax; limit < 40; limit++ {
		all := pieces(text, limit)
		if strings.Join(all, "") != text {
			t.Errorf("limit %d: text changed", limit)
		}
		for _, p := range all {
			if len(p) > limit || !utf8.ValidString(p) {
				t.Errorf("limit %d: piece %q", limit, p)
			}
		}
	}
}

func TestRingIsBounded(t *testing.T) {
	r := ring{maxLines: 3, maxBytes: 10}
	for i := range 100 {
		r.add(Line{At: time.Duration(i), Source: "a", Text: fmt.Sprintf("%04d", i)})
		if len(r.lines) > 3 || r.bytes > 10 {
			t.Fatalf("ring holds %d lines, %d bytes", len(r.lines), r.bytes)
		}
	}
	if got := strings.Join(r.tail("a", 0, 9), " "); got != "0098 0099" {
		t.Errorf("tail is %q", got)
	}
	r.add(Line{At: 100, Source: "b", Text: strings.Repeat("x", 20)})
	if got := r.tail("b", 0, 9); len(got) != 1 {
		t.Errorf("a line longer than the ring is not kept: %q", got)
	}
}

func TestTailOfOneRunOfOneSource(t *testing.T) {
	r := ring{maxLines: 9, maxBytes: 999}
	for i, source := range []string{"a", "b", "a", "b", "a"} {
		r.add(Line{At: time.Duration(i), Source: source, Text: fmt.Sprint(source, i)})
	}
	for _, tt := range []struct {
		since time.Duration
		n     int
		want  string
	}{{0, 9, "a0 a2 a4"}, {0, 2, "a2 a4"}, {1, 9, "a2 a4"}, {5, 9, ""}} {
		if got := strings.Join(r.tail("a", tt.since, tt.n), " "); got != tt.want {
			t.Errorf("tail since %d, at most %d: %q, want %q", tt.since, tt.n, got, tt.want)
		}
	}
}

// blocked is a console that nobody reads, until it is opened.
type blocked struct {
	open    chan struct{}
	written bytes.Buffer
}

func (b *blocked) Write(p []byte) (int, error) {
	<-b.open
	b.written.WriteString("\n")
	return b.written.Write(p)
}

// TestBlockedConsole wants Log to return although nobody takes the lines, and
// the loss to be told when somebody does.
func TestBlockedConsole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		console := &blocked{open: make(chan struct{})}
		j := New(atZero)
		j.kernel = newSink(queueLines, nil)
		go j.RunKernel(ctx, console)
		synctest.Wait()
		const lost = 7
		for i := range queueLines + 1 + lost { // one is with the writer
			j.Log(Info, "init", fmt.Sprint("line ", i))
			synctest.Wait()
		}
		close(console.open)
		synctest.Wait()
		stop()
		synctest.Wait()
		text := console.written.String()
		if want := fmt.Sprintf("<28>dipper init: log: dropped %d lines", lost); !strings.Contains(text, want) {
			t.Errorf("the log does not say %q", want)
		}
		if !strings.Contains(text, fmt.Sprint("line ", queueLines)) {
			t.Error("the lines that had room are not written")
		}
	})
}

// TestFlood wants a child that floods the log to leave most of it alone.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var kmsg bytes.Buffer
		j := New(atZero)
		go j.RunKernel(ctx, &kmsg)
		for range 3 * queueLines {
			j.Log(Info, "appliance", "flood")
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		j.Log(Info, "appliance", "calm")
		synctest.Wait()
		stop()
		synctest.Wait()
		if n := strings.Count(kmsg.String(), "flood"); n > queueLines {
			t.Errorf("%d lines of a flood in the kernel's log", n)
		}
		if !strings.Contains(kmsg.String(), "dropped") || !strings.Contains(kmsg.String(), "calm") {
			t.Error("after a flood the log neither tells the loss nor goes on")
		}
	})
}

func TestFlushWaitsForTheLastLine(t *testing.T) {
	dir := t.TempDir()
	j := New(atZero)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var kmsg bytes.Buffer
	go j.RunKernel(ctx, &kmsg)
	go j.RunFile(ctx, filepath.Join(dir, "log"))
	j.Log(Notice, "init", "reboot now")
	j.Flush(ctx)
	if got := kmsg.String(); got != "<29>dipper init: reboot now" {
		t.Errorf("kernel log after Flush: %q", got)
	}
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil || string(text) != "[    0.000000] init: reboot now\n" {
		t.Errorf("file after Flush: %q, %v", text, err)
	}
}

// TestFlushGivesUp wants Flush to end with its context when a writer hangs.
func TestFlushGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		console := &blocked{open: make(chan struct{})}
		j := New(atZero)
		running, stop := context.WithCancel(t.Context())
		go j.RunKernel(running, console)
		j.Log(Info, "init", "stuck")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		j.Flush(ctx)
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Error("Flush returned before anything was written")
		}
		close(console.open)
		stop()
		synctest.Wait()
	})
}

func TestFileIsBoundedAndRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for run := range 2 { // the second goes on where the first ended
		f := &boundedFile{path: path, limit: 100}
		for i := range 50 {
			if err := f.write(fmt.Appendf(nil, "run %d line %02d\n", run, i)); err != nil {
				t.Fatal(err)
			}
		}
		f.close()
	}
	var all string
	for _, p := range []string{path + ".1", path} {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 100 {
			t.Errorf("%s has %d bytes", filepath.Base(p), len(text))
		}
		all += string(text)
	}
	if !strings.HasSuffix(all, "run 1 line 48\nrun 1 line 49\n") {
		t.Errorf("the latest lines are not last: %q", all)
	}
}

// TestFileComesBack wants writing to go on when the directory was away.
func TestFileComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	f := &boundedFile{path: filepath.Join(dir, "log"), limit: 100}
	if err := f.write([]byte("lost\n")); err == nil {
		t.Fatal("no error without a directory")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := f.write([]byte("there\n")); err != nil {
		t.Error(err)
	}
	f.close()
}
