package realserver

import (
	"math"
	"slices"

	"dipper/appliance/config"
	"dipper/appliance/network"
)

// Sizes of headers in bytes. How IPVS takes them off the route's MTU is in
// net/netfilter/ipvs/ip_vs_xmit.c, __ip_vs_get_out_rt and
// __ip_vs_get_out_rt_v6.
const (
	ethernetMTU = 1500

	sizeIPv4 = 20
	sizeIPv6 = 40
	sizeTCP  = 20
	sizeUDP  = 8
	sizeGUE  = 4
	sizeRemC = 8 // GUE's private fields of remote checksum offload (include/net/gue.h)
	sizeGRE  = 4 // without a checksum, which a real server's kernel does not take
)

// clamp returns the MSS that this machine may offer to clients of v: what
// they send comes through the tunnel, so that a segment of a full-size packet
// would not fit and the director would have to tell them so by ICMP, which
// firewalls on the way like to drop.
//
// The path from the director is taken to carry mtu bytes.
func clamp(v config.VirtualAddress, mtu int) network.MSSClamp {
	outer, inner := sizeIPv4, sizeIPv4
	if v.Through == config.IPv6 {
		outer = sizeIPv6
	}
	if v.Address.Is6() {
		inner = sizeIPv6
	}
	mss := mtu - outer - overhead(v.Tunnel) - inner - sizeTCP
	return network.MSSClamp{Source: v.Address, MSS: uint16(max(mss, 0))}
}

// overhead is what lies between the outer and the inner IP header.
func overhead(t config.Tunnel) int {
	switch {
	case t.Type == config.GUE && t.RemoteChecksum:
		return sizeUDP + sizeGUE + sizeRemC
	case t.Type == config.GUE:
		return sizeUDP + sizeGUE
	case t.Type == config.GRE:
		return sizeGRE
	default:
		return 0
	}
}

// smallestMTU is that of the links which have an address: the packets of the
// director come in by one of them.
func smallestMTU(uplink network.State) int {
	smallest := math.MaxInt
	for _, link := range uplink.Links {
		if !slices.ContainsFunc(uplink.Addresses, func(a network.Address) bool { return a.Link == link.Name }) {
			continue
		}
		mtu := link.MTU
		if mtu == 0 {
			mtu = ethernetMTU
		}
		smallest = min(smallest, mtu)
	}
	if smallest == math.MaxInt {
		return ethernetMTU
	}
	return smallest
}
