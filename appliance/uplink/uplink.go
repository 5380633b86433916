// Package uplink owns how a machine of either role is connected to its
// networks: from the network section of its configuration and the leases it
// holds, the links, addresses and routes that the kernel should have. It is
// pure; it applies nothing and knows nothing of VIPs, services or roles.
package uplink

import (
	"net/netip"
	"slices"

	"dipper/appliance/config"
	"dipper/appliance/network"
)

const (
	// leaseMetric is the metric of routes that came with a lease. Static
	// routes, which have metric 0 unless told otherwise, come before them.
	leaseMetric = 1024
	// minLeaseMTU is the smallest MTU taken from a lease: what every IPv4 host
	// must accept (RFC 2132 section 5.1 allows 68).
	minLeaseMTU = 576
)

// State returns the links, addresses, routes and settings that net describes,
// with what leases add to them. Leases of links that do not ask for one are
// left out. Its order is that of net, so that equal input gives equal output.
func State(net config.Network, leases []network.Lease) network.State {
	var state network.State
	for i, iface := range net.Interfaces {
		lease, leased := leaseOf(iface, leases)
		state.Links = append(state.Links, link(iface, lease))
		state.Sysctls = append(state.Sysctls, advertisements(iface))
		for _, prefix := range iface.Addresses {
			state.Addresses = append(state.Addresses, network.Address{Link: iface.Name, Prefix: prefix})
		}
		if leased {
			state.Addresses = append(state.Addresses, network.Address{
				Link: iface.Name, Prefix: lease.Address, ValidUntil: lease.Expires()})
			state.Routes = append(state.Routes, leaseRoutes(lease, leaseMetric+i)...)
		}
	}
	state.Routes = append(staticRoutes(net.Routes), state.Routes...)
	return state
}

// leaseOf gives the lease that an interface asked for and has.
func leaseOf(iface config.Interface, leases []network.Lease) (network.Lease, bool) {
	if !iface.DHCP {
		return network.Lease{}, false
	}
	i := slices.IndexFunc(leases, func(l network.Lease) bool { return l.Link == iface.Name && l.Address.IsValid() })
	if i < 0 {
		return network.Lease{}, false
	}
	return leases[i], true
}

// link is the device of an interface. Without an MTU of its own it has the
// lease's: clouds say there what their networks carry.
func link(iface config.Interface, lease network.Lease) network.Link {
	l := network.Link{
		Name:        iface.Name,
		Kind:        network.Physical,
		MatchMAC:    iface.Match.MAC,
		MatchDriver: iface.Match.Driver,
		MTU:         iface.MTU,
	}
	if l.MTU == 0 && lease.MTU >= minLeaseMTU {
		l.MTU = lease.MTU
	}
	switch {
	case iface.VLAN != nil:
		l.Kind, l.Parent, l.VLANID = network.VLAN, iface.VLAN.Parent, iface.VLAN.ID
	case iface.Bond != nil:
		l.Kind, l.BondMode, l.BondMIIMon = network.Bond, iface.Bond.Mode, iface.Bond.MIIMon
		l.BondMembers = slices.Clone(iface.Bond.Members)
	}
	return l
}

// advertisements says whether a link listens to IPv6 routers. The value 2
// does so even where a role makes the machine forward, with which 1 would
// silently mean no (Documentation/networking/ip-sysctl.rst, accept_ra).
func advertisements(iface config.Interface) network.Sysctl {
	// Absent where the MTU is below IPv6's 1280 bytes.
	setting := network.Sysctl{Path: "net/ipv6/conf/" + iface.Name + "/accept_ra", Value: "0", Optional: true}
	if iface.AcceptRA {
		setting.Value = "2"
	}
	return setting
}

func staticRoutes(routes []config.Route) []network.Route {
	var static []network.Route
	for _, r := range routes {
		static = append(static, network.Route{To: r.To, Via: r.Via, Link: r.Interface, Metric: r.Metric})
	}
	return static
}

// leaseRoutes are the routes that came with a lease. Every link has a metric
// of its own, since two routes to one network need different ones.
func leaseRoutes(lease network.Lease, metric int) []network.Route {
	routes := slices.Clone(lease.Routes)
	if len(routes) == 0 && lease.Gateway.IsValid() {
		routes = []network.Route{{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: lease.Gateway}}
	}
	for i := range routes {
		routes[i].Link, routes[i].Metric = lease.Link, metric
		if routes[i].Via.IsUnspecified() { // RFC 3442: the network is on the link
			routes[i].Via = netip.Addr{}
		}
	}
	return routes
}
