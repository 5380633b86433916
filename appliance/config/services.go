package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
	tunnel := Tunnel{Type: or(t.encapsulation, IPIP), Checksum: t.checksum.value}
	if t.encapsulation.given && !t.encapsulation.valid {
		return tunnel
	}
	if tunnel.Type == GUE {
		tunnel.Port = uint16(or(t.port, defaultGUEPort))
	} else if t.port.given {
		r.report(t.port.at, fault{problem: fmt.Sprintf("tunnel type %s has no port", tunnel.Type), hint: "only gue runs over UDP"})
	}
	if tunnel.Type == IPIP && tunnel.Checksum {
		r.report(t.checksum.at, fault{problem: "tunnel type ipip has no checksum", hint: "gue and gre have one"})
	}
	return tunnel
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

// checkTunnelMTU reports interfaces whose configured MTU leaves too little for
// a packet in a packet.
func (r *resolver) checkTunnelMTU(at place, server RealServer, s fileService) {
	link := r.net.egress(server.Address)
	mtu, configured := r.net.mtu[link]
	if !configured {
		return
	}
	inner := minMTU
	if s.listen.value.Addr().Is6() {
		inner = 1280
	}
	overhead := tunnelOverhead(or(s.tunnel.value.encapsulation, IPIP), s.tunnel.value.checksum.value, server.Address)
	if mtu < inner+overhead {
		r.report(at, fault{problem: fmt.Sprintf("the MTU %d of %s is too small for a tunnel to %s", mtu, link, server.Address),
			expected: fmt.Sprintf("at least %d: %d for the packet and %d for the tunnel", inner+overhead, inner, overhead)})
	}
}

// tunnelOverhead is what a tunnel adds to every packet, in bytes: the outer IP
// header (RFC 791: 20, RFC 8200: 40) and for GUE a UDP and a GUE header of 8
// and 4 (draft-ietf-intarea-gue), for GRE a header of 4 and a checksum of 4
// (RFC 2784).
func tunnelOverhead(encapsulation Encapsulation, checksum bool, rip netip.Addr) int {
	overhead := 20
	if rip.Is6() {
		overhead = 40
	}
	switch {
	case encapsulation == GUE:
		overhead += 8 + 4
	case encapsulation == GRE && checksum:
		overhead += 4 + 4
	case encapsulation == GRE:
		overhead += 4
	}
	return overhead
}

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
	hasAddress := required(r.decoder, item, "address", raw.address, "the VIP of the director's service")
	required(r.decoder, item, "forward", raw.forward, "dr or tun, as in the director's service")
	if raw.forward.value == NAT {
		r.report(raw.forward.at, fault{problem: "forward nat needs no virtual address", expected: "dr or tun",
			hint: "with nat, packets come to the real server's own address: remove this entry and route replies through the director"})
		return VirtualAddress{}, false
	}
	resolved := VirtualAddress{Address: raw.address.value, Forward: raw.forward.value, Tunnel: r.resolveTunnel(raw.tunnel, raw.forward)}
	if !hasAddress {
		return resolved, false
	}
	if own, mine := r.net.owner(resolved.Address); mine {
		r.report(raw.address.at, fault{problem: fmt.Sprintf("%s is an address of %s as well, on line %d", resolved.Address, own.link, own.at.line),
			hint: "a real server must not answer for the VIP on the network: keep it here only"})
	}
	r.checkDecapsulationMTU(raw.address.at, resolved)
	return resolved, true
}

// checkDecapsulationMTU reports interfaces that could not receive the smallest
// packet that a tunnel must carry.
func (r *resolver) checkDecapsulationMTU(at place, vip VirtualAddress) {
	if vip.Forward != TUN || vip.Address.Is4() {
		return
	}
	least := 1280 + tunnelOverhead(vip.Tunnel.Type, vip.Tunnel.Checksum, vip.Address)
	for _, own := range r.net.own {
		if mtu, configured := r.net.mtu[own.link]; configured && mtu < least && own.prefix.Addr().Is6() {
			r.report(at, fault{problem: fmt.Sprintf("the MTU %d of %s is too small for tunnelled IPv6", mtu, own.link),
				expected: fmt.Sprintf("at least %d", least)})
			return
		}
	}
}

// listener is what two responders cannot share.
type listener struct {
	transport string
	port      int
}

