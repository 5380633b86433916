package appliance

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"dipper/appliance/api"
)

// directorOf is a director with so many real servers.
func directorOf(count int) string {
	var yaml strings.Builder
	yaml.WriteString(strings.Replace(bareDirector, "/24", "/16", 1) + "services:\n  web:\n    listen: 192.168.4.15:80\n    forward: dr\n    real-servers:\n")
	for i := range count {
		fmt.Fprintf(&yaml, "      - {address: 192.168.%d.%d}\n", 100+i/200, 1+i%200)
	}
	return yaml.String()
}

// questions are what Tab asks behind "show configuration services web
// real-servers", "set services web real-servers" and "server".
func questions(t testing.TB, c api.Configurator, names func(context.Context, api.NamesQuery) ([]api.Completion, error)) map[string]func() int {
	t.Helper()
	candidate, err := c.OpenCandidate(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	query := api.CompleteQuery{Words: []string{"services", "web", "real-servers", "192.168.1"}, Limit: 101}
	asked := func(found []api.Completion, err error) int {
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	return map[string]func() int{
		"running": func() int { return asked(c.CompleteConfig(t.Context(), "running", query)) },
		"candidate": func() int {
			q := query
			q.Kind = api.EditSet
			return asked(c.CompleteCandidate(t.Context(), candidate.ID, q))
		},
		"names": func() int {
			return asked(names(t.Context(), api.NamesQuery{Kind: "server", Prefix: "192.168.1", Limit: 101}))
		},
	}
}

// TestCompletionIsBounded: a completion among 10,000 real servers costs no more
// memory than among 200.
func TestCompletionIsBounded(t *testing.T) {
	cost := map[string]float64{}
	for _, count := range []int{200, 10_000} {
		bubble(t, directorOf(count), func(t *testing.T, _ *machine, b *backend) {
			for name, ask := range questions(t, b, b.Names) {
				if n := ask(); n < 101 {
					t.Errorf("%s among %d: %d offers", name, count, n)
				}
				allocations := testing.AllocsPerRun(10, func() { ask() })
				if few := cost[name]; count == 200 {
					cost[name] = allocations
				} else if allocations > few*1.1 {
					t.Errorf("%s: %v allocations among %d, %v among 200", name, allocations, count, few)
				}
			}
		})
	}
}

// BenchmarkCompletion is a completion through the control socket, client and
// server together. In a guest that counts instructions, its nanoseconds are
// instructions.
func BenchmarkCompletion(b *testing.B) {
	for _, count := range []int{200, 10_000} {
		m := newMachine(b)
		m.boots(directorOf(count))
		c, _ := m.run(b)
		await(b, c, api.Serving)
		for name, ask := range questions(b, c, c.Names) {
			b.Run(fmt.Sprintf("%s/%d", name, count), func(b *testing.B) {
				for b.Loop() {
					ask()
				}
			})
		}
	}
}
