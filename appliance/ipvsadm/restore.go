package ipvsadm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine is the longest line of saved rules, in bytes.
const maxLine = 64 << 10

// maxRestoreErrors is how many wrong lines are told in full.
const maxRestoreErrors = 20

// Restore carries out saved rules, a command in each line, with or without the
// word ipvsadm before it. A "#" that begins a word begins a comment. The error
// is a *RestoreError if lines are wrong, and the editor then holds what nobody
// should use.
func (e *Editor) Restore(rules io.Reader, names Names) error {
	r := restorer{editor: e, parser: parser{names: names, ports: new(portNames)}}
	lines := bufio.NewScanner(rules)
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	number := 1
	for ; lines.Scan(); number++ {
		if err := r.line(lines.Text()); err != nil {
			err.Line = number
			r.failed.add(err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return &RestoreError{Lines: []*Error{{
			Status: StatusUsage, Line: number, Message: "too long", Detail: fmt.Sprintf("a rule has at most %d bytes", maxLine),
		}}}
	} else if err != nil {
		return fmt.Errorf("ipvsadm: read saved rules: %w", err)
	}
	if len(r.failed.Lines) > 0 {
		return &r.failed
	}
	return nil
}

type restorer struct {
	editor *Editor
	parser parser
	words  []string // of the present line
	failed RestoreError
}

func (r *restorer) line(text string) *Error {
	r.split(text)
	if len(r.words) == 0 {
		return nil
	}
	if err := r.parser.parse(r.words); err != nil {
		return err
	}
	command := &r.parser.command
	if !command.Kind.Edits() {
		return usage("only rules are restored", "%s changes nothing", r.words[0])
	}
	return r.editor.do(command)
}

// split takes a line apart at its spaces, without the word ipvsadm.
func (r *restorer) split(text string) {
	r.words = r.words[:0]
	for word := range strings.FieldsSeq(text) {
		if word[0] == '#' {
			return
		}
		if word != "ipvsadm" {
			r.words = append(r.words, word)
		}
	}
}

func (e *RestoreError) add(line *Error) {
	if len(e.Lines) == maxRestoreErrors {
		e.More++
		return
	}
	e.Lines = append(e.Lines, line)
}
