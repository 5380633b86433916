package appliance

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/appliance/config"
)

// manyServers is a backend whose configuration has n real servers, ten to a
// service.
func manyServers(n int) *backend {
	cfg := &config.Config{Role: config.RoleDirector}
	for i := range n / 10 {
		s := config.Service{Name: fmt.Sprintf("s%05d", i), Listen: []config.Listen{config.ListenOn(netip.MustParseAddr("10.0.0.1"), uint16(i+1))}}
		for j := range 10 {
			k := 10*i + j
			s.RealServers = append(s.RealServers, config.RealServer{Address: netip.AddrFrom4([4]byte{10, 1, byte(k >> 8), byte(k)}), Port: 80, Weight: 1})
		}
		cfg.Services = append(cfg.Services, s)
	}
	b := &backend{reconciler: &reconciler{}}
	b.reconciler.now.Store(&intent{config: cfg})
	return b
}

// TestCompletionCostsNoMoreInALargeTable holds what Tab costs to what it shows.
func TestCompletionCostsNoMoreInALargeTable(t *testing.T) {
	cost := func(n int, q api.NamesQuery) float64 {
		b := manyServers(n)
		return testing.AllocsPerRun(10, func() {
			if names, err := b.Names(context.Background(), q); err != nil || len(names) == 0 {
				t.Fatalf("%+v: %v, %v", q, names, err)
			}
		})
	}
	for _, q := range []api.NamesQuery{
		{Kind: "server", Prefix: "10.1.0.", Limit: 10},
		{Kind: "server", Limit: 10},
		{Kind: "service", Prefix: "s0000", Limit: 10},
	} {
		// The race detector adds a few now and then.
		if small, large := cost(100, q), cost(10_000, q); large > small+10 {
			t.Errorf("%+v: %v allocations with 10,000 real servers, %v with 100", q, large, small)
		}
	}
}

func TestNames(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		tests := []struct {
			q    api.NamesQuery
			want []api.Completion
		}{
			{api.NamesQuery{Kind: "service"}, []api.Completion{{Word: "web", State: "192.168.4.15:80, 2 of 2 real servers"}}},
			{api.NamesQuery{Kind: "service", Prefix: "x"}, []api.Completion{}},
			{api.NamesQuery{Kind: "server", Prefix: "192.168.4.2"}, []api.Completion{{Word: "192.168.4.200:80", State: "web, weight 2"}}},
			{api.NamesQuery{Kind: "server", Limit: 1}, []api.Completion{{Word: "192.168.4.100:80", State: "web, weight 1"}}},
			{api.NamesQuery{Kind: "scheduler", Prefix: "sh"}, []api.Completion{{Word: "sh"}}},
		}
		for _, tt := range tests {
			if got, err := b.Names(t.Context(), tt.q); err != nil || !cmp.Equal(got, tt.want) {
				t.Errorf("%+v: got %v, %v; want %v", tt.q, got, err, tt.want)
			}
		}
		if _, err := b.Names(t.Context(), api.NamesQuery{Kind: "planet"}); err == nil {
			t.Error("there are names of planets")
		}
	})
}
