package appliance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dipper/appliance/api"
)

// TestTypedRulesOutliveTheControlPlane: what was typed in ipvsadm's language is
// kept as rules, and a restarted control plane reads it from them.
func TestTypedRulesOutliveTheControlPlane(t *testing.T) {
	m := newMachine(t)
	m.boots(bareDirector + "# commented\n")
	c, kill := m.run(t)
	await(t, c, api.Serving)
	typed(t, c, manyRules(3), "-R")
	typed(t, c, "", "-e", "-t", "192.168.4.5:1001", "-r", "10.1.1.5:80", "-m", "-w", "7", "-x", "9", "-y", "8")
	typed(t, c, "", "-D", "-t", "192.168.4.5:1002")
	typed(t, c, "", "-E", "-t", "192.168.4.5:1000", "-s", "mh", "-b", "mh-port", "-p", "60")
	kept, err := os.ReadFile(filepath.Join(m.options.RunDir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	yaml, rules, _ := strings.Cut(string(kept), rulesMark)
	if !strings.Contains(yaml, "# commented") || strings.Contains(yaml, "1001") || strings.Count("\n"+rules, "\n-") != 3*11+3 {
		t.Errorf("kept:\n%s", kept)
	}
	before, err := c.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kill()
	m.take()

	c, _ = m.run(t)
	if s := await(t, c, api.Serving); s.Edits != 0 || !s.Unsaved {
		t.Errorf("got %d edits by the successor, unsaved %t; want none, and true", s.Edits, s.Unsaved)
	}
	after, err := c.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestUnsavedIsExact: what is typed and taken back is no change.
func TestUnsavedIsExact(t *testing.T) {
	m := newMachine(t)
	m.boots(bareDirector)
	c, _ := m.run(t)
	await(t, c, api.Serving)
	typed(t, c, manyRules(1), "-R")
	if _, err := c.Save(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		rule    string
		unsaved bool
	}{
		{"-d -t 192.168.4.5:1000 -r 10.1.0.3:80", true},
		{"-a -t 192.168.4.5:1000 -r 10.1.0.3:80 -m -w 1", false}, // in another place, which says nothing
		{"-e -t 192.168.4.5:1000 -r 10.1.0.3:80 -m -w 2", true},
		{"-e -t 192.168.4.5:1000 -r 10.1.0.3:80 -m -w 1", false},
	} {
		typed(t, c, "", strings.Fields(step.rule)...)
		s, err := c.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Unsaved != step.unsaved {
			t.Errorf("after %s: unsaved %t, want %t", step.rule, s.Unsaved, step.unsaved)
		}
	}
}

// TestEditsLookAtTheNetworkTheyChange: an edit may skip looking at a network
// that is in order, but never at one that an edit before has changed.
func TestEditsLookAtTheNetworkTheyChange(t *testing.T) {
	m := newMachine(t)
	m.boots(bareDirector)
	c, _ := m.run(t)
	await(t, c, api.Serving)
	typed(t, c, "", "-A", "-t", "192.168.4.5:80") // at its own address: the network is found in order
	for range 2 {
		typed(t, c, "", "-A", "-t", "192.168.4.15:80")
		typed(t, c, "", "-D", "-t", "192.168.4.15:80")
	}
	count := 0
	for _, line := range m.take() {
		if strings.Contains(line, "addr del 192.168.4.15/32") {
			count++
		}
	}
	if count != 2 {
		t.Errorf("the VIP was withdrawn %d times, want 2", count)
	}
}

// TestTextOfRules types rules to two machines, of which one is asked for its
// configuration after each: what it answers is what runs, and is the same as
// that of the other one, which is asked in the end.
func TestTextOfRules(t *testing.T) {
	for name, boot := range map[string]string{"uncommented": bareDirector, "commented": bareDirector + "# in rack 7\n"} {
		t.Run(name, func(t *testing.T) {
			asked, other := newMachine(t), newMachine(t)
			asked.boots(boot)
			other.boots(boot)
			a, kill := asked.run(t)
			b, _ := other.run(t)
			await(t, a, api.Serving)
			await(t, b, api.Serving)
			for _, rule := range []string{
				"-A -t 192.168.4.5:1000 -s wrr",
				"-a -t 192.168.4.5:1000 -r 10.1.0.1:80 -m -w 1",
				"-a -t 192.168.4.5:1000 -r 10.1.0.2:80 -m -w 1",
				"-e -t 192.168.4.5:1000 -r 10.1.0.2:80 -m -w 7 -x 9 -y 8",
				"-E -t 192.168.4.5:1000 -s mh -b mh-port -p 60",
				"-A -u 192.168.4.5:53",
				"-d -t 192.168.4.5:1000 -r 10.1.0.1:80",
				"-a -t 192.168.4.5:1000 -r 10.1.0.1:80 -m -w 3",
				"--set 900 120 301",
				"-D -u 192.168.4.5:53",
				"-A -f 7 -s rr",
				"-E -f 7 -s wlc",
				"-e -t 192.168.4.5:1000 -r 10.1.0.1:80 -m -w 4",
			} {
				typed(t, a, "", strings.Fields(rule)...)
				typed(t, b, "", strings.Fields(rule)...)
				if _, err := a.Config(t.Context()); err != nil {
					t.Fatalf("%s: %v", rule, err)
				}
				if strings.Contains(runs(t, a), "rack 7") != (name == "commented") {
					t.Fatalf("%s: the comment is lost, or made up", rule)
				}
			}
			if got, want := runs(t, a), runs(t, b); got != want {
				t.Errorf("asked after each rule:\n%s\nin the end:\n%s", got, want)
			}
			kill()
			asked.take()
			a, _ = asked.run(t) // reads its text, and the rules behind it
			if s := await(t, a, api.Serving); s.Edits != 0 {
				t.Errorf("the text says something else than what runs: %q", asked.take())
			}
		})
	}
}

// runs is the running configuration, as it is shown.
func runs(t *testing.T, c *api.Client) string {
	t.Helper()
	text, err := c.ShowConfig(t.Context(), "running", api.ShowQuery{})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
