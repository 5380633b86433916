package appliance

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"dipper/appliance/api"
)

// manyRules are so many services with ten real servers each, as ipvsadm -R
// reads them.
func manyRules(services int) string {
	var b strings.Builder
	for s := range services {
		fmt.Fprintf(&b, "-A -t 192.168.4.5:%d -s wrr\n", 1000+s)
		for r := 1; r <= 10; r++ {
			fmt.Fprintf(&b, "-a -t 192.168.4.5:%d -r 10.1.%d.%d:80 -m -w 1\n", 1000+s, s%250, r)
		}
	}
	return b.String()
}

// bareDirector has no services yet.
const bareDirector = `
role: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24]}}}
`

func typed(t testing.TB, c *api.Client, in string, words ...string) {
	t.Helper()
	var said strings.Builder
	status, err := c.Program(t.Context(), append([]string{"ipvsadm"}, words...), strings.NewReader(in), io.Discard, &said)
	if err != nil || status != 0 {
		t.Fatalf("ipvsadm %q: exit status %d, %v: %s", words, status, err, &said)
	}
}

func serveBare(b *testing.B) *api.Client {
	m := newMachine(b)
	m.boots(bareDirector)
	c, _ := m.run(b)
	await(b, c, api.Serving)
	return c
}

// BenchmarkLoad loads 11,000 rules into an empty director.
func BenchmarkLoad(b *testing.B) {
	rules := manyRules(1000)
	for b.Loop() {
		b.StopTimer()
		c := serveBare(b)
		b.StartTimer()
		typed(b, c, rules, "-R")
	}
}

// BenchmarkWeight changes one weight of 10,000.
func BenchmarkWeight(b *testing.B) {
	c := serveBare(b)
	typed(b, c, manyRules(1000), "-R")
	weight := 1
	for b.Loop() {
		weight++
		typed(b, c, "", "-e", "-t", "192.168.4.5:1500", "-r", "10.1.0.5:80", "-m", "-w", fmt.Sprint(weight))
	}
}

// BenchmarkServerWeight is what an operator says of one real server of 10,000.
func BenchmarkServerWeight(b *testing.B) {
	c := serveBare(b)
	typed(b, c, manyRules(1000), "-R")
	weight := 1
	for b.Loop() {
		weight++
		v := api.ServerVerb{Service: "tcp-192.168.4.5-1500", Server: "10.1.0.5", Verb: api.Weigh, Weight: weight}
		if _, err := c.SetServer(b.Context(), v); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCommit commits a candidate that says one weight of 10,000 anew.
func BenchmarkCommit(b *testing.B) { benchmarkCommit(b, api.CommitOptions{}) }

// BenchmarkCheck checks such a candidate.
func BenchmarkCheck(b *testing.B) { benchmarkCommit(b, api.CommitOptions{CheckOnly: true}) }

func benchmarkCommit(b *testing.B, o api.CommitOptions) {
	c := serveBare(b)
	typed(b, c, manyRules(1000), "-R")
	candidate, err := c.OpenCandidate(b.Context(), false)
	if err != nil {
		b.Fatal(err)
	}
	weight := 1
	for b.Loop() {
		weight++
		words := []string{"services", "tcp-192.168.4.5-1500", "real-servers", "10.1.0.5:80", "weight", fmt.Sprint(weight)}
		if _, err := c.EditCandidate(b.Context(), candidate.ID, api.Edit{Kind: api.EditSet, Words: words}); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Commit(b.Context(), candidate.ID, o); err != nil {
			b.Fatal(err)
		}
	}
}
