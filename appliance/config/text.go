package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

const byteOrderMark = "\ufeff"

// readText checks what must hold before any YAML is read: size, encoding and
// characters.
func readText(src []byte) (string, error) {
	if len(src) > MaxSize {
		return "", Error{Line: 1, Column: 1,
			Problem: fmt.Sprintf("the file has %d bytes", len(src)), Expected: fmt.Sprintf("at most %d", MaxSize)}
	}
	src = bytes.TrimPrefix(src, []byte(byteOrderMark))
	line, column, tabs := 1, 1, 0
	for i := 0; i < len(src); {
		if plainText := src[i] >= ' ' && src[i] < 0x7f; plainText { // nearly all there is
			i, column = i+1, column+1
			continue
		}
		r, size := utf8.DecodeRune(src[i:])
		if r == '\t' {
			tabs++
		}
		if tabs > maxTabs {
			return "", Error{Line: line, Column: column, Problem: fmt.Sprintf("more than %d tabs in one line", maxTabs), Expected: "spaces"}
		}
		if problem := badCharacter(src[i:], r, size); problem != "" {
			return "", Error{Line: line, Column: column, Problem: problem,
				Expected: "a text file in UTF-8", Hint: encodingHint(src)}
		}
		i, column = i+size, column+1
		if r == '\n' {
			line, column, tabs = line+1, 1, 0
		}
	}
	// The library counts lines wrongly where comments end in both characters.
	return strings.ReplaceAll(string(src), "\r\n", "\n"), nil
}

// badCharacter says what is wrong with the character that begins rest, "" when
// nothing is.
func badCharacter(rest []byte, r rune, size int) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return fmt.Sprintf("byte 0x%02x is not UTF-8", rest[0])
	case r == '\r' && !bytes.HasPrefix(rest, []byte("\r\n")):
		return "a carriage return without a line feed"
	case r == '\t' || r == '\n' || r == '\r':
		return ""
	case r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\ufeff':
		return fmt.Sprintf("control character U+%04X", r)
	}
	return ""
}

func encodingHint(src []byte) string {
	if bytes.HasPrefix(src, []byte{0xff, 0xfe}) || bytes.HasPrefix(src, []byte{0xfe, 0xff}) {
		return "this looks like UTF-16: save it as UTF-8"
	}
	return ""
}
