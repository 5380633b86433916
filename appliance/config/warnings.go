package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
	around := NewSurroundings(c.Network, nil)
	for i := range c.Services {
		s := &c.Services[i] // there may be many
		for _, listen := range s.Listen {
			if !s.Assign || listen.Prefix.IsSingleIP() || !listen.Prefix.Addr().Is6() {
				continue
			}
			if own, near := around.connected(listen.Prefix.Addr()); near {
				warn("services.%s.listen: %s lies in the network of %s, but IPv6 answers its neighbours for addresses only, not for networks: a router must send it here",
					s.Name, listen.Prefix, own.link)
			}
		}
		switch {
		case len(s.RealServers) == 0:
			warn("services.%s.real-servers: none: clients of %s are refused", s.Name, s.at())
		case allQuiet(s.RealServers):
			warn("services.%s.real-servers: every weight is 0: new connections to %s are refused", s.Name, s.at())
		}
		for _, problem := range s.oddities() {
			warn("services.%s.%s", s.Name, problem)
		}
	}
	warnings = append(warnings, c.lockouts()...)
	warnings = append(warnings, c.silentResets()...)
	for _, pair := range overlaps(c.Network.Interfaces) {
		warn("network.interfaces: %s", pair)
	}
	return append(warnings, c.Management.badKeys()...)
}

// at says where clients find the service.
func (s *Service) at() string {
	if len(s.Listen) == 0 {
		return fmt.Sprintf("firewall mark %d", s.FWMark)
	}
	return strings.Join(texts(s.Listen), ", ")
}

// oddities names what the kernel takes and makes nothing of.
func (s *Service) oddities() []string {
	var odd []string
	ipsec := slices.Contains(s.Protocols, AH) || slices.Contains(s.Protocols, ESP)
	udp := slices.Contains(s.Protocols, UDP) || len(s.Protocols) == 0
	switch {
	case ipsec:
		odd = append(odd, "protocol: the kernel sends ah and esp where the same client's UDP port 500 goes, and chooses no real server for them by themselves")
	case s.OnePacket && !udp:
		odd = append(odd, "one-packet: only UDP is scheduled so, and protocol has none")
	case s.Persistence != nil && s.Persistence.Engine == "sip" && slices.ContainsFunc(s.Protocols, func(p Protocol) bool { return p != UDP }):
		odd = append(odd, "persistence.engine: sip reads only UDP, and the kernel drops all that it cannot read: other protocols do not get through")
	}
	if s.OnePacket && udp && s.byNAT() && !s.answersAsCalls() {
		odd = append(odd, "one-packet: the kernel keeps nothing by which it could rewrite the answers of real servers by nat: they leave with the real server's address")
	}
	if s.Scheduler == "none" {
		odd = append(odd, "scheduler: none chooses no real server: new connections are refused")
	}
	if s.Scheduler == "sh" && slices.ContainsFunc(s.RealServers, func(r RealServer) bool { return r.Weight > 1 }) {
		odd = append(odd, "real-servers: to change a weight above 1 with scheduler sh moves most clients of all real servers: use mh, or weights of 1")
	}
	if hashes(s.Scheduler) && !slices.Contains(s.SchedulerFlags, "fallback") && someQuiet(s.RealServers) {
		odd = append(odd, "scheduler-flags: without fallback, clients of the real servers of weight 0 are refused although others could serve")
	}
	if s.FWMark != 0 && s.ftpByNAT() {
		odd = append(odd, "listen: FTP by nat needs a service of its own for each VIP, at port 21 and nothing else: passive data connections (PASV) of a service with a firewall mark do not get through")
	}
	return odd
}

// answersAsCalls says that what real servers answer is taken for calls of their
// own, which the kernel rewrites though it keeps nothing (ip_vs_core.c,
// ip_vs_new_conn_out): it has to know VIP and port of the service for that.
func (s *Service) answersAsCalls() bool {
	return s.Persistence != nil && s.Persistence.Engine == "sip" && s.FWMark == 0 && !slices.ContainsFunc(s.Listen, Listen.allPorts)
}

// ftpByNAT says that the kernel's FTP helper has to rewrite addresses. It turns
// on the connection tracking that it needs for services at port 21 only, not
// for marks (ip_vs_ctl.c, __ip_vs_update_dest).
func (s *Service) ftpByNAT() bool {
	ftp := slices.ContainsFunc(s.Listen, func(l Listen) bool { return l.First <= 21 && l.Last >= 21 && !l.allPorts() })
	return ftp && slices.Contains(s.Protocols, TCP) && s.byNAT()
}

func (s *Service) byNAT() bool {
	return slices.ContainsFunc(s.RealServers, func(r RealServer) bool { return r.Forward == NAT })
}

// silentResets names services whose connections are to be reset when a real
// server is down, where the kernel resets none.
func (c *Config) silentResets() []string {
	if c.IPVS.Settings.Value("expire-nodest-conn") != "false" {
		return nil
	}
	var first string
	more := -1
	for i := range c.Services {
		if s := &c.Services[i]; s.OnDown == Reset {
			first = cmp.Or(first, s.Name)
			more++
		}
	}
	if more < 0 {
		return nil
	}
	of := "services." + first
	if more > 0 {
		of += fmt.Sprintf(" and %d more", more)
	}
	return []string{fmt.Sprintf("ipvs.settings.expire-nodest-conn: false: on-down: reset of %s resets nothing: the connections of a deleted real server are dropped in silence", of)}
}

// someQuiet says that some weights are 0 and others not.
func someQuiet(servers []RealServer) bool {
	quiet := func(r RealServer) bool { return r.Weight == 0 }
	return slices.ContainsFunc(servers, quiet) && !allQuiet(servers)
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
