package director

import (
	"errors"
	"reflect"
	"slices"

	"dipper/appliance/config"
	"dipper/appliance/ipvs"
	"dipper/appliance/network"
)

// Sequence makes what one configuration after the other comes to. What two of
// them share it makes once: after an edit of one service of a thousand, the
// other services are only passed by. Nobody may change what it is given, nor
// what it returns.
type Sequence struct {
	cfg     *config.Config // the last one; nil: none yet
	table   ipvs.Table     // of cfg, in canonical order
	at      []int          // where table has the services of cfg
	network *network.State // of cfg and leases; nil: not made yet
	leases  []network.Lease
}

// Table returns the IPVS table of a configuration, in canonical order.
func (q *Sequence) Table(cfg *config.Config) ipvs.Table {
	q.goTo(cfg)
	return q.table
}

// Network returns the network state of a configuration.
func (q *Sequence) Network(cfg *config.Config, leases []network.Lease) network.State {
	q.goTo(cfg)
	if q.network == nil || !reflect.DeepEqual(q.leases, leases) {
		state := Network(cfg, leases)
		q.network, q.leases = &state, leases
	}
	return *q.network
}

// goTo makes cfg the last configuration.
func (q *Sequence) goTo(cfg *config.Config) {
	if cfg == q.cfg {
		return
	}
	if q.cfg == nil || !q.follow(cfg) {
		q.begin(cfg)
	}
	q.cfg = cfg
}

// follow makes the table of a configuration with the same services as the last
// one; false: they are others.
func (q *Sequence) follow(cfg *config.Config) bool {
	before, after := q.cfg.Services, cfg.Services
	if len(before) != len(after) {
		return false
	}
	var edited []int
	for i := range after {
		if before[i].Shares(&after[i]) {
			continue
		}
		if before[i].Name != after[i].Name || KeyOf(before[i]) != KeyOf(after[i]) {
			return false
		}
		edited = append(edited, i)
	}
	if len(edited) > 0 {
		q.table.Services = slices.Clone(q.table.Services)
	}
	same := sameUplink(q.cfg, cfg)
	for _, i := range edited {
		made := &q.table.Services[q.at[i]]
		*made = tableService(&after[i], q.shared(&before[i], &after[i], i))
		same = same && sameNetwork(&before[i], &after[i])
	}
	if !same {
		q.network = nil
	}
	return true
}

// begin makes the table of any configuration.
func (q *Sequence) begin(cfg *config.Config) {
	var before []config.Service
	if q.cfg != nil {
		before = q.cfg.Services
	}
	services := make([]ipvs.Service, len(cfg.Services))
	at := make([]int, len(cfg.Services)) // first, which service is where
	next := 0                            // both are sorted by name
	for i := range cfg.Services {
		s := &cfg.Services[i]
		for next < len(before) && before[next].Name < s.Name {
			next++
		}
		var shared []ipvs.RealServer
		if next < len(before) && before[next].Name == s.Name {
			shared = q.shared(&before[next], s, next)
		}
		services[i], at[i] = tableService(s, shared), i
	}
	slices.SortFunc(at, func(a, b int) int { return services[a].Key.Compare(&services[b].Key) })
	q.table = ipvs.Table{Services: slices.Grow([]ipvs.Service(nil), len(services))[:len(services)]}
	q.at = make([]int, len(services))
	for place, i := range at {
		q.table.Services[place], q.at[i] = services[i], place
	}
	q.network = nil
}

// shared returns the real servers that were made for a service of the last
// configuration, number i of it, if after has the same ones; nil if not.
func (q *Sequence) shared(before, after *config.Service, i int) []ipvs.RealServer {
	if !sameList(before.RealServers, after.RealServers) {
		return nil
	}
	return q.table.Services[q.at[i]].RealServers
}

// sameList tells whether two lists are one and the same, not only equal.
func sameList[E any](a, b []E) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// sameUplink tells that two configurations differ in nothing but services that
// the network state is made of.
func sameUplink(a, b *config.Config) bool {
	return reflect.DeepEqual(a.Network, b.Network) && reflect.DeepEqual(a.IPVS.Settings, b.IPVS.Settings)
}

// sameNetwork tells that the network state is the same with one service as with
// the other.
func sameNetwork(a, b *config.Service) bool {
	nat4, nat6 := forwardsByNAT([]config.Service{*a})
	after4, after6 := forwardsByNAT([]config.Service{*b})
	return nat4 == after4 && nat6 == after6 && a.Assign == b.Assign && a.FWMark == b.FWMark &&
		slices.Equal(a.Listen, b.Listen) && slices.Equal(a.Protocols, b.Protocols)
}

// Adopt is the function Adopt for a table that is an edited copy of Table(cfg):
// it looks at nothing that the two tables share.
func (q *Sequence) Adopt(cfg *config.Config, table ipvs.Table) (*config.Config, error) {
	q.goTo(cfg)
	if !sameKeys(q.table, table) {
		return Adopt(cfg, table)
	}
	adopted := *cfg
	adopted.Services = slices.Clone(cfg.Services)
	var failed []error
	edited := make(map[string]bool) // but for weights and thresholds
	for i := range adopted.Services {
		have, want := &q.table.Services[q.at[i]], &table.Services[q.at[i]]
		if have.Shares(want) {
			continue
		}
		s, err := settle(adopted.Services[i], *want, true)
		if err != nil {
			failed = append(failed, notAdopted(want.Key, err))
		}
		if !sameOptions(have, want) || !sameRoutes(adopted.Services[i].RealServers, s.RealServers) {
			edited[s.Name] = true
		}
		adopted.Services[i] = s
	}
	if len(failed) > 0 {
		return nil, errors.Join(failed...)
	}
	if len(edited) == 0 {
		return &adopted, nil
	}
	isEdited := func(s config.Service) bool { return edited[s.Name] }
	place(&adopted, isEdited)
	return readable(&adopted, isEdited)
}

// sameKeys tells whether two tables have the same services in the same places.
func sameKeys(a, b ipvs.Table) bool {
	return slices.EqualFunc(a.Services, b.Services, func(a, b ipvs.Service) bool { return a.Key == b.Key })
}

// sameRoutes tells that every real server of after is in before, and packets
// get to it the same way.
func sameRoutes(before, after []config.RealServer) bool {
	for _, r := range after {
		for len(before) > 0 && !sameRoute(before[0], r) {
			before = before[1:]
		}
		if len(before) == 0 {
			return false
		}
	}
	return true
}

func sameRoute(a, b config.RealServer) bool {
	a.Weight, a.UpperThreshold, a.LowerThreshold = b.Weight, b.UpperThreshold, b.LowerThreshold
	return a == b
}
