package realserver

import (
	"dipper/appliance/config"
	"dipper/appliance/network"
)

// Sizes of headers in bytes. How IPVS takes them off the route's MTU is in
// net/netfilter/ipvs/ip_vs_xmit.c, __ip_vs_get_out_rt and
// __ip_vs_get_out_rt_v6.
const (
	ethernetMTU = 1500

	sizeIPv4        = 20
	sizeIPv6        = 40
	sizeTCP         = 20
	sizeUDP         = 8
	sizeGUE         = 4 // without the private fields of remote checksum offload
	sizeGRE         = 4
	sizeGREChecksum = 4
)

// clamp returns the MSS that this machine may offer to clients of v: what
// they send comes through the tunnel, so that a segment of a full-size packet
// would not fit and the director would have to tell them so by ICMP, which
// firewalls on the way like to drop.
//
// The network between director and real server is taken to have the smallest
// MTU of this machine's interfaces, and the outer header to be of v's family:
// through an IPv6 network the tunnel of an IPv4 VIP takes 20 bytes more.
func clamp(v config.VirtualAddress, interfaces []config.Interface) network.MSSClamp {
	ip := sizeIPv4
	if v.Address.Is6() {
		ip = sizeIPv6
	}
	mss := smallestMTU(interfaces) - ip - overhead(v.Tunnel) - ip - sizeTCP
	return network.MSSClamp{Source: v.Address, MSS: uint16(max(mss, 0))}
}

// overhead is what lies between the outer and the inner IP header.
func overhead(t config.Tunnel) int {
	switch t.Type {
	case config.GUE:
		return sizeUDP + sizeGUE
	case config.GRE:
		if t.Checksum {
			return sizeGRE + sizeGREChecksum
		}
		return sizeGRE
	default:
		return 0
	}
}

func smallestMTU(interfaces []config.Interface) int {
	smallest := 0
	for _, i := range interfaces {
		mtu := i.MTU
		if mtu == 0 {
			mtu = ethernetMTU
		}
		if smallest == 0 || mtu < smallest {
			smallest = mtu
		}
	}
	if smallest == 0 {
		return ethernetMTU
	}
	return smallest
}
