package director

import (
	"net/netip"
	"slices"

	"dipper/appliance/config"
	"dipper/appliance/network"
)

// loopback holds VIPs that lie in no connected network: a router sends them
// here, and nobody asks for them by ARP or neighbour discovery.
const loopback = "lo"

// vips returns the addresses that services listen on and that are not the
// machine's own anyway (own: those). Each is a host address of its own, on the
// link whose network holds it, and announced there. Without such a network it
// is on the loopback link, unless a DHCP lease that is still missing may bring
// the network.
func vips(cfg *config.Config, own []network.Address) []network.Address {
	var all []network.Address
	seen := make(map[netip.Addr]bool)
	for _, a := range own {
		seen[a.Prefix.Addr()] = true
	}
	for _, s := range cfg.Services {
		vip := s.Listen.Addr()
		if seen[vip] {
			continue
		}
		seen[vip] = true
		address := network.Address{
			Link:   connected(own, vip),
			Prefix: netip.PrefixFrom(vip, vip.BitLen()),
			VIP:    true,
		}
		switch {
		case address.Link != "":
			address.Announce = true
		case vip.Is4() && awaitsLease(cfg.Network.Interfaces, own):
			continue
		default:
			address.Link = loopback
		}
		all = append(all, address)
	}
	slices.SortFunc(all, func(a, b network.Address) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	return all
}

// connected returns the link with the smallest network that holds vip, or "".
func connected(own []network.Address, vip netip.Addr) string {
	link, bits := "", -1
	for _, a := range own {
		if a.Prefix.Masked().Contains(vip) && a.Prefix.Bits() > bits {
			link, bits = a.Link, a.Prefix.Bits()
		}
	}
	return link
}

// awaitsLease tells whether an interface wants an IPv4 lease and has none.
func awaitsLease(interfaces []config.Interface, own []network.Address) bool {
	return slices.ContainsFunc(interfaces, func(i config.Interface) bool {
		return i.DHCP && !slices.ContainsFunc(own, func(a network.Address) bool {
			return a.Link == i.Name && a.Prefix.Addr().Is4()
		})
	})
}

// sysctls returns the settings of the role.
func sysctls(cfg *config.Config) []network.Sysctl {
	nat4, nat6 := forwardsByNAT(cfg.Services)
	settings := []network.Sysctl{
		// A link that comes back announces its addresses, VIPs among them:
		// the neighbours may have learnt another machine's in between.
		{Path: "net/ipv4/conf/all/arp_notify", Value: "1"},
		{Path: "net/ipv6/conf/all/ndisc_notify", Value: "1"},
		// Removing an address takes no other one with it.
		{Path: "net/ipv4/conf/all/promote_secondaries", Value: "1"},
		// Only NAT routes packets: replies of real servers pass through here.
		// DR and TUN leave from the local input path and need no forwarding.
		{Path: "net/ipv4/ip_forward", Value: flag(nat4)},
		{Path: "net/ipv6/conf/all/forwarding", Value: flag(nat6)},
		// Connections of a real server that is gone end with a reset, and UDP
		// clients move on; the kernel's default leaves them hanging for up to
		// 15 minutes. It is safe because edits are made in place: nothing is
		// ever deleted to be added again.
		{Path: "net/ipv4/vs/expire_nodest_conn", Value: "1"},
		// Connection tracking for balanced packets costs and gives nothing here.
		{Path: "net/ipv4/vs/conntrack", Value: "0"},
	}
	if nat4 {
		settings = append(settings, noRedirects(cfg.Network.Interfaces)...)
	}
	return settings
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// forwardsByNAT tells in which address families real servers are behind NAT.
func forwardsByNAT(services []config.Service) (nat4, nat6 bool) {
	for _, s := range services {
		if s.Forward == config.NAT {
			nat4 = nat4 || s.Listen.Addr().Is4()
			nat6 = nat6 || s.Listen.Addr().Is6()
		}
	}
	return nat4, nat6
}

// noRedirects keeps a director with clients and real servers on one link from
// telling a real server the short way to its client, around the director: such
// replies carry the real server's address and the client drops them. The
// kernel sends redirects if "all" or the link's own setting allows it.
func noRedirects(interfaces []config.Interface) []network.Sysctl {
	settings := []network.Sysctl{{Path: "net/ipv4/conf/all/send_redirects", Value: "0"}}
	for _, i := range interfaces {
		settings = append(settings, network.Sysctl{Path: "net/ipv4/conf/" + i.Name + "/send_redirects", Value: "0"})
	}
	return settings
}
