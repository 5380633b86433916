package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// String gives it as it is written: "192.168.4.15:80", "192.168.5.0/24:80",
// "[2001:db8::15]:8000-8010", "192.168.4.15".
func (l Listen) String() string {
	name := l.Prefix.String()
	if l.Prefix.IsSingleIP() {
		name = l.Prefix.Addr().String()
	}
	if l.allPorts() {
		return name
	}
	if l.Prefix.Addr().Is6() {
		name = "[" + name + "]"
	}
	name += ":" + strconv.Itoa(int(l.First))
	if l.First != l.Last {
		name += "-" + strconv.Itoa(int(l.Last))
	}
	return name
}

// ListenOn is one VIP with one port, or with all of them for port 0.
func ListenOn(vip netip.Addr, port uint16) Listen {
	return Listen{Prefix: netip.PrefixFrom(vip, vip.BitLen()), First: port, Last: port}
}

// allPorts says that it takes packets to every port.
func (l Listen) allPorts() bool { return l.First == 0 && l.Last == 0 }

// simple says that a service of the kernel can be found by it, without a
// firewall mark.
func (l Listen) simple() bool { return l.Prefix.IsSingleIP() && l.First == l.Last }

// Ports are the first and last port that it takes packets to.
func (l Listen) Ports() (first, last uint16) {
	if l.allPorts() {
		return 0, 65535
	}
	return l.First, l.Last
}

// listenAddress reads VIP, VIP:port, VIP:first-last, or the same with a network.
func listenAddress(n *node) (Listen, *fault) {
	const expected = "a VIP and a port such as 192.168.4.15:80 or \"[2001:db8::15]:80\""
	host, ports := splitPort(n.text)
	if n.class == nullScalar {
		host = ""
	} else if host == "" && ports != "" {
		return Listen{}, &fault{problem: fmt.Sprintf("%q has no address", clip(n.text)), expected: expected}
	}
	prefix, bad := listenPrefix(&node{kind: scalarNode, class: n.class, text: host}, expected)
	if bad != nil {
		return Listen{}, bad
	}
	if prefix.Addr().Is4() && strings.HasPrefix(n.text, "[") {
		return Listen{}, &fault{fmt.Sprintf("%q has brackets", clip(n.text)), expected, "brackets are for IPv6 addresses"}
	}
	listen := Listen{Prefix: prefix}
	if ports == "" {
		return listen, nil
	}
	listen.First, listen.Last, bad = portRange(ports)
	return listen, bad
}

// listenPrefix reads a VIP or a network of them.
func listenPrefix(n *node, expected string) (netip.Prefix, *fault) {
	if _, _, slash := strings.Cut(n.text, "/"); !slash {
		address, bad := parseAddress(n, expected)
		if bad != nil {
			return netip.Prefix{}, bad
		}
		if problem := notBalanced(address); problem != "" && !address.IsLoopback() && !address.IsLinkLocalUnicast() {
			return netip.Prefix{}, &fault{problem: fmt.Sprintf("%s is %s", address, problem), expected: expected}
		}
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	const network = "a network of VIPs such as 192.168.5.0/24"
	prefix, err := netip.ParsePrefix(n.text)
	switch {
	case err != nil, prefix.Addr().Is4In6():
		return netip.Prefix{}, &fault{problem: fmt.Sprintf("%q is no network", clip(n.text)), expected: network}
	case prefix != prefix.Masked():
		return netip.Prefix{}, &fault{fmt.Sprintf("%s has bits behind its prefix length", prefix), network,
			fmt.Sprintf("did you mean %s?", prefix.Masked())}
	case prefix.Bits() == 0:
		return netip.Prefix{}, &fault{problem: fmt.Sprintf("%s is everything", prefix), expected: network}
	}
	if problem := notBalanced(prefix.Addr()); problem != "" {
		return netip.Prefix{}, &fault{problem: fmt.Sprintf("%s begins with %s, which is %s", prefix, prefix.Addr(), problem), expected: network}
	}
	return prefix, nil
}

// portRange reads "80" or "8000-8010".
func portRange(text string) (first, last uint16, bad *fault) {
	from, to, isRange := strings.Cut(text, "-")
	low, bad := parsePort(from)
	if bad != nil || !isRange {
		return uint16(low), uint16(low), bad
	}
	high, bad := parsePort(to)
	if bad == nil && low >= high {
		bad = &fault{problem: fmt.Sprintf("%s is no range of ports", clip(text)), expected: "the lower port first, as in 8000-8010"}
	}
	return uint16(low), uint16(high), bad
}

// netmask reads an IPv4 netmask as the number of its bits.
func netmask(n *node) (int, *fault) {
	const expected = "an IPv4 netmask such as 255.255.255.0"
	if n.class == nullScalar || n.text == "" {
		return 0, &fault{problem: "is empty", expected: expected}
	}
	mask, err := netip.ParseAddr(n.text)
	if err != nil || !mask.Is4() {
		hint := ""
		if decimal(n.text) {
			hint = "prefix-length is for IPv6"
		}
		return 0, &fault{fmt.Sprintf("%q is no netmask", clip(n.text)), expected, hint}
	}
	for bits := 1; bits <= 32; bits++ {
		if maskOf(bits) == mask {
			return bits, nil
		}
	}
	if mask.IsUnspecified() {
		return 0, &fault{problem: "0.0.0.0 makes all clients one", expected: expected, hint: "a service with one real server does the same"}
	}
	return 0, &fault{problem: fmt.Sprintf("%s has gaps", mask), expected: "a netmask that is ones, then zeros, such as 255.255.255.0"}
}

// maskOf is the IPv4 netmask of so many bits.
func maskOf(bits int) netip.Addr {
	mask := ^uint32(0) << (32 - bits)
	return netip.AddrFrom4([4]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)})
}
