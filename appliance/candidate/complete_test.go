package candidate

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestComplete shows what Tab and ? offer behind a line; the last word is the
// unfinished one.
func TestComplete(t *testing.T) {
	d := edited(t, New(), s2+`
set network interfaces eth1
set network routes default via 192.168.4.254
set network routes default metric 5 via 192.168.4.253
set management ssh users admin role admin
`)
	for _, tt := range []struct {
		line, want string
	}{
		{"set ho", `
hostname | the machine's name | lb1`},
		{"set services ", `
web | | listen 192.168.4.15:80, scheduler wrr, forward dr, re...
| <name>: the name of a service |`},
		{"set services web sched", `
scheduler | which real server gets the next connection | wrr
scheduler-flags | variations of the scheduler | default [fallback] for sh and mh`},
		{"set services web scheduler w", `
wrr | in turn, as often as their weights say | as it is
wlc | fewest connections in proportion to the weight |`},
		{"set services web on", `
one-packet | schedules every UDP packet by itself | default false
on-down | what becomes of a failed real server's connections | default drain; reset for udp`},
		{"set services web one-packet ", `
true | |
false | |`},
		{"set services web real-servers ", `
192.168.4.100 | | weight 1
192.168.4.200 | | weight 2
| <address[:port]>: the RIP, with a port or without |`},
		{"set services web real-servers 192.168.4.1", `
192.168.4.100 | | weight 1
| <address[:port]>: the RIP, with a port or without |`},
		{"set services web real-servers 192.168.4.100 po", `
port | where the real server listens | default the service's port`},
		{"set services web real-servers 192.168.4.100 weight ", `
| <0..2147483647>: its share of the connections; 0: no new ones; a weight from 0 to 2147483647 | 1`},
		{"set services web real-servers 192.168.4.100 weight 3 w", `
weight | its share of the connections; 0: no new ones | 1`},
		{"set network interfaces eth1 addresses ", `
| <address/length>: the interface's own addresses with their prefix length; an address with its prefix length such as 192.168.4.5/24 or 2001:db8::5/64 |
[ | several, up to ] |`},
		{"set network interfaces eth0.7 vlan parent ", `
eth0 | | addresses 192.168.4.5/24
eth1 | |
| <word>: the interface that carries the VLAN; the name of an interface | must be given`},
		{"set network routes def", `
default | | via 192.168.4.254
| <address/length>: default or a network |`},
		{"set network routes default met", `
metric | of two routes to one network, the lowest is used | default 0`},
		{"delete ser", `
services | virtual services of a director | 1`},
		{"delete services web real-servers 192.168.4.200 ", `
weight | its share of the connections; 0: no new ones | 2`},
		{"delete services web scheduler ", `
wrr | which real server gets the next connection |`},
		{"delete network interfaces eth0 addresses ", `
192.168.4.5/24 | the interface's own addresses with their prefix length |`},
		{"delete services www ", ``},
		{"show services web listen nonsense more ", ``},
		{"set services web nonsense ", ``},
		{"rename services ", `
web | | listen 192.168.4.15:80, scheduler wrr, forward dr, re...`},
		{"rename services web ", `
to | the new name |`},
		{"rename services web to ", `
| <name>: the name of a service |`},
		{"insert services web real-servers 192.168.4.100 ", `
before | another item |
after | another item |`},
		{"insert services web real-servers 192.168.4.100 after ", `
192.168.4.100 | | weight 1
192.168.4.200 | | weight 2`},
	} {
		t.Run(tt.line, func(t *testing.T) {
			words := strings.Split(tt.line, " ")
			last := len(words) - 1
			wantText(t, offered(d.Complete(Verb(words[0]), words[1:last], words[last], 100)), tt.want)
		})
	}
}

func offered(completions []Completion) string {
	var b strings.Builder
	for _, c := range completions {
		fmt.Fprintf(&b, "\n%s", strings.TrimSpace(strings.ReplaceAll(fmt.Sprintf("%s | %s | %s", c.Word, c.Help, c.State), "|  |", "| |")))
	}
	return b.String()
}

