package appliance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/ipvs"
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
	if got, err := m.readRules(strings.NewReader(rules)); err != nil || string(got) != rules {
		t.Errorf("read %q, %v", got, err)
	}
	asked = 0
	if got, err := m.readRules(strings.NewReader("-C\n")); err != nil || string(got) != "-C\n" || asked != 1 {
		t.Errorf("read %q, %v, asked %d times: room was made for nothing", got, err, asked)
	}
	silent := memory(func() (uint64, error) { return 0, io.ErrUnexpectedEOF })
	if _, err := silent.readRules(strings.NewReader(rules)); err != nil {
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

// largeYAML is a director with so many real servers in 10.network.0.0/16.
func largeYAML(network, servers int) string {
	var b strings.Builder
	b.WriteString(strings.Replace(directorYAML, "network:\n", "network:\n  routes: [{to: 10.0.0.0/8, via: 192.168.4.1}]\n", 1))
	b.WriteString("  large:\n    listen: 192.168.4.15:9000\n    protocol: tcp\n    forward: tun\n    real-servers:\n")
	for i := range servers {
		fmt.Fprintf(&b, "      - {address: 10.%d.%d.%d, weight: 100}\n", network, i/250, 1+i%250)
	}
	return b.String()
}

// TestReplacingALargeTable: while another table is read and put into the kernel,
// the one that runs is there as well. Where both do not fit, the one that runs
// stays, and what takes less can still be done.
func TestReplacingALargeTable(t *testing.T) {
	first, second := largeYAML(1, 1000), largeYAML(2, 1000)
	needed := config.MemoryFor(len(second))
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		free := uint64(math.MaxInt64)
		m.options.FreeMemory = func() (uint64, error) { return free, nil }
		m.boots(first)
		b, kill := m.serves(t)
		defer kill()
		before := m.table.String()
		m.take()

		free = needed - 1
		_, err := b.Apply(t.Context(), []byte(second), false)
		var no *api.Error
		const says = "control socket:1:1: the table needs about 2 MiB of memory, and 2 MiB are free: expected fewer services and real servers"
		if !errors.As(err, &no) || len(no.Details) != 1 || !strings.HasPrefix(no.Details[0], says) {
			t.Errorf("another table: %v", err)
		}
		free = readPerByte*uint64(len(first)) - 1
		_, err = b.OpenCandidate(as(t, "anna", "s1"), false)
		if err == nil || !strings.Contains(err.Error(), "to read the running configuration takes about 1 MiB of memory, and 1 MiB are free") {
			t.Errorf("a candidate: %v", err)
		}
		if edits := m.take(); len(edits) > 0 || m.table.String() != before {
			t.Errorf("the kernel was edited: %q", edits)
		}

		free = 0
		if _, err := b.Apply(t.Context(), []byte(first), false); err != nil {
			t.Errorf("what runs, once more: %v", err)
		}
		edit := "-e -t 192.168.4.15:9000 -r 10.1.0.1:9000 -i -w 7"
		if status, out := adm(t, b, "", edit); status != 0 {
			t.Errorf("%s: %s", edit, out)
		}
		m.take()

		free = needed
		if _, err := b.Apply(t.Context(), []byte(second), false); err != nil {
			t.Errorf("another table that can be read: %v", err)
		}
		if got := m.table.String(); strings.Contains(got, "10.1.") || strings.Count(got, "-r 10.2.") != 1000 {
			t.Errorf("the table is not replaced:\n%.500s", got)
		}
	})
}

// TestTextThatIsNotThere is made of what ipvsadm typed, which takes memory as well.
func TestTextThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		free := uint64(math.MaxInt64)
		m.options.FreeMemory = func() (uint64, error) { return free, nil }
		m.boots(largeYAML(1, 1000))
		b, kill := m.serves(t)
		defer kill()
		if status, out := adm(t, b, "", "-A -t 192.168.4.17:80"); status != 0 {
			t.Fatal(out)
		}
		free = makePerByte * 52 * 1000
		const says = "the text of the running configuration takes about 2 MiB of memory, and 2 MiB are free"
		if _, err := b.Config(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("to show it: %v", err)
		}
		if _, err := b.Save(as(t, "anna", "s1"), ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("to save it: %v", err)
		}
		free *= 2
		if yaml, err := b.Config(t.Context()); err != nil || !strings.Contains(string(yaml), "192.168.4.17:80") {
			t.Errorf("to show it, with room: %v", err)
		}
		free = 0
		if _, err := b.Config(t.Context()); err != nil {
			t.Errorf("what is there: %v", err)
		}
	})
}

// TestMemoryOfATable holds what is asked for to what is alive while a table is
// replaced, when all that reading leaves behind is collected: the configuration,
// its table and the edits.
func TestMemoryOfATable(t *testing.T) {
	alive := func() int {
		runtime.GC()
		runtime.GC() // what the first one finalised
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int(s.HeapAlloc)
	}
	const servers = 20_000
	first, yaml := largeYAML(1, servers), []byte(largeYAML(2, servers))
	var made director.Sequence
	running, err := config.Parse("first", []byte(first))
	if err != nil {
		t.Fatal(err)
	}
	before := made.Table(running)
	began := alive()
	next, err := config.Parse("second", yaml)
	if err != nil {
		t.Fatal(err)
	}
	after := made.Table(next)
	ops := ipvs.Plan(before, after)
	taken := alive() - began
	if len(ops) != 2*servers {
		t.Fatalf("%d edits", len(ops))
	}
	perByte := float64(taken) / float64(len(yaml))
	t.Logf("%d bytes a real server, %.1f a byte of text", taken/servers, perByte)
	if perByte < 4 || perByte > 20 {
		t.Errorf("%.1f bytes for each byte of text stay while a table is replaced: 13 did, and %d are asked for, for the kernel and for garbage too", perByte, config.MemoryFor(1))
	}
	runtime.KeepAlive(running)
	runtime.KeepAlive(before)
	runtime.KeepAlive(next)
	runtime.KeepAlive(after)
	runtime.KeepAlive(ops)
	runtime.KeepAlive(yaml)
}
