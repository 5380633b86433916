package session

import (
	"os"
	"strings"
	"testing"

	"dipper/appliance/api"
	"dipper/shell/grammar"
)

func manual(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/shell.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTour types what the manual tells to type, in the mode that it is in then.
func TestTour(t *testing.T) {
	c := &conversation{Session: &Session{API: newFake(), Actor: api.Actor{Role: api.Admin}}}
	typed := 0
	for i, block := range strings.Split(manual(t), "```") {
		if i%2 == 0 || !strings.HasPrefix(block, "shell\n") {
			continue
		}
		for line := range strings.Lines(strings.TrimPrefix(block, "shell\n")) {
			typed++
			if line == "configure\n" {
				c.candidate = nil // an example of its own
			}
			statements, err := grammar.Split(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			call, err := grammar.Parse(c.table(), c.Actor.Role, statements[0][0])
			if err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			switch call.Path[0].Name {
			case "configure":
				c.candidate = &api.Candidate{}
			case "exit":
				c.candidate = nil
			}
		}
	}
	if typed < 30 {
		t.Errorf("only %d lines were typed", typed)
	}
}

// TestManualHasEverything wants every command and everything that can be shown
// in the manual.
func TestManualHasEverything(t *testing.T) {
	text := manual(t)
	want := func(words string) {
		if !strings.Contains(text, "`"+words) {
			t.Errorf("docs/shell.md does not tell of %q", words)
		}
	}
	for _, table := range [][]*command{operationalTable(), configurationTable()} {
		for _, c := range offeredIn(table) {
			switch c.Name {
			case "show", "monitor", "clear", "format", "terminal":
				for _, sub := range offeredIn(c.Sub) {
					if c.Name != "terminal" || sub.Name == "length" {
						want(c.Name + " " + sub.Name)
					}
				}
			default:
				want(c.Name)
			}
		}
	}
	for _, f := range filters() {
		if f.Hidden {
			continue
		}
		want(`\| ` + f.Name)
	}
}
