package network

import (
	"slices"
	"strings"
)

// Plan is the smallest set of edits from an observed to a desired State, in
// the order that hurts nobody. What stands behind the VIPs comes between Prepare
// and Expose, and goes after Withdraw.
type Plan struct {
	Hide     []Op // VIPs that go before the settings that keep quiet about them
	Prepare  []Op // sysctls, links, FOU ports, addresses, routes, clamps
	Expose   []Op // marks and VIPs that come, and their announcements
	Withdraw []Op // VIPs and marks that go
}

// Ops gives all edits in order.
func (p Plan) Ops() []Op { return slices.Concat(p.Hide, p.Prepare, p.Expose, p.Withdraw) }

// MakePlan compares. It is pure and deterministic: equal states give equal
// plans. What hangs on a link that does not exist is left out; the plan then
// holds one op, which fails and says which link was not found.
func MakePlan(observed, desired State) Plan {
	desired = complete(desired)
	links := planLinks(observed.Links, desired.Links)
	observed = links.carry(observed)
	desired = links.reachable(desired)
	global, perLink := planSysctls(observed.Sysctls, desired.Sysctls, links.fresh)
	addresses := planAddresses(observed, desired)
	if reveals(global) {
		addresses.hideFirst(observed.Links)
	}
	routes := planRoutes(observed.Routes, desired)
	marks := planMarks(observed, desired)
	return Plan{
		Hide: addresses.hide,
		Prepare: slices.Concat(
			global, // before links are made: these inherit from conf/default
			links.arrange,
			perLink, // before links go up
			links.settle,
			planFOU(observed.FOU, desired.FOU),
			addresses.set,
			routes.set,
			// What goes does so after its successor is there.
			routes.remove,
			addresses.remove,
			planClamps(observed.MSSClamps, desired.MSSClamps),
		),
		Expose:   slices.Concat(marks.set, routes.expose, addresses.expose),
		Withdraw: slices.Concat(addresses.withdraw, routes.withdraw, marks.remove),
	}
}

// reveals tells whether settings change that keep a machine from answering ARP
// for the VIPs of links that have no neighbours, a real server's.
func reveals(settings []Op) bool {
	return slices.ContainsFunc(settings, func(op Op) bool {
		o, is := op.(setSysctl)
		return is && strings.HasSuffix(o.Path, "/arp_ignore")
	})
}

// complete adds to a desired State what this package itself depends on.
func complete(desired State) State {
	desired.Sysctls = slices.Clone(desired.Sysctls)
	// Deleting the first address of a subnet takes the others with it unless
	// the kernel promotes one of them (devinet.c, __inet_del_ifa).
	desired.prefer("net/ipv4/conf/all/promote_secondaries", "1")
	for _, l := range desired.Links {
		if l.Kind != Fallback && desired.hasIPv6(l.Name) {
			// No duplicate address detection on links with static IPv6
			// addresses (RFC 4862 5.1 allows DupAddrDetectTransmits 0). It
			// takes 1 to 2 s, in which the link-local address is tentative and
			// the kernel can ask for no neighbour, not even for an optimistic
			// address (ndisc.c, ndisc_send_ns): a director could reach no real
			// server. IPv4 addresses are not probed either.
			desired.prefer("net/ipv6/conf/"+l.Name+"/accept_dad", "0")
		}
	}
	return desired
}

// prefer adds an optional sysctl unless the state has its own value for it.
func (s *State) prefer(path, value string) {
	if slices.ContainsFunc(s.Sysctls, func(have Sysctl) bool { return have.Path == path }) {
		return
	}
	s.Sysctls = append(s.Sysctls, Sysctl{Path: path, Value: value, Optional: true})
}

func (s State) hasIPv6(link string) bool {
	return slices.ContainsFunc(s.Addresses, func(a Address) bool {
		return a.Link == link && a.Prefix.Addr().Is6()
	})
}
