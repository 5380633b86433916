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
	r.vips = vipsOf(raw.value)
	services := make([]Service, 0, len(raw.value))
	for i, s := range raw.value {
		services = append(services, r.resolveService(s))
		raw.value[i].value.realServers = field[[]field[fileRealServer]]{} // not needed again: the larger part of all memory
	}
	if len(services) == 0 {
		return nil
	}
	slices.SortFunc(services, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	assignMarks(services)
	byName := make(map[string]*Service, len(services))
	for i := range services {
		byName[services[i].Name] = &services[i]
	}
	r.checkListens(raw.value, byName)
	r.checkMarks(raw.value, byName)
	return services
}

func (r *resolver) resolveService(raw named[fileService]) Service {
	s := raw.value
	resolved := Service{
		Name:      raw.name,
		Listen:    values(s.listen),
		FWMark:    uint32(s.fwmark.value),
		Scheduler: or(s.scheduler, defaultScheduler),
		OnePacket: s.onePacket.value,
		Assign:    or(s.assign, true),
		Forward:   s.forward.value,
	}
	if !raw.valid {
		return resolved
	}
	resolved.Family = r.resolveFamily(raw)
	resolved.Protocols = r.resolveProtocols(s)
	for _, listen := range s.listen.value {
		r.checkVIP(listen, s)
	}
	r.checkLocated(raw, resolved)
	resolved.SchedulerFlags = r.resolveFlags(s)
	resolved.Persistence = r.resolvePersistence(s, resolved)
	r.checkOnePacket(s, resolved)
	resolved.OnDown = or(s.onDown, UsualOnDown(resolved))
	demand(r.decoder, raw.field, "forward", s.forward, "dr, nat or tun: real servers are set up differently for each")
	resolved.Tunnel = r.resolveTunnel(s.tunnel, s.forward)
	resolved.RealServers = r.resolveRealServers(s, resolved)
	return resolved
}

// UsualOnDown is what becomes of a failed real server unless it is said: TCP
// connections can finish where the failure was only a moment's; UDP flows
// would stick to the dead one as long as their client goes on sending.
func UsualOnDown(s Service) OnDown {
	if slices.Equal(s.Protocols, []Protocol{UDP}) {
		return Reset
	}
	return Drain
}

// resolveFamily gives the family of a service, "" when it cannot be told.
func (r *resolver) resolveFamily(raw named[fileService]) Family {
	s := raw.value
	var family Family
	for _, listen := range s.listen.value {
		switch has := familyOf(listen.value.Prefix.Addr()); {
		case !listen.valid:
		case family != "" && has != family:
			r.report(listen.at, fault{problem: fmt.Sprintf("%s is not of the family of the address before it", listen.value),
				hint: "the kernel keeps IPv4 and IPv6 apart: make two services"})
		default:
			family = has
		}
	}
	switch {
	case family != "" && s.family.valid && s.family.value != family:
		r.report(s.family.at, fault{problem: fmt.Sprintf("family %s, but listen is %s", s.family.value, family), hint: "remove it: listen says it"})
	case s.listen.given:
	case s.fwmark.given:
		if demand(r.decoder, raw.field, "family", s.family, "ipv4 or ipv6: marks of the two are apart") {
			family = s.family.value
		}
	default:
		demand(r.decoder, raw.field, "listen", s.listen, "a VIP and a port such as 192.168.4.15:80, or a fwmark")
	}
	return family
}

func familyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

func (r *resolver) resolveProtocols(s fileService) []Protocol {
	if s.protocols.given && !s.listen.given && s.fwmark.given {
		r.report(s.protocols.at, fault{problem: "a firewall mark that others set has no protocol", hint: "remove it, or add listen"})
	}
	if !s.listen.given && s.fwmark.given {
		return nil
	}
	for i, protocol := range s.protocols.value {
		if protocol.valid && slices.ContainsFunc(s.protocols.value[:i], func(other field[Protocol]) bool { return other.value == protocol.value }) {
			r.report(protocol.at, fault{problem: fmt.Sprintf("%s is given twice", protocol.value)})
		}
	}
	if s.protocols.given && s.protocols.valid && len(s.protocols.value) == 0 {
		r.report(s.protocols.at, fault{problem: "is empty", expected: "tcp, udp, sctp, ah or esp"})
	}
	if !s.protocols.given {
		return []Protocol{TCP}
	}
	var once []Protocol
	for _, protocol := range values(s.protocols) {
		if !slices.Contains(once, protocol) {
			once = append(once, protocol)
		}
	}
	return once
}

