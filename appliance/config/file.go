package config

import (
	"net/netip"
	"time"
)

// The types of this file are the configuration as it is written: every value
// with its place, given or not, checked by itself but not yet against the
// others. Each has a keys method: the keys that it may have, in the order of
// the reference, with their help and the reader of each.

type fileConfig struct {
	role             field[Role]
	hostname         field[string]
	network          field[fileNetwork]
	services         field[[]named[fileService]]
	ipvs             field[fileIPVS]
	virtualAddresses field[[]field[fileVirtualAddress]]
	serve            field[[]field[fileResponder]]
	management       field[fileManagement]
}

func (c *fileConfig) keys() []key {
	return []key{
		{"role", "what the machine is in its cluster",
			required(scalar(&c.role, choice("role", nil, RoleDirector, RoleRealServer)))},
		{"hostname", "the machine's name",
			scalar(&c.hostname, typed(TypeWord, "lb1", hostname).otherwise("the kernel's name stays"))},
		{"network", "how the machine is connected, without any VIP", section(&c.network, (*fileNetwork).keys)},
		{"services", "virtual services of a director",
			entries(&c.services, "the name of a service", serviceName, (*fileService).keys)},
		{"ipvs", "settings of a director's whole IPVS table", section(&c.ipvs, (*fileIPVS).keys)},
		{"virtual-addresses", "VIPs that a real server answers for without announcing them",
			sections(&c.virtualAddresses, (*fileVirtualAddress).keys, "address")},
		{"serve", "listeners of a real server's built-in responder",
			sections(&c.serve, (*fileResponder).keys, "protocol", "port", "address")},
		{"management", "who may log in, where and how", section(&c.management, (*fileManagement).keys)},
	}
}

type fileNetwork struct {
	interfaces  field[[]named[fileInterface]]
	routes      field[[]field[fileRoute]]
	nameServers field[[]field[netip.Addr]]
}

func (n *fileNetwork) keys() []key {
	return []key{
		{"interfaces", "links and their addresses",
			entries(&n.interfaces, "the name of an interface", interfaceName, (*fileInterface).keys)},
		{"routes", "static routes", sections(&n.routes, (*fileRoute).keys, "to", "metric")},
		{"name-servers", "at most three DNS resolvers",
			scalars(&n.nameServers, typed(TypeAddress, "192.168.4.1", hostAddress).otherwise("those of DHCP leases"))},
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
		{"addresses", "the interface's own addresses with their prefix length",
			scalars(&i.addresses, typed(TypePrefix, "192.168.4.5/24", interfaceAddress))},
		{"dhcp", "ask for an IPv4 lease", scalar(&i.dhcp, truth().otherwise("false"))},
		{"accept-ra", "take IPv6 addresses and routes from router advertisements", scalar(&i.acceptRA, truth().otherwise("false"))},
		{"mtu", "the longest packet", scalar(&i.mtu, integer("an MTU in bytes", minMTU, maxMTU).otherwise("the lease's, or else the driver's"))},
		{"match", "which network card is meant", section(&i.match, (*fileMatch).keys)},
		{"vlan", "makes the interface a VLAN", section(&i.vlan, (*fileVLAN).keys)},
		{"bond", "makes the interface a bond", section(&i.bond, (*fileBond).keys)},
	}
}

type fileMatch struct {
	mac    field[string]
	driver field[string]
}

func (m *fileMatch) keys() []key {
	return []key{
		{"mac", "the card with this address", scalar(&m.mac, typed(TypeMAC, "52:54:00:12:34:56", macAddress))},
		{"driver", "the only card with this driver", scalar(&m.driver, typed(TypeWord, "virtio_net", driverName))},
	}
}

type fileVLAN struct {
	parent field[string]
	id     field[int]
}

func (v *fileVLAN) keys() []key {
	return []key{
		{"parent", "the interface that carries the VLAN",
			required(scalar(&v.parent, word("the name of an interface").of(RefInterface)))},
		{"id", "IEEE 802.1Q number", required(scalar(&v.id, integer("a VLAN id", 1, 4094)))},
	}
}

type fileBond struct {
	mode    field[string]
	members field[[]field[string]]
	miimon  field[time.Duration]
}

