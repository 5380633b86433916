package candidate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"dipper/appliance/config"
)

// Read reads a document from what somebody pasted or fetched: YAML, or a list
// of commands as Commands gives them, which begin with nothing.
func Read(name, text string) (*Document, error) {
	if !commandText(text) {
		return Parse(name, []byte(text))
	}
	d := New()
	if err := d.Run(name, text); err != nil {
		return nil, beganEmpty(err)
	}
	return d, nil
}

// beganEmpty says of a command that needs something to be there why it is not.
func beganEmpty(err error) error {
	line, ok := errors.AsType[*LineError](err)
	fault, in := errors.AsType[*WordError](err)
	if ok && in && fault.Hint == "" && !strings.HasPrefix(strings.TrimSpace(line.Text), "set ") {
		fault.Hint = "this text begins with an empty configuration: load merge runs its commands on the candidate"
	}
	return err
}

// MergeText merges what somebody pasted or fetched, YAML as Merge does. Commands
// are run one after the other, as Junos's load set does: they may delete, rename
// and copy what is there.
func (d *Document) MergeText(name, text string) error {
	if commandText(text) {
		return d.Run(name, text)
	}
	other, err := Parse(name, []byte(text))
	if err != nil {
		return err
	}
	d.Merge(other)
	return nil
}

// commandText holds for texts whose first line is a command.
func commandText(text string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		words, err := Split(line)
		if err == nil && len(words) == 0 {
			continue
		}
		return err == nil && slices.Contains(verbs(), words[0])
	}
	return false
}

func verbs() []string {
	return []string{"set", "delete", "rename", "copy", "insert", "annotate"}
}

// LineError is a command of several that could not be run.
type LineError struct {
	Name string // the file's
	Line int    // from 1
	Text string
	Err  error
}

// Error gives the place, the fault and the line.
func (e *LineError) Error() string {
	return fmt.Sprintf("%s:%d: %v: %s", e.Name, e.Line, e.Err, clip(e.Text))
}

// Unwrap gives the fault of the line alone.
func (e *LineError) Unwrap() error { return e.Err }

// Place is the fault as one of a file, at the word in question.
func (e *LineError) Place() config.Error {
	place := config.Error{File: e.Name, Line: e.Line, Column: 1, Problem: e.Err.Error()}
	if fault, ok := errors.AsType[*WordError](e.Err); ok {
		place.Column = column(e.Text, fault.Word)
		place.Problem, place.Expected, place.Hint = fault.Problem, fault.Expected, fault.Hint
	}
	return place
}

// Excerpt gives the line with its number and, below it, a caret at the word in
// question. What may be secret in it is stars.
func (e *LineError) Excerpt() []string {
	above := strings.Repeat("\n", e.Line-1) // no part of the command
	lines := strings.Split(e.Place().Excerpt([]byte(above+e.Text)), "\n")
	return lines[1:3]
}

// Run runs commands, one on each line: all of them or, with an error, which
// is a *LineError, none.
func (d *Document) Run(name, text string) error {
	return d.change(func(e *draft) error {
		number := 0
		for line := range strings.SplitSeq(text, "\n") {
			number++
			words, quoted, err := split(line)
			switch {
			case err != nil || len(words) == 0:
			case words[0] == "annotate" && len(words) > 1 && !quoted:
				err = &WordError{Word: len(words) - 1, Problem: "the comment is not in quotes", Expected: `annotate PATH "text"`}
			default:
				err = e.do(words)
			}
			if err != nil {
				return &LineError{name, number, line, err}
			}
		}
		return nil
	})
}

// Do runs one command, beginning with its verb. A returned error is of type
// *WordError; its Word counts from the verb.
func (d *Document) Do(words ...string) error {
	return d.change(func(e *draft) error { return e.do(words) })
}

func (e *draft) do(words []string) error {
	if len(words) == 0 {
		return &WordError{Problem: "no command", Expected: "one of " + list(verbs())}
	}
	err := e.verb(words[0], words[1:])
	var fault *WordError
	if errors.As(err, &fault) {
		fault.Word++
	}
	return err
}

func (e *draft) verb(verb string, words []string) error {
	switch verb {
	case "set":
		return e.set(words)
	case "delete":
		return e.delete(words)
	case "rename":
		return e.rename(words)
	case "copy":
		return e.duplicate(words)
	case "insert":
		return e.insert(words)
	case "annotate":
		if len(words) == 0 {
			return &WordError{Problem: "the text is missing", Expected: `a path and a text: services web "new since May"`}
		}
		last := len(words) - 1
		return e.annotate(words[last], words[:last])
	}
	return &WordError{Word: -1, Problem: fmt.Sprintf("unknown command %q", clip(verb)), Expected: "one of " + list(verbs())}
}

// Merge adds what another document has and changes what it says differently,
// as Junos's load merge does: values are replaced, lists get what they lack,
// entries and items that are in both are merged. Nothing is taken away.
func (d *Document) Merge(other *Document) {
	_ = d.change(func(e *draft) error { // what is in a document can be in another
		e.merge(nil, e.ownRoot(), other.root)
		return nil
	})
}

// Replace replaces the top-level parts that another document has (role,
// network, services, ...) and leaves the others as they are. It is what
// Junos's load replace does where every top-level part is marked so.
func (d *Document) Replace(other *Document) {
	root := d.root.copy()
	for _, child := range other.root.children {
		if old := root.child(child.name); old != nil {
			root.remove(old)
		}
		root.add(child)
	}
	if other.root.comment != "" {
		root.comment = other.root.comment
	}
	d.root = root
}

// Onto answers another document with the changes on top that lead from base to
// d: where both changed something, it is as d has it. What d took away or moved
// may be gone there already.
func (d *Document) Onto(base, other *Document) (*Document, error) {
	result := other.Clone()
	err := result.change(func(e *draft) error {
		for i, line := range Changes(View{Secrets: true}, base, d) {
			words, err := Split(line)
			if err == nil {
				err = e.do(words)
			}
			if err != nil && words[0] != "delete" && words[0] != "insert" {
				return &LineError{"your changes", i + 1, line, err}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// Override makes the document equal to another, as load override does.
func (d *Document) Override(other *Document) {
	d.root = other.root
}
