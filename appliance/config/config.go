// Package config owns the configuration of a machine: its types, strict
// parsing from YAML, validation, difference and rendering, and the schema that
// completion, editors and the reference are made of.
//
// It is pure: it opens no file, asks no kernel and knows nothing of where the
// bytes came from or what will be made of them. Every value that leaves Parse
// is valid and complete (defaults filled in), so that its users check nothing
// again.
package config

import (
	"net/netip"
	"time"
)

// Config is one machine's whole configuration.
type Config struct {
	Role             Role
	Hostname         string
	Network          Network
	Services         []Service        // director: sorted by name
	IPVS             IPVS             // director
	VirtualAddresses []VirtualAddress // real server: in the file's order
	Serve            []Responder      // real server: in the file's order
	Management       Management
}

// Role is what the machine is in its cluster.
type Role string

// The two roles.
const (
	RoleDirector   Role = "director"
	RoleRealServer Role = "real-server"
)

// Network is how the machine is connected: without any VIP, which belong to
// services (director) and virtual addresses (real server).
type Network struct {
	Interfaces  []Interface // sorted by name
	Routes      []Route     // in the file's order
	NameServers []netip.Addr
}

// Interface is one link. Exactly one of VLAN and Bond may be set; a plain
// interface has neither.
type Interface struct {
	Name      string
	Match     Match          // how to find a physical link; zero: by Name
	Addresses []netip.Prefix // own addresses with their prefix length
	DHCP      bool           // IPv4 lease
	AcceptRA  bool           // IPv6 router advertisements
	MTU       int            // 0: as the driver has it
	VLAN      *VLAN
	Bond      *Bond
}

// Match names a physical link by what it is instead of by the kernel's name;
// the link found is renamed to the interface's name.
type Match struct {
	MAC    string // "52:54:00:00:00:01", lower case
	Driver string // "virtio_net"; must match exactly one link
}

// VLAN is an IEEE 802.1Q interface on top of another.
type VLAN struct {
	Parent string // name of an interface of the same config
	ID     int    // 1 to 4094
}

// Bond is a bonding interface over others.
type Bond struct {
	Mode    string        // "802.3ad", "active-backup", "balance-xor", ...
	Members []string      // names of interfaces of the same config
	MIIMon  time.Duration // link check interval, 100 ms by default
}

// Route is a static route.
type Route struct {
	To        netip.Prefix // "default" is 0.0.0.0/0 or ::/0, by the family of Via
	Via       netip.Addr   // the zero Addr: on-link through Interface
	Interface string       // "": the kernel finds it through Via
	Metric    int          // 0: the kernel's default
}

// Protocol is a virtual service's transport.
type Protocol string

// The transports of the kernel's IPVS. AH and ESP have no ports.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
	AH   Protocol = "ah"
	ESP  Protocol = "esp"
)

// Family is a family of addresses.
type Family string

// The families. Firewall marks of the two are apart.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// OnDown is what becomes of a failed real server in the kernel's table.
type OnDown string

// What can become of it: its connections go on with Drain, end with Reset,
// and new ones still go to it with Keep.
const (
	Drain OnDown = "drain" // weight 0
	Reset OnDown = "reset" // deleted, its connections expired
	Keep  OnDown = "keep"  // left as it is
)

// Forward is how packets reach a real server.
type Forward string

// The forwarding methods of LVS.
const (
	NAT Forward = "nat"
	DR  Forward = "dr"
	TUN Forward = "tun"
)

// Encapsulation is what a tunnelled packet is wrapped in.
type Encapsulation string

// The encapsulations that the kernel's IPVS offers (ip_vs.h, IP_VS_CONN_F_TUNNEL_TYPE_*).
const (
	IPIP Encapsulation = "ipip"
	GUE  Encapsulation = "gue"
	GRE  Encapsulation = "gre"
)

// Tunnel says how forward tun encapsulates. Its zero value is plain IPIP.
type Tunnel struct {
	Type     Encapsulation
	Port     uint16 // GUE: UDP port on the real server
	Checksum bool   // GUE and GRE: checksum in the outer header
	// RemoteChecksum is GUE's remote checksum offload, which includes Checksum.
	RemoteChecksum bool
}