func (b *fileBond) keys() []key {
	return []key{
		{"mode", "how the members share the traffic", scalar(&b.mode, choice("bond mode", nil, bondModes()...).otherwise(defaultBondMode))},
		{"members", "the interfaces that make the bond",
			required(scalars(&b.members, word("the name of an interface").of(RefInterface)))},
		{"miimon", "how often the members' links are looked at",
			scalar(&b.miimon, duration("a time", time.Millisecond, time.Minute, time.Millisecond).otherwise(durationText(defaultMIIMon)))},
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
		{"to", "default or a network", required(scalar(&r.to, typed(TypePrefix, "default", routeTo)))},
		{"via", "the next router's address", scalar(&r.via, typed(TypeAddress, "192.168.4.254", hostAddress).otherwise("the network is on the link"))},
		{"interface", "the interface through which packets leave",
			scalar(&r.outgoing, word("the name of an interface").of(RefInterface).otherwise("the one that reaches via"))},
		{"metric", "of two routes to one network, the lowest is used", scalar(&r.metric, integer("a metric", 0, 1<<32-1).otherwise("0"))},
	}
}

type fileService struct {
	listen         field[[]field[Listen]]
	fwmark         field[int]
	family         field[Family]
	protocols      field[[]field[Protocol]]
	scheduler      field[string]
	schedulerFlags field[[]field[string]]
	persistence    field[filePersistence]
	onePacket      field[bool]
	onDown         field[OnDown]
	assign         field[bool]
	forward        field[Forward]
	tunnel         field[fileTunnel]
	realServers    field[[]field[fileRealServer]]
}

func (s *fileService) keys() []key {
	return []key{
		{"listen", "VIP and port; also a range of ports, a network of VIPs, or a list of these",
			oneOrMore(&s.listen, typed(TypeEndpoint, "192.168.4.15:80", listenAddress))},
		{"fwmark", "firewall mark that packets of this service carry",
			scalar(&s.fwmark, integer("a firewall mark", 1, 1<<32-1).otherwise("none, or one from the range of the service's name"))},
		{"family", "of a firewall mark that is set elsewhere",
			scalar(&s.family, choice("address family", nil, IPv4, IPv6).otherwise("that of listen"))},
		{"protocol", "the transport; several for a firewall mark",
			oneOrMore(&s.protocols, choice("protocol", nil, protocols()...).otherwise(string(TCP)))},
		{"scheduler", "which real server gets the next connection",
			scalar(&s.scheduler, choice("scheduler", nil, schedulers()...).otherwise(defaultScheduler))},
		{"scheduler-flags", "variations of the scheduler",
			scalars(&s.schedulerFlags, choice("scheduler flag", flagSynonyms(), schedulerFlags()...).otherwise("[fallback] for sh and mh"))},
		{"persistence", "keeps a client at its real server", section(&s.persistence, (*filePersistence).keys)},
		{"one-packet", "schedules every UDP packet by itself", scalar(&s.onePacket, truth().otherwise("false"))},
		{"on-down", "what becomes of a failed real server's connections",
			scalar(&s.onDown, choice("way to take a real server out", nil, Drain, Reset, Keep).otherwise("drain; reset for udp"))},
		{"assign", "add the VIP to this machine; false: it is delivered here by other means", scalar(&s.assign, truth().otherwise("true"))},
		{"forward", "how packets reach the real servers",
			required(scalar(&s.forward, choice("forwarding method", forwardSynonyms(), DR, NAT, TUN)))},
		{"tunnel", "what packets are wrapped into", section(&s.tunnel, (*fileTunnel).keys)},
		{"real-servers", "the machines that serve", sections(&s.realServers, (*fileRealServer).keys, "address", "port")},
	}
}

type filePersistence struct {
	timeout field[time.Duration]
	netmask field[int]
	prefix  field[int]
	engine  field[string]
}

func (p *filePersistence) keys() []key {
	return []key{
		{"timeout", "how long a client is remembered",
			scalar(&p.timeout, duration("a time", time.Second, MaxPersistence, time.Second).otherwise(durationText(defaultPersistence)))},
		{"netmask", "the part of an IPv4 client's address that counts",
			scalar(&p.netmask, typed(TypeMask, "255.255.255.0", netmask).otherwise("255.255.255.255"))},
		{"prefix-length", "the part of an IPv6 client's address that counts",
			scalar(&p.prefix, integer("a prefix length in bits", 1, 128).otherwise("128"))},
		{"engine", "what tells clients apart instead of their address",
			scalar(&p.engine, choice("persistence engine", nil, "sip").otherwise("none"))},
	}
}

type fileTunnel struct {
	encapsulation  field[Encapsulation]
	port           field[int]
	checksum       field[bool]
	remoteChecksum field[bool]
}

func (t *fileTunnel) keys() []key {
	return []key{
		{"type", "the outer header", scalar(&t.encapsulation, choice("tunnel type", nil, IPIP, GUE, GRE).otherwise(string(IPIP)))},
		{"port", "gue, which must have one: the UDP port at the real server, usually 6080", scalar(&t.port, integer("a UDP port", 1, 65535))},
		{"checksum", "gue and gre: a checksum in the outer header", scalar(&t.checksum, truth().otherwise("false"))},
		{"remote-checksum", "gue: remote checksum offload", scalar(&t.remoteChecksum, truth().otherwise("false"))},
	}
}

