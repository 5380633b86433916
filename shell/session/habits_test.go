package session

import (
	"strings"
	"testing"

	"dipper/appliance/api"
	"dipper/shell/grammar"
)

// TestHabits types what people type who come from elsewhere: it is done, or they
// are told what to type.
func TestHabits(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		// Cisco
		{"enable", `"configure" changes`},
		{"conf t", ""},
		{"wr", "revision"},
		{"write memory", "revision"},
		{"write terminal", `"show configuration"`},
		{"copy running-config startup-config", `"save" keeps`},
		{"sh run", "hostname lb1"},
		{"sh ip route", "192.168.4.0/24"},
		{"sh ip interface brief", "eth0"},
		{"sh ipv6 neighbors", "fe80::1"},
		{"show interfaces brief", "eth0"},
		{"show logging", "serving"},
		{"show run | include hostname", "hostname lb1"},
		{"show run | exclude hostname", "role director"},
		{"show run | begin hostname", `"/" within`},
		{"no services web", `"delete PATH"`},
		{"configure; do show version", "Dipper"},
		{"configure; no services web", `"delete PATH"`},
		{"configure; interface eth0", `begin with "set"`},
		{"configure; end", ""},
		{"terminal monitor", `"show log follow"`},
		{"end", `"exit" leaves`},
		// Junos and VyOS
		{"edit", ""},
		{"configure private", ""},
		{"configure exclusive", `a candidate of your own`},
		{"configure; show | compare", "no difference"},
		{"configure; set hostname lb2; show | compare; rollback", "lb2"},
		{"configure; set hostname lb2; show | compare rollback 6; discard", "lb2"},
		{"show configuration | compare 6", ""},
		{"show services | compare", "only a whole configuration"},
		{"configure; show | display set", "set role director"},
		{"configure; set hostname lb2; commit and-quit; show version", "Dipper"},
		{"configure; set hostname lb2; exit discard", ""},
		{"configure; commit-confirm 10", `"commit confirmed 10m"`},
		{"configure; run show version", "Dipper"},
		{"configure; ping 192.168.4.100", ""},
		{"configure; deactivate services web", `"delete PATH"`},
		{"configure; wildcard delete services web", `"delete PATH"`},
		{"configure; status", "private"},
		{"set hostname lb2", `"configure" goes where it is`},
		{"commit", `"configure" goes where it is`},
		{"rollback 1", `"configure" goes where it is`},
		{"run show version", "type the rest alone"},
		{"request system reboot", `"reboot"`},
		{"monitor traffic interface eth0", `"capture INTERFACE`},
		{"show interfaces terse", "eth0"},
		{"show interfaces eth0", "192.168.4.5/24"},
		{"show configuration | grep hostname", "hostname lb1"},
		{"start shell", "no system shell"},
		// Linux
		{"ip route", `"debug PROGRAM`},
		{"tcpdump -ni eth0", `"capture INTERFACE`},
		{"uptime", `"show system"`},
		{"show log | tail 1", "odd"},
		{"show log | wc -l", `"count" counts`},
		{"show log | less", "by itself"},
		{"show log | sort", `unknown filter "sort"`},
		{"logout", ""},
		{"ipvsadm -Ln", ""},
	} {
		out, errOut, _ := exec(t, newFake(), api.Admin, "", tt.line)
		if tt.want == "" && strings.Contains(errOut, "error:") || !strings.Contains(out+errOut, tt.want) {
			t.Errorf("%s: want %q in\n%s%s", tt.line, tt.want, out, errOut)
		}
	}
}

// TestHabitsHideNothing: no word of others' is in the way of one that is
// offered, nor twice in a table.
func TestHabitsHideNothing(t *testing.T) {
	var visit func(path string, list []*command)
	visit = func(path string, list []*command) {
		names := map[string]bool{}
		for _, c := range list {
			if names[c.Name] {
				t.Errorf("%s %s is there twice", path, c.Name)
			}
			if c.Instead != "" && !c.Hidden {
				t.Errorf("%s %s is offered and not done", path, c.Name)
			}
			names[c.Name] = true
			visit(path+" "+c.Name, c.Sub)
		}
	}
	visit("", operationalTable())
	visit("configure:", configurationTable())
	for _, f := range filters() {
		if _, err := grammar.Parse(filters(), api.Viewer, grammar.Stage{Words: []grammar.Word{{Text: f.Name, End: len(f.Name)}}, End: len(f.Name)}); f.Instead != "" && err == nil {
			t.Errorf("| %s is done and not answered", f.Name)
		}
	}
}
