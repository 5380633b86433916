package director

import (
	"cmp"
	"net/netip"
	"slices"

	"dipper/appliance/config"
	"dipper/appliance/ipvs"
	"dipper/appliance/network"
)

// vips returns the addresses that services listen on and that are not the
// machine's own anyway (own: those). Each is a host address of its own.
func vips(cfg *config.Config, own []network.Address) []network.Address {
	var all []network.Address
	seen := make(map[netip.Addr]bool)
	for _, a := range own {
		seen[a.Prefix.Addr()] = true
	}
	for _, vip := range assigned(cfg.Services) {
		if seen[vip] {
			continue
		}
		seen[vip] = true
		if link, announce := home(vip, own, cfg.Network.Interfaces); link != "" {
			all = append(all, network.Address{
				Link:     link,
				Prefix:   netip.PrefixFrom(vip, vip.BitLen()),
				VIP:      true,
				Announce: announce,
			})
		}
	}
	slices.SortFunc(all, func(a, b network.Address) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	return all
}

// assigned returns the single VIPs that services want to be added.
func assigned(services []config.Service) []netip.Addr {
	var all []netip.Addr
	for _, s := range services {
		for _, listen := range s.Listen {
			if s.Assign && listen.Prefix.IsSingleIP() {
				all = append(all, listen.Prefix.Addr())
			}
		}
	}
	return all
}

// localRoutes deliver whole networks of VIPs to this machine, which would be
// too many addresses.
func localRoutes(services []config.Service) []network.Route {
	var all []network.Route
	seen := make(map[netip.Prefix]bool)
	for _, s := range services {
		for _, listen := range s.Listen {
			if s.Assign && !listen.Prefix.IsSingleIP() && !seen[listen.Prefix] {
				seen[listen.Prefix] = true
				all = append(all, network.Route{To: listen.Prefix, Local: true})
			}
		}
	}
	slices.SortFunc(all, func(a, b network.Route) int {
		return cmp.Or(a.To.Addr().Compare(b.To.Addr()), cmp.Compare(a.To.Bits(), b.To.Bits()))
	})
	return all
}

// marks give the packets of services with a firewall mark what IPVS finds
// them by.
func marks(services []config.Service) []network.Mark {
	var all []network.Mark
	for _, s := range services {
		if s.FWMark == 0 {
			continue
		}
		for _, listen := range s.Listen {
			for _, protocol := range s.Protocols {
				m := network.Mark{Prefix: listen.Prefix, Protocol: uint8(ipvs.ProtocolByName(string(protocol))), Mark: s.FWMark}
				m.First, m.Last = listen.Ports()
				all = append(all, m)
			}
		}
	}
	return all
}

// home returns the link that a VIP belongs on, and whether to announce it
// there; no link as long as that cannot be known.
//
// It is the link whose network holds the VIP. A configuration without leases
// and router advertisements has such a link for every VIP. Otherwise the VIP
// is where advertisements come in, whose networks only the kernel knows, or,
// when all leases are there, on the loopback link: then a router sends it here.
func home(vip netip.Addr, own []network.Address, interfaces []config.Interface) (link string, announce bool) {
	if link := connected(own, vip); link != "" {
		return link, true
	}
	if vip.Is6() {
		if i := slices.IndexFunc(interfaces, func(i config.Interface) bool { return i.AcceptRA }); i >= 0 {
			return interfaces[i].Name, true
		}
	}
	if vip.Is4() && awaitsLease(interfaces, own) {
		return "", false
	}
	return "lo", false
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

// sysctls returns the settings of the role, those too that are only defaults:
// a machine may have been a real server, or a director by NAT, before.
func sysctls(cfg *config.Config) []network.Sysctl {
	nat4, nat6 := forwardsByNAT(cfg.Services)
	settings := []network.Sysctl{
		// A link that comes back announces its addresses, VIPs among them:
		// the neighbours may have learnt another machine's in between.
		{Path: "net/ipv4/conf/all/arp_notify", Value: "1"},
		{Path: "net/ipv6/conf/all/ndisc_notify", Value: "1"},
		// VIPs are answered for, as any address. Real servers must not.
		{Path: "net/ipv4/conf/all/arp_ignore", Value: "0"},
		{Path: "net/ipv4/conf/all/arp_announce", Value: "0"},
		// Only NAT routes packets: replies of real servers pass through here.
		// DR and TUN leave from the local input path and need no forwarding.
		{Path: "net/ipv4/ip_forward", Value: flag(nat4)},
		{Path: "net/ipv6/conf/all/forwarding", Value: flag(nat6)},
	}
	for _, s := range cfg.IPVS.Settings.Sysctls() {
		settings = append(settings, network.Sysctl{Path: s.Path, Value: s.Value, Also: s.Also, Optional: !s.Needed})
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
		nat := slices.ContainsFunc(s.RealServers, func(r config.RealServer) bool { return r.Forward == config.NAT }) ||
			s.Forward == config.NAT && len(s.RealServers) == 0
		nat4 = nat4 || nat && s.Family == config.IPv4
		nat6 = nat6 || nat && s.Family == config.IPv6
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
