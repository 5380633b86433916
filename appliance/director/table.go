package director

import (
	"fmt"
	"net/netip"
	"time"

	"dipper/appliance/config"
	"dipper/appliance/ipvs"
)

// tableService is a service as the table has it. made are its real servers, if
// they were made before; nil if not.
func tableService(s *config.Service, made []ipvs.RealServer) ipvs.Service {
	out := service(*s)
	if out.RealServers = made; made == nil && len(s.RealServers) > 0 {
		out.RealServers = realServers(*s)
	}
	return out
}

// realServers are those of a service, in canonical order.
func realServers(s config.Service) []ipvs.RealServer {
	servers := make([]ipvs.RealServer, 0, len(s.RealServers))
	for _, r := range s.RealServers {
		servers = append(servers, realServer(r))
	}
	ipvs.SortRealServers(servers)
	return servers
}

// KeyOf returns what identifies a service of the configuration to the kernel.
func KeyOf(s config.Service) ipvs.Key {
	if s.FWMark != 0 {
		return ipvs.Key{Address: unspecified(s.Family), FWMark: s.FWMark}
	}
	listen := s.Listen[0]
	return ipvs.Key{
		Protocol: ipvs.ProtocolByName(string(s.Protocols[0])),
		Address:  listen.Prefix.Addr(),
		Port:     listen.First,
	}
}

func unspecified(f config.Family) netip.Addr {
	if f == config.IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// service is a service without its real servers.
func service(s config.Service) ipvs.Service {
	out := ipvs.Service{
		Key:       KeyOf(s),
		Scheduler: s.Scheduler,
		Flags:     schedulerFlags(s.SchedulerFlags),
	}
	if s.OnePacket {
		out.Flags |= ipvs.OnePacket
	}
	if p := s.Persistence; p != nil {
		out.Flags |= ipvs.Persistent
		out.Timeout = uint32(p.Timeout / time.Second)
		out.Netmask = granularity(s.Family, p.PrefixLength)
		out.Engine = p.Engine
	}
	return out
}

// granularity is the kernel's netmask: a mask for IPv4, a length for IPv6.
func granularity(family config.Family, bits int) uint32 {
	if family == config.IPv6 {
		return uint32(bits)
	}
	return ^uint32(0) << (32 - bits)
}

// schedulerFlags gives the bits of flags by name. Without fallback, the kernel
// refuses a client whose real server has weight 0 with an ICMP port
// unreachable, though other real servers could serve.
func schedulerFlags(names []string) ipvs.Flags {
	var flags ipvs.Flags
	for _, name := range names {
		switch name {
		case "fallback", "flag-1":
			flags |= ipvs.SchedulerFlag1
		case "port", "flag-2":
			flags |= ipvs.SchedulerFlag2
		case "flag-3":
			flags |= ipvs.SchedulerFlag3
		default:
			panic(fmt.Sprintf("BUG: director: a valid configuration with the scheduler flag %q", name))
		}
	}
	return flags
}

func realServer(r config.RealServer) ipvs.RealServer {
	out := ipvs.RealServer{
		Address:        r.Address,
		Port:           r.Port,
		Forward:        Forwarding(r.Forward),
		Weight:         uint32(r.Weight),
		UpperThreshold: uint32(r.UpperThreshold),
		LowerThreshold: uint32(r.LowerThreshold),
	}
	if r.Forward == config.TUN {
		out.Tunnel = tunnel(r.Tunnel)
	}
	return out
}

// Forwarding is the kernel's number of a way to forward.
func Forwarding(f config.Forward) ipvs.Forward {
	switch f {
	case config.NAT:
		return ipvs.NAT
	case config.DR:
		return ipvs.DR
	case config.TUN:
		return ipvs.TUN
	}
	panic(fmt.Sprintf("BUG: director: a valid configuration with forward %q", f))
}

func tunnel(t config.Tunnel) ipvs.Tunnel {
	return ipvs.Tunnel{Type: encapsulation(t.Type), Port: t.Port, Checksum: t.Checksum, RemoteChecksum: t.RemoteChecksum}
}

func encapsulation(e config.Encapsulation) ipvs.TunnelType {
	switch e {
	case config.GUE:
		return ipvs.GUE
	case config.GRE:
		return ipvs.GRE
	}
	return ipvs.IPIP
}