// TestCompletable: whatever is offered can be typed.
func TestCompletable(t *testing.T) {
	d := edited(t, New(), s2)
	for verb, lines := range map[Verb][]string{
		VerbSet:    {"", "services", "services web", "services web real-servers", "services web real-servers 192.168.4.100", "network interfaces", "management ssh"},
		VerbDelete: {"", "services", "services web", "services web real-servers", "services web real-servers 192.168.4.100", "services web scheduler", "network interfaces eth0"},
	} {
		for _, line := range lines {
			words := strings.Fields(line)
			for _, c := range d.Complete(verb, words, "", 100) {
				r := d.reader(verb != VerbSet)
				if c.Word == "" {
					continue
				}
				for _, word := range append(words, c.Word) {
					if err := r.next(word); err != nil {
						t.Errorf("%s %s %s: %v", verb, line, c.Word, err)
					}
				}
			}
		}
	}
}

// many makes a director with so many real servers.
func many(t testing.TB, count int) *Document {
	t.Helper()
	var yaml strings.Builder
	yaml.WriteString("services:\n  web:\n    listen: 192.168.4.15:80\n    real-servers:\n")
	for i := range count {
		fmt.Fprintf(&yaml, "      - {address: 10.%d.%d.%d, weight: 1}\n", i/50000, i/250%200, i%250+1)
	}
	d, err := Parse("dipper.yaml", []byte(yaml.String()))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCompleteIsBounded counts what a completion among 10,000 real servers
// costs: no more memory than among 200.
func TestCompleteIsBounded(t *testing.T) {
	words := []string{"services", "web", "real-servers"}
	cost := func(d *Document) float64 {
		return testing.AllocsPerRun(20, func() { d.Complete(VerbSet, words, "10.0.", 50) })
	}
	few, lots := cost(many(t, 200)), cost(many(t, 10000))
	if lots > few*1.1 {
		t.Errorf("%v allocations among 10,000 real servers, %v among 200", lots, few)
	}
	offers := many(t, 10000).Complete(VerbSet, words, "10.0.39.", 50)
	if len(offers) != 51 || offers[0].Word != "10.0.39.1" || offers[50].Help != "and 201 more" {
		t.Errorf("got %d completions, the first %+v, the last %+v", len(offers), offers[0], offers[len(offers)-1])
	}
}

func BenchmarkComplete(b *testing.B) {
	for _, count := range []int{100, 10000} {
		d := many(b, count)
		for _, partial := range []string{"", "10.0.3", "10.0.0.77"} {
			b.Run(fmt.Sprintf("%d/%q", count, partial), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					d.Complete(VerbSet, []string{"services", "web", "real-servers"}, partial, 100)
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, count := range []int{100, 10000, 100000} {
		yaml := many(b, count).YAML()
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse("dipper.yaml", yaml); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEdit(b *testing.B) {
	d := many(b, 10000)
	b.Run("set", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := d.Set("services", "web", "real-servers", "10.0.20.77", "weight", "3"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("clone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d.Clone()
		}
	})
	b.Run("yaml", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d.YAML()
		}
	})
	other := d.Clone()
	if err := other.Set("services", "web", "real-servers", "10.0.20.77", "weight", "9"); err != nil {
		b.Fatal(err)
	}
	b.Run("compare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Compare(d, other)
		}
	})
}

// TestReadByMany: the running configuration is one document that everybody looks
// at, at the same time.
func TestReadByMany(t *testing.T) {
	d := many(t, 10)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			words := []string{"services", "web", "real-servers", "10.0.0.1"}
			if text, err := d.Show(View{}, words...); err != nil || text == "" {
				t.Errorf("show: %q, %v", text, err)
			}
			if found := d.Complete(VerbShow, words[:3], "10.", 20); len(found) != 10 {
				t.Errorf("complete: %+v", found)
			}
			if lines, err := d.Commands(View{}, words[:2]...); err != nil || len(lines) == 0 {
				t.Errorf("commands: %q, %v", lines, err)
			}
		})
	}
	all.Wait()
}
