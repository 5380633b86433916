package journal

import (
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// lineMax is the longest text that the kernel's log keeps in one record with
// room for its own prefix: PRINTKRB_RECORD_MAX less PRINTK_PREFIX_MAX
// (kernel/printk/internal.h, include/linux/printk.h). It cuts longer ones.
const lineMax = 976

// rawMax bounds a line without a newline while it is being collected.
const rawMax = 4096

// daemon is the syslog facility of all our lines (RFC 5424 section 6.2.1).
const daemon = 3

// splitter cuts a stream into lines of at most rawMax bytes.
type splitter struct {
	emit    func(raw []byte)
	pending []byte
}

func (s *splitter) write(p []byte) {
	for _, b := range p {
		if b == '\n' {
			s.emit(s.pending)
			s.pending = s.pending[:0]
			continue
		}
		s.pending = append(s.pending, b)
		if len(s.pending) == rawMax {
			s.flush()
		}
	}
}

// flush emits what has no newline yet.
func (s *splitter) flush() {
	if len(s.pending) > 0 {
		s.emit(s.pending)
		s.pending = s.pending[:0]
	}
}

// severity takes the "<4>" off the beginning of a line (sd-daemon(3)).
func severity(raw []byte) (Priority, []byte) {
	if len(raw) < 3 || raw[0] != '<' || raw[1] < '0' || raw[1] > '7' || raw[2] != '>' {
		return Info, raw
	}
	return Priority(raw[1] - '0'), raw[3:]
}

// clean makes a raw line fit for a console: whoever gets bytes into a log must
// not be able to move a cursor or retitle a terminal. Tabs become spaces, a
// carriage return at the end goes, and all else that does not print is shown
// as \xNN or \uNNNN.
func clean(raw []byte) string {
	if n := len(raw); n > 0 && raw[n-1] == '\r' {
		raw = raw[:n-1]
	}
	if printable(raw) {
		return string(raw)
	}
	out := make([]byte, 0, len(raw)+16)
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		switch {
		case r == '\t':
			out = append(out, ' ')
		case r == utf8.RuneError && size == 1, r < utf8.RuneSelf && !unicode.IsPrint(r):
			out = fmt.Appendf(out, `\x%02x`, raw[0])
		case !unicode.IsPrint(r):
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = append(out, raw[:size]...)
		}
		raw = raw[size:]
	}
	return string(out)
}

// printable is true for a line of plain ASCII: nearly all of them.
func printable(raw []byte) bool {
	for _, b := range raw {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return true
}

// pieces cuts text into strings of at most limit bytes, never inside a
// character. An empty line is one empty piece.
func pieces(text string, limit int) []string {
	var all []string
	for len(text) > limit {
		cut := limit
		for cut > limit-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
			cut--
		}
		all = append(all, text[:cut])
		text = text[cut:]
	}
	return append(all, text)
}

// textLimit is how long a text of source may be for its record to fit.
func textLimit(source string) int {
	return lineMax - len(record(Line{Source: source}))
}

// record is the line as /dev/kmsg takes it
// (Documentation/ABI/testing/dev-kmsg): "<30>dipper appliance: text".
func record(l Line) []byte {
	b := make([]byte, 0, 32+len(l.Text))
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(daemon<<3|int(l.Priority)), 10)
	b = append(b, ">dipper "...)
	b = append(b, l.Source...)
	b = append(b, ": "...)
	return append(b, l.Text...)
}

// fileLine is the line as the file has it, with the kernel log's kind of time.
func fileLine(l Line) []byte {
	return fmt.Appendf(nil, "[%12.6f] %s: %s\n", l.At.Seconds(), l.Source, l.Text)
}