// checkLocated reports addresses without a port where the kernel needs one.
func (r *resolver) checkLocated(raw named[fileService], resolved Service) {
	portless := slices.ContainsFunc(resolved.Protocols, func(p Protocol) bool { return p == AH || p == ESP })
	if raw.value.listen.valid && len(raw.value.listen.value) == 0 {
		r.report(raw.value.listen.at, fault{problem: "is empty", expected: "a VIP and a port such as 192.168.4.15:80"})
	}
	marked := resolved.FWMark != 0 || resolved.needsMark()
	for _, listen := range raw.value.listen.value {
		switch {
		case !listen.valid:
		case portless && !listen.value.allPorts():
			r.report(listen.at, fault{problem: fmt.Sprintf("%s has a port, which ah and esp have not", listen.value), expected: "the VIP alone"})
		case !portless && !marked && listen.value.allPorts() && !raw.value.persistence.given && raw.value.protocols.given == raw.value.protocols.valid:
			r.report(listen.at, fault{problem: fmt.Sprintf("%s has no port", listen.value), expected: "a port, or persistence",
				hint: portHint(listen.value.Prefix.Addr())})
		}
	}
}

func portHint(vip netip.Addr) string {
	hint := "the kernel balances all ports of a VIP only for persistent services and for firewall marks"
	if vip.Is6() {
		hint += "; an IPv6 address with a port stands in brackets"
	}
	return hint
}

func (r *resolver) resolveFlags(s fileService) []string {
	scheduler := or(s.scheduler, defaultScheduler)
	if !s.schedulerFlags.given {
		if hashes(scheduler) {
			return []string{"fallback"}
		}
		return nil
	}
	if s.scheduler.given && !s.scheduler.valid {
		return nil
	}
	var flags []string
	for _, name := range flagsOf(scheduler) {
		if slices.Contains(values(s.schedulerFlags), name) {
			flags = append(flags, name)
		}
	}
	for i, flag := range s.schedulerFlags.value {
		switch {
		case !flag.valid:
		case slices.ContainsFunc(s.schedulerFlags.value[:i], func(other field[string]) bool { return other.value == flag.value }):
			r.report(flag.at, fault{problem: fmt.Sprintf("%s is given twice", flag.value)})
		case !slices.Contains(flags, flag.value):
			names := flagsOf(scheduler)
			r.report(flag.at, fault{problem: fmt.Sprintf("scheduler %s has no flag %s", scheduler, flag.value),
				expected: "one of " + strings.Join(names[:], ", "), hint: flagHint(flag.value)})
		}
	}
	return flags
}

func flagHint(flag string) string {
	switch flag {
	case "fallback", "port":
		return "only sh and mh have it"
	case "flag-1":
		return `here it is called "fallback"`
	}
	return `here it is called "port"`
}

func (r *resolver) resolvePersistence(s fileService, resolved Service) *Persistence {
	if !s.persistence.given {
		return nil
	}
	p := s.persistence.value
	persistence := &Persistence{Timeout: or(p.timeout, defaultPersistence), Engine: p.engine.value}
	switch {
	case resolved.Family == IPv6:
		if p.netmask.given {
			r.report(p.netmask.at, fault{problem: "netmask is for IPv4, and this service is IPv6", hint: "write prefix-length: 64, or the like"})
		}
		persistence.PrefixLength = or(p.prefix, 128)
	default:
		if p.prefix.given && resolved.Family == IPv4 {
			hint := "write netmask instead"
			if p.prefix.valid && p.prefix.value <= 32 {
				hint = fmt.Sprintf("write netmask: %s", maskOf(p.prefix.value))
			}
			r.report(p.prefix.at, fault{problem: "prefix-length is for IPv6, and this service is IPv4", hint: hint})
		}
		persistence.PrefixLength = or(p.netmask, 32)
	}
	return persistence
}