// resolveServe checks the built-in responder's listeners.
func (r *resolver) resolveServe(raw field[[]field[fileResponder]], vips []VirtualAddress) []Responder {
	if raw.given && r.role == RoleDirector {
		r.report(raw.at, fault{problem: "a director serves nothing itself", hint: "the built-in responder runs on real servers: write serve in theirs"})
		return nil
	}
	taken := make(map[listener][]field[fileResponder])
	for _, vip := range vips {
		if vip.Tunnel.Type == GUE {
			taken[listener{"udp", int(vip.Tunnel.Port)}] = nil
		}
	}
	var responders []Responder
	for _, item := range raw.value {
		responder, ok := r.resolveResponder(item)
		if !ok {
			continue
		}
		r.checkListenerAddress(item.value.address, vips)
		r.checkListener(item, responder, taken)
		responders = append(responders, responder)
	}
	return responders
}

func (r *resolver) resolveResponder(item field[fileResponder]) (Responder, bool) {
	raw := item.value
	if !item.valid || !required(r.decoder, item, "protocol", raw.protocol, "http, tcp-echo or udp-echo") {
		return Responder{}, false
	}
	responder := Responder{Protocol: raw.protocol.value, Address: raw.address.value,
		Body: raw.body.value, File: raw.file.value, Size: int64(raw.size.value)}
	if raw.protocol.value == ServeHTTP {
		responder.Port, responder.Status = uint16(or(raw.port, 80)), or(raw.status, 200)
		r.checkHTTP(raw)
	} else {
		responder.Port = uint16(or(raw.port, 7))
		r.checkNoHTTP(raw)
	}
	return responder, !raw.port.given || raw.port.valid
}

func (r *resolver) checkHTTP(raw fileResponder) {
	contents := given(raw.contents())
	if len(contents) > 1 {
		r.report(contents[1].at, fault{problem: fmt.Sprintf("%s and %s are both given", contents[0].name, contents[1].name),
			hint: "a responder answers with one of them"})
	}
	if bodyless := raw.status.value == 204 || raw.status.value == 304; bodyless && len(contents) > 0 {
		r.report(raw.status.at, fault{problem: fmt.Sprintf("status %d has no body", raw.status.value),
			hint: fmt.Sprintf("remove %s, or choose another status", contents[0].name)})
	}
}

func (r *resolver) checkNoHTTP(raw fileResponder) {
	for _, f := range given(append(raw.contents(), presence{"status", raw.status.given, raw.status.at})) {
		r.report(f.at, fault{problem: fmt.Sprintf("%s has no %s", raw.protocol.value, f.name),
			hint: "an echo sends back what it gets; only http has it"})
	}
}

// presence is a key that may be there.
type presence struct {
	name  string
	given bool
	at    place
}

// contents are the keys that say what an HTTP responder answers with.
func (r fileResponder) contents() []presence {
	return []presence{
		{"body", r.body.given, r.body.at},
		{"file", r.file.given, r.file.at},
		{"size", r.size.given, r.size.at},
	}
}

func given(keys []presence) []presence {
	return slices.DeleteFunc(keys, func(p presence) bool { return !p.given })
}

// checkListenerAddress reports responders on an address that the machine does
// not have.
func (r *resolver) checkListenerAddress(address field[netip.Addr], vips []VirtualAddress) {
	if !address.valid || r.net.unknown(address.value) {
		return
	}
	_, own := r.net.owner(address.value)
	if !own && !slices.ContainsFunc(vips, func(v VirtualAddress) bool { return v.Address == address.value }) {
		r.report(address.at, fault{problem: fmt.Sprintf("%s is no address of this machine", address.value),
			expected: "an interface's or a virtual address", hint: "leave it out to serve on all"})
	}
}

// checkListener reports two listeners that the kernel would refuse to bind.
func (r *resolver) checkListener(item field[fileResponder], responder Responder, taken map[listener][]field[fileResponder]) {
	transport, _, _ := strings.Cut(string(responder.Protocol), "-")
	if responder.Protocol == ServeHTTP {
		transport = "tcp"
	}
	key := listener{transport, int(responder.Port)}
	others, used := taken[key]
	if used && others == nil {
		r.report(item.at, fault{problem: fmt.Sprintf("UDP port %d is the tunnel's, of virtual-addresses", key.port), expected: "another port"})
	}
	for _, other := range others {
		address := other.value.address.value
		if !address.IsValid() || !responder.Address.IsValid() || address == responder.Address {
			r.report(item.at, fault{problem: fmt.Sprintf("%s port %d is served already, on line %d", strings.ToUpper(transport), key.port, other.at.line),
				expected: "another port or another address"})
			break
		}
	}
	taken[key] = append(others, item)
}
