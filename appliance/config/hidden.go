package config

import (
	"bytes"
	"strings"
)

// hidden gives line number n of src, from 1, for people who look over a
// shoulder: a console shows mistakes to everybody, and the log keeps them. What
// may be secret is stars, also where it stands under a key that does not exist,
// over several lines, or where the mistake is that it stands there.
func hidden(src []byte, n int) string {
	before := linesBefore(src, n)
	line := lineOf(src, n)
	if insideKey(before, line) || belowSecret(before, line) {
		return stars(line)
	}
	return mask(line)
}

// looksBack is how many lines above a mistake are looked at. A private key of
// RSA with 8192 bits has 100.
const looksBack = 120

// linesBefore gives the lines above line n, the closest last.
func linesBefore(src []byte, n int) []string {
	var last [][]byte
	number := 1
	for line := range bytes.Lines(src) {
		if number >= n {
			break
		}
		if number++; n-number < looksBack {
			last = append(last, line)
		}
	}
	lines := make([]string, len(last))
	for i, line := range last {
		lines[i] = strings.TrimRight(string(line), "\r\n")
	}
	return lines
}

// mask hides what stands behind the name of a secret on a line, to its end:
// where the value ends is what the mistake may be about.
func mask(line string) string {
	end := announced(line)
	if key := strings.Index(line, keyBegins); key >= 0 {
		end = min(end, key)
	}
	return line[:end] + stars(line[end:])
}

// announced is where a secret begins on a line: behind the name of one, as the
// administrator may have written it; the line's length without any.
func announced(line string) int {
	lower := []byte(line)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	first := len(line)
	for _, name := range [...]string{"passw", "passphrase", "secret", "host-key", "hostkey", "host_key", "private-key", "private_key", "privatekey"} {
		if at := bytes.Index(lower, []byte(name)); at >= 0 {
			first = min(first, at+len(name))
		}
	}
	if colon := strings.IndexByte(line[first:], ':'); colon >= 0 {
		return first + colon + 1
	}
	return first
}

// stars hides a text, but for its spaces: the caret keeps its place.
func stars(text string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' {
			return r
		}
		return '*'
	}, text)
}

// A private key's first and last line (RFC 7468).
const (
	keyBegins = "-----BEGIN"
	keyEnds   = "-----END"
)

// insideKey tells whether a line belongs to a private key that began above it,
// however it is indented.
func insideKey(before []string, line string) bool {
	inside := false
	for _, above := range before {
		switch {
		case strings.Contains(above, keyBegins):
			inside = !strings.Contains(above, keyEnds)
		case strings.Contains(above, keyEnds), !encoded(above):
			inside = false
		}
	}
	return inside && (encoded(line) || strings.Contains(line, keyEnds))
}

// encoded tells whether a line could be one of a key's.
func encoded(line string) bool {
	return !strings.ContainsAny(strings.Trim(line, " \t-\"',"), ": ")
}

// belowSecret tells whether a line stands below the name of a secret, further
// to the right.
func belowSecret(before []string, line string) bool {
	indent := indentation(line)
	for i := len(before) - 1; i >= 0 && indent > 0; i-- {
		above := before[i]
		if strings.TrimSpace(above) == "" || indentation(above) >= indent {
			continue
		}
		if indent = indentation(above); announced(above+" ") <= len(above) {
			return true
		}
	}
	return false
}

// indentation counts the blanks that a line begins with.
func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// confidential tells whether a text that a message would quote may be a secret:
// part of a private key, or of a password's hash that was taken apart at its
// commas.
func confidential(text string) bool {
	return strings.Contains(text, keyBegins) || strings.Count(text, "$") > 1
}
