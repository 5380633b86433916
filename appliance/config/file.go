package config

import (
	"net/netip"
	"time"
)

// The types of this file are the configuration as it is written: every value
// with its place, given or not, checked by itself but not yet against the
// others. Each has a keys method: the keys that it may have, in the order of
// the reference, and the reader of each.

type fileConfig struct {
	role             field[Role]
	hostname         field[string]
	network          field[fileNetwork]
	services         field[[]named[fileService]]
	virtualAddresses field[[]field[fileVirtualAddress]]
	serve            field[[]field[fileResponder]]
}

func (c *fileConfig) keys() []key {
	return []key{
		{"role", scalar(&c.role, choice("role", nil, RoleDirector, RoleRealServer))},
		{"hostname", scalar(&c.hostname, hostname)},
		{"network", section(&c.network, (*fileNetwork).keys)},
		{"services", entries(&c.services, serviceName, (*fileService).keys)},
		{"virtual-addresses", sections(&c.virtualAddresses, (*fileVirtualAddress).keys)},
		{"serve", sections(&c.serve, (*fileResponder).keys)},
	}
}

type fileNetwork struct {
	interfaces  field[[]named[fileInterface]]
	routes      field[[]field[fileRoute]]
	nameServers field[[]field[netip.Addr]]
}

func (n *fileNetwork) keys() []key {
	return []key{
		{"interfaces", entries(&n.interfaces, interfaceName, (*fileInterface).keys)},
		{"routes", sections(&n.routes, (*fileRoute).keys)},
		{"name-servers", scalars(&n.nameServers, hostAddress)},
	}
}

type fileInterface struct {
	addresses field[[]field[netip.Prefix]]
	dhcp      field[bool]
	acceptRA  field[bool]
	mtu       field[int]
	match     field[fileMatch]
	vlan      field[fileVLAN]
	bond      field[fileBond]
}

func (i *fileInterface) keys() []key {
	return []key{
		{"addresses", scalars(&i.addresses, interfaceAddress)},
		{"dhcp", scalar(&i.dhcp, boolean)},
		{"accept-ra", scalar(&i.acceptRA, boolean)},
		{"mtu", scalar(&i.mtu, integer("an MTU in bytes", minMTU, maxMTU))},
		{"match", section(&i.match, (*fileMatch).keys)},
		{"vlan", section(&i.vlan, (*fileVLAN).keys)},
		{"bond", section(&i.bond, (*fileBond).keys)},
	}
}

type fileMatch struct {
	mac    field[string]
	driver field[string]
}

func (m *fileMatch) keys() []key {
	return []key{
		{"mac", scalar(&m.mac, macAddress)},
		{"driver", scalar(&m.driver, driverName)},
	}
}

type fileVLAN struct {
	parent field[string]
	id     field[int]
}

func (v *fileVLAN) keys() []key {
	return []key{
		{"parent", scalar(&v.parent, word("the name of an interface"))},
		{"id", scalar(&v.id, integer("a VLAN id", 1, 4094))},
	}
}

type fileBond struct {
	mode    field[string]
	members field[[]field[string]]
	miimon  field[time.Duration]
}

func (b *fileBond) keys() []key {
	return []key{
		{"mode", scalar(&b.mode, choice("bond mode", nil, bondModes()...))},
		{"members", scalars(&b.members, word("the name of an interface"))},
		{"miimon", scalar(&b.miimon, duration("a time", time.Millisecond, time.Minute, time.Millisecond))},
	}
}

type fileRoute struct {
	to       field[routeTarget]
	via      field[netip.Addr]
	outgoing field[string]
	metric   field[int]
}

func (r *fileRoute) keys() []key {
	return []key{
		{"to", scalar(&r.to, routeTo)},
		{"via", scalar(&r.via, hostAddress)},
		{"interface", scalar(&r.outgoing, word("the name of an interface"))},
		{"metric", scalar(&r.metric, integer("a metric", 0, 1<<32-1))},
	}
}

type fileService struct {
	listen      field[netip.AddrPort]
	protocol    field[Protocol]
	scheduler   field[string]
	forward     field[Forward]
	tunnel      field[fileTunnel]
	realServers field[[]field[fileRealServer]]
}

func (s *fileService) keys() []key {
	return []key{
		{"listen", scalar(&s.listen, listenAddress)},
		{"protocol", scalar(&s.protocol, choice("protocol", nil, TCP, UDP, SCTP))},
		{"scheduler", scalar(&s.scheduler, choice("scheduler", nil, schedulers()...))},
		{"forward", scalar(&s.forward, choice("forwarding method", forwardSynonyms(), DR, NAT, TUN))},
		{"tunnel", section(&s.tunnel, (*fileTunnel).keys)},
		{"real-servers", sections(&s.realServers, (*fileRealServer).keys)},
	}
}

type fileTunnel struct {
	encapsulation field[Encapsulation]
	port          field[int]
	checksum      field[bool]
}

func (t *fileTunnel) keys() []key {
	return []key{
		{"type", scalar(&t.encapsulation, choice("tunnel type", nil, IPIP, GUE, GRE))},
		{"port", scalar(&t.port, integer("a UDP port", 1, 65535))},
		{"checksum", scalar(&t.checksum, boolean)},
	}
}

type fileRealServer struct {
	address field[endpoint]
	port    field[int]
	weight  field[int]
}

func (r *fileRealServer) keys() []key {
	return []key{
		{"address", scalar(&r.address, realServerAddress)},
		{"port", scalar(&r.port, servicePort)},
		{"weight", scalar(&r.weight, integer("a weight", 0, maxWeight))},
	}
}

type fileVirtualAddress struct {
	address field[netip.Addr]
	forward field[Forward]
	tunnel  field[fileTunnel]
}

func (v *fileVirtualAddress) keys() []key {
	return []key{
		{"address", scalar(&v.address, virtualAddress)},
		{"forward", scalar(&v.forward, choice("forwarding method", forwardSynonyms(), DR, TUN, NAT))},
		{"tunnel", section(&v.tunnel, (*fileTunnel).keys)},
	}
}

type fileResponder struct {
	protocol field[ResponderProtocol]
	port     field[int]
	address  field[netip.Addr]
	body     field[string]
	file     field[string]
	size     field[int]
	status   field[int]
}

func (r *fileResponder) keys() []key {
	return []key{
		{"protocol", scalar(&r.protocol, choice("protocol", nil, ServeHTTP, ServeTCPEcho, ServeUDPEcho))},
		{"port", scalar(&r.port, port)},
		{"address", scalar(&r.address, hostAddress)},
		{"body", scalar(&r.body, text("a text"))},
		{"file", scalar(&r.file, absolutePath)},
		{"size", scalar(&r.size, integer("a number of bytes", 1, maxGenerated))},
		{"status", scalar(&r.status, integer("an HTTP status", 200, 599))},
	}
}
