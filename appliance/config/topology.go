package config

import "net/netip"

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
}

// ownAddress is one address of an interface.
type ownAddress struct {
	link   string
	prefix netip.Prefix
	at     place
}

// owner gives the machine's own address that equals a, if there is one.
func (t *topology) owner(a netip.Addr) (ownAddress, bool) {
	for _, own := range t.own {
		if own.prefix.Addr() == a {
			return own, true
		}
	}
	return ownAddress{}, false
}

// connected gives the interface whose network holds a, the most specific one.
func (t *topology) connected(a netip.Addr) (ownAddress, bool) {
	var best ownAddress
	for _, own := range t.own {
		if own.prefix.Contains(a) && (best.link == "" || own.prefix.Bits() > best.prefix.Bits()) {
			best = own
		}
	}
	return best, best.link != ""
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
	var best Route
	for _, route := range t.routes {
		if route.To.Contains(a) && (!best.To.IsValid() || route.To.Bits() > best.To.Bits()) {
			best = route
		}
	}
	return best, best.To.IsValid()
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