// Service is one virtual service of a director. The kernel finds it by a
// firewall mark if it has one, and otherwise by its only Listen and Protocol.
type Service struct {
	Name   string
	Listen []Listen // none: somebody else's rules set the mark
	// FWMark is the firewall mark, 0 for none. MarkAssigned says that it was
	// chosen for the service's name and not written.
	FWMark         uint32
	MarkAssigned   bool
	Family         Family     // of Listen, or as written
	Protocols      []Protocol // one, except for a mark
	Scheduler      string     // kernel's name: "wrr", "wlc", ...
	SchedulerFlags []string   // in the order of the flags: "fallback", "port", "flag-3"
	Persistence    *Persistence
	OnePacket      bool
	OnDown         OnDown
	Assign         bool    // VIPs are added to this machine
	Forward        Forward // default of its real servers
	Tunnel         Tunnel  // for forward tun
	RealServers    []RealServer
}

// Listen is where a service takes packets: one VIP or a network of them, and
// ports from First to Last, 0 to 0 for all of them.
type Listen struct {
	Prefix      netip.Prefix // one VIP: its whole length
	First, Last uint16
}

// Persistence keeps a client at its real server.
type Persistence struct {
	Timeout      time.Duration // whole seconds
	PrefixLength int           // how many bits of a client's address count
	Engine       string        // "sip" or ""
}

// RealServer is one destination of a Service, defaults filled in.
type RealServer struct {
	Address        netip.Addr
	Port           uint16 // the service's port unless forward nat translates it; 0: the client's
	Weight         int    // 0 to 2147483647; 0 takes no new connections
	Forward        Forward
	Tunnel         Tunnel // for forward tun
	UpperThreshold int    // connections; 0: none
	LowerThreshold int
	Verify         bool // a network or a route of the configuration leads there
}

// IPVS is what concerns the kernel's whole table.
type IPVS struct {
	Timeouts Timeouts
	Drift    Drift
	Sync     Sync
	Settings Settings
}

// Timeouts are how long idle connections are kept, in whole seconds.
type Timeouts struct {
	TCP, TCPFin, UDP time.Duration
}

// Drift is what to do with edits that others made to the kernel's table.
type Drift string

// What can be done: put the table back, take the edits over into the running
// configuration, or only tell.
const (
	Repair Drift = "repair"
	Adopt  Drift = "adopt"
	Report Drift = "report"
)

// Sync is the kernel's connection synchronisation; nil daemons do not run.
type Sync struct {
	Master, Backup *SyncDaemon
}

// SyncDaemon is one side of it.
type SyncDaemon struct {
	Interface string
	ID        int // 0 to 255; 0 at a backup: every master
	Group     netip.Addr
	Port      uint16
	TTL       int
	MaxLength int // bytes; 0: what fits the interface
}

// VirtualAddress is a VIP that a real server answers for without announcing it.
type VirtualAddress struct {
	Address netip.Addr
	Forward Forward // DR or TUN
	Tunnel  Tunnel  // for TUN: what must be decapsulated
	Through Family  // for TUN: of the outer packets, that of the RIP
}

// ResponderProtocol is what a Responder speaks.
type ResponderProtocol string

// The protocols of the built-in responder.
const (
	ServeHTTP    ResponderProtocol = "http"
	ServeTCPEcho ResponderProtocol = "tcp-echo"
	ServeUDPEcho ResponderProtocol = "udp-echo"
)

// Responder is one listener of the built-in responder, for tests and sorry pages.
type Responder struct {
	Protocol ResponderProtocol
	Address  netip.Addr // the zero Addr: all addresses, both families
	Port     uint16
	Body     string // http: the answer to every GET
	File     string // http: a file to serve instead of Body
	Size     int64  // http: bytes of generated text to serve instead of Body; 0: none
	Status   int    // http: status code, 200 by default
}
