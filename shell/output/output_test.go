package output

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		n                    uint64
		count, bytes, rate   string
		exactCount, exactBit string
	}{
		{0, "0", "0 B", "0 bit/s", "0", "0 bit/s"},
		{999, "999", "999 B", "7.9 kbit/s", "999", "7992 bit/s"},
		{1000, "1.0k", "1000 B", "8.0 kbit/s", "1000", "8000 bit/s"},
		{1024, "1.0k", "1.0 KiB", "8.1 kbit/s", "1024", "8192 bit/s"},
		{9999, "9.9k", "9.7 KiB", "79 kbit/s", "9999", "79992 bit/s"},
		{999_999, "999k", "976 KiB", "7.9 Mbit/s", "999999", "7999992 bit/s"},
		{1_250_000_000, "1.2G", "1.1 GiB", "10 Gbit/s", "1250000000", "10000000000 bit/s"},
		{math.MaxUint64, "18E", "15 EiB", "18 Ebit/s", "18446744073709551615", "18446744073709551608 bit/s"},
	} {
		s, exact := Style{}, Style{Exact: true}
		got := []string{s.Count(tt.n), s.Bytes(tt.n), s.BitRate(tt.n), exact.Count(tt.n), exact.BitRate(tt.n)}
		if diff := cmp.Diff([]string{tt.count, tt.bytes, tt.rate, tt.exactCount, tt.exactBit}, got); diff != "" {
			t.Errorf("%d (-want +got):\n%s", tt.n, diff)
		}
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]string{
		"0s": "0s", "1ms": "1ms", "999ms": "999ms", "1500ms": "1.5s", "59s": "59s", "60s": "1m", "61s": "1m 1s", "1h": "1h", "1h0m1s": "1h",
		"25h59m": "1d 1h", "2400h": "100d", "-90s": "-1m 30s",
	} {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Duration(d); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for want, at := range map[string]time.Time{
		"-":                               {},
		"2026-11-21 12:00:00 (now)":       now,
		"2026-11-21 11:58:58 (1m 2s ago)": now.Add(-62 * time.Second),
		"2026-11-21 12:10:00 (in 10m)":    now.Add(10 * time.Minute),
		"2026-11-21 11:00:00 (1h ago)":    now.Add(-time.Hour).In(time.FixedZone("CET", 3600)),
	} {
		if got := (Style{Now: now}).Time(at); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestNarrowTable: what can be done without is left out from the right, as far as
// needed, and named.
func TestNarrowTable(t *testing.T) {
	write := func(width int) string {
		table := Style{Width: width}.Table("Name", "~Kind", ">Count", "~>In", "~>Out")
		table.Row("web", "tcp", "12", "1 kbit/s", "2 kbit/s")
		var b strings.Builder
		if err := table.Write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for width, want := range map[int]string{
		0:  "Name  Kind  Count        In       Out\nweb   tcp      12  1 kbit/s  2 kbit/s\n",
		37: "Name  Kind  Count        In       Out\nweb   tcp      12  1 kbit/s  2 kbit/s\n",
		36: "Name  Kind  Count        In\nweb   tcp      12  1 kbit/s\nnot shown in a window this narrow:\nOut\n",
		16: "Name  Count\nweb      12\nnot shown in a\nwindow this\nnarrow: Kind,\nIn, Out\n",
	} {
		if got := write(width); got != want {
			t.Errorf("in %d cells:\n%swant:\n%s", width, got, want)
		}
	}
}

// TestFolded: a text at the end of a row goes on below itself, when there is
// room for it, and a column that can be done without goes before.
func TestFolded(t *testing.T) {
	write := func(width int) string {
		table := Style{Width: width}.Table(">Number", "~Via", "Comment")
		table.Row("7", "commit", "web2 is back from the repair shop")
		table.Row("6", "boot", "")
		return strings.Join(table.Lines(), "\n")
	}
	for width, want := range map[int]string{
		0:  "Number  Via     Comment\n     7  commit  web2 is back from the repair shop\n     6  boot",
		30: "Number  Via     Comment\n     7  commit  web2 is back\n                from the\n                repair shop\n     6  boot",
		29: "Number  Comment\n     7  web2 is back from the\n        repair shop\n     6",
		20: "Number  Comment\n     7\nweb2 is back from the repair shop\n     6",
	} {
		if diff := cmp.Diff(want, write(width)); diff != "" {
			t.Errorf("in %d cells (-want +got):\n%s", width, diff)
		}
	}
	long := Style{Width: 20}.Table("Key", "Detail")
	long.Row("a", "in "+strings.Repeat("x", 20)+" b")
	if diff := cmp.Diff([]string{"Key  Detail", "a    in", "     xxxxxxxxxxxxxxx", "     xxxxx", "     b"}, long.Lines()); diff != "" {
		t.Errorf("a long word (-want +got):\n%s", diff)
	}
	facts := Style{Width: 30}.Facts()
	facts.Add("state", "serving", "with a warning that is longer")
	if diff := cmp.Diff([]string{"state  serving", "       with a warning that is", "       longer"}, facts.Lines()); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

// TestNarrowColumns: in a window that is too narrow without the columns that can
// be done without, long values have lines of their own. What is left out is back
// when there is room beside the others then.
func TestNarrowColumns(t *testing.T) {
	write := func(width int) string {
		table := Style{Width: width}.Table("Service", "Address", ">Count", "~>In", "~Kind")
		table.Row("web", "10.0.0.1:80", "12", "1k", "nat")
		table.Row("customer-portal", "10.0.0.2:443", "3", "2k", "dr")
		table.Row("dns", "[2001:db8::ffff:1]:53", "4", "3k", "dr")
		table.Row("portal", "", "5", "", "")
		return "\n" + strings.Join(table.Lines(), "\n")
	}
	for width, want := range map[int]string{
		0: `
Service          Address                Count  In  Kind
web              10.0.0.1:80               12  1k  nat
customer-portal  10.0.0.2:443               3  2k  dr
dns              [2001:db8::ffff:1]:53      4  3k  dr
portal                                      5`,
		45: `
Service          Address                Count
web              10.0.0.1:80               12
customer-portal  10.0.0.2:443               3
dns              [2001:db8::ffff:1]:53      4
portal                                      5`,
		44: `
Service          Address       Count  In
web              10.0.0.1:80      12  1k
customer-portal  10.0.0.2:443      3  2k
dns              [2001:db8::ffff:1]:53
                                   4  3k
portal                             5`,
		30: `
Service  Address       Count
web      10.0.0.1:80      12
customer-portal
         10.0.0.2:443      3
dns      [2001:db8::ffff:1]:53
                           4
portal                     5`,
		24: `
Service  Address  Count
web      10.0.0.1:80
                     12
customer-portal
         10.0.0.2:443
                      3
dns
   [2001:db8::ffff:1]:53
                      4
portal                5`,
	} {
		if diff := cmp.Diff(want, write(width)); diff != "" {
			t.Errorf("in %d cells (-want +got):\n%s", width, diff)
		}
	}
}

// TestBeside: tables of different heights, and a window that is just too narrow.
func TestBeside(t *testing.T) {
	tables := [][]string{{"State  Count", "open       3"}, {"Client", "10.0.0.1", "10.0.0.2"}, {"x"}}
	lines, fits := Beside(tables, 29)
	want := []string{"State  Count    Client      x", "open       3    10.0.0.1", "                10.0.0.2"}
	if diff := cmp.Diff(want, lines); diff != "" || !fits {
		t.Errorf("fits: %v (-want +got):\n%s", fits, diff)
	}
	for _, width := range []int{0, 28} {
		if _, fits := Beside(tables, width); fits {
			t.Errorf("29 cells fit into %d", width)
		}
	}
}

// TestTable: columns are aligned by what is seen, and colours take no room.
func TestTable(t *testing.T) {
	draw := func(s Style) string {
		table := s.Table("Name", ">Count", "State")
		table.Row("web", "7", s.Paint(Good, "up"))
		table.Row("名前", "1234", s.Paint(Bad, "down"))
		table.Row("short")
		return strings.Join(table.Lines(), "\n")
	}
	want := "Name   Count  State\nweb        7  up\n名前    1234  down\nshort"
	if diff := cmp.Diff(want, draw(Style{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	coloured := draw(Style{Colour: true})
	if !strings.Contains(coloured, "\x1b[31mdown\x1b[0m") {
		t.Errorf("no colour: %q", coloured)
	}
	if diff := cmp.Diff(want, regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(coloured, "")); diff != "" {
		t.Errorf("with colours (-want +got):\n%s", diff)
	}
}

func TestFilters(t *testing.T) {
	const text = "one\ntwo\nthree\nfour"
	re := regexp.MustCompile("o")
	for name, tt := range map[string]struct {
		filter func(io.Writer) Filter
		want   string
	}{
		"match":        {func(w io.Writer) Filter { return Match(w, re, false) }, "one\ntwo\nfour\n"},
		"except":       {func(w io.Writer) Filter { return Match(w, re, true) }, "three\n"},
		"line end":     {func(w io.Writer) Filter { return Match(w, regexp.MustCompile("e$"), false) }, "one\nthree\n"},
		"count":        {Count, "4\n"},
		"last":         {func(w io.Writer) Filter { return Last(w, 2) }, "three\nfour\n"},
		"last of few":  {func(w io.Writer) Filter { return Last(w, 20) }, "one\ntwo\nthree\nfour\n"},
		"first":        {func(w io.Writer) Filter { return First(w, 2) }, "one\ntwo\n"},
		"match, count": {func(w io.Writer) Filter { return both{Match(Count(w), re, false), nil} }, ""},
	} {
		var out bytes.Buffer
		f := tt.filter(&out)
		for i := range len(text) { // in as many pieces as there can be
			if _, err := f.Write([]byte{text[i]}); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != tt.want {
			t.Errorf("%s: got %q, want %q", name, out.String(), tt.want)
		}
	}
}

// both closes only the first: Close goes no further than its filter.
type both struct {
	Filter
	_ any
}

// TestLastIsBounded: lines that are very long do not pile up.
func TestLastIsBounded(t *testing.T) {
	var out bytes.Buffer
	f := Last(&out, 1000)
	line := append(bytes.Repeat([]byte("x"), maxLine/2), '\n')
	for range 100 {
		if _, err := f.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil || out.Len() > maxLast || out.Len() < maxLast/2 {
		t.Errorf("%d bytes were kept, %v", out.Len(), err)
	}
}

// TestJSONSteersNoTerminal escapes what encoding/json leaves as it is.
func TestJSONSteersNoTerminal(t *testing.T) {
	const text = "\x1b[2J \u009b31m \x7f ü <&> \u2028"
	var b strings.Builder
	if err := JSON(&b, map[string]string{"text": text}); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"text\": \"\\u001b[2J \\u009b31m \\u007f ü <&> \\u2028\"\n}\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil || back["text"] != text {
		t.Errorf("reads as %q, %v", back["text"], err)
	}
}
