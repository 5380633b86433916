package director

import (
	"fmt"

	"dipper/appliance/config"
	"dipper/appliance/ipvs"
)

// table translates services into an IPVS table.
func table(services []config.Service) ipvs.Table {
	var t ipvs.Table
	for _, s := range services {
		t.Services = append(t.Services, service(s))
	}
	return t.Canonical()
}

func service(s config.Service) ipvs.Service {
	out := ipvs.Service{
		Key: ipvs.Key{
			Protocol: ipvs.ProtocolByName(string(s.Protocol)),
			Address:  s.Listen.Addr(),
			Port:     s.Listen.Port(),
		},
		Scheduler: s.Scheduler,
		Flags:     schedulerFlags(s.Scheduler),
	}
	for _, r := range s.RealServers {
		out.RealServers = append(out.RealServers, realServer(s, r))
	}
	return out
}

// schedulerFlags lets sh and mh fall back to another real server when the one
// that a client hashes to has weight 0. Without it the kernel refuses such a
// client with an ICMP port unreachable, though other real servers could serve.
func schedulerFlags(scheduler string) ipvs.Flags {
	if scheduler == "sh" || scheduler == "mh" {
		return ipvs.SchedulerFlag1
	}
	return 0
}

func realServer(s config.Service, r config.RealServer) ipvs.RealServer {
	out := ipvs.RealServer{
		Address: r.Address,
		Port:    r.Port,
		Forward: forward(s.Forward),
		Weight:  uint32(r.Weight),
	}
	if s.Forward == config.TUN {
		out.Tunnel = tunnel(s.Tunnel)
	}
	return out
}

func forward(f config.Forward) ipvs.Forward {
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
	switch t.Type {
	case config.GUE:
		return ipvs.Tunnel{Type: ipvs.GUE, Port: t.Port, Checksum: t.Checksum}
	case config.GRE:
		return ipvs.Tunnel{Type: ipvs.GRE, Checksum: t.Checksum}
	default:
		return ipvs.Tunnel{}
	}
}
