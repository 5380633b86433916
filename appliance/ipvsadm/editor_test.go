package ipvsadm

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/ipvs"
)

func TestRestore(t *testing.T) {
	e := NewEditor(State{})
	rules := `# what a director held
ipvsadm -A -t 192.168.4.5:80 -s wrr
-a -t 192.168.4.5:80 -r 192.168.2.100:80 -m -w 1   # the first
	-a -t 192.168.4.5:80 -r 192.168.2.200:80 -m -w 2 -x 100 -y 50

--set 900 0 300
--start-daemon master --mcast-interface eth1
`
	if err := e.Restore(strings.NewReader(rules), nil); err != nil {
		t.Fatal(err)
	}
	s := e.State()
	want := "-A -t 192.168.4.5:80 -s wrr\n" +
		"-a -t 192.168.4.5:80 -r 192.168.2.100:80 -m -w 1\n" +
		"-a -t 192.168.4.5:80 -r 192.168.2.200:80 -m -w 2 -x 100 -y 50\n"
	if got := save(t, s.Table); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if s.Timeouts != (ipvs.Timeouts{TCP: 900, UDP: 300}) {
		t.Error(s.Timeouts)
	}
	if len(s.Daemons) != 1 || s.Daemons[0].Interface != "eth1" {
		t.Error(s.Daemons)
	}
}

// TestRestoreReadsNames restores what was saved without -n.
func TestRestoreReadsNames(t *testing.T) {
	names := etcNames{"192.168.4.5 vip\n192.168.2.100 web1.example.org\n2001:db8::9 six\n"}
	before := edited(t, State{}, "-A -t 192.168.4.5:80 -s rr", "-a -t 192.168.4.5:80 -r 192.168.2.100:8080 -m",
		"-A -u 192.168.4.5:53", "-A -t 192.168.4.6:3306", "-A --sctp-service 192.168.4.5:2905").Table
	var saved strings.Builder
	if err := (Listing{}).Save(&saved, uncounted(before), ipvs.Timeouts{}, nil, names); err != nil {
		t.Fatal(err)
	}
	const want = "-A -t vip:http -s rr\n-a -t vip:http -r web1.example.org:http-alt -m -w 1\n-A -t 192.168.4.6:mysql -s wlc\n-A -u vip:domain -s wlc\n-A --sctp-service vip:2905 -s wlc\n"
	if saved.String() != want {
		t.Errorf("got\n%swant\n%s", saved.String(), want)
	}
	restored := NewEditor(State{})
	if err := restored.Restore(strings.NewReader(saved.String()), names); err != nil {
		t.Fatal(err)
	}
	if got := save(t, restored.State().Table); got != save(t, before) {
		t.Errorf("got\n%swant\n%s", got, save(t, before))
	}
}

func TestRestoreTellsEveryWrongLine(t *testing.T) {
	rules := `-A -t 192.168.4.5:80 -s wrr
-A -t 192.168.4.5:80 -s rr
-a -t 192.168.4.5:81 -r 192.168.2.100
-A -t 192.168.4.5:82 -s lcss

-L -n
-a -t 192.168.4.5:80 -r 192.168.2.100 -w x
`
	err := NewEditor(State{}).Restore(strings.NewReader(rules), nil)
	want := `line 2: Service already exists: -t 192.168.4.5:80; -E edits it
line 3: Service not defined: -t 192.168.4.5:81; -Ln lists those there are
line 4: Scheduler or persistence engine not found: no scheduler "lcss"; there are rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, fo, ovf, mh, twos, none
line 6: only rules are restored: -L changes nothing
line 7: illegal weight specified: "x"; it is a number from 0 to 2147483647
nothing was restored`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if status := statusOf(err); status != StatusRefused {
		t.Errorf("status %d", status)
	}
}

func TestRestoreTellsAboutTwentyLines(t *testing.T) {
	err := NewEditor(State{}).Restore(strings.NewReader(strings.Repeat("-D -f 1\n", 1000)), nil)
	if err == nil || strings.Count(err.Error(), "\n") != maxRestoreErrors+1 || !strings.Contains(err.Error(), "and 980 more lines that are wrong") {
		t.Error(err)
	}
}

