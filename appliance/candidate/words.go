package candidate

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WordError says what is wrong with the words of a command.
type WordError struct {
	// Word is the index of the word at fault, or the number of words when one
	// is missing behind them.
	Word     int
	Problem  string // `unknown scheduler "lcss"`
	Expected string // "one of rr, wrr, ..."; "" when the problem says it
	Hint     string // `did you mean "lc"?`; "" when there is none
}

// Error gives the fault on one line.
func (e *WordError) Error() string {
	text := e.Problem
	if e.Expected != "" {
		text += ": expected " + e.Expected
	}
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Split takes a command line apart: words between spaces; in double quotes
// with Go's escapes, in single quotes as it stands. A # that begins a word
// begins a comment.
func Split(line string) ([]string, error) {
	words, _, err := split(line)
	return words, err
}

// split tells too whether the last word is in quotes.
func split(line string) (words []string, quoted bool, err error) {
	for {
		line = strings.TrimLeft(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			return words, quoted, nil
		}
		quoted = line[0] == '"' || line[0] == '\''
		word, rest, err := splitWord(line)
		if err != nil {
			return nil, false, &WordError{Word: len(words), Problem: err.Error()}
		}
		words, line = append(words, word), rest
	}
}

// column is where a word of a line begins, in characters from 1; behind the last
// one for a word that is missing there.
func column(line string, word int) int {
	rest := strings.TrimLeft(line, " \t\r\n")
	for ; word > 0 && rest != "" && rest[0] != '#'; word-- {
		_, next, err := splitWord(rest)
		if err != nil {
			break
		}
		rest = strings.TrimLeft(next, " \t\r\n")
	}
	return utf8.RuneCountInString(line[:len(line)-len(rest)]) + 1
}

// splitWord takes the first word off a line that does not begin with a space.
func splitWord(line string) (word, rest string, err error) {
	switch line[0] {
	case '"':
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return "", "", fmt.Errorf("a quote without its end, or an unknown escape")
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", quoted, err)
		}
		return word, line[len(quoted):], nil
	case '\'':
		word, rest, found := strings.Cut(line[1:], "'")
		if !found {
			return "", "", fmt.Errorf("a quote without its end")
		}
		return word, rest, nil
	}
	end := strings.IndexAny(line, " \t\r\n")
	if end < 0 {
		end = len(line)
	}
	return line[:end], line[end:], nil
}

// Join writes words as a line that Split takes apart again.
func Join(words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quoteWord(word)
	}
	return strings.Join(quoted, " ")
}

// quoteWord puts a word into quotes where it needs them.
func quoteWord(word string) string {
	if word == "" || word[0] == '#' || !plain(word) {
		return strconv.Quote(word)
	}
	return word
}

func plain(word string) bool {
	return !strings.ContainsFunc(word, func(r rune) bool {
		return !strconv.IsPrint(r) || r == ' ' || r == '"' || r == '\'' || r == '\\' || r == '|' || r == ';' || r == utf8.RuneError
	})
}

// list names some things in a sentence.
func list(names []string) string {
	const most = 12
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
