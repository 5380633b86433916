package ipvsadm

import (
	"fmt"
	"strings"
)

// The exit statuses of ipvsadm.
const (
	StatusDone    = 0
	StatusMissing = 1   // -L of a service that does not exist
	StatusUsage   = 2   // a command line that says nothing sensible
	StatusRefused = 255 // refused by the kernel, or options that popt cannot read
)

// Error is a command line, or a line of saved rules, that cannot be carried
// out.
type Error struct {
	Status  int
	Line    int    // of saved rules, from 1; 0 for a command line
	Message string // what ipvsadm says, word for word: people grep for it
	Detail  string // what is wrong here, and what to do about it; may be ""
}

// Error returns for example "line 3: Service already exists: -t 192.0.2.1:80".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	b.WriteString(e.Message)
	switch {
	case e.Detail == "":
	case strings.HasSuffix(e.Message, "information."): // a whole sentence
		b.WriteString(" (" + e.Detail + ")")
	default:
		b.WriteString(": " + e.Detail)
	}
	return b.String()
}

// usage is a refused command line.
func usage(message, detail string, arguments ...any) *Error {
	return &Error{Status: StatusUsage, Message: message, Detail: fmt.Sprintf(detail, arguments...)}
}

// tryHelp is what popt's program says to a command line that begins with no
// command.
func tryHelp(detail string, arguments ...any) *Error {
	return &Error{
		Status:  StatusRefused,
		Message: "Try `ipvsadm -h' or 'ipvsadm --help' for more information.",
		Detail:  fmt.Sprintf(detail, arguments...),
	}
}

// refused is an edit that the kernel would refuse.
func refused(message, detail string, arguments ...any) *Error {
	return &Error{Status: StatusRefused, Message: message, Detail: fmt.Sprintf(detail, arguments...)}
}

// RestoreError is saved rules of which nothing is done. It holds every line
// that is wrong, up to a bound.
type RestoreError struct {
	Lines []*Error
	More  int // wrong lines beyond Lines
}

// Error returns one line of text for each that is wrong.
func (e *RestoreError) Error() string {
	var b strings.Builder
	for _, line := range e.Lines {
		b.WriteString(line.Error())
		b.WriteByte('\n')
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "and %d more lines that are wrong\n", e.More)
	}
	b.WriteString("nothing was restored")
	return b.String()
}

// Status returns the exit status: that of the first line that is wrong.
func (e *RestoreError) Status() int { return e.Lines[0].Status }
