package config

import (
	"fmt"
	"net/netip"
)

func (r *resolver) resolveRealServers(s fileService, service Service) []RealServer {
	first := make(map[netip.AddrPort]place, len(s.realServers.value))
	var servers []RealServer
	if n := len(s.realServers.value); n > 0 {
		servers = make([]RealServer, 0, n)
	}
	for _, item := range s.realServers.value {
		server, ok := r.resolveRealServer(item, s, service)
		if !ok {
			continue
		}
		k := netip.AddrPortFrom(server.Address, server.Port)
		if earlier, taken := first[k]; taken {
			r.report(item.value.address.at, fault{
				problem: fmt.Sprintf("real server %s is in this service already, on line %d", k, earlier.line),
				hint:    "give it a higher weight instead"})
			continue
		}
		first[k] = item.value.address.at
		servers = append(servers, server)
	}
	return servers
}

func (r *resolver) resolveRealServer(item field[fileRealServer], s fileService, service Service) (RealServer, bool) {
	raw := item.value
	if !item.valid || !demand(r.decoder, item, "address", raw.address, "the real server's own address") {
		return RealServer{}, false
	}
	server := RealServer{
		Address: raw.address.value.address, Weight: or(raw.weight, defaultWeight), Verify: or(raw.verify, true),
		UpperThreshold: raw.upper.value, LowerThreshold: raw.lower.value,
	}
	at := r.resolvePort(&server, raw, service)
	forward := r.resolveForward(&server, raw, s, service)
	r.checkThresholds(raw)
	verify := server.Verify && r.checkNotSelf(raw.address)
	if (len(service.Listen) > 0 || !s.listen.given) && forward.valid && service.Family != "" {
		r.checkPort(at, server, service)
		if r.checkFamily(raw.address.at, server, service) && verify {
			r.checkReach(raw.address.at, server, service.Family)
		}
	}
	return server, true
}

// resolvePort finds the real server's port and gives its place: the service's
// unless it is written.
func (r *resolver) resolvePort(server *RealServer, raw fileRealServer, service Service) place {
	if raw.address.value.port != 0 && raw.port.given {
		r.report(raw.port.at, fault{problem: fmt.Sprintf("the port stands in the address already (%d)", raw.address.value.port), hint: "write it in one of the two"})
	}
	server.Port = service.port()
	switch {
	case raw.address.value.port != 0:
		server.Port = uint16(raw.address.value.port)
	case raw.port.valid:
		server.Port = uint16(raw.port.value)
		return raw.port.at
	}
	return raw.address.at
}

// port is the port that real servers have unless they say otherwise; 0, the
// one that the client asked for, where the service has several.
func (s Service) port() uint16 {
	if len(s.Listen) != 1 || s.Listen[0].First != s.Listen[0].Last {
		return 0
	}
	return s.Listen[0].First
}

// resolveForward finds how packets reach the real server: by what it says, or
// as the service says.
func (r *resolver) resolveForward(server *RealServer, raw fileRealServer, s fileService, service Service) field[Forward] {
	forward := s.forward
	if raw.forward.given {
		forward = raw.forward
	}
	server.Forward = forward.value
	switch {
	case raw.tunnel.given:
		server.Tunnel = r.resolveTunnel(raw.tunnel, forward)
	case forward.value == TUN && service.Forward == TUN:
		server.Tunnel = service.Tunnel
	case forward.value == TUN:
		server.Tunnel = Tunnel{Type: IPIP}
	}
	return forward
}

// checkThresholds holds to ip_vs_ctl.c (ip_vs_add_dest): ERANGE for a lower
// threshold above the upper one.
func (r *resolver) checkThresholds(raw fileRealServer) {
	upper, lower := raw.upper, raw.lower
	switch {
	case !lower.valid || lower.value <= upper.value || upper.given != upper.valid:
	case upper.value == 0:
		r.report(lower.at, fault{problem: fmt.Sprintf("lower-threshold %d without an upper-threshold", lower.value),
			hint: "a server without an upper threshold is never full: add one, or remove this"})
	default:
		r.report(lower.at, fault{problem: fmt.Sprintf("lower-threshold %d is above upper-threshold %d", lower.value, upper.value),
			hint: "a server that is full at the upper threshold takes connections again below the lower one"})
	}
}

