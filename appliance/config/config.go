// Package config owns the configuration of a machine: its types, strict
// parsing from YAML, validation, difference and rendering.
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
	VirtualAddresses []VirtualAddress // real server: in the file's order
	Serve            []Responder      // real server: in the file's order
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

// The transports that a listen address with a port can have.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
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
}

// Service is one virtual service of a director.
type Service struct {
	Name        string
	Listen      netip.AddrPort // VIP and port
	Protocol    Protocol
	Scheduler   string  // kernel's name: "wrr", "wlc", ...
	Forward     Forward // default of its real servers
	Tunnel      Tunnel  // for forward tun
	RealServers []RealServer
}

// RealServer is one destination of a Service, defaults filled in.
type RealServer struct {
	Address netip.Addr
	Port    uint16 // the service's port unless forward nat translates it
	Weight  int    // 0 to 2147483647; 0 takes no new connections
}

// VirtualAddress is a VIP that a real server answers for without announcing it.
type VirtualAddress struct {
	Address netip.Addr
	Forward Forward // DR or TUN
	Tunnel  Tunnel  // for TUN: what must be decapsulated
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