func TestRestoreRefusesLongLines(t *testing.T) {
	err := NewEditor(State{}).Restore(strings.NewReader("-A -f 1\n"+strings.Repeat("x", maxLine+1)), nil)
	if err == nil || !strings.HasPrefix(err.Error(), "line 2: too long") || statusOf(err) != StatusUsage {
		t.Error(err)
	}
}

func TestEditorLeavesItsStateAlone(t *testing.T) {
	before := edited(t, State{}, "-A -t 192.168.4.5:80 -s wrr", "-a -t 192.168.4.5:80 -r 192.168.2.100 -m -w 3")
	saved := save(t, before.Table)
	after := edited(t, before, "-e -t 192.168.4.5:80 -r 192.168.2.100 -m -w 9", "-E -t 192.168.4.5:80 -s rr", "-A -f 1", "-D -t 192.168.4.5:80")
	if got := save(t, before.Table); got != saved {
		t.Errorf("now\n%sbefore\n%s", got, saved)
	}
	if got := save(t, after.Table); got != "-A -f 1 -s wlc\n" {
		t.Error(got)
	}
}

func TestEditorKeepsTheOrder(t *testing.T) {
	var lines []string
	for i := range 5 {
		lines = append(lines, fmt.Sprintf("-A -f %d", i+1), fmt.Sprintf("-a -f %d -r 10.0.0.1", i+1), fmt.Sprintf("-a -f %d -r 10.0.0.2", i+1))
	}
	s := edited(t, State{}, append(lines, "-D -f 2", "-d -f 3 -r 10.0.0.1", "-a -f 3 -r 10.0.0.1", "-A -f 2")...)
	var got []string
	for _, service := range s.Table.Services {
		text := fmt.Sprint(service.FWMark)
		for _, r := range service.RealServers {
			text += " " + r.Address.String()
		}
		got = append(got, text)
	}
	want := []string{"1 10.0.0.1 10.0.0.2", "3 10.0.0.2 10.0.0.1", "4 10.0.0.1 10.0.0.2", "5 10.0.0.1 10.0.0.2", "2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// edited is a state after command lines, each of which must be accepted.
func edited(t *testing.T, s State, lines ...string) State {
	t.Helper()
	e := NewEditor(s)
	for _, line := range lines {
		do(t, e, line)
	}
	return e.State()
}

func do(t *testing.T, e *Editor, line string) {
	t.Helper()
	command, err := Parse(strings.Fields(line), nil)
	if err == nil {
		err = e.Do(command)
	}
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}

func TestNotes(t *testing.T) {
	base := []string{
		"-A -t 192.168.4.5:80 -s sh -p 60 -b sh-port",
		"-a -t 192.168.4.5:80 -r 192.168.2.100 -i --tun-type gue --tun-port 6080 -w 4 -x 10",
	}
	tests := map[string][]string{
		"-e -t 192.168.4.5:80 -r 192.168.2.100 -i -w 4 -x 10":                               {"192.168.2.100:80 has lost its tunnel gue:6080:-c (it is ipip now): -e replaces all options"},
		"-e -t 192.168.4.5:80 -r 192.168.2.100 -g":                                          {"192.168.2.100:80 has lost its weight 4 (it is 1 now), a threshold: -e replaces all options"},
		"-e -t 192.168.4.5:80 -r 192.168.2.100 -i --tun-type gue --tun-port 6081 -w 1 -x 0": nil,
		"-E -t 192.168.4.5:80 -s sh":                                                        {"-t 192.168.4.5:80 has lost its persistence, scheduler flags: -E replaces all options"},
		"-E -t 192.168.4.5:80 -s rr -p 30":                                                  nil,
		"-E -t 192.168.4.5:80 -s sh -p 60 -b sh-port --pe sip":                              {"-t 192.168.4.5:80 lets nothing through: the persistence engine sip reads UDP only, and the kernel drops the rest"},
		"-A -t 192.168.4.5:5060 -p --pe sip":                                                {"-t 192.168.4.5:5060 lets nothing through: the persistence engine sip reads UDP only, and the kernel drops the rest"},
		"-A -u 192.168.4.5:5060 -p --pe sip":                                                nil,
	}
	for line, want := range tests {
		e := NewEditor(State{})
		for _, l := range append(slices.Clone(base), line) {
			do(t, e, l)
		}
		if !slices.Equal(e.Notes, want) {
			t.Errorf("%s: got %q, want %q", line, e.Notes, want)
		}
	}
}

func TestMixedFamiliesAndSynchronisation(t *testing.T) {
	const start = "--start-daemon master"
	mixed := []string{"-A -t 192.168.4.5:80", "-a -t 192.168.4.5:80 -r 2001:db8::1 -i"}
	for _, lines := range [][]string{append(slices.Clone(mixed), start), append([]string{start}, mixed...)} {
		e := NewEditor(State{})
		last := len(lines) - 1
		for _, line := range lines[:last] {
			do(t, e, line)
		}
		command, err := Parse(strings.Fields(lines[last]), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Do(command); err == nil || !strings.HasPrefix(err.Error(), InvalidOperation) || !strings.Contains(err.Error(), "2001:db8::1") {
			t.Errorf("%s: %v", lines[last], err)
		}
	}
}

// TestEditorOfManyServers holds a service of more real servers than are looked
// through one by one to what one of few does.
func TestEditorOfManyServers(t *testing.T) {
	before := edited(t, State{}, "-A -f 1")
	lines := make([]string, 0, 200)
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("-a -f 1 -r 10.0.0.%d -m", i+1))
	}
	full := edited(t, before, lines...)
	lines = lines[:0]
	for i := range 100 {
		switch i % 4 {
		case 0:
			lines = append(lines, fmt.Sprintf("-d -f 1 -r 10.0.0.%d", i+1))
		case 1:
			lines = append(lines, fmt.Sprintf("-e -f 1 -r 10.0.0.%d -m -w 7", i+1))
		case 2:
			lines = append(lines, fmt.Sprintf("-d -f 1 -r 10.0.0.%d", i+1), fmt.Sprintf("-a -f 1 -r 10.0.0.%d -m -w 9", i+1))
		}
	}
	after := edited(t, full, lines...).Table.Services[0].RealServers
	weights := map[uint32]int{}
	for _, r := range after {
		weights[r.Weight]++
	}
	if want := map[uint32]int{1: 25, 7: 25, 9: 25}; !maps.Equal(weights, want) {
		t.Errorf("weights: got %v, want %v", weights, want)
	}
	if n := len(before.Table.Services[0].RealServers); n != 0 {
		t.Errorf("the state of before has got %d real servers", n)
	}
	if n := len(full.Table.Services[0].RealServers); n != 100 {
		t.Errorf("the state between has %d real servers", n)
	}
	again := NewEditor(full)
	command, err := Parse(strings.Fields("-a -f 1 -r 10.0.0.50 -m"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Do(command); err == nil || !strings.HasPrefix(err.Error(), "Destination already exists") {
		t.Errorf("one of many a second time: %v", err)
	}
}

// BenchmarkEdit changes one weight in a table of a hundred thousand.
func BenchmarkEdit(b *testing.B) {
	e := NewEditor(State{})
	if err := e.Restore(strings.NewReader(largeRules(10000)), nil); err != nil {
		b.Fatal(err)
	}
	s := e.State()
	command, err := Parse(strings.Fields("-e -t 10.9.9.1:80 -r 192.168.9.1 -m -w 5"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		e := NewEditor(s)
		if err := e.Do(command); err != nil {
			b.Fatal(err)
		}
		e.State()
	}
}

// largeRules are the rules of many services with ten real servers each.
func largeRules(services int) string {
	var b strings.Builder
	for i := range services {
		key := fmt.Sprintf("-t 10.%d.%d.1:80", i>>8, i&0xff)
		fmt.Fprintf(&b, "-A %s -s wrr\n", key)
		for j := range 10 {
			fmt.Fprintf(&b, "-a %s -r 192.168.%d.%d:80 -m -w %d\n", key, i&0xff, j+1, j+1)
		}
	}
	return b.String()
}

func BenchmarkRestore(b *testing.B) {
	for _, services := range []int{1000, 10000} {
		rules := largeRules(services)
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := NewEditor(State{}).Restore(strings.NewReader(rules), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzRestore looks for rules that break the editor, and holds it to this:
// what was restored, saved and restored again is the same.
func FuzzRestore(f *testing.F) {
	for line := range strings.Lines(everything) {
		f.Add(line)
	}
	f.Add("-A -t 10.9.9.9:80 -s wrr\n-a -t 10.9.9.9:80 -r 10.2.1.2:80 -m -x 9 # one\n-e -t 10.9.9.9:80 -r 10.2.1.2:80 -m")
	f.Add("-A -f 1 -6 -p 5 -M 64\n-C\nipvsadm -A -f 1\n-a -f 1 -r 10.2.1.2:9 -i --tun-type gre")
	f.Fuzz(func(t *testing.T, rules string) {
		e := NewEditor(State{})
		if e.Restore(strings.NewReader(rules), nil) != nil {
			return
		}
		saved := save(t, e.State().Table)
		again := NewEditor(State{})
		if err := again.Restore(strings.NewReader(saved), nil); err != nil {
			t.Fatalf("%s%v", saved, err)
		}
		if got := save(t, again.State().Table); !slices.Equal(rulesOf(got), rulesOf(saved)) {
			t.Fatalf("saved\n%sand again\n%s", saved, got)
		}
	})
}

// TestEditorsInTurn gives random commands to one editor, and each of them to an
// editor of what the ones before came to. What leads there is what the tables
// say that are compared as a whole.
func TestEditorsInTurn(t *testing.T) {
	services := []string{"-t 192.168.4.5:80", "-t 192.168.4.6:80", "-u 192.168.4.5:53", "-f 7", "-t [2001:db8::5]:80"}
	servers := []string{"192.168.2.100", "192.168.2.200", "192.168.2.201"}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		pick := func(from ...string) string { return from[r.IntN(len(from))] }
		start := State{Table: parseTable(t, "-A -t 192.168.4.6:80 -s rr", "-a -t 192.168.4.6:80 -r 192.168.2.100 -m",
			"-A -u 192.168.4.5:53 -s rr", "-A -t 192.168.4.5:80 -s wlc")}
		one, inTurn, before := NewEditor(start), start, save(t, start.Table)
		for range 1 + r.IntN(20) {
			line := pick("-A", "-A", "-E") + " " + pick(services...) + " -s " + pick("rr", "wrr")
			switch r.IntN(12) {
			case 0:
				line = "-C"
			case 1, 2:
				line = "-D " + pick(services...)
			case 3, 4, 5, 6:
				line = pick("-a", "-a", "-e") + " " + pick(services...) + " -r " + pick(servers...) + " -w " + pick("1", "2") + " -m"
			case 7:
				line = "-d " + pick(services...) + " -r " + pick(servers...)
			}
			command, err := Parse(strings.Fields(line), nil)
			if err != nil {
				continue // a family for the other
			}
			next := NewEditor(inTurn)
			err, inTurnErr := one.Do(command), next.Do(command)
			if fmt.Sprint(err) != fmt.Sprint(inTurnErr) {
				t.Fatalf("seed %d: %s: %v; in turn: %v", seed, line, err, inTurnErr)
			}
			inTurn = next.State()
			if got, want := save(t, one.State().Table.Canonical()), save(t, inTurn.Table.Canonical()); got != want {
				t.Fatalf("seed %d: %s: got\n%sin turn\n%s", seed, line, got, want)
			}
			if diff := cmp.Diff(fmt.Sprint(ipvs.Plan(start.Table, one.State().Table)), fmt.Sprint(one.Ops())); diff != "" {
				t.Fatalf("seed %d: %s: what leads there (-want +got):\n%s", seed, line, diff)
			}
		}
		if got := save(t, start.Table); got != before {
			t.Fatalf("seed %d: what was edited changed: got\n%swant\n%s", seed, got, before)
		}
	}
}

func parseTable(t *testing.T, lines ...string) ipvs.Table {
	t.Helper()
	return edited(t, State{}, lines...).Table
}
