package config

import (
	"net/netip"
	"slices"
)

// Amend is Parse for a file that says what known says but for some of its
// services; excerpt is that file with at least those in it, and all that stands
// beside services. It is not ok for what the whole file is needed for: for
// mistakes, which have their places in it, and for edits that concern other
// services, whose addresses and marks must differ. What known has and the file
// did not change is shared with it.
func Amend(known *Config, excerpt []byte) (amended *Config, ok bool) {
	part, err := Parse("excerpt", excerpt)
	if err != nil {
		return nil, false
	}
	next := *known
	next.Services = slices.Clone(known.Services)
	for _, edited := range part.Services {
		i, found := next.find(edited.Name)
		switch {
		case !found || !edited.takes(&known.Services[i]):
			return nil, false
		case edited.equal(&known.Services[i]):
		case known.balances(edited.verifiedSince(&known.Services[i])):
			return nil, false
		default:
			next.Services[i] = edited
		}
	}
	return &next, true
}

// find gives where the service of a name is.
func (c *Config) find(name string) (int, bool) {
	return slices.BinarySearchFunc(c.Services, name, func(s Service, name string) int {
		switch {
		case s.Name < name:
			return -1
		case s.Name > name:
			return 1
		}
		return 0
	})
}

// takes says that a service takes the packets that it took before. A mark that
// was chosen among those of all services stays then, too.
func (s *Service) takes(before *Service) bool {
	if s.MarkAssigned && before.MarkAssigned {
		s.FWMark = before.FWMark
	}
	return s.FWMark == before.FWMark && s.MarkAssigned == before.MarkAssigned && s.Family == before.Family &&
		slices.Equal(s.Listen, before.Listen) && slices.Equal(s.Protocols, before.Protocols)
}

// verifiedSince are the addresses of real servers to be verified that were not
// in the service before.
func (s *Service) verifiedSince(before *Service) []netip.Addr {
	known := make(map[netip.Addr]bool, len(before.RealServers))
	for _, r := range before.RealServers {
		known[r.Address] = known[r.Address] || r.Verify
	}
	var since []netip.Addr
	for _, r := range s.RealServers {
		if r.Verify && !known[r.Address] {
			since = append(since, r.Address)
		}
	}
	return since
}

// balances says that one of some addresses is a VIP: Parse refuses those that
// are real servers to be verified.
func (c *Config) balances(addresses []netip.Addr) bool {
	if len(addresses) == 0 {
		return false // as with most edits: nobody looks at all services
	}
	for i := range c.Services {
		for _, listen := range c.Services[i].Listen {
			if slices.ContainsFunc(addresses, listen.Prefix.Contains) {
				return true
			}
		}
	}
	return false
}
