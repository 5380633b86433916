package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// resolveServices checks a director's virtual services.
func (r *resolver) resolveServices(raw field[[]named[fileService]]) []Service {
	if raw.given && r.role == RoleRealServer {
		r.report(raw.at, fault{problem: "a real server has no services",
			hint: "a director announces the VIP to the network and a real server must never do so, " +
				"so one machine cannot be both: use virtual-addresses here, or role: director"})
		return nil
	}
	var services []Service
	for _, s := range raw.value {
		services = append(services, r.resolveService(s))
	}
	r.checkListens(raw.value)
	r.checkSelfBalancing(raw.value)
	slices.SortFunc(services, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	return services
}

func (r *resolver) resolveService(raw named[fileService]) Service {
	s := raw.value
	resolved := Service{
		Name:      raw.name,
		Listen:    s.listen.value,
		Protocol:  or(s.protocol, TCP),
		Scheduler: or(s.scheduler, defaultScheduler),
		Forward:   s.forward.value,
	}
	if !raw.valid {
		return resolved
	}
	if required(r.decoder, raw.field, "listen", s.listen, "a VIP and a port such as 192.168.4.15:80") {
		r.checkVIP(s.listen)
	}
	required(r.decoder, raw.field, "forward", s.forward, "dr, nat or tun: real servers are set up differently for each")
	resolved.Tunnel = r.resolveTunnel(s.tunnel, s.forward)
	resolved.RealServers = r.resolveRealServers(s)
	return resolved
}

// checkVIP reports VIPs that no client's packet would reach.
func (r *resolver) checkVIP(listen field[netip.AddrPort]) {
	vip := listen.value.Addr()
	for _, route := range r.net.routes {
		if route.Via == vip {
			r.report(listen.at, fault{problem: fmt.Sprintf("VIP %s is the gateway of a route", vip), hint: "a VIP is an address that no other machine has"})
			return
		}
	}
	if r.net.unknown(vip) {
		return
	}
	own, connected := r.net.connected(vip)
	if !connected {
		r.report(listen.at, fault{problem: fmt.Sprintf("VIP %s is on no local network", vip), expected: r.oneNetworkOf(vip),
			hint: fmt.Sprintf("where a router sends the VIP here, add %s to an interface's addresses", netip.PrefixFrom(vip, vip.BitLen()))})
		return
	}
	if problem := notHost(netip.PrefixFrom(vip, own.prefix.Bits())); problem != "" {
		r.report(listen.at, fault{problem: fmt.Sprintf("VIP %s is %s", vip, problem)})
	}
}

// checkListens reports two services at one address.
func (r *resolver) checkListens(services []named[fileService]) {
	type key struct {
		protocol Protocol
		listen   netip.AddrPort
	}
	first := make(map[key]string)
	for _, s := range services {
		if !s.value.listen.valid || s.value.protocol.given && !s.value.protocol.valid {
			continue
		}
		k := key{or(s.value.protocol, TCP), s.value.listen.value}
		if other, taken := first[k]; taken {
			r.report(s.value.listen.at, fault{problem: fmt.Sprintf("service %s listens on %s %s already", other, k.protocol, k.listen),
				hint: "put the real servers into one service, or choose another port or protocol"})
			continue
		}
		first[k] = s.name
	}
}

// checkSelfBalancing reports real servers that are the director itself.
func (r *resolver) checkSelfBalancing(services []named[fileService]) {
	vips := make(map[netip.Addr]string)
	for _, s := range services {
		if s.value.listen.valid {
			vips[s.value.listen.value.Addr()] = s.name
		}
	}
	for _, s := range services {
		for _, server := range s.value.realServers.value {
			if address := server.value.address; address.valid {
				r.checkNotSelf(address, vips)
			}
		}
	}
}

func (r *resolver) checkNotSelf(address field[endpoint], vips map[netip.Addr]string) {
	rip := address.value.address
	if service, isVIP := vips[rip]; isVIP {
		r.report(address.at, fault{problem: fmt.Sprintf("%s is the VIP of service %s", rip, service), expected: "a real server's own address",
			hint: "LVS does not balance twice: the packet would end at the director"})
		return
	}
	if own, mine := r.net.owner(rip); mine {
		r.report(address.at, fault{problem: fmt.Sprintf("%s is the director's own address, on %s", rip, own.link), expected: "another machine's address",
			hint: "LVS would hand the connections to the director's own ports, where nothing listens"})
	}
}

func (r *resolver) resolveRealServers(s fileService) []RealServer {
	type key struct {
		address netip.Addr
		port    uint16
	}
	first := make(map[key]place)
	var servers []RealServer
	for _, item := range s.realServers.value {
		server, ok := r.resolveRealServer(item, s)
		if !ok {
			continue
		}
		k := key{server.Address, server.Port}
		if earlier, taken := first[k]; taken {
			r.report(item.value.address.at, fault{
				problem: fmt.Sprintf("real server %s is in this service already, on line %d", netip.AddrPortFrom(server.Address, server.Port), earlier.line),
				hint:    "give it a higher weight instead"})
			continue
		}
		first[k] = item.value.address.at
		servers = append(servers, server)
	}
	return servers
}

func (r *resolver) resolveRealServer(item field[fileRealServer], s fileService) (RealServer, bool) {
	raw := item.value
	if !item.valid || !required(r.decoder, item, "address", raw.address, "the real server's own address") {
		return RealServer{}, false
	}
	if raw.address.value.port != 0 && raw.port.given {
		r.report(raw.port.at, fault{problem: fmt.Sprintf("the port stands in the address already (%d)", raw.address.value.port), hint: "write it in one of the two"})
	}
	written, at := raw.address.value.port, raw.address.at
	if written == 0 && raw.port.valid {
		written, at = raw.port.value, raw.port.at
	}
	server := RealServer{Address: raw.address.value.address, Port: uint16(written), Weight: or(raw.weight, defaultWeight)}
	if server.Port == 0 {
		server.Port = s.listen.value.Port()
	}
	if s.listen.valid && s.forward.valid {
		r.checkPort(at, server, s)
		if r.checkFamily(raw.address.at, server, s) {
			r.checkReach(raw.address.at, server, s)
		}
	}
	return server, true
}

// checkPort holds DR and TUN to the service's port: the packet arrives as the
// client sent it.
func (r *resolver) checkPort(at place, server RealServer, s fileService) {
	if s.forward.value != NAT && server.Port != s.listen.value.Port() {
		r.report(at, fault{problem: fmt.Sprintf("forward %s cannot change port %d to %d", s.forward.value, s.listen.value.Port(), server.Port),
			hint: "only forward nat translates ports: leave the port out, or listen on this port"})
	}
}

// checkFamily holds to ip_vs_ctl.c (ip_vs_genl_set_cmd): a real server of the
// other family is reached through a tunnel only.
func (r *resolver) checkFamily(at place, server RealServer, s fileService) bool {
	mixed := s.forward.value != TUN && server.Address.Is4() != s.listen.value.Addr().Is4()
	if mixed {
		r.report(at, fault{problem: fmt.Sprintf("real server %s is not of the family of VIP %s", server.Address, s.listen.value.Addr()),
			hint: fmt.Sprintf("forward %s cannot turn IPv4 into IPv6 or back: forward tun can carry one in the other", s.forward.value)})
	}
	return !mixed
}

// checkReach reports real servers to which no packet would find its way.
func (r *resolver) checkReach(at place, server RealServer, s fileService) {
	rip := server.Address
	_, connected := r.net.connected(rip)
	switch {
	case s.forward.value == DR && !connected && !r.net.unknown(rip):
		r.report(at, fault{problem: fmt.Sprintf("forward dr cannot reach %s, which is on no network of this machine", rip),
			expected: r.oneNetworkOf(rip),
			hint:     "dr rewrites the MAC address only and crosses no router: use forward tun"})
	case s.forward.value != DR && !r.net.reaches(rip):
		r.report(at, fault{problem: fmt.Sprintf("no network and no route leads to %s", rip), hint: "add an interface address or a route"})
	case s.forward.value == TUN:
		r.checkTunnelMTU(at, server, s)
	}
}
