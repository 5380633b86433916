package appliance

import (
	"context"
	"fmt"
	"math/bits"
	"net/netip"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/ipvs"
)

// Services joins what the kernel has and counts with the configuration.
func (b *backend) Services(ctx context.Context) ([]api.Service, error) {
	in, err := b.reconciler.configured()
	if err != nil || in.config.Role != config.RoleDirector {
		return []api.Service{}, nil
	}
	table, err := b.reconciler.table.get()
	if err != nil {
		return nil, err
	}
	stats, err := table.Statistics(ctx)
	if err != nil {
		return nil, fmt.Errorf("ipvs: %w", err)
	}
	configured := servicesByKey(in.config)
	all := make([]api.Service, 0, len(stats))
	for _, s := range stats {
		all = append(all, describeService(in.verbs, configured[s.Key], s))
	}
	return all, nil
}

// servicesByKey are a configuration's services by what the kernel knows them by.
func servicesByKey(cfg *config.Config) map[ipvs.Key]*config.Service {
	services := make(map[ipvs.Key]*config.Service, len(cfg.Services))
	for i := range cfg.Services {
		services[director.KeyOf(cfg.Services[i])] = &cfg.Services[i]
	}
	return services
}

// describeService is a service as the kernel has it, and as the configuration
// and the verbs explain it; configured is nil for a foreign one.
func describeService(said verbs, configured *config.Service, s ipvs.ServiceStatistics) api.Service {
	out := api.Service{
		Protocol:    s.Protocol.String(),
		Listen:      listenText(s.Key),
		Scheduler:   s.Scheduler,
		Persistence: persistenceText(s.Service),
		Statistics:  statistics(s.Counters),
		RealServers: make([]api.RealServer, 0, len(s.RealServers)),
	}
	servers := make(map[serverID]config.RealServer)
	if configured != nil {
		out.Name = configured.Name
		out.Flags = configured.SchedulerFlags
		for _, r := range configured.RealServers {
			servers[idOf(configured.Name, r)] = r
		}
	}
	if s.Flags&ipvs.OnePacket != 0 {
		out.Flags = append(out.Flags[:len(out.Flags):len(out.Flags)], "one-packet")
	}
	for _, r := range s.RealServers {
		id := serverID{out.Name, r.Address, r.Port}
		c, known := servers[id]
		out.RealServers = append(out.RealServers, describeServer(r, c, known, said[id]))
		delete(servers, id)
	}
	if configured == nil {
		return out
	}
	for _, r := range configured.RealServers { // what is not in the kernel's table
		id := idOf(out.Name, r)
		if _, absent := servers[id]; absent {
			out.RealServers = append(out.RealServers, absentServer(r, said[id]))
		}
	}
	return out
}

// The states of a real server.
const (
	stateUp       = "up"
	stateDrained  = "drained"
	stateDisabled = "disabled"
	stateDown     = "down"
	stateForeign  = "foreign"
)

func describeServer(r ipvs.RealServerStatistics, configured config.RealServer, known bool, v verb) api.RealServer {
	out := api.RealServer{
		Address:        netip.AddrPortFrom(r.Address, r.Port).String(),
		Forward:        r.Forward.String(),
		Weight:         r.Weight,
		Configured:     uint32(configured.Weight),
		State:          stateUp,
		Reason:         v.reason(),
		UpperThreshold: r.UpperThreshold,
		LowerThreshold: r.LowerThreshold,

		ActiveConnections:     r.ActiveConnections,
		InactiveConnections:   r.InactiveConnections,
		PersistentConnections: r.PersistentConnections,

		Statistics: statistics(r.Counters),
	}
	switch {
	case !known:
		out.State, out.Configured = stateForeign, r.Weight
	case r.Weight == 0:
		out.State = stateDrained
		if out.Reason == "" {
			out.Reason = "weight 0 in the configuration"
		}
	}
	return out
}

// absentServer is a real server that the kernel does not have.
func absentServer(r config.RealServer, v verb) api.RealServer {
	out := api.RealServer{
		Address:    netip.AddrPortFrom(r.Address, r.Port).String(),
		Forward:    director.Forwarding(r.Forward).String(),
		Configured: uint32(r.Weight),
		State:      stateDown,
		Reason:     "the kernel does not have it",
	}
	if v.Verb == api.Disable {
		out.State, out.Reason = stateDisabled, v.reason()
	}
	return out
}

// reason says what an operator made of a real server.
func (v verb) reason() string {
	switch v.Verb {
	case api.Drain:
		return "drained by an operator"
	case api.Disable:
		return "disabled by an operator"
	case api.Weigh:
		return fmt.Sprintf("given weight %d by an operator", v.Weight)
	}
	return ""
}

// listenText is what the kernel knows a service by, in words.
func listenText(k ipvs.Key) string {
	if k.FWMark == 0 {
		return netip.AddrPortFrom(k.Address, k.Port).String()
	}
	if k.Address.Is6() {
		return fmt.Sprintf("fwmark %d ipv6", k.FWMark)
	}
	return fmt.Sprintf("fwmark %d", k.FWMark)
}

// persistenceText is "6m0s /24 sip"; "" without persistence.
func persistenceText(s ipvs.Service) string {
	if s.Flags&ipvs.Persistent == 0 {
		return ""
	}
	length := int(s.Netmask)
	if s.Address.Is4() {
		length = bits.OnesCount32(s.Netmask)
	}
	text := fmt.Sprintf("%s /%d", time.Duration(s.Timeout)*time.Second, length)
	if s.Engine != "" {
		text += " " + s.Engine
	}
	return text
}

func statistics(c ipvs.Counters) api.Statistics {
	return api.Statistics{
		Connections: c.Connections,
		InPackets:   c.InPackets,
		OutPackets:  c.OutPackets,
		InBytes:     c.InBytes,
		OutBytes:    c.OutBytes,

		ConnectionRate: c.ConnectionRate,
		InPacketRate:   c.InPacketRate,
		OutPacketRate:  c.OutPacketRate,
		InByteRate:     c.InByteRate,
		OutByteRate:    c.OutByteRate,
	}
}
