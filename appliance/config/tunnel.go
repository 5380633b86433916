package config

import "fmt"

func (r *resolver) resolveTunnel(raw field[fileTunnel], forward field[Forward]) Tunnel {
	if !forward.valid {
		return Tunnel{}
	}
	if forward.value != TUN {
		if raw.given {
			r.report(raw.at, fault{problem: fmt.Sprintf("forward %s has no tunnel", forward.value), hint: "remove it, or write forward: tun"})
		}
		return Tunnel{}
	}
	t := raw.value
	tunnel := Tunnel{Type: or(t.encapsulation, IPIP), Checksum: t.checksum.value, RemoteChecksum: t.remoteChecksum.value}
	if t.encapsulation.given && !t.encapsulation.valid {
		return tunnel
	}
	tunnel.Port = r.resolveTunnelPort(raw, tunnel.Type)
	if tunnel.Type == IPIP && tunnel.Checksum {
		r.report(t.checksum.at, fault{problem: "tunnel type ipip has no checksum", hint: "gue and gre have one"})
	}
	if tunnel.Type != GUE && tunnel.RemoteChecksum {
		r.report(t.remoteChecksum.at, fault{problem: fmt.Sprintf("tunnel type %s has no remote checksum", tunnel.Type), hint: "only gue has it"})
	}
	return tunnel
}

// resolveTunnelPort demands the port of GUE, as ipvsadm does: nothing says so
// when the two ends of a tunnel have different ones.
func (r *resolver) resolveTunnelPort(raw field[fileTunnel], of Encapsulation) uint16 {
	port := raw.value.port
	switch {
	case of == GUE && !port.given && !r.meant(raw.at, "port"):
		r.report(raw.at, fault{problem: "type gue without a port", expected: "the UDP port that the real server takes it at; port: 6080 is usual",
			hint: "director and real server must have the same"})
	case of != GUE && port.given:
		r.report(port.at, fault{problem: fmt.Sprintf("tunnel type %s has no port", of), hint: "only gue runs over UDP"})
		return 0
	}
	return uint16(port.value)
}

// narrow says why the interface towards a real server cannot carry a packet in
// a packet, nil when it can.
func (t *topology) narrow(server RealServer, family Family) *fault {
	if server.Forward != TUN {
		return nil
	}
	link := t.egress(server.Address)
	mtu, configured := t.mtu[link]
	inner := minMTU
	if family == IPv6 {
		inner = 1280
	}
	overhead := tunnelOverhead(server.Tunnel, familyOf(server.Address))
	if !configured || mtu >= inner+overhead {
		return nil
	}
	return &fault{problem: fmt.Sprintf("the MTU %d of %s is too small for a tunnel to %s", mtu, link, server.Address),
		expected: fmt.Sprintf("at least %d: %d for the packet and %d for the tunnel", inner+overhead, inner, overhead)}
}

// tunnelOverhead is what a tunnel adds to every packet, in bytes: the outer IP
// header (RFC 791: 20, RFC 8200: 40) and for GUE a UDP and a GUE header of 8
// and 4 (draft-ietf-intarea-gue) and 8 for remote checksum offload
// (ip_vs_xmit.c, ipvs_gue_encap), for GRE a header of 4 and a checksum of 4
// (RFC 2784).
func tunnelOverhead(t Tunnel, through Family) int {
	overhead := 20
	if through == IPv6 {
		overhead = 40
	}
	switch {
	case t.Type == GUE && t.RemoteChecksum:
		overhead += 8 + 4 + 8
	case t.Type == GUE:
		overhead += 8 + 4
	case t.Type == GRE && t.Checksum:
		overhead += 4 + 4
	case t.Type == GRE:
		overhead += 4
	}
	return overhead
}

// checkDecapsulationMTU reports interfaces that could not receive the smallest
// packet that a tunnel must carry.
func (r *resolver) checkDecapsulationMTU(at place, vip VirtualAddress) {
	if vip.Forward != TUN || vip.Address.Is4() {
		return
	}
	least := 1280 + tunnelOverhead(vip.Tunnel, vip.Through)
	for _, own := range r.net.own {
		if mtu, configured := r.net.mtu[own.link]; configured && mtu < least && familyOf(own.prefix.Addr()) == vip.Through {
			r.report(at, fault{problem: fmt.Sprintf("the MTU %d of %s is too small for tunnelled IPv6", mtu, own.link),
				expected: fmt.Sprintf("at least %d", least)})
			return
		}
	}
}
