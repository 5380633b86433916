package session

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
)

// ansibles are the patterns by which docs/ansible.md tells a prompt and an error.
func ansibles(t *testing.T) (prompt, failure *regexp.Regexp) {
	t.Helper()
	text, err := os.ReadFile("../../docs/ansible.md")
	if err != nil {
		t.Fatal(err)
	}
	pattern := func(name string) *regexp.Regexp {
		found := regexp.MustCompile(name + `: \[\{pattern: '(.*)'\}\]`).FindSubmatch(text)
		if found == nil {
			t.Fatalf("docs/ansible.md has no %s", name)
		}
		return regexp.MustCompile(string(found[1]))
	}
	return pattern("ansible_terminal_stdout_re"), pattern("ansible_terminal_stderr_re")
}

// TestProgramsThatType: Ansible's network_cli and its like open a terminal,
// call it a VT100, and read until there is a prompt. Nothing is in what they
// read but text, prompts and the echo of what they typed.
func TestProgramsThatType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		isPrompt, isFailure := ansibles(t)
		in, keys := io.Pipe()
		var seen bytes.Buffer
		s := &Session{
			API: newFake(), Actor: api.Actor{User: "ann", Role: api.Admin, Session: "s1"},
			In: in, Out: &seen, Err: &seen, Terminal: &Terminal{Width: 80, Height: 24, Type: "vt100"},
			Env: map[string]string{"TERM": "vt100"}, Registry: &Registry{},
		}
		done := make(chan error, 1)
		go func() { done <- s.Interact(t.Context()) }()
		synctest.Wait()
		for _, typed := range []struct{ line, read string }{
			{"show version", "Dipper  0.4\nkernel  6.12.57\n"},
			{"show servces", "              ^^^^^^^\nerror: \"servces\" is not expected after \"show\": did you mean \"services\"?\n"},
			{"terminal length 0", ""},
		} {
			seen.Reset()
			if _, err := io.WriteString(keys, typed.line+"\r"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if !isPrompt.Match(seen.Bytes()) || isFailure.Match(seen.Bytes()) != strings.Contains(typed.read, "error") {
				t.Errorf("%s: docs/ansible.md does not tell what %q is", typed.line, seen.String())
			}
			const redrawn, prompt = "\r\x1b[J", "ann@lb1> "
			got := strings.ReplaceAll(seen.String(), "\r\n", "\n")
			// The line is drawn anew as often as its keys come in parts.
			got = got[max(0, strings.LastIndex(got, redrawn)):]
			if diff := cmp.Diff(redrawn+prompt+typed.line+"\n"+typed.read+prompt, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", typed.line, diff)
			}
		}
		if _, err := io.WriteString(keys, "exit\r"); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = keys.Close() // the reader of keys ends
	})
}
