package config

import (
	"fmt"
	"net/netip"
)

// Warnings names what is valid in a configuration but hardly meant.
func Warnings(c *Config) []string {
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	if len(c.Network.Interfaces) == 0 {
		warn("network.interfaces: none: nothing can reach this machine")
	}
	if c.Role == RoleDirector && len(c.Services) == 0 {
		warn("services: none: this director balances nothing")
	}
	for _, s := range c.Services {
		switch {
		case len(s.RealServers) == 0:
			warn("services.%s.real-servers: none: clients of %s are refused", s.Name, s.Listen)
		case allQuiet(s.RealServers):
			warn("services.%s.real-servers: every weight is 0: new connections to %s are refused", s.Name, s.Listen)
		}
	}
	for _, pair := range overlaps(c.Network.Interfaces) {
		warn("network.interfaces: %s", pair)
	}
	return warnings
}

func allQuiet(servers []RealServer) bool {
	for _, server := range servers {
		if server.Weight > 0 {
			return false
		}
	}
	return true
}

// overlaps names interfaces that share a network: packets leave through one
// of them whatever they came in by.
func overlaps(interfaces []Interface) []string {
	type network struct {
		link   string
		prefix netip.Prefix
	}
	var seen []network
	var pairs []string
	for _, i := range interfaces {
		for _, address := range i.Addresses {
			prefix := address.Masked()
			for _, other := range seen {
				if other.link != i.Name && !address.IsSingleIP() && !other.prefix.IsSingleIP() && other.prefix.Overlaps(prefix) {
					pairs = append(pairs, fmt.Sprintf("%s and %s share the network %s: packets to it leave through one of the two", other.link, i.Name, prefix))
				}
			}
			seen = append(seen, network{i.Name, prefix})
		}
	}
	return pairs
}
