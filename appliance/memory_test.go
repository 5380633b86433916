package appliance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"dipper/appliance/api"
)

// has lets a machine have so many bytes of free memory.
func has(free uint64) memory { return func() (uint64, error) { return free, nil } }

// TestTableLargerThanMemory refuses it wherever a configuration comes from.
func TestTableLargerThanMemory(t *testing.T) {
	const says = "free: expected fewer services and real servers, or a machine with more memory"
	small, large := []byte(directorYAML), []byte(directorYAML+strings.Repeat("# a comment\n", 1000))
	t.Run("boot", func(t *testing.T) {
		m := newMachine(t)
		m.options.FreeMemory = has(64 << 10)
		m.boots(string(large))
		c, _ := m.run(t)
		s := await(t, c, api.Maintenance)
		if !strings.Contains(strings.Join(s.Problems, "\n"), says) {
			t.Errorf("problems are %q", s.Problems)
		}
	})
	m := newMachine(t)
	m.boots(string(small))
	m.options.FreeMemory = has(64 << 10)
	c, kill := m.run(t)
	await(t, c, api.Serving)
	m.take()
	_, err := c.Apply(t.Context(), large)
	var no *api.Error
	if !errors.As(err, &no) || len(no.Details) != 1 || !strings.Contains(no.Details[0], says) {
		t.Errorf("apply: %v", err)
	}
	if edits := m.take(); len(edits) > 0 {
		t.Errorf("the kernel was edited: %q", edits)
	}
	kill()

	m.options.FreeMemory = has(0)
	c, _ = m.run(t)
	if s := await(t, c, api.Serving, api.Maintenance); s.State != api.Serving {
		t.Errorf("a restart measured again what runs: %q", s.Problems)
	}
}

// TestRulesLargerThanMemory refuses rules before the table is edited.
func TestRulesLargerThanMemory(t *testing.T) {
	m := newMachine(t)
	m.boots(directorYAML)
	m.options.FreeMemory = has(1 << 20)
	c, _ := m.run(t)
	await(t, c, api.Serving)
	m.take()
	var out, errOut bytes.Buffer
	if status, err := c.Program(t.Context(), []string{"ipvsadm", "-R"}, strings.NewReader("-A -t 192.168.4.17:80 -s rr\n"), &out, &errOut); err != nil || status != 0 {
		t.Fatalf("rules that fit: %d, %v, %s", status, err, errOut.String())
	}
	m.take()
	_, err := c.Program(t.Context(), []string{"ipvsadm", "-R"}, strings.NewReader(strings.Repeat("# comment\n", 1<<16)), &out, &errOut)
	if err == nil || !strings.Contains(err.Error(), "bytes of rules; nothing was changed: a table of them does not fit 1 MiB") {
		t.Errorf("rules that do not fit: %v", err)
	}
	if edits := m.take(); len(edits) > 0 {
		t.Errorf("the kernel was edited: %q", edits)
	}
}

// TestMakingRoom reads on when the control plane could spare enough.
func TestMakingRoom(t *testing.T) {
	says := []uint64{640, 1 << 20} // bytes, before and after
	asked := 0
	m := memory(func() (uint64, error) { asked++; return says[min(asked, len(says))-1], nil })
	rules := strings.Repeat("-C\n", 100)
	if got, err := m.readRules(strings.NewReader(rules), nil); err != nil || string(got) != rules {
		t.Errorf("read %q, %v", got, err)
	}
	asked = 0
	if got, err := m.readRules(strings.NewReader("-C\n"), nil); err != nil || string(got) != "-C\n" || asked != 1 {
		t.Errorf("read %q, %v, asked %d times: room was made for nothing", got, err, asked)
	}
	silent := memory(func() (uint64, error) { return 0, io.ErrUnexpectedEOF })
	if _, err := silent.readRules(strings.NewReader(rules), nil); err != nil {
		t.Errorf("a machine that does not tell: %v", err)
	}
}

// TestUnaffordablePassword warns at the commit of a password that the machine
// has no memory to look at, with figures, and of no other.
func TestUnaffordablePassword(t *testing.T) {
	const hash = "$argon2id$v=19$m=%d,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"
	yaml := fmt.Sprintf("management:\n  ssh:\n    users:\n      ann: {role: admin, password-hash: %q}\n      joe: {role: viewer, password-hash: %q}\n      tom: {role: viewer, password-hash: %q}\n",
		fmt.Sprintf(hash, 64<<10), fmt.Sprintf(hash, 19<<10), fmt.Sprintf(hash, 1<<30)) // the last one counts on no machine
	for free, want := range map[uint64]string{
		80 << 20:   "",
		80<<20 - 1: "management.ssh.users.ann.password-hash: takes 64 MiB to look at, of 79 MiB that are free and 16 MiB that are spared",
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(t)
			m.options.Uptime = nil
			m.options.FreeMemory = has(free)
			m.boots(pair)
			b, kill := m.serves(t)
			defer kill()
			anna := as(t, "anna", "s1")
			c := candidateOf(t, anna, b)
			if _, err := b.EditCandidate(anna, c.ID, api.Edit{Kind: api.EditMerge, Text: yaml}); err != nil {
				t.Fatal(err)
			}
			done, err := b.Commit(anna, c.ID, api.CommitOptions{CheckOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, w := range done.Warnings {
				if strings.Contains(w, "MiB") {
					said = append(said, w)
				}
			}
			if got := strings.Join(said, "\n"); !strings.HasPrefix(got, want) || (got == "") != (want == "") || len(said) > 1 {
				t.Errorf("with %d bytes free: %q, want %q", free, got, want)
			}
		})
	}
}
