// Package ipvs owns the kernel's IPVS table: its model, reading it, planning
// the smallest set of in-place edits from an observed to a desired table, and
// applying that plan. It is the only importer of moby/ipvs and speaks IPVS
// generic netlink; it knows nothing of configurations or roles.
package ipvs

import "net/netip"

// Table is an IPVS table: virtual services in canonical order.
type Table struct {
	Services []Service
}

// Protocol is an IP protocol number that IPVS balances.
type Protocol uint8

// The protocols of virtual services (RFC 5237 numbers).
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// Key identifies a virtual service to the kernel.
type Key struct {
	Protocol Protocol
	Address  netip.Addr
	Port     uint16
}

// Service is one virtual service and its real servers, in canonical order.
type Service struct {
	Key
	Scheduler   string
	RealServers []RealServer
}

// Forward is a forwarding method (uapi/linux/ip_vs.h, IP_VS_CONN_F_FWD_MASK).
type Forward uint32

// The forwarding methods that a real server can have.
const (
	NAT Forward = 0 // IP_VS_CONN_F_MASQ
	TUN Forward = 2 // IP_VS_CONN_F_TUNNEL
	DR  Forward = 3 // IP_VS_CONN_F_DROUTE
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
	Type     TunnelType
	Port     uint16 // GUE: UDP destination port
	Checksum bool   // GUE and GRE
}

// RealServer is one destination of a Service.
type RealServer struct {
	Address        netip.Addr
	Port           uint16
	Forward        Forward
	Tunnel         Tunnel
	Weight         uint32 // 0 to 2147483647
	UpperThreshold uint32 // connections; 0: none
	LowerThreshold uint32
}
