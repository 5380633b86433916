package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxErrors bounds how many errors one Parse reports, so that a file of
// another kind does not fill a console.
const maxErrors = 50

// Error is one fault of a configuration: where it is, what is wrong, what was
// expected there, and what to do about it.
type Error struct {
	File         string
	Line, Column int    // from 1; columns count characters
	Path         string // "services.web.scheduler"; "" for the file as a whole
	Problem      string // "unknown scheduler \"lcss\""
	Expected     string // "one of rr, wrr, ..."; "" when the problem says it
	Hint         string // "did you mean \"lc\"?"; "" when there is none
}

// Error gives the fault on one line, as editors and compilers write it:
//
//	dipper.yaml:12:5: services.web.scheduler: unknown scheduler "lcss": expected one of rr, wrr; did you mean "lc"?
func (e Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.message())
	return b.String()
}

func (e Error) message() string {
	message := e.Problem
	if e.Expected != "" {
		message += ": expected " + e.Expected
	}
	if e.Hint != "" {
		message += "; " + e.Hint
	}
	return message
}

// Excerpt gives the fault for a console, with the line of src and a caret
// below the place:
//
//	dipper.yaml:12:5: services.web.scheduler: unknown scheduler "lcss": expected one of rr, wrr; did you mean "lc"?
//	  12 |     scheduler: lcss
//	     |                ^
func (e Error) Excerpt(src []byte) string {
	line, caret := window(hidden(src, e.Line), e.Column)
	number := fmt.Sprintf("%4d", e.Line)
	return fmt.Sprintf("%s\n%s | %s\n%s | %s^\n", e.Error(),
		number, line,
		strings.Repeat(" ", len(number)), strings.Repeat(" ", caret))
}

// Errors are all faults of one configuration in the order of their places.
type Errors []Error

// Error gives one fault per line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, fault := range e {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Excerpt gives every fault as Error.Excerpt does.
func (e Errors) Excerpt(src []byte) string {
	var b strings.Builder
	for _, fault := range e {
		b.WriteString(fault.Excerpt(src))
	}
	return b.String()
}

// ordered sorts the faults by place, removes repetitions, and keeps the first
// maxErrors of them. Places are kept inside the file, which the YAML library
// has been seen to leave.
func (e Errors) ordered(src []byte) Errors {
	lines := strings.Split(string(src), "\n")
	for i := range e {
		e[i].Line = min(e[i].Line, len(lines))
		e[i].Column = min(e[i].Column, utf8.RuneCountInString(lines[e[i].Line-1])+1)
	}
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	e = slices.Compact(e)
	if len(e) <= maxErrors {
		return e
	}
	last := e[maxErrors]
	last.Path, last.Expected, last.Hint = "", "", ""
	last.Problem = fmt.Sprintf("%d more errors from here on: mend those above first", len(e)-maxErrors)
	return append(e[:maxErrors], last)
}

// excerptWidth is how many characters of a source line fit beside the line
// number on a console of 80 columns.
const excerptWidth = 72

// window cuts a source line to what fits on a console around the column, with
// everything that a terminal would act upon replaced, and gives the offset of
// the column in it.
func window(line string, column int) (string, int) {
	text := []rune(line)
	for i, r := range text {
		if !unicode.IsPrint(r) {
			text[i] = ' '
		}
	}
	caret := min(max(column-1, 0), len(text))
	if len(text) <= excerptWidth {
		return string(text), caret
	}
	start := min(max(caret-excerptWidth/2, 0), len(text)-excerptWidth)
	return string(text[start : start+excerptWidth]), caret - start
}

// lineOf gives line number n of src, from 1, without its end.
func lineOf(src []byte, n int) string {
	rest := strings.TrimPrefix(string(src), byteOrderMark)
	for ; n > 1; n-- {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSuffix(line, "\r")
}
