package config

import (
	"net/netip"
	"slices"
)

// topology is what the machine's interfaces and routes reach, as far as the
// configuration tells: a DHCP lease or a router advertisement may add to it.
type topology struct {
	own      []ownAddress
	routes   []Route
	unknown4 bool // IPv4 networks may be connected that the configuration does not name
	unknown6 bool
	mtu      map[string]int // as configured, by interface
	// uncertain: the network section is there under a wrong name.
	uncertain bool

	// Indexes, since every real server asks: of 100,000 there may be.
	addresses   map[netip.Addr]int // into own
	connections prefixMap[int]     // into own
	routed      prefixMap[int]     // into routes
}

// ownAddress is one address of an interface.
type ownAddress struct {
	link   string
	prefix netip.Prefix
	at     place
}

// prefixMap finds the longest prefix that holds an address.
type prefixMap[T any] struct {
	values  map[netip.Prefix]T
	lengths [2][]int // IPv4 and IPv6, descending
}

// add keeps the first value of a prefix.
func (m *prefixMap[T]) add(prefix netip.Prefix, value T) {
	if m.values == nil {
		m.values = make(map[netip.Prefix]T)
	}
	prefix = prefix.Masked()
	if _, taken := m.values[prefix]; taken {
		return
	}
	m.values[prefix] = value
	lengths := &m.lengths[familyIndex(prefix.Addr())]
	descending := func(have, wanted int) int { return wanted - have }
	if at, found := slices.BinarySearchFunc(*lengths, prefix.Bits(), descending); !found {
		*lengths = slices.Insert(*lengths, at, prefix.Bits())
	}
}

func (m *prefixMap[T]) longest(a netip.Addr) (T, bool) {
	for _, bits := range m.lengths[familyIndex(a)] {
		prefix, err := a.Prefix(bits)
		if err != nil {
			break // an address that is not valid is in no network
		}
		if value, found := m.values[prefix]; found {
			return value, true
		}
	}
	var none T
	return none, false
}

// addOwn adds an address of an interface.
func (t *topology) addOwn(own ownAddress) {
	if t.addresses == nil {
		t.addresses = make(map[netip.Addr]int)
	}
	t.addresses[own.prefix.Addr()] = len(t.own)
	t.connections.add(own.prefix, len(t.own))
	t.own = append(t.own, own)
}

// setRoutes replaces the routes.
func (t *topology) setRoutes(routes []Route) {
	t.routes, t.routed = routes, prefixMap[int]{}
	for i, route := range routes {
		t.routed.add(route.To, i)
	}
}

// owner gives the machine's own address that equals a, if there is one.
func (t *topology) owner(a netip.Addr) (ownAddress, bool) {
	i, found := t.addresses[a]
	if !found {
		return ownAddress{}, false
	}
	return t.own[i], true
}

// has says whether an interface has, or may get, an address of a family.
func (t *topology) has(family Family) bool {
	if t.uncertain || family == IPv4 && t.unknown4 || family == IPv6 && t.unknown6 {
		return true
	}
	return slices.ContainsFunc(t.own, func(own ownAddress) bool { return familyOf(own.prefix.Addr()) == family })
}

// connected gives the interface whose network holds a, the most specific one.
func (t *topology) connected(a netip.Addr) (ownAddress, bool) {
	i, found := t.connections.longest(a)
	if !found {
		return ownAddress{}, false
	}
	return t.own[i], true
}

// alone says that an interface has an address of a's family, but no network.
func (t *topology) alone(link string, a netip.Addr) bool {
	alone := false
	for _, own := range t.own {
		if own.link == link && own.prefix.Addr().Is4() == a.Is4() {
			if !own.prefix.IsSingleIP() {
				return false
			}
			alone = true
		}
	}
	return alone
}

// unknown says that networks of a's family may be connected that are not in
// the configuration.
func (t *topology) unknown(a netip.Addr) bool {
	if a.Is4() {
		return t.unknown4 || t.uncertain
	}
	return t.unknown6 || t.uncertain
}

// route gives the static route to a, the most specific one.
func (t *topology) route(a netip.Addr) (Route, bool) {
	i, found := t.routed.longest(a)
	if !found {
		return Route{}, false
	}
	return t.routes[i], true
}

// reaches says whether packets to a have somewhere to go.
func (t *topology) reaches(a netip.Addr) bool {
	_, connected := t.connected(a)
	_, routed := t.route(a)
	return connected || routed || t.unknown(a)
}

// egress gives the interface through which packets to a leave, "" when the
// configuration does not tell.
func (t *topology) egress(a netip.Addr) string {
	if own, ok := t.connected(a); ok {
		return own.link
	}
	route, ok := t.route(a)
	if !ok || route.Interface != "" {
		return route.Interface
	}
	own, _ := t.connected(route.Via)
	return own.link
}

// networks lists the connected networks of a's family for an error message.
func (t *topology) networks(a netip.Addr) []string {
	var names []string
	for _, own := range t.own {
		if own.prefix.Addr().Is4() == a.Is4() {
			names = append(names, own.prefix.Masked().String()+" ("+own.link+")")
		}
	}
	return names
}

// Surroundings is what a configuration tells of the machine's neighbours.
type Surroundings struct {
	topology
	vips vipIndex
}

// NewSurroundings makes them of the machine's network and services.
func NewSurroundings(n Network, services []Service) *Surroundings {
	s := &Surroundings{vips: newVIPIndex()}
	s.mtu = make(map[string]int)
	for _, i := range n.Interfaces {
		for _, address := range i.Addresses {
			s.addOwn(ownAddress{link: i.Name, prefix: address})
		}
		s.unknown4 = s.unknown4 || i.DHCP
		s.unknown6 = s.unknown6 || i.AcceptRA
		if i.MTU != 0 {
			s.mtu[i.Name] = i.MTU
		}
	}
	s.setRoutes(n.Routes)
	for _, service := range services {
		for _, listen := range service.Listen {
			s.vips.add(listen.Prefix, service.Name)
		}
	}
	return s
}

// CanAssign says that a VIP can be added to an interface: Parse demands it of
// services with Assign.
func (s *Surroundings) CanAssign(vip netip.Addr) bool { return s.misplaced(vip) == nil }

// CanVerify says that packets get to a real server of a service of this
// family: Parse demands it of real servers with Verify.
func (s *Surroundings) CanVerify(server RealServer, family Family) bool {
	return s.self(server.Address, s.vips) == nil &&
		s.unreachable(server.Address, server.Forward) == nil &&
		s.narrow(server, family) == nil
}
