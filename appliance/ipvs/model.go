// Package ipvs owns the kernel's IPVS: the model of its table, reading it,
// planning the smallest set of in-place edits from an observed to a desired
// table, applying that plan and noticing the edits of others; its timeouts,
// synchronisation daemons, counters and connections. It is the only package
// that speaks IPVS generic netlink; it knows nothing of configurations or roles.
//
// The codec (attributes to model and back), the plan, the parser of connections
// and the texts are pure. Kernel is the edge, Mirror remembers for it, and Fake
// stands in for it in tests: it refuses what the kernel refuses.
package ipvs

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
)

// Table is an IPVS table: virtual services in canonical order.
type Table struct {
	Services []Service
}

// Protocol is an IP protocol number that IPVS balances.
type Protocol uint8

// The protocols of virtual services (IANA protocol numbers). AH and ESP are
// balanced only through firewall marks or port 0.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	ESP  Protocol = 50
	AH   Protocol = 51
	SCTP Protocol = 132
)

// Key identifies a virtual service to the kernel: by protocol, address and
// port, or by a firewall mark. With a mark, Protocol and Port are zero and
// Address is the unspecified address of the family ("0.0.0.0" or "::"), since
// the kernel holds marks of IPv4 and of IPv6 apart.
type Key struct {
	Protocol Protocol
	Address  netip.Addr
	Port     uint16
	FWMark   uint32
}

// Flags are the properties of a virtual service that the kernel keeps as bits
// (uapi/linux/ip_vs.h, IP_VS_SVC_F_*). The bit HASHED is the kernel's own and
// never appears here.
type Flags uint32

// The flags of a virtual service. What the three scheduler flags mean, the
// scheduler decides: sh and mh call them fallback and port.
const (
	Persistent     Flags = 0x01
	OnePacket      Flags = 0x04
	SchedulerFlag1 Flags = 0x08 // sh-fallback, mh-fallback
	SchedulerFlag2 Flags = 0x10 // sh-port, mh-port
	SchedulerFlag3 Flags = 0x20

	flagHashed Flags = 0x02 // kernel-owned: "is in the hash table"
)

// Service is one virtual service and its real servers, in canonical order.
type Service struct {
	Key
	Scheduler string // kernel's name; "none" for a service that never schedules
	Flags     Flags

	// Persistence: zero unless Flags has Persistent. Timeout is in seconds; the
	// kernel keeps ticks in 32 bits, and forgets what does not fit: 17,179,869
	// seconds do with its usual 250 ticks a second.
	// Netmask says which part of a client's address counts: for IPv4 a mask in
	// host order (0xffffff00), for IPv6 a prefix length from 1 to 128.
	Timeout uint32
	Netmask uint32
	Engine  string // persistence engine: "sip" or ""

	RealServers []RealServer
}

// Forward is a forwarding method (uapi/linux/ip_vs.h, IP_VS_CONN_F_FWD_MASK).
type Forward uint32

// The forwarding methods that a real server can have. Local is read from old
// kernels only; a desired table never holds it.
const (
	NAT   Forward = 0 // IP_VS_CONN_F_MASQ
	Local Forward = 1 // IP_VS_CONN_F_LOCALNODE
	TUN   Forward = 2 // IP_VS_CONN_F_TUNNEL
	DR    Forward = 3 // IP_VS_CONN_F_DROUTE
)

// TunnelType is the encapsulation of forwarding method TUN.
type TunnelType uint8

// The tunnel types (uapi/linux/ip_vs.h, IP_VS_CONN_F_TUNNEL_TYPE_*).
const (
	IPIP TunnelType = 0
	GUE  TunnelType = 1
	GRE  TunnelType = 2
)

// Tunnel is how forwarding method TUN encapsulates; zero for the others.
type Tunnel struct {
	Type           TunnelType
	Port           uint16 // GUE: UDP destination port
	Checksum       bool   // GUE and GRE
	RemoteChecksum bool   // GUE: remote checksum offload
}

// Target identifies a real server within its service.
type Target struct {
	Address netip.Addr
	Port    uint16
}

