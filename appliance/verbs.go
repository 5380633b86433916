package appliance

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/config"
)

// serverID names a real server of a service.
type serverID struct {
	Service string     `json:"service"`
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port"`
}

func (id serverID) compare(other serverID) int {
	return cmp.Or(cmp.Compare(id.Service, other.Service), id.Address.Compare(other.Address), cmp.Compare(id.Port, other.Port))
}

// String is the real server as configurations name it within its service.
func (id serverID) String() string { return netip.AddrPortFrom(id.Address, id.Port).String() }

// verb is what an operator made of a real server. It stands apart from the
// configured weight, which is what Enable goes back to.
type verb struct {
	Verb   api.Verb `json:"verb"`
	Weight int      `json:"weight,omitempty"` // of api.Weigh
	// Until is when it ends, as the time since the kernel's start; 0: never.
	// The clock of a machine without a battery jumps when it is first set.
	Until time.Duration `json:"until,omitempty"`
}

// verbs are those that are in force.
type verbs map[serverID]verb

// with are the verbs after one more was said of real servers of cfg.
func (v verbs) with(said verb, ids []serverID, cfg *config.Config) verbs {
	next := maps.Clone(v)
	if next == nil {
		next = make(verbs)
	}
	for _, id := range ids {
		one := said
		switch one.Verb = meant(said.Verb, cfg.Services[serviceIndex(cfg, id.Service)]); one.Verb {
		case api.Enable:
			delete(next, id)
		case api.Down: // and stays as it is
		default:
			next[id] = one
		}
	}
	return next
}

// meant is what a verb makes of a service's real server: of one that is down,
// what the service's on-down says.
func meant(v api.Verb, s config.Service) api.Verb {
	switch {
	case v == api.Down && s.OnDown == config.Drain:
		return api.Drain
	case v == api.Down && s.OnDown == config.Reset:
		return api.Disable
	}
	return v
}

// of answers what cfg comes to with the verbs: real servers have the weight
// that they are to have, and those that are disabled are not there. The
// configuration itself is left as it is.
func (v verbs) of(cfg *config.Config) *config.Config {
	if cfg == nil || len(v) == 0 {
		return cfg
	}
	out := *cfg
	out.Services = slices.Clone(cfg.Services)
	for _, name := range v.services() {
		i := serviceIndex(cfg, name)
		if i < 0 {
			continue
		}
		s := &out.Services[i]
		s.RealServers = slices.Clone(s.RealServers)
		s.RealServers = slices.DeleteFunc(s.RealServers, func(r config.RealServer) bool {
			verb, said := v[idOf(name, r)]
			return said && verb.fate() == config.Reset
		})
		for j := range s.RealServers {
			if verb, said := v[idOf(name, s.RealServers[j])]; said {
				s.RealServers[j].Weight = verb.weight()
			}
		}
	}
	return &out
}

// weight is the one that a verb gives.
func (v verb) weight() int {
	if v.Verb == api.Weigh {
		return v.Weight
	}
	return 0
}

// fate is what a verb makes of the connections, in the words of on-down.
func (v verb) fate() config.OnDown {
	switch v.Verb {
	case api.Disable:
		return config.Reset
	case api.Drain:
		return config.Drain
	}
	return config.Keep
}

// services names those of which a verb speaks, in order.
func (v verbs) services() []string {
	names := make(map[string]bool)
	for id := range v {
		names[id.Service] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// kept are the verbs that still speak of a real server of cfg.
func (v verbs) kept(cfg *config.Config) verbs {
	kept := make(verbs, len(v))
	for id, verb := range v {
		if _, there := findServer(cfg, id); there {
			kept[id] = verb
		}
	}
	return kept
}

// lift undoes the verbs in an edited copy of what of answered for base: it
// answers the configuration without them, and those that the edit left alone.
// A real server that was edited has what the edit says.
func (v verbs) lift(base, edited *config.Config) (*config.Config, verbs) {
	if len(v) == 0 {
		return edited, v
	}
	out := *edited
	out.Services = slices.Clone(edited.Services)
	kept := make(verbs, len(v))
	for _, id := range slices.SortedFunc(maps.Keys(v), serverID.compare) {
		configured, there := findServer(base, id)
		i := serviceIndex(&out, id.Service)
		if !there || i < 0 {
			continue
		}
		s := &out.Services[i]
		j := slices.IndexFunc(s.RealServers, func(r config.RealServer) bool { return idOf(id.Service, r) == id })
		switch disabled := v[id].fate() == config.Reset; {
		case disabled && j < 0:
			s.RealServers = append(slices.Clone(s.RealServers), configured)
		case !disabled && j >= 0 && s.RealServers[j].Weight == v[id].weight():
			s.RealServers = slices.Clone(s.RealServers)
			s.RealServers[j].Weight = configured.Weight
		default:
			continue
		}
		kept[id] = v[id]
	}
	return &out, kept
}

// ended are the verbs whose time is over, and next is when another's will be;
// 0: never.
func (v verbs) ended(now time.Duration) (over []serverID, next time.Duration) {
	for id, verb := range v {
		switch {
		case verb.Until == 0:
		case verb.Until <= now:
			over = append(over, id)
		case next == 0 || verb.Until < next:
			next = verb.Until
		}
	}
	slices.SortFunc(over, serverID.compare)
	return over, next
}

// forGood are the verbs without those that end by themselves.
func (v verbs) forGood() verbs {
	kept := maps.Clone(v)
	maps.DeleteFunc(kept, func(_ serverID, verb verb) bool { return verb.Until != 0 })
	return kept
}

func idOf(service string, r config.RealServer) serverID {
	return serverID{service, r.Address, r.Port}
}

// serviceIndex is where cfg has a service: they are sorted by name.
func serviceIndex(cfg *config.Config, name string) int {
	i, found := slices.BinarySearchFunc(cfg.Services, name, func(s config.Service, name string) int { return cmp.Compare(s.Name, name) })
	if !found {
		return -1
	}
	return i
}

func findServer(cfg *config.Config, id serverID) (config.RealServer, bool) {
	i := serviceIndex(cfg, id.Service)
	if i < 0 {
		return config.RealServer{}, false
	}
	for _, r := range cfg.Services[i].RealServers {
		if idOf(id.Service, r) == id {
			return r, true
		}
	}
	return config.RealServer{}, false
}
