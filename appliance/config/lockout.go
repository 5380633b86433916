package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// lockouts names services that take what comes for the SSH server: IPVS sees a
// packet before any socket does, at the machine's own addresses too.
func (c *Config) lockouts() []string {
	shell := c.shellAt()
	var warnings []string
	taken := make(map[netip.AddrPort]bool)
	for i := range c.Services {
		s := &c.Services[i] // there may be many
		if !slices.Contains(s.Protocols, TCP) {
			continue
		}
		for _, listen := range s.Listen {
			for _, at := range shell {
				if first, last := listen.Ports(); listen.Prefix.Contains(at.Addr()) && first <= at.Port() && at.Port() <= last {
					taken[at] = true
					warnings = append(warnings, fmt.Sprintf("services.%s.listen: %s takes what comes to %s, where SSH listens: nobody can log in there", s.Name, listen, at))
				}
			}
		}
	}
	if len(taken) > 0 && len(taken) == len(shell) && !c.shellElsewhere() {
		warnings = append(warnings, "management.ssh.listen: services take all of it: nobody can log in but on the console")
	}
	return warnings
}

// shellAt is where the SSH server listens, as far as the configuration tells.
func (c *Config) shellAt() []netip.AddrPort {
	var all []netip.AddrPort
	for _, listen := range c.shellListens() {
		for _, i := range c.Network.Interfaces {
			for _, own := range i.Addresses {
				at := netip.AddrPortFrom(own.Addr(), listen.Port)
				if listen.covers(i.Name, own.Addr()) && !slices.Contains(all, at) {
					all = append(all, at)
				}
			}
		}
	}
	return all
}

// shellElsewhere says that the SSH server may listen at a leased address, too.
func (c *Config) shellElsewhere() bool {
	leased := func(i Interface) bool { return i.DHCP || i.AcceptRA }
	for _, listen := range c.shellListens() {
		if slices.ContainsFunc(c.Network.Interfaces, func(i Interface) bool {
			return leased(i) && (listen.Interface == "" || listen.Interface == i.Name)
		}) {
			return true
		}
	}
	return false
}

// shellListens is what is written, or else everything.
func (c *Config) shellListens() []SSHListen {
	if len(c.Management.SSH.Listen) > 0 {
		return c.Management.SSH.Listen
	}
	return []SSHListen{{Port: sshPort}}
}

// covers says that an address of an interface is meant.
func (l SSHListen) covers(link string, address netip.Addr) bool {
	if l.Interface != "" {
		return l.Interface == link
	}
	return !l.Prefix.IsValid() || l.Prefix.Contains(address)
}
