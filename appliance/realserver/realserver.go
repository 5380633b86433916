// Package realserver owns what a real server is: from its configuration and
// leases, the network state by which it serves the VIPs without announcing
// them. It is pure; it reads nothing, applies nothing, and knows nothing of
// the director's table. Its subpackage responder serves the requests.
package realserver

import (
	"net/netip"
	"slices"
	"strings"

	"dipper/appliance/config"
	"dipper/appliance/network"
	"dipper/appliance/uplink"
)

// Desired returns what the kernel of the real server that cfg describes should
// be: its connection to the networks, the VIPs on links that answer for no
// address, and what keeps the machine from announcing them.
//
// A VIP for direct routing is on the loopback link, one for tunnelling on the
// device that decapsulates it. IPv4 needs arp_ignore and arp_announce, because
// Linux answers ARP on any link for any of its addresses; they are sysctls and
// so come before the address. IPv6 needs nothing: the kernel answers a
// neighbour solicitation only for addresses of the link that it came in by
// (net/ipv6/ndisc.c, ndisc_recv_ns looks the target up with strict=1).
func Desired(cfg *config.Config, leases []network.Lease) network.State {
	state := uplink.State(cfg.Network, leases)
	state.Sysctls = append(state.Sysctls, sysctls(cfg)...)
	mtu := smallestMTU(state)
	state.Links = append(state.Links, decapsulators(cfg.VirtualAddresses)...)
	for _, v := range cfg.VirtualAddresses {
		state.Addresses = append(state.Addresses, network.Address{
			Link:   home(v),
			Prefix: netip.PrefixFrom(v.Address, v.Address.BitLen()),
			VIP:    true,
		})
		if v.Forward == config.TUN {
			state.MSSClamps = append(state.MSSClamps, clamp(v, mtu))
		}
	}
	state.FOU = ports(cfg.VirtualAddresses)
	return state
}

// home is the link that holds v. The kernel's fallback devices decapsulate
// whatever is meant for this machine and for no tunnel in particular. Those of
// GRE take out either family. GUE strips its header, and what is left is IPIP.
func home(v config.VirtualAddress) string {
	switch gre := v.Tunnel.Type == config.GRE; {
	case v.Forward != config.TUN:
		return "lo"
	case gre && v.Through == config.IPv6:
		return "ip6gre0"
	case gre:
		return "gre0"
	case v.Through == config.IPv6:
		return "ip6tnl0"
	case v.Address.Is6():
		return "sit0"
	}
	return "tunl0"
}

// decapsulators returns the tunnel devices that virtual addresses need, by name.
func decapsulators(addresses []config.VirtualAddress) []network.Link {
	var links []network.Link
	for _, v := range addresses {
		if v.Forward != config.TUN {
			continue
		}
		name := home(v)
		i, found := slices.BinarySearchFunc(links, name, func(l network.Link, name string) int { return strings.Compare(l.Name, name) })
		if !found {
			links = slices.Insert(links, i, network.Link{Name: name, Kind: network.Fallback})
		}
		if name == "ip6tnl0" && v.Address.Is4() {
			links[i].AnyInside = true
		}
	}
	return links
}

// ports returns the UDP ports on which GUE comes in.
func ports(addresses []config.VirtualAddress) []network.FOU {
	var all []network.FOU
	for _, v := range addresses {
		port := network.FOU{Port: v.Tunnel.Port, IPv6: v.Through == config.IPv6}
		if v.Forward == config.TUN && v.Tunnel.Type == config.GUE && !slices.Contains(all, port) {
			all = append(all, port)
		}
	}
	return all
}

// sysctls returns the settings of the role, those too that are only defaults:
// a machine may have been a director before.
func sysctls(cfg *config.Config) []network.Sysctl {
	forwarding := []network.Sysctl{
		// First, since these two reset accept_redirects.
		{Path: "net/ipv4/ip_forward", Value: "0"},
		{Path: "net/ipv6/conf/all/forwarding", Value: "0"},
	}
	return slices.Concat(
		forwarding,
		silence(cfg.VirtualAddresses),
		unfiltered(cfg.VirtualAddresses),
		deafToRedirects(cfg.Network.Interfaces),
	)
}

// silence answers ARP only for addresses of the link that it came in by, and
// never asks with a VIP as the sender: neighbours learn from that. Without a
// VIP there is nothing to be silent about.
func silence(addresses []config.VirtualAddress) []network.Sysctl {
	ignore, announce := "0", "0"
	if slices.ContainsFunc(addresses, func(v config.VirtualAddress) bool { return v.Address.Is4() }) {
		ignore, announce = "1", "2"
	}
	return []network.Sysctl{
		{Path: "net/ipv4/conf/all/arp_ignore", Value: ignore},
		{Path: "net/ipv4/conf/all/arp_announce", Value: announce},
		{Path: "net/ipv4/conf/lo/arp_ignore", Value: ignore},
		{Path: "net/ipv4/conf/lo/arp_announce", Value: announce},
	}
}

// unfiltered lets in what comes out of a tunnel, though its sender, a client,
// is reached by another link. Of "all" and the link's own setting the higher
// counts. IPv6 has no such filter.
func unfiltered(addresses []config.VirtualAddress) []network.Sysctl {
	four := slices.DeleteFunc(slices.Clone(addresses), func(v config.VirtualAddress) bool { return v.Address.Is6() })
	var settings []network.Sysctl
	for _, link := range decapsulators(four) {
		settings = append(settings, network.Sysctl{Path: "net/ipv4/conf/" + link.Name + "/rp_filter", Value: "0"})
	}
	if settings == nil {
		return nil
	}
	return append([]network.Sysctl{{Path: "net/ipv4/conf/all/rp_filter", Value: "0"}}, settings...)
}

// deafToRedirects keeps a real server behind NAT that shares a link with its
// clients from learning the short way to them, around the director. Nothing
// stops an IPv6 director from sending redirects (net/ipv6/ip6_output.c,
// ip6_forward has no setting for it), and nothing a forged one.
func deafToRedirects(interfaces []config.Interface) []network.Sysctl {
	settings := []network.Sysctl{{Path: "net/ipv4/conf/all/accept_redirects", Value: "0"}}
	for _, i := range interfaces {
		settings = append(settings,
			network.Sysctl{Path: "net/ipv4/conf/" + i.Name + "/accept_redirects", Value: "0"},
			// Absent where the MTU is below IPv6's 1280 bytes.
			network.Sysctl{Path: "net/ipv6/conf/" + i.Name + "/accept_redirects", Value: "0", Optional: true},
		)
	}
	return settings
}