// checkOnePacket reports one-packet where the kernel ignores it. What carries
// a mark may be UDP, whoever sets it.
func (r *resolver) checkOnePacket(s fileService, resolved Service) {
	if resolved.OnePacket && !slices.Contains(resolved.Protocols, UDP) && len(resolved.Protocols) == 1 && resolved.FWMark == 0 && !resolved.needsMark() && s.protocols.given == s.protocols.valid {
		r.report(s.onePacket.at, fault{problem: fmt.Sprintf("one-packet is for UDP, and this service is %s", resolved.Protocols[0]),
			hint: "remove it, or write protocol: udp"})
	}
}

// checkVIP reports VIPs that no client's packet would reach.
func (r *resolver) checkVIP(listen field[Listen], s fileService) {
	if !listen.valid {
		return
	}
	if !listen.value.Prefix.IsSingleIP() {
		r.checkNetworkOfVIPs(listen)
		return
	}
	vip := listen.value.Prefix.Addr()
	for _, route := range r.net.routes {
		if route.Via == vip {
			r.report(listen.at, fault{problem: fmt.Sprintf("VIP %s is the gateway of a route", vip), hint: "a VIP is an address that no other machine has"})
			return
		}
	}
	if !or(s.assign, true) {
		return
	}
	if problem := r.net.misplaced(vip); problem != nil {
		r.report(listen.at, *problem)
	}
}

// misplaced says why a VIP cannot be added to an interface, nil when it can.
func (t *topology) misplaced(vip netip.Addr) *fault {
	if problem := notBalanced(vip); problem != "" {
		return &fault{problem: fmt.Sprintf("%s is %s", vip, problem), expected: "a VIP that clients can reach, or assign: false"}
	}
	if t.unknown(vip) {
		return nil
	}
	own, connected := t.connected(vip)
	if !connected {
		return &fault{problem: fmt.Sprintf("VIP %s is on no local network", vip), expected: t.oneNetworkOf(vip),
			hint: fmt.Sprintf("where a router sends the VIP here, add %s to an interface's addresses; where it is delivered by other means, write assign: false", netip.PrefixFrom(vip, vip.BitLen()))}
	}
	if problem := notHost(netip.PrefixFrom(vip, own.prefix.Bits())); problem != "" {
		return &fault{problem: fmt.Sprintf("VIP %s is %s", vip, problem)}
	}
	return nil
}

// checkNetworkOfVIPs reports networks that hold addresses of other machines:
// the kernel would take all packets to them for its own.
func (r *resolver) checkNetworkOfVIPs(listen field[Listen]) {
	network := listen.value.Prefix
	for _, own := range r.net.own {
		if !own.prefix.IsSingleIP() && network.Contains(own.prefix.Masked().Addr()) && network.Bits() <= own.prefix.Bits() {
			r.report(listen.at, fault{problem: fmt.Sprintf("the VIPs %s hold the whole network %s of %s", network, own.prefix.Masked(), own.link),
				hint: "this machine would reach no neighbour there: choose a network of its own, or a part"})
			return
		}
	}
	for _, route := range r.net.routes {
		if route.Via.IsValid() && network.Contains(route.Via) {
			r.report(listen.at, fault{problem: fmt.Sprintf("the VIPs %s hold the gateway %s of a route", network, route.Via), hint: "a VIP is an address that no other machine has"})
			return
		}
	}
}

// vipIndex finds the service that a VIP belongs to.
type vipIndex struct {
	services map[netip.Prefix]string
	lengths  [2]map[int]bool // of the prefixes, IPv4 and IPv6
}

func newVIPIndex() vipIndex {
	return vipIndex{make(map[netip.Prefix]string), [2]map[int]bool{{}, {}}}
}

func (i vipIndex) add(prefix netip.Prefix, service string) {
	i.services[prefix] = service
	i.lengths[familyIndex(prefix.Addr())][prefix.Bits()] = true
}

func vipsOf(services []named[fileService]) vipIndex {
	index := newVIPIndex()
	for _, s := range services {
		for _, listen := range s.value.listen.value {
			if listen.valid {
				index.add(listen.value.Prefix, s.name)
			}
		}
	}
	return index
}

// service gives the service that has a for a VIP, "" for none.
func (i vipIndex) service(a netip.Addr) string {
	for bits := range i.lengths[familyIndex(a)] {
		if prefix, err := a.Prefix(bits); err == nil && i.services[prefix] != "" {
			return i.services[prefix]
		}
	}
	return ""
}
