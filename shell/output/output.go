// Package output is how answers look: tables with aligned columns, numbers and
// times on the reader's scale, states in colour, JSON, and the filters behind a
// pipe. It writes text and knows neither terminals nor what the figures mean.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Style is how a reader wants it.
type Style struct {
	Colour bool
	Exact  bool // numbers in full
	Now    time.Time
	Width  int // of the window in cells; 0: any
}

// Mood is what a state means to the reader.
type Mood int

// The moods.
const (
	Plain Mood = iota
	Good
	Warning
	Bad
	Faint
)

// Paint colours text by its mood.
func (s Style) Paint(m Mood, text string) string {
	codes := map[Mood]string{Good: "32", Warning: "33", Bad: "31", Faint: "2"}
	if !s.Colour || m == Plain || text == "" {
		return text
	}
	return "\x1b[" + codes[m] + "m" + text + "\x1b[0m"
}

// Bold sets text off.
func (s Style) Bold(text string) string {
	if !s.Colour {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

// Count writes a number: "999", "1.2k", "35M".
func (s Style) Count(n uint64) string {
	return s.scaled(n, 1000, []string{"", "k", "M", "G", "T", "P", "E"})
}

// Bytes writes a size: "999 B", "1.2 KiB"; exactly: "1234 B".
func (s Style) Bytes(n uint64) string {
	if s.Exact {
		return strconv.FormatUint(n, 10) + " B"
	}
	return s.scaled(n, 1024, []string{" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"})
}

// BitRate writes bytes per second as the bits per second that networks count
// in: "12.5 Mbit/s".
func (s Style) BitRate(bytes uint64) string {
	if bytes > math.MaxUint64/8 {
		bytes = math.MaxUint64 / 8
	}
	bits := bytes * 8
	if s.Exact {
		return strconv.FormatUint(bits, 10) + " bit/s"
	}
	return s.scaled(bits, 1000, []string{" bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s", " Pbit/s", " Ebit/s"})
}

// scaled writes n with the unit that leaves at most four digits; units below
// ten have one decimal. It never rounds up, so that 999.9 does not look like a
// round 1000.
func (s Style) scaled(n, base uint64, units []string) string {
	if s.Exact || n < base {
		return strconv.FormatUint(n, 10) + units[0]
	}
	unit, div := 0, uint64(1)
	for n/div >= base && unit < len(units)-1 {
		unit, div = unit+1, div*base
	}
	whole := n / div
	if whole >= 10 {
		return strconv.FormatUint(whole, 10) + units[unit]
	}
	tenth := (n % div) / (div / 10)
	return fmt.Sprintf("%d.%d%s", whole, min(tenth, 9), units[unit])
}

// Duration writes a time span with its two largest units: "3d 4h", "12m 5s",
// "1.5s", "20ms".
func Duration(d time.Duration) string {
	switch {
	case d == 0:
		return "0s"
	case d < 0:
		return "-" + Duration(-d)
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(math.Floor(d.Seconds()*10)/10, 'f', -1, 64) + "s"
	}
	units := []struct {
		name string
		span time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	var parts []string
	for _, u := range units {
		n := d / u.span
		d -= n * u.span
		if n > 0 {
			parts = append(parts, strconv.Itoa(int(n))+u.name)
		} else if len(parts) > 0 {
			break
		}
		if len(parts) == 2 {
			break
		}
	}
	return strings.Join(parts, " ")
}

// Time writes when something was, with its age: "2026-11-21 13:05:02 (4m 2s
// ago)".
func (s Style) Time(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	age := s.Now.Sub(t).Round(time.Second)
	switch {
	case age < 0:
		return fmt.Sprintf("%s (in %s)", t.UTC().Format(time.DateTime), Duration(-age))
	case age == 0:
		return t.UTC().Format(time.DateTime) + " (now)"
	}
	return fmt.Sprintf("%s (%s ago)", t.UTC().Format(time.DateTime), Duration(age))
}

// Milliseconds writes a short time span: "12.3 ms".
func Milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
}

// JSON writes v indented, as the control socket has it. Control characters that
// JSON lets pass are escaped: it is read on terminals, too.
func JSON(w io.Writer, v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice && list.IsNil() {
		v = []any{} // nothing is an empty list for who reads it, and not null
	}
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escapeC1(text.Bytes()))
	return err
}

// escapeC1 escapes U+007F to U+009F, which a terminal takes for ESC and a
// letter (ECMA-48, 5.3). In JSON they stand within strings alone.
func escapeC1(text []byte) []byte {
	if !bytes.ContainsFunc(text, isC1) {
		return text
	}
	var out []byte
	for _, r := range string(text) {
		if isC1(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

func isC1(r rune) bool { return r >= 0x7f && r < 0xa0 }