type fileRealServer struct {
	address field[endpoint]
	port    field[int]
	weight  field[int]
	forward field[Forward]
	tunnel  field[fileTunnel]
	upper   field[int]
	lower   field[int]
	verify  field[bool]
}

func (r *fileRealServer) keys() []key {
	return []key{
		{"address", "the RIP, with a port or without",
			required(scalar(&r.address, typed(TypeEndpoint, "192.168.4.100", realServerAddress)))},
		{"port", "where the real server listens", scalar(&r.port, typed(TypeNumber, "8080", destinationPort).otherwise("the service's port"))},
		{"weight", "its share of the connections; 0: no new ones", scalar(&r.weight, integer("a weight", 0, maxWeight).otherwise("1"))},
		{"forward", "how packets reach this real server",
			scalar(&r.forward, choice("forwarding method", forwardSynonyms(), DR, NAT, TUN).otherwise("the service's"))},
		{"tunnel", "what packets for this real server are wrapped into", section(&r.tunnel, (*fileTunnel).keys)},
		{"upper-threshold", "no new connections at this many; 0: no bound",
			scalar(&r.upper, integer("a number of connections", 0, maxWeight).otherwise("0"))},
		{"lower-threshold", "new connections again below this many; 0: at three quarters",
			scalar(&r.lower, integer("a number of connections", 0, maxWeight).otherwise("0"))},
		{"verify", "demand that a network or route of this file leads there", scalar(&r.verify, truth().otherwise("true"))},
	}
}

type fileVirtualAddress struct {
	address field[netip.Addr]
	forward field[Forward]
	tunnel  field[fileTunnel]
	through field[Family]
}

func (v *fileVirtualAddress) keys() []key {
	return []key{
		{"address", "the VIP", required(scalar(&v.address, typed(TypeAddress, "192.168.4.15", virtualAddress)))},
		{"forward", "as in the director's service",
			required(scalar(&v.forward, choice("forwarding method", forwardSynonyms(), DR, TUN, NAT)))},
		{"tunnel", "as in the director's service", section(&v.tunnel, (*fileTunnel).keys)},
		{"through", "the tunnel's family, where it is not the VIP's",
			scalar(&v.through, choice("address family", nil, IPv4, IPv6).otherwise("that of address"))},
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
		{"protocol", "what the listener speaks", required(scalar(&r.protocol, choice("protocol", nil, ServeHTTP, ServeTCPEcho, ServeUDPEcho)))},
		{"port", "where it listens", scalar(&r.port, integer("a port", 1, 65535).otherwise("80 for http, 7 for an echo"))},
		{"address", "an address of this machine", scalar(&r.address, typed(TypeAddress, "192.168.4.100", hostAddress).otherwise("all of them"))},
		{"body", "http: the answer to every GET", scalar(&r.body, text("a text"))},
		{"file", "http: a file to answer with instead", scalar(&r.file, typed(TypeWord, "/etc/dipper/page.html", absolutePath))},
		{"size", "http: answer with this much generated text instead", scalar(&r.size, integer("a number of bytes", 1, maxGenerated))},
		{"status", "http: the status code", scalar(&r.status, integer("an HTTP status", 200, 599).otherwise("200"))},
	}
}

type fileIPVS struct {
	timeouts field[fileTimeouts]
	drift    field[Drift]
	sync     field[fileSync]
	settings field[fileSettings]
}

func (i *fileIPVS) keys() []key {
	return []key{
		{"timeouts", "how long idle connections are kept", section(&i.timeouts, (*fileTimeouts).keys)},
		{"drift", "what to do with edits that others made", scalar(&i.drift, choice("way to treat drift", nil, Repair, Adopt, Report).otherwise(string(Repair)))},
		{"sync", "the kernel's connection synchronisation", section(&i.sync, (*fileSync).keys)},
		{"settings", "the kernel's settings of IPVS", section(&i.settings, (*fileSettings).keys)},
	}
}

type fileTimeouts struct {
	tcp, tcpFin, udp field[time.Duration]
}

func (t *fileTimeouts) keys() []key {
	timeout := func(into *field[time.Duration], otherwise time.Duration) reader {
		return scalar(into, duration("a time", time.Second, maxTimeout, time.Second).otherwise(durationText(otherwise)))
	}
	usual := defaultTimeouts()
	return []key{
		{"tcp", "established TCP connections", timeout(&t.tcp, usual.TCP)},
		{"tcp-fin", "TCP connections after a FIN", timeout(&t.tcpFin, usual.TCPFin)},
		{"udp", "UDP flows", timeout(&t.udp, usual.UDP)},
	}
}

