package appliance

import (
	"context"
	"net/netip"

	"dipper/appliance/config"
	"dipper/appliance/ipvs"
)

// ending tells the connections of real servers that were deleted from those
// that other services have to the same ones.
type ending struct {
	services map[ipvs.Key]*config.Service
	deleted  map[target]bool
}

// target is a service's real server. Services with a firewall mark are all the
// zero Key: the kernel's list of connections does not tell marks.
type target struct {
	service ipvs.Key
	address netip.AddrPort
}

// newEnding has deletions of real servers of the services of cfg.
func newEnding(cfg *config.Config, deletions []ipvs.Op) ending {
	e := ending{servicesByKey(cfg), make(map[target]bool, len(deletions))}
	for _, op := range deletions {
		service := op.Service.Key
		if service.FWMark != 0 {
			service = ipvs.Key{}
		}
		e.deleted[target{service, netip.AddrPortFrom(op.RealServer.Address, op.RealServer.Port)}] = true
	}
	return e
}

// goesOn tells whether a deleted real server still has connections.
func (e ending) goesOn(ctx context.Context, table TableKernel) bool {
	for c, err := range table.Connections(ctx, ipvs.ConnectionFilter{}) {
		if err != nil {
			return false // nobody can tell
		}
		if e.has(c) {
			return true
		}
	}
	return false
}

// has tells that a connection is a deleted real server's, whose port of 0 is
// the one that the client asked for.
func (e ending) has(c ipvs.Connection) bool {
	service := e.serviceOf(c)
	return e.deleted[target{service, c.Destination}] ||
		e.deleted[target{service, netip.AddrPortFrom(c.Destination.Addr(), 0)}]
}

// serviceOf gives the service that a client asked for: the one of its port, or
// else that of all ports, or else one with a firewall mark.
func (e ending) serviceOf(c ipvs.Connection) ipvs.Key {
	key := ipvs.Key{Protocol: c.Protocol, Address: c.Virtual.Addr(), Port: c.Virtual.Port()}
	if e.services[key] != nil {
		return key
	}
	if key.Port = 0; e.services[key] != nil {
		return key
	}
	return ipvs.Key{}
}
