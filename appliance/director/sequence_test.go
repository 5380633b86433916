package director

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dipper/appliance/config"
	"dipper/appliance/ipvs"
	"dipper/appliance/network"
)

// TestSequence goes from configuration to configuration by edits of every
// kind: each comes to the same as if it were the first.
func TestSequence(t *testing.T) {
	lease := []network.Lease{{Link: "eth1", Address: netip.MustParsePrefix("192.168.9.7/24")}}
	for seed := range uint64(25) {
		r := tables{rand.New(rand.NewPCG(seed, 1))}
		var q Sequence
		cfg := parse(t, adopting)
		for step := range 16 {
			leases := pick(r, nil, lease)
			wantNetwork, wantTable := Desired(cfg, leases)
			if diff := cmp.Diff(wantTable, q.Table(cfg), byValue()); diff != "" {
				t.Fatalf("seed %d, step %d: (-made at once +made from the last):\n%s", seed, step, diff)
			}
			if diff := cmp.Diff(wantNetwork, q.Network(cfg, leases), byValue()); diff != "" {
				t.Fatalf("seed %d, step %d: (-made at once +made from the last):\n%s", seed, step, diff)
			}
			cfg = r.next(t, &q, cfg)
		}
	}
}

// next edits a configuration: by its table, as ipvsadm does, or by itself.
func (r tables) next(t *testing.T, q *Sequence, cfg *config.Config) *config.Config {
	switch r.IntN(5) {
	case 0:
		return r.edited(cfg)
	case 1: // another table altogether
		return r.adopted(t, q, cfg, r.table())
	}
	table := q.Table(cfg)
	table.Services = slices.Clone(table.Services)
	if len(table.Services) == 0 {
		return r.adopted(t, q, cfg, r.table())
	}
	s := &table.Services[r.IntN(len(table.Services))]
	switch r.IntN(4) {
	case 0:
		s.RealServers = r.realServers(*s)
	case 1:
		s.Scheduler, s.Flags = "wlc", s.Flags&(ipvs.Persistent|ipvs.OnePacket)
	default:
		s.RealServers = slices.Clone(s.RealServers)
		for i := range s.RealServers {
			s.RealServers[i].Weight = pick[uint32](r, 0, 1, 7)
		}
	}
	return r.adopted(t, q, cfg, table)
}

// adopted holds the short way to the long one.
func (r tables) adopted(t *testing.T, q *Sequence, cfg *config.Config, table ipvs.Table) *config.Config {
	t.Helper()
	want, err := Adopt(cfg, table)
	if err != nil {
		t.Fatal(err)
	}
	got, err := q.Adopt(cfg, table)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, byValue(), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("(-adopted at once +adopted from the last):\n%s", diff)
	}
	return got
}

// edited is a copy that shares with cfg what is not edited; cfg itself, if no
// file could say what the edit made.
func (r tables) edited(cfg *config.Config) *config.Config {
	out := *cfg
	out.Services = slices.Clone(cfg.Services)
	if len(out.Services) == 0 {
		return &out
	}
	at := r.IntN(len(out.Services))
	s := &out.Services[at]
	switch r.IntN(6) {
	case 0:
		s.Assign = false
	case 1:
		if len(s.Listen) > 0 && s.FWMark == 0 {
			before := s.Listen
			s.Listen = []config.Listen{config.ListenOn(netip.MustParseAddr(pick(r, "203.0.113.80", "203.0.113.81")), s.Listen[0].First)}
			s.Family = familyOf(s.Listen[0].Prefix.Addr())
			s.Persistence, s.Assign = nil, false
			if slices.ContainsFunc(cfg.Services, func(other config.Service) bool { return KeyOf(other) == KeyOf(*s) }) {
				s.Listen = before // no two services have one address
				s.Family = familyOf(before[0].Prefix.Addr())
			}
		}
	case 2:
		out.Services = slices.Delete(out.Services, at, at+1)
	case 3:
		s.RealServers = slices.Clone(s.RealServers)
		for i := range s.RealServers {
			s.RealServers[i].Forward, s.RealServers[i].Tunnel = pick(r, config.NAT, config.DR), config.Tunnel{}
		}
	case 4:
		out.IPVS.Settings = config.Settings{{Name: "sloppy-tcp", Value: pick(r, "true", "false")}}
	case 5:
		out.Network.Interfaces = append(slices.Clone(out.Network.Interfaces),
			config.Interface{Name: "eth9", Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}})
	}
	if _, err := config.Parse("edited", config.Render(&out)); err != nil {
		return cfg
	}
	return &out
}

// TestSequenceShares holds that real servers nobody edited are made once.
func TestSequenceShares(t *testing.T) {
	cfg := parse(t, adopting)
	var q Sequence
	before := q.Table(cfg)
	table := ipvs.Table{Services: slices.Clone(before.Services)}
	table.Services[0].Scheduler = "rr"
	next, err := q.Adopt(cfg, table)
	if err != nil {
		t.Fatal(err)
	}
	after := q.Table(next)
	if len(before.Services) < 3 || len(after.Services) != len(before.Services) {
		t.Fatalf("%d services, then %d", len(before.Services), len(after.Services))
	}
	for i := 1; i < len(after.Services); i++ {
		if !after.Services[i].Shares(&before.Services[i]) {
			t.Errorf("%s was made anew", after.Services[i].Key)
		}
	}
}