type fileSync struct {
	master, backup field[fileSyncDaemon]
}

func (s *fileSync) keys() []key {
	return []key{
		{"master", "sends the connections of this director", section(&s.master, (*fileSyncDaemon).keys)},
		{"backup", "receives those of another", section(&s.backup, (*fileSyncDaemon).keys)},
	}
}

type fileSyncDaemon struct {
	link      field[string]
	id        field[int]
	group     field[netip.Addr]
	port      field[int]
	ttl       field[int]
	maxLength field[int]
}

func (s *fileSyncDaemon) keys() []key {
	usual := defaultSyncDaemon()
	return []key{
		{"interface", "the interface that multicasts pass", required(scalar(&s.link, word("the name of an interface").of(RefInterface)))},
		{"id", "tells clusters on one network apart; 0 at a backup: every master", scalar(&s.id, integer("a sync id", 0, 255).otherwise("0"))},
		{"group", "multicast address", scalar(&s.group, typed(TypeAddress, "224.0.0.81", multicastGroup).otherwise(usual.Group.String()))},
		{"port", "UDP port", scalar(&s.port, integer("a UDP port", 1, 65535).otherwise("8848"))},
		{"ttl", "how many routers the multicasts may pass", scalar(&s.ttl, integer("a number of hops", 1, 255).otherwise("1"))},
		{"max-length", "the longest message", scalar(&s.maxLength, integer("a length in bytes", 1, maxSyncLength).otherwise("what fits the interface"))},
	}
}

type fileManagement struct {
	ssh field[fileSSH]
}

func (m *fileManagement) keys() []key {
	return []key{{"ssh", "the SSH server", section(&m.ssh, (*fileSSH).keys)}}
}

type fileSSH struct {
	listen      field[[]field[SSHListen]]
	hostKeys    field[[]field[Secret]]
	authorities field[[]field[string]]
	revoked     field[[]field[Revocation]]
	users       field[[]named[fileUser]]
	idle        field[time.Duration]
	handshake   field[time.Duration]
	connections field[int]
	perAddress  field[int]
	perMinute   field[int]
}

func (s *fileSSH) keys() []key {
	usual := defaultSSH()
	number := func(into *field[int], what string, high, otherwise int) reader {
		return scalar(into, integer(what, 1, high).otherwise(itoa(otherwise)))
	}
	return []key{
		{"listen", "addresses, networks or interfaces, with a port or without",
			oneOrMore(&s.listen, typed(TypeEndpoint, "192.168.4.5:22", sshListen).otherwise("port 22 of every own address that is no VIP"))},
		{"host-key", "the machine's private key; of several the first is used and the others are announced",
			secret(oneOrMore(&s.hostKeys, typed(TypeText, "", hostKey).otherwise("made at the first boot")))},
		{"certificate-authorities", "public keys whose certificates are taken", scalars(&s.authorities, typed(TypeText, "ssh-ed25519 AAAA...", keyLine))},
		{"revoked", "keys and certificates that count no more", scalars(&s.revoked, typed(TypeText, "serial:42", revocation))},
		{"users", "who may log in", entries(&s.users, "the name of a user", userName, (*fileUser).keys)},
		{"idle-timeout", "ends a session in which nobody types", scalar(&s.idle, duration("a time", time.Second, maxIdle, time.Second).otherwise(durationText(usual.IdleTimeout)))},
		{"handshake-timeout", "how long a client may take to log in", scalar(&s.handshake, duration("a time", time.Second, time.Hour, time.Second).otherwise(durationText(usual.HandshakeTimeout)))},
		{"max-connections", "open connections in all", number(&s.connections, "a number of connections", 10000, usual.MaxConnections)},
		{"max-per-address", "open connections of one client address", number(&s.perAddress, "a number of connections", 10000, usual.MaxPerAddress)},
		{"max-per-minute", "new connections of one client address in a minute", number(&s.perMinute, "a number of connections", 100000, usual.MaxPerMinute)},
	}
}

type fileUser struct {
	role       field[UserRole]
	keyLines   field[[]field[string]]
	password   field[Secret]
	principals field[[]field[string]]
}

func (u *fileUser) keys() []key {
	return []key{
		{"role", "what the user may do", required(scalar(&u.role, choice("role", nil, Viewer, Operator, Admin)))},
		{"keys", "public keys, as lines of authorized_keys", scalars(&u.keyLines, typed(TypeText, "ssh-ed25519 AAAA... comment", keyLine))},
		{"password-hash", "argon2id or bcrypt hash of a password", secret(scalar(&u.password, typed(TypeText, "$argon2id$...", passwordHash)))},
		{"principals", "names that a certificate may carry for this user", scalars(&u.principals, typed(TypeWord, "admin", principal).otherwise("the user's name"))},
	}
}
