package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxNameServers is how many name servers a resolver asks (resolv.conf(5), MAXNS).
const maxNameServers = 3

// resolveNetwork checks interfaces, routes and name servers, and leaves in
// r.net what later checks need.
func (r *resolver) resolveNetwork(raw field[fileNetwork]) Network {
	r.net.mtu = make(map[string]int)
	r.net.uncertain = r.net.uncertain || slices.Contains(raw.meant, "interfaces") || raw.given && !raw.valid
	network := Network{
		Interfaces:  r.resolveInterfaces(raw.value.interfaces),
		Routes:      r.resolveRoutes(raw.value.routes, raw.value.interfaces),
		NameServers: r.resolveNameServers(raw.value.nameServers),
	}
	r.net.routes = network.Routes
	return network
}

func (r *resolver) resolveInterfaces(raw field[[]named[fileInterface]]) []Interface {
	r.net.uncertain = r.net.uncertain || raw.given && !raw.valid
	var interfaces []Interface
	for _, i := range raw.value {
		interfaces = append(interfaces, r.resolveInterface(i))
	}
	r.checkMatches(raw.value)
	r.checkStacking(raw.value)
	slices.SortFunc(interfaces, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	return interfaces
}

func (r *resolver) resolveInterface(raw named[fileInterface]) Interface {
	i := raw.value
	resolved := Interface{
		Name:      raw.name,
		Match:     Match{MAC: i.match.value.mac.value, Driver: i.match.value.driver.value},
		Addresses: r.resolveAddresses(raw),
		DHCP:      i.dhcp.value,
		AcceptRA:  i.acceptRA.value,
		MTU:       i.mtu.value,
	}
	r.net.unknown4 = r.net.unknown4 || unsure(raw) || i.dhcp.value || i.dhcp.given && !i.dhcp.valid
	r.net.unknown6 = r.net.unknown6 || unsure(raw) || i.acceptRA.value || i.acceptRA.given && !i.acceptRA.valid
	if i.mtu.valid {
		r.net.mtu[raw.name] = i.mtu.value
		r.checkIPv6MTU(i)
	}
	if i.match.valid && !i.match.value.mac.given && !i.match.value.driver.given {
		r.report(i.match.at, fault{problem: "is empty", expected: "mac or driver"})
	}
	if i.vlan.given {
		resolved.VLAN = &VLAN{Parent: i.vlan.value.parent.value, ID: i.vlan.value.id.value}
	}
	if i.bond.given {
		resolved.Bond = r.resolveBond(i.bond)
	}
	r.checkKind(raw)
	return resolved
}

// unsure says that an interface may have addresses that could not be read.
func unsure(raw named[fileInterface]) bool {
	if !raw.valid || slices.ContainsFunc(raw.meant, addressing) || raw.value.addresses.given && !raw.value.addresses.valid {
		return true
	}
	return slices.ContainsFunc(raw.value.addresses.value, func(a field[netip.Prefix]) bool { return !a.valid })
}

// addressing holds for the keys that give an interface addresses.
func addressing(key string) bool {
	return key == "addresses" || key == "dhcp" || key == "accept-ra"
}

func (r *resolver) resolveAddresses(raw named[fileInterface]) []netip.Prefix {
	for _, address := range raw.value.addresses.value {
		if !address.valid {
			continue
		}
		if earlier, taken := r.net.owner(address.value.Addr()); taken {
			r.report(address.at, fault{
				problem: fmt.Sprintf("%s is an address of %s already, on line %d", address.value.Addr(), earlier.link, earlier.at.line),
				hint:    "an address belongs to one interface, once"})
			continue
		}
		r.net.own = append(r.net.own, ownAddress{raw.name, address.value, address.at})
	}
	return values(raw.value.addresses)
}

// checkIPv6MTU holds interfaces to RFC 8200 section 5: no IPv6 below 1280.
func (r *resolver) checkIPv6MTU(i fileInterface) {
	const minIPv6MTU = 1280
	ipv6 := i.acceptRA.value || slices.ContainsFunc(values(i.addresses), func(p netip.Prefix) bool { return p.Addr().Is6() })
	if ipv6 && i.mtu.value < minIPv6MTU {
		r.report(i.mtu.at, fault{problem: fmt.Sprintf("%d is too small for IPv6, which this interface has", i.mtu.value),
			expected: fmt.Sprintf("at least %d", minIPv6MTU)})
	}
}

// checkKind reports settings that exclude each other on one interface.
func (r *resolver) checkKind(raw named[fileInterface]) {
	i := raw.value
	switch {
	case i.vlan.given && i.bond.given:
		r.report(i.bond.at, fault{problem: "an interface is a VLAN or a bond, not both",
			hint: "give the bond a name of its own and make it the VLAN's parent"})
	case i.match.given && (i.vlan.given || i.bond.given):
		r.report(i.match.at, fault{problem: "match finds a network card, but this interface is made, not found", hint: "remove match"})
	}
	if i.vlan.valid {
		required(r.decoder, i.vlan, "parent", i.vlan.value.parent, "the interface that carries the VLAN")
		required(r.decoder, i.vlan, "id", i.vlan.value.id, "a VLAN id from 1 to 4094")
	}
}

func (r *resolver) resolveBond(raw field[fileBond]) *Bond {
	b := raw.value
	if raw.valid && required(r.decoder, raw, "members", b.members, "the interfaces that make the bond") && len(b.members.value) == 0 {
		r.report(b.members.at, fault{problem: "is empty", expected: "the names of the interfaces that make the bond"})
	}
	return &Bond{
		Mode:    or(b.mode, defaultBondMode),
		Members: values(b.members),
		MIIMon:  or(b.miimon, defaultMIIMon),
	}
}

// checkMatches reports interfaces that claim the same card.
func (r *resolver) checkMatches(interfaces []named[fileInterface]) {
	byMAC := make(map[string]string)
	byDriver := make(map[string]string)
	for _, i := range interfaces {
		mac, driver := i.value.match.value.mac, i.value.match.value.driver
		if other, taken := byMAC[mac.value]; mac.valid && taken {
			r.report(mac.at, fault{problem: fmt.Sprintf("%s is the MAC address of %s already", mac.value, other),
				hint: "one card is one interface; several networks on it are VLANs"})
		}
		if other, taken := byDriver[driver.value]; driver.valid && !mac.given && taken {
			r.report(driver.at, fault{problem: fmt.Sprintf("driver %s finds %s already", driver.value, other),
				hint: "a driver can find one card only: use mac where there are several"})
		}
		if mac.valid {
			byMAC[mac.value] = i.name
		} else if driver.valid {
			byDriver[driver.value] = i.name
		}
	}
}

// checkStacking checks VLANs and bonds against the interfaces below them.
func (r *resolver) checkStacking(interfaces []named[fileInterface]) {
	byName := make(map[string]*named[fileInterface], len(interfaces))
	names := make([]string, len(interfaces))
	for i := range interfaces {
		byName[interfaces[i].name] = &interfaces[i]
		names[i] = interfaces[i].name
	}
	s := stacking{r, byName, names, make(map[string]string)}
	for _, i := range interfaces {
		s.checkMembers(i)
	}
	vlans := make(map[string]string)
	for _, i := range interfaces {
		if vlan := i.value.vlan.value; vlan.parent.valid && vlan.id.valid {
			s.checkVLAN(i, vlan)
			key := fmt.Sprintf("%s.%d", vlan.parent.value, vlan.id.value)
			if other, taken := vlans[key]; taken {
				r.report(vlan.id.at, fault{problem: fmt.Sprintf("VLAN %d of %s is %s already", vlan.id.value, vlan.parent.value, other)})
			}
			vlans[key] = i.name
		}
	}
}

// stacking is what interfaces lie on what others.
type stacking struct {
	*resolver
	byName map[string]*named[fileInterface]
	names  []string
	bondOf map[string]string // by member
}

func (s *stacking) unknownInterface(at place, name string) {
	s.report(at, fault{problem: fmt.Sprintf("there is no interface %q", clip(name)),
		expected: "one of " + strings.Join(s.names, ", "), hint: suggest(name, s.names)})
}

func (s *stacking) checkMembers(bond named[fileInterface]) {
	for _, member := range bond.value.bond.value.members.value {
		if !member.valid {
			continue
		}
		other, bondedBy := s.byName[member.value], s.bondOf[member.value]
		switch {
		case other == nil:
			s.unknownInterface(member.at, member.value)
			continue
		case bondedBy != "":
			s.report(member.at, fault{problem: fmt.Sprintf("%s is a member of %s already", member.value, bondedBy)})
		case other.value.bond.given || other.value.vlan.given:
			s.report(member.at, fault{problem: fmt.Sprintf("%s is a VLAN or a bond itself", member.value), expected: "network cards",
				hint: "a VLAN lies on the bond, not below it"})
		case len(other.value.addresses.value) > 0 || other.value.dhcp.value || other.value.acceptRA.value:
			s.report(member.at, fault{problem: fmt.Sprintf("%s has addresses of its own", member.value),
				hint: fmt.Sprintf("move addresses, dhcp and accept-ra to %s: a member carries only the bond's packets", bond.name)})
		}
		s.bondOf[member.value] = bond.name
	}
}

func (s *stacking) checkVLAN(i named[fileInterface], vlan fileVLAN) {
	parent := s.byName[vlan.parent.value]
	switch {
	case parent == nil:
		s.unknownInterface(vlan.parent.at, vlan.parent.value)
	case s.cyclic(i.name):
		s.report(vlan.parent.at, fault{problem: fmt.Sprintf("%s lies on itself", i.name), hint: "a VLAN's lowest parent is a network card or a bond"})
	case s.bondOf[parent.name] != "":
		s.report(vlan.parent.at, fault{problem: fmt.Sprintf("%s is a member of bond %s", parent.name, s.bondOf[parent.name]),
			hint: "make the bond the parent"})
	case i.value.mtu.valid && parent.value.mtu.valid && i.value.mtu.value > parent.value.mtu.value:
		s.report(i.value.mtu.at, fault{problem: fmt.Sprintf("%d is more than the %d of %s, which carries this VLAN", i.value.mtu.value, parent.value.mtu.value, parent.name)})
	}
}

// cyclic follows the parents of a VLAN until one is none or comes twice.
func (s *stacking) cyclic(name string) bool {
	for range s.names {
		i := s.byName[name]
		if i == nil || !i.value.vlan.value.parent.valid {
			return false
		}
		name = i.value.vlan.value.parent.value
	}
	return true
}

func (r *resolver) resolveRoutes(raw field[[]field[fileRoute]], interfaces field[[]named[fileInterface]]) []Route {
	type key struct {
		to     netip.Prefix
		metric int
	}
	first := make(map[key]place)
	var routes []Route
	for _, item := range raw.value {
		route, ok := r.resolveRoute(item, interfaces.value)
		if !ok {
			continue
		}
		if earlier, taken := first[key{route.To, route.Metric}]; taken {
			r.report(item.at, fault{problem: fmt.Sprintf("a second route to %s with metric %d, first on line %d", route.To, route.Metric, earlier.line),
				hint: "give one of them a higher metric to use it when the other's interface is down"})
			continue
		}
		first[key{route.To, route.Metric}] = item.at
		routes = append(routes, route)
	}
	return routes
}

func (r *resolver) resolveRoute(item field[fileRoute], interfaces []named[fileInterface]) (Route, bool) {
	raw := item.value
	if !item.valid || !required(r.decoder, item, "to", raw.to, "default or a network") || raw.via.given && !raw.via.valid {
		return Route{}, false
	}
	route := Route{Via: raw.via.value, Interface: raw.outgoing.value, Metric: raw.metric.value}
	to, bad := destination(raw)
	if bad != nil {
		r.report(raw.to.at, *bad)
		return Route{}, false
	}
	route.To = to
	if raw.outgoing.valid && !slices.ContainsFunc(interfaces, func(i named[fileInterface]) bool { return i.name == raw.outgoing.value }) {
		names := make([]string, len(interfaces))
		for i := range interfaces {
			names[i] = interfaces[i].name
		}
		(&stacking{resolver: r, names: names}).unknownInterface(raw.outgoing.at, raw.outgoing.value)
		return Route{}, false
	}
	if raw.via.valid {
		r.checkGateway(raw)
	}
	return route, true
}

// destination gives a route's prefix, in which "default" takes its family from
// the gateway.
func destination(raw fileRoute) (netip.Prefix, *fault) {
	to, via := raw.to.value, raw.via
	switch {
	case !via.given && !raw.outgoing.given:
		return netip.Prefix{}, &fault{problem: "the route leads nowhere", expected: "via: the next router, or interface: for a network on the link"}
	case to.prefix.IsValid() && via.valid && to.prefix.Addr().Is4() != via.value.Is4():
		return netip.Prefix{}, &fault{problem: fmt.Sprintf("%s and its gateway %s are of different families", to.prefix, via.value)}
	case to.prefix.IsValid():
		return to.prefix, nil
	case !via.given:
		return netip.Prefix{}, &fault{problem: "default without via says neither IPv4 nor IPv6", expected: "0.0.0.0/0 or ::/0"}
	case via.value.Is4():
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0), nil
}

// checkGateway reports gateways that the machine cannot reach.
func (r *resolver) checkGateway(raw fileRoute) {
	via := raw.via.value
	if own, mine := r.net.owner(via); mine {
		r.report(raw.via.at, fault{problem: fmt.Sprintf("%s is this machine's own address, on %s", via, own.link), expected: "the address of the next router"})
		return
	}
	if via.IsLinkLocalUnicast() {
		if !raw.outgoing.given {
			r.report(raw.via.at, fault{problem: fmt.Sprintf("%s is link-local", via), hint: "say on which link with interface:"})
		}
		return
	}
	if r.net.unknown(via) {
		return
	}
	own, connected := r.net.connected(via)
	switch {
	case !connected && raw.outgoing.valid && r.net.alone(raw.outgoing.value, via):
		// A host address without a network: the gateway is on the link, as in many clouds.
	case !connected:
		r.report(raw.via.at, fault{problem: fmt.Sprintf("gateway %s is in no network of this machine", via),
			expected: r.oneNetworkOf(via)})
	case raw.outgoing.valid && own.link != raw.outgoing.value:
		r.report(raw.outgoing.at, fault{problem: fmt.Sprintf("gateway %s is not on %s but on %s", via, raw.outgoing.value, own.link)})
	}
}

// oneNetworkOf names the networks that an address could be in.
func (r *resolver) oneNetworkOf(a netip.Addr) string {
	networks := r.net.networks(a)
	family := "IPv4"
	if a.Is6() {
		family = "IPv6"
	}
	if len(networks) == 0 {
		return "an interface with an " + family + " address, of which there is none"
	}
	return "an address in " + strings.Join(networks, " or ")
}

func (r *resolver) resolveNameServers(raw field[[]field[netip.Addr]]) []netip.Addr {
	first := make(map[netip.Addr]bool)
	for i, server := range raw.value {
		switch {
		case !server.valid:
		case first[server.value]:
			r.report(server.at, fault{problem: fmt.Sprintf("%s is given twice", server.value)})
		case i == maxNameServers:
			r.report(server.at, fault{problem: fmt.Sprintf("more than %d name servers", maxNameServers), hint: "the resolver asks no more of them"})
		}
		first[server.value] = true
	}
	return values(raw)
}
