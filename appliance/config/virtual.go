package config

import (
	"fmt"
	"net/netip"
)

// resolveVirtualAddresses checks a real server's VIPs.
func (r *resolver) resolveVirtualAddresses(raw field[[]field[fileVirtualAddress]]) []VirtualAddress {
	if raw.given && r.role == RoleDirector {
		r.report(raw.at, fault{problem: "a director has no virtual-addresses",
			hint: "a real server must never announce a VIP and a director always does, " +
				"so one machine cannot be both: a service's listen is the VIP here, or write role: real-server"})
		return nil
	}
	first := make(map[netip.Addr]place)
	var addresses []VirtualAddress
	for _, item := range raw.value {
		resolved, ok := r.resolveVirtualAddress(item)
		if !ok {
			continue
		}
		at := item.value.address.at
		if earlier, taken := first[resolved.Address]; taken {
			r.report(at, fault{problem: fmt.Sprintf("%s is a virtual address already, on line %d", resolved.Address, earlier.line)})
			continue
		}
		first[resolved.Address] = at
		addresses = append(addresses, resolved)
	}
	return addresses
}

func (r *resolver) resolveVirtualAddress(item field[fileVirtualAddress]) (VirtualAddress, bool) {
	raw := item.value
	if !item.valid {
		return VirtualAddress{}, false
	}
	hasAddress := demand(r.decoder, item, "address", raw.address, "the VIP of the director's service")
	demand(r.decoder, item, "forward", raw.forward, "dr or tun, as in the director's service")
	if raw.forward.value == NAT {
		r.report(raw.forward.at, fault{problem: "forward nat needs no virtual address", expected: "dr or tun",
			hint: "with nat, packets come to the real server's own address: remove this entry and route replies through the director"})
		return VirtualAddress{}, false
	}
	resolved := VirtualAddress{Address: raw.address.value, Forward: raw.forward.value, Tunnel: r.resolveTunnel(raw.tunnel, raw.forward)}
	r.checkDecapsulation(raw.tunnel, resolved.Tunnel)
	if !hasAddress {
		return resolved, false
	}
	resolved.Through = r.resolveThrough(raw)
	if own, mine := r.net.owner(resolved.Address); mine {
		r.report(raw.address.at, fault{problem: fmt.Sprintf("%s is an address of %s as well, on line %d", resolved.Address, own.link, own.at.line),
			hint: "a real server must not answer for the VIP on the network: keep it here only"})
	}
	r.checkDecapsulationMTU(raw.address.at, resolved)
	return resolved, true
}

// resolveThrough gives the family of the packets that a tunnel's come in.
func (r *resolver) resolveThrough(raw fileVirtualAddress) Family {
	if raw.forward.value != TUN {
		if raw.through.given && raw.forward.valid {
			r.report(raw.through.at, fault{problem: fmt.Sprintf("forward %s has no tunnel", raw.forward.value), hint: "remove it, or write forward: tun"})
		}
		return ""
	}
	through := or(raw.through, familyOf(raw.address.value))
	if raw.through.valid && !r.net.has(through) {
		r.report(raw.through.at, fault{problem: fmt.Sprintf("no interface has an %s address, to which the director could send", through),
			hint: "give one an address of this family, or remove this"})
	}
	return through
}

// checkDecapsulation reports what the kernel encapsulates, as a director, but
// does not take apart: gre0 and ip6gre0, which take packets of any director,
// drop those with a checksum (net/ipv4/ip_tunnel.c, ip_tunnel_rcv).
func (r *resolver) checkDecapsulation(raw field[fileTunnel], tunnel Tunnel) {
	if tunnel.Type == GRE && tunnel.Checksum {
		r.report(raw.value.checksum.at, fault{problem: "a real server's kernel drops GRE packets that have a checksum",
			hint: "remove it here and in the director's service"})
	}
}
