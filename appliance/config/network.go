package config

import (
	"fmt"
	"net/netip"
)

// maxNameServers is how many name servers a resolver asks (resolv.conf(5), MAXNS).
const maxNameServers = 3

// resolveNetwork checks interfaces, routes and name servers, and leaves in
// r.net what later checks need.
func (r *resolver) resolveNetwork(raw field[fileNetwork]) Network {
	r.net.mtu = make(map[string]int)
	r.net.uncertain = r.net.uncertain || r.meant(raw.at, "interfaces") || raw.given && !raw.valid
	network := Network{
		Interfaces:  r.resolveInterfaces(raw.value.interfaces),
		Routes:      r.resolveRoutes(raw.value.routes, raw.value.interfaces),
		NameServers: r.resolveNameServers(raw.value.nameServers),
	}
	r.net.setRoutes(network.Routes)
	return network
}

func (r *resolver) resolveNameServers(raw field[[]field[netip.Addr]]) []netip.Addr {
	first := make(map[netip.Addr]bool)
	for i, server := range raw.value {
		switch {
		case !server.valid:
		case first[server.value]:
			r.report(server.at, fault{problem: fmt.Sprintf("%s is given twice", server.value)})
		case i == maxNameServers:
			r.report(server.at, fault{problem: fmt.Sprintf("more than %d name servers", maxNameServers), hint: "the resolver asks no more of them"})
		}
		first[server.value] = true
	}
	return values(raw)
}
