package config

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
)

// Firewall marks that are chosen for services are from FirstMark to the
// highest: half of all marks, so that two names hardly ever want the same.
const FirstMark = 1 << 31

// familyMark is a firewall mark as the kernel tells services apart by it.
type familyMark struct {
	family Family
	mark   uint32
}

// assignMarks chooses the marks of services that need one and name none, by
// the hash of their names: edits of other services change nothing, unless two
// names hash alike, when the one that sorts first has it.
func assignMarks(services []Service) {
	taken := make(map[familyMark]bool)
	for _, s := range services {
		if s.FWMark != 0 {
			taken[familyMark{s.Family, s.FWMark}] = true
		}
	}
	for i := range services {
		s := &services[i]
		if s.FWMark != 0 || !s.needsMark() {
			continue
		}
		for try := 0; s.FWMark == 0; try++ {
			wanted := familyMark{s.Family, markOf(s.Name, try)}
			if !taken[wanted] {
				taken[wanted] = true
				s.FWMark, s.MarkAssigned = wanted.mark, true
			}
		}
	}
}

// markOf is the mark that a name gets at its first, second, ... try.
func markOf(name string, try int) uint32 {
	hash := fnv.New32a()
	fmt.Fprint(hash, name) // a hash takes everything
	for range try {
		hash.Write([]byte{0})
	}
	return hash.Sum32() | FirstMark
}

// needsMark says that the kernel cannot find the service by one address, port
// and protocol.
func (s Service) needsMark() bool {
	return len(s.Listen) > 1 || len(s.Protocols) > 1 || len(s.Listen) == 1 && !s.Listen[0].simple()
}

// checkMarks reports two services of one mark.
func (r *resolver) checkMarks(services []named[fileService], resolved map[string]*Service) {
	first := make(map[familyMark]string)
	for _, s := range services {
		mark := s.value.fwmark
		if !mark.valid || resolved[s.name].Family == "" {
			continue
		}
		key := familyMark{resolved[s.name].Family, uint32(mark.value)}
		if other, taken := first[key]; taken {
			r.report(mark.at, fault{problem: fmt.Sprintf("service %s has the firewall mark %d of %s already", other, key.mark, key.family),
				hint: "one mark is one service: list all addresses at one of the two"})
			continue
		}
		first[key] = s.name
	}
}

// claim is one address of one service.
type claim struct {
	listen  Listen
	service string
	marked  bool
	at      place
}

// claims are the addresses of all services of one protocol by their prefix,
// each list in order of its first port.
type claims struct {
	byPrefix map[netip.Prefix][]claim
	lengths  [2][]int // of prefixes, IPv4 and IPv6, ascending
}

// checkListens reports services at one address. Marks come before addresses
// in the kernel, so that a service with a mark shadows what lies inside of it.
func (r *resolver) checkListens(services []named[fileService], resolved map[string]*Service) {
	byProtocol := make(map[Protocol]*claims)
	for _, s := range services {
		service := resolved[s.name]
		if s.value.protocols.given && !s.value.protocols.valid {
			continue
		}
		for _, protocol := range service.Protocols {
			if byProtocol[protocol] == nil {
				byProtocol[protocol] = &claims{byPrefix: make(map[netip.Prefix][]claim)}
			}
			for _, listen := range s.value.listen.value {
				if listen.valid {
					byProtocol[protocol].add(claim{listen.value, s.name, service.FWMark != 0, listen.at})
				}
			}
		}
	}
	for _, protocol := range protocols() {
		if c := byProtocol[protocol]; c != nil {
			r.reportOverlaps(protocol, c)
		}
	}
}

// reportOverlaps reports each claim that conflicts with earlier ones once.
func (r *resolver) reportOverlaps(protocol Protocol, c *claims) {
	c.sort()
	type pair struct{ second, first claim }
	var pairs []pair
	c.eachOverlap(func(a, b claim) {
		if a.compare(b) < 0 {
			a, b = b, a
		}
		pairs = append(pairs, pair{a, b})
	})
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(a.second.compare(b.second), a.first.compare(b.first)) })
	pairs = slices.CompactFunc(pairs, func(a, b pair) bool { return a.second.at == b.second.at })
	for _, p := range pairs {
		r.report(p.second.at, overlap(protocol, p.second, p.first))
	}
}

// compare orders claims by their places.
func (c claim) compare(other claim) int {
	return cmp.Or(cmp.Compare(c.at.line, other.at.line), cmp.Compare(c.at.column, other.at.column))
}

func overlap(protocol Protocol, second, first claim) fault {
	switch {
	case first.service == second.service:
		return fault{problem: fmt.Sprintf("%s overlaps with %s of the same service", second.listen, first.listen), hint: "remove one of the two"}
	case first.listen == second.listen:
		return fault{problem: fmt.Sprintf("service %s listens on %s %s already", first.service, protocol, first.listen),
			hint: "put the real servers into one service, or choose another port or protocol"}
	}
	return fault{problem: fmt.Sprintf("%s overlaps with %s of service %s", second.listen, first.listen, first.service),
		hint: "the kernel looks for firewall marks first, so that one of the two would get nothing of what both name"}
}

func (c *claims) add(new claim) {
	c.byPrefix[new.listen.Prefix] = append(c.byPrefix[new.listen.Prefix], new)
}

func (c *claims) sort() {
	for prefix, list := range c.byPrefix {
		slices.SortStableFunc(list, func(a, b claim) int { return cmp.Compare(a.listen.First, b.listen.First) })
		family := &c.lengths[familyIndex(prefix.Addr())]
		if at, found := slices.BinarySearch(*family, prefix.Bits()); !found {
			*family = slices.Insert(*family, at, prefix.Bits())
		}
	}
}

func familyIndex(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// eachOverlap visits the claims that another one conflicts with, once each.
func (c *claims) eachOverlap(visit func(inner, outer claim)) {
	for prefix, list := range c.byPrefix {
		var widest claim // of those before: the one that reaches furthest
		for i, item := range list {
			if i > 0 && item.conflicts(list[i-1]) {
				visit(item, list[i-1])
			} else if i > 0 && item.conflicts(widest) {
				visit(item, widest)
			} else if outer, ok := c.above(prefix, item); ok {
				visit(item, outer)
			}
			_, reach := widest.listen.Ports()
			if _, last := item.listen.Ports(); i == 0 || last > reach {
				widest = item
			}
		}
	}
}

// above finds a claim of a larger network that conflicts with one.
func (c *claims) above(prefix netip.Prefix, item claim) (claim, bool) {
	for _, bits := range c.lengths[familyIndex(prefix.Addr())] {
		if bits >= prefix.Bits() {
			break
		}
		outer, err := prefix.Addr().Prefix(bits)
		if err != nil {
			panic(fmt.Sprintf("BUG: config: %s has no prefix of %d bits", prefix, bits))
		}
		list := c.byPrefix[outer]
		_, last := item.listen.Ports()
		end, _ := slices.BinarySearchFunc(list, int(last)+1, func(x claim, port int) int { return cmp.Compare(int(x.listen.First), port) })
		if end > 0 && item.conflicts(list[end-1]) {
			return list[end-1], true
		}
	}
	return claim{}, false
}

// conflicts says that two claims whose prefixes overlap want the same packets.
// Without marks, the kernel prefers the service of one port to that of all.
func (c claim) conflicts(other claim) bool {
	if !c.marked && !other.marked {
		return c.listen == other.listen
	}
	first, last := c.listen.Ports()
	otherFirst, otherLast := other.listen.Ports()
	return first <= otherLast && otherFirst <= last
}
