package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// checkQuoted looks at texts in double quotes, in which the library's scanner
// takes a tab for two characters and \xzz for one. Texts in quotes stay on one
// line, since YAML would fold the ends of lines into spaces.
func checkQuoted(t *token.Token, lines []string) (problem, expected, hint string) {
	switch {
	case !quoted(t):
		return "", "", ""
	case strings.Contains(strings.TrimSpace(t.Origin), "\n"):
		return "a text in quotes goes on over several lines", "its closing quote on the same line", `write \n in double quotes for a new line, or use a | block`
	case t.Type == token.SingleQuoteType:
		return "", "", ""
	case strings.Contains(t.Origin, "\t"):
		return "a tab inside double quotes", `\t`, ""
	}
	if escape := badEscape(behind(t.Position, lines)); escape != "" {
		return fmt.Sprintf("unknown escape %s", escape), `\n, \t, \", \\, \xHH, \uHHHH or the like`, `a backslash itself is written \\`
	}
	return "", "", ""
}

// behind gives the rest of the line behind a place.
func behind(at *token.Position, lines []string) string {
	if at.Line > len(lines) {
		return ""
	}
	line := lines[at.Line-1]
	for range at.Column {
		_, size := utf8.DecodeRuneInString(line)
		line = line[size:]
	}
	return line
}

// badEscape gives the first escape of a text in double quotes that stands for
// no character (YAML 1.2.2, section 5.7), "" when there is none. The text
// ends at the first quote without a backslash.
func badEscape(text string) string {
	for {
		next := strings.IndexAny(text, `\"`)
		if next < 0 || text[next] == '"' || next+1 == len(text) {
			return ""
		}
		text = text[next:]
		length := escapeLength(text)
		if length == 0 {
			return string([]rune(text)[:2])
		}
		text = text[length:]
	}
}

// escapeLength gives the bytes of the escape that begins text, 0 when it
// stands for no character.
func escapeLength(text string) int {
	switch text[1] {
	case 'x':
		return coded(text, 2)
	case 'u':
		if utf16.IsSurrogate(code(text, 4)) { // half of a pair, as in JSON
			if strings.HasPrefix(text[min(6, len(text)):], `\u`) && utf16.DecodeRune(code(text, 4), code(text[6:], 4)) != utf8.RuneError {
				return 12
			}
			return 0
		}
		return coded(text, 4)
	case 'U':
		return coded(text, 8)
	}
	if strings.IndexByte(`0abtnvfre "/\N_LP`, text[1]) < 0 {
		return 0
	}
	return 2
}

// coded gives the length of an escape with so many hexadecimal digits, 0 when
// they are no character.
func coded(text string, digits int) int {
	if value := code(text, digits); !utf8.ValidRune(value) {
		return 0
	}
	return 2 + digits
}

// code gives the number behind \x, \u or \U, -1 when there is none.
func code(text string, digits int) rune {
	if len(text) < 2+digits {
		return -1
	}
	value, err := strconv.ParseUint(text[2:2+digits], 16, 31)
	if err != nil {
		return -1
	}
	return rune(value)
}
