package scenario

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"dipper/qemu/lab"
)

// patience bounds a test that hangs; it asserts nothing. It begins once the
// cluster is up: its turn may be long in coming.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// holds sends traffic, and wants every fact of the example to be so.
func (s Scenario) holds(ctx context.Context, t *testing.T, c *lab.Cluster) {
	t.Helper()
	report, err := s.Show(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, fact := range report.Failed() {
		t.Errorf("not so: %s: %v", fact.Claim, fact.Denial)
	}
}

func (s Scenario) load(t *testing.T) *lab.Description {
	t.Helper()
	d, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func find(t *testing.T, example string) Scenario {
	t.Helper()
	for _, s := range All() {
		if s.Example == example {
			return s
		}
	}
	t.Fatalf("no example %s", example)
	return Scenario{}
}

// TestExamples boots every cluster of examples/ as it is delivered and holds it
// to its facts; then it adds services while the cluster runs, and transfers
// files through them.
func TestExamples(t *testing.T) {
	for _, s := range All() {
		t.Run(s.Example, func(t *testing.T) {
			t.Parallel()
			d := s.load(t)
			c := lab.StartT(t, d)
			ctx := patience(t)
			s.holds(ctx, t, c)
			extend(t, d)
			reconfigure(ctx, t, c, d)
			from, err := markAll(c)
			if err != nil {
				t.Fatal(err)
			}
			s.transfer(ctx, t, c)
			packets, err := packetsSince(c, from)
			if err != nil {
				t.Fatal(err)
			}
			s.checkSizes(t, packets)
		})
	}
}

// TestNATWeightsAndPorts is the rest of S1: other weights and a translated port,
// by a change of the running configuration.
func TestNATWeightsAndPorts(t *testing.T) {
	for _, example := range []string{"s1-nat", "s1-nat-v6"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			s := find(t, example)
			d := s.load(t)
			for _, web := range []string{"web1", "web2"} {
				n := d.Node(web)
				n.Config = fmt.Appendf(n.Config, "  - {protocol: http, port: 8080, body: %q}\n", web+" at 8080\n")
			}
			c := lab.StartT(t, d)
			ctx := patience(t)

			director := d.Node("director")
			rip := s.Servers[1].RIP.String()
			director.Config = replace(t, director.Config, "address: "+rip+", weight: 1", "address: "+rip+", weight: 3")
			reconfigure(ctx, t, c, d)
			s.Servers[1].Weight = 3
			s.holds(ctx, t, c)

			for _, server := range s.Servers {
				rip := server.RIP.String()
				director.Config = replace(t, director.Config, "address: "+rip+",", "address: "+rip+", port: 8080,")
			}
			reconfigure(ctx, t, c, d)
			pages, err := c.Peer("client").Run(ctx, fmt.Sprintf("for _ in $(seq 8); do curl -sS --max-time 60 '%s'; done | sort | uniq -c", s.URL()))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := counts(t, pages), map[string]int{"web1 at 8080": 2, "web2 at 8080": 6}; !maps.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func replace(t *testing.T, config []byte, old, text string) []byte {
	t.Helper()
	if bytes.Count(config, []byte(old)) != 1 {
		t.Fatalf("%q is not once in\n%s", old, config)
	}
	return bytes.Replace(config, []byte(old), []byte(text), 1)
}

// counts reads what uniq -c prints.
func counts(t *testing.T, text string) map[string]int {
	t.Helper()
	all := make(map[string]int)
	for line := range bytes.Lines([]byte(text)) {
		fields := bytes.SplitN(bytes.TrimSpace(line), []byte(" "), 2)
		var n int
		if _, err := fmt.Sscan(string(fields[0]), &n); err != nil || len(fields) < 2 {
			t.Fatalf("%q is no line of uniq -c", line)
		}
		all[string(fields[1])] = n
	}
	return all
}