// RealServer is one destination of a Service.
type RealServer struct {
	Address        netip.Addr
	Port           uint16
	Forward        Forward
	Tunnel         Tunnel
	Weight         uint32 // 0 to 2147483647; 0 takes no new connections
	UpperThreshold uint32 // connections; 0: none
	LowerThreshold uint32
}

// Target returns what identifies r within its service.
func (r RealServer) Target() Target { return Target{r.Address, r.Port} }

// otherFamily tells whether r's address is not of the service's family, which
// takes a tunnel.
func (r RealServer) otherFamily(service Key) bool {
	return r.Address.Is4() != service.Address.Is4()
}

// Canonical returns t in canonical order, sharing nothing with t: services by
// family, protocol, address and port, those with a firewall mark last, and real
// servers by address and port.
func (t Table) Canonical() Table {
	copied := Table{Services: slices.Clone(t.Services)}
	for i := range copied.Services {
		copied.Services[i].RealServers = slices.Clone(copied.Services[i].RealServers)
	}
	copied.sort()
	return copied
}

// ByKey returns t with its services in canonical order: t itself, or a copy that
// shares its real servers.
func (t Table) ByKey() Table {
	return Table{Services: ordered(t.Services, compareServices)}
}

// Find returns where a table in canonical order has a service, or would have it.
func (t Table) Find(k Key) (place int, found bool) {
	return sort.Find(len(t.Services), func(i int) int { return k.Compare(&t.Services[i].Key) })
}

func (t Table) sort() {
	for i := range t.Services {
		SortRealServers(t.Services[i].RealServers)
	}
	slices.SortFunc(t.Services, func(a, b Service) int { return compareServices(&a, &b) })
}

// SortRealServers puts the real servers of a service into canonical order.
func SortRealServers(servers []RealServer) {
	if !isSorted(servers, compareRealServers) {
		slices.SortFunc(servers, func(a, b RealServer) int { return compareRealServers(&a, &b) })
	}
}

// entries counts virtual services and real servers.
func (t Table) entries() int {
	n := len(t.Services)
	for i := range t.Services {
		n += len(t.Services[i].RealServers)
	}
	return n
}

// ordered returns list where it is in order, else a sorted copy.
func ordered[E any](list []E, compare func(a, b *E) int) []E {
	if isSorted(list, compare) {
		return list
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b E) int { return compare(&a, &b) })
	return list
}

// isSorted is slices.IsSortedFunc without copies of large entries.
func isSorted[E any](list []E, compare func(a, b *E) int) bool {
	for i := 1; i < len(list); i++ {
		if compare(&list[i-1], &list[i]) > 0 {
			return false
		}
	}
	return true
}

func compareServices(a, b *Service) int { return a.Key.Compare(&b.Key) }

func compareRealServers(a, b *RealServer) int {
	if c := a.Address.Compare(b.Address); c != 0 {
		return c
	}
	return cmp.Compare(a.Port, b.Port)
}

// Compare orders keys as ipvsadm lists them. netip orders IPv4 before IPv6.
func (k *Key) Compare(other *Key) int {
	if k.Address == other.Address && k.Protocol == other.Protocol && k.FWMark == other.FWMark {
		return cmp.Compare(k.Port, other.Port) // most neighbours in a table
	}
	if c := cmp.Compare(min(k.FWMark, 1), min(other.FWMark, 1)); c != 0 { // marks last
		return c
	}
	if c := cmp.Compare(k.Address.BitLen(), other.Address.BitLen()); c != 0 {
		return c
	}
	if c := cmp.Compare(k.Protocol, other.Protocol); c != 0 {
		return c
	}
	if c := k.Address.Compare(other.Address); c != 0 {
		return c
	}
	if c := cmp.Compare(k.Port, other.Port); c != 0 {
		return c
	}
	return cmp.Compare(k.FWMark, other.FWMark)
}

// sameProperties tells whether a and b differ in nothing that an edit of the
// service itself could change: real servers do not count.
func (s *Service) sameProperties(other *Service) bool {
	return s.Key == other.Key &&
		s.Scheduler == other.Scheduler &&
		s.Flags == other.Flags &&
		s.Timeout == other.Timeout &&
		s.Netmask == other.Netmask &&
		s.Engine == other.Engine
}
