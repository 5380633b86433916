package config

import (
	"errors"
	"strings"

	"github.com/goccy/go-yaml"
)

// syntaxError puts the library's complaint into our words.
func syntaxError(err error, text string) error {
	var syntax yaml.Error
	if !errors.As(err, &syntax) || syntax.GetToken() == nil {
		return Error{Line: 1, Column: 1, Problem: "not valid YAML: " + err.Error()}
	}
	at := syntax.GetToken().Position
	fault := Error{Line: at.Line, Column: at.Column, Problem: "not valid YAML: " + syntax.GetMessage()}
	line := lineOf([]byte(text), at.Line)
	if indentation := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indentation, "\t") {
		fault.Problem, fault.Expected = "a tab indents this line", "spaces"
		return fault
	}
	fault.Hint = syntaxHint(line, syntax.GetMessage())
	return fault
}

// syntaxHint knows the mistakes that people make most.
func syntaxHint(line, message string) string {
	switch {
	case unquotedIPv6(line):
		return "an IPv6 address with a port needs quotes: \"[2001:db8::1]:80\""
	case strings.Contains(message, "mapping value is not allowed"):
		return "a value that contains \": \" needs quotes; otherwise look at the indentation"
	case strings.Contains(message, "escape"):
		return `in double quotes a backslash begins an escape such as \n: write \\ for a backslash`
	case strings.Contains(message, "reserved character"):
		return "a text that begins with this character needs quotes"
	case strings.Contains(message, "not allowed in this context"), strings.Contains(message, "non-map value"):
		return "look at the indentation of this line and the one above"
	}
	return ""
}

// unquotedIPv6 finds [2001:db8::1]:80, which is a YAML list with rubbish
// behind it unless quoted.
func unquotedIPv6(line string) bool {
	before, after, found := strings.Cut(line, "]:")
	if !found || after == "" || after[0] < '0' || after[0] > '9' {
		return false
	}
	opening := strings.LastIndexByte(before, '[')
	if opening < 0 || opening > 0 && before[opening-1] == '"' {
		return false
	}
	return strings.Trim(before[opening+1:], "0123456789abcdefABCDEF:.") == ""
}