// checkPort holds DR and TUN to the service's port: the packet arrives as the
// client sent it. With a mark the kernel does not care.
func (r *resolver) checkPort(at place, server RealServer, service Service) {
	if server.Forward != NAT && server.Port != service.port() && service.FWMark == 0 && !service.needsMark() {
		r.report(at, fault{problem: fmt.Sprintf("forward %s cannot change port %d to %d", server.Forward, service.port(), server.Port),
			hint: "only forward nat translates ports: leave the port out, or listen on this port"})
	}
}

// checkFamily holds to ip_vs_ctl.c (ip_vs_genl_set_cmd): a real server of the
// other family is reached through a tunnel only.
func (r *resolver) checkFamily(at place, server RealServer, service Service) bool {
	mixed := server.Forward != TUN && familyOf(server.Address) != service.Family
	if mixed {
		of := "of the firewall mark"
		if len(service.Listen) > 0 {
			of = fmt.Sprintf("of VIP %s", service.Listen[0].Prefix.Addr())
		}
		r.report(at, fault{problem: fmt.Sprintf("real server %s is not of the family %s", server.Address, of),
			hint: fmt.Sprintf("forward %s cannot turn IPv4 into IPv6 or back: forward tun can carry one in the other", server.Forward)})
	}
	return !mixed
}

// checkNotSelf reports real servers that are the director itself, and says
// that one is not.
func (r *resolver) checkNotSelf(address field[endpoint]) bool {
	problem := r.net.self(address.value.address, r.vips)
	if problem != nil {
		r.report(address.at, *problem)
	}
	return problem == nil
}

// self says why a real server is this machine, nil when it is not.
func (t *topology) self(rip netip.Addr, vips vipIndex) *fault {
	if problem := notBalanced(rip); problem != "" {
		return &fault{problem: fmt.Sprintf("%s is %s", rip, problem), expected: "a real server's own address, or verify: false"}
	}
	if service := vips.service(rip); service != "" {
		return &fault{problem: fmt.Sprintf("%s is the VIP of service %s", rip, service), expected: "a real server's own address",
			hint: "LVS does not balance twice: the packet would end at the director"}
	}
	if own, mine := t.owner(rip); mine {
		return &fault{problem: fmt.Sprintf("%s is the director's own address, on %s", rip, own.link), expected: "another machine's address",
			hint: "LVS would hand the connections to the director's own ports, where nothing listens"}
	}
	return nil
}

// checkReach reports real servers to which no packet would find its way.
func (r *resolver) checkReach(at place, server RealServer, family Family) {
	problem := r.net.unreachable(server.Address, server.Forward)
	if problem == nil {
		problem = r.net.narrow(server, family)
	}
	if problem != nil {
		r.report(at, *problem)
	}
}

// unreachable says why packets forwarded so do not get to a real server, nil
// when they do.
func (t *topology) unreachable(rip netip.Addr, forward Forward) *fault {
	own, connected := t.connected(rip)
	switch {
	case connected && broadcasts(own.prefix, rip): // refused by ip_vs_ctl.c, ip_vs_new_dest
		return &fault{problem: fmt.Sprintf("%s is the broadcast address of %s", rip, own.prefix.Masked()), expected: "a real server's own address"}
	case forward == DR && !connected && !t.unknown(rip):
		return &fault{problem: fmt.Sprintf("forward dr cannot reach %s, which is on no network of this machine", rip),
			expected: t.oneNetworkOf(rip),
			hint:     "dr rewrites the MAC address only and crosses no router: use forward tun"}
	case forward != DR && !t.reaches(rip):
		return &fault{problem: fmt.Sprintf("no network and no route leads to %s", rip), hint: "add an interface address or a route"}
	}
	return nil
}
