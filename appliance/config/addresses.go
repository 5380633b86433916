package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// endpoint is the address of a real server, with a port or without (0).
type endpoint struct {
	address netip.Addr
	port    int
}

// routeTarget is where a route leads: "default" of a family yet unknown, or a prefix.
type routeTarget struct {
	isDefault bool
	prefix    netip.Prefix
}

// hostAddress reads an address that one machine can have.
func hostAddress(n *node) (netip.Addr, *fault) {
	const expected = "an IP address such as 192.168.4.5 or 2001:db8::5"
	address, bad := parseAddress(n, expected)
	if bad != nil {
		return netip.Addr{}, bad
	}
	if problem := notUnicast(address); problem != "" {
		return netip.Addr{}, &fault{problem: fmt.Sprintf("%s is %s", address, problem), expected: expected}
	}
	return address, nil
}

// virtualAddress reads a VIP without a port.
func virtualAddress(n *node) (netip.Addr, *fault) {
	const expected = "a VIP such as 192.168.4.15 or 2001:db8::15"
	address, bad := parseAddress(n, expected)
	if bad != nil {
		return netip.Addr{}, bad
	}
	if problem := notBalanced(address); problem != "" {
		return netip.Addr{}, &fault{problem: fmt.Sprintf("%s is %s", address, problem), expected: expected}
	}
	return address, nil
}

func parseAddress(n *node, expected string) (netip.Addr, *fault) {
	if n.class == nullScalar || n.text == "" {
		return netip.Addr{}, &fault{problem: "is empty", expected: expected}
	}
	address, err := netip.ParseAddr(n.text)
	switch {
	case err != nil:
		return netip.Addr{}, &fault{fmt.Sprintf("%q is no IP address", clip(n.text)), expected, addressHint(n.text)}
	case address.Zone() != "":
		return netip.Addr{}, &fault{fmt.Sprintf("%q has a zone", clip(n.text)), expected, "remove " + strconv.Quote("%"+clip(address.Zone()))}
	case address.Is4In6():
		return netip.Addr{}, &fault{fmt.Sprintf("%q is an IPv4 address in IPv6 notation", clip(n.text)), expected, "write " + address.Unmap().String()}
	}
	return address, nil
}

// addressHint guesses what else was written where an address is wanted.
func addressHint(text string) string {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return fmt.Sprintf("no prefix length here: write %s", prefix.Addr())
	}
	if endpoint, err := netip.ParseAddrPort(text); err == nil {
		return fmt.Sprintf("no port here: write %s", endpoint.Addr())
	}
	if isHostname(text) {
		return "write the address itself: names are not looked up"
	}
	return leadingZeros(text)
}

// isHostname tells a name from an address with a mistake in it.
func isHostname(text string) bool {
	if _, bad := hostname(&node{kind: scalarNode, class: textScalar, text: text}); bad != nil {
		return false
	}
	return strings.Trim(text, "0123456789.") != ""
}

// leadingZeros hints at 192.168.004.005, which some programs read as octal.
func leadingZeros(text string) string {
	for part := range strings.SplitSeq(text, ".") {
		if len(part) > 1 && part[0] == '0' && strings.Trim(part, "0123456789") == "" {
			return "write the numbers of an IPv4 address without zeros in front"
		}
	}
	return ""
}

// notUnicast says why no machine can have an address, "" when one can.
func notUnicast(address netip.Addr) string {
	switch {
	case address.IsUnspecified():
		return "the unspecified address"
	case address.IsMulticast():
		return "a multicast address"
	case address.IsLoopback():
		return "a loopback address"
	case address.Is4() && address.As4()[0] == 0:
		return "an address of \"this network\" (0.0.0.0/8)"
	case address.Is4() && address.As4()[0] >= 240:
		return "a reserved or broadcast address (240.0.0.0/4)"
	}
	return ""
}

// notBalanced says why an address can be no VIP and no real server. The kernel
// refuses most of these too (ip_vs_ctl.c, ip_vs_new_dest).
func notBalanced(address netip.Addr) string {
	if address.IsLinkLocalUnicast() {
		return "a link-local address, which means something else on every link"
	}
	return notUnicast(address)
}

// realServerAddress reads RIP or RIP:port.
func realServerAddress(n *node) (endpoint, *fault) {
	const expected = "a real server's address such as 192.168.4.100, 192.168.4.100:8080 or \"[2001:db8::100]:8080\""
	address, port, bad := parseEndpoint(n, expected)
	if bad != nil || port == "" {
		return endpoint{address: address}, bad
	}
	number, bad := parsePort(port)
	return endpoint{address, number}, bad
}

func parsePort(text string) (int, *fault) {
	return servicePort(&node{kind: scalarNode, class: integerScalar, text: text})
}

// parseEndpoint splits an address from the port behind it, if there is one.
func parseEndpoint(n *node, expected string) (address netip.Addr, port string, bad *fault) {
	host, port := splitPort(n.text)
	switch {
	case n.class == nullScalar:
		host = ""
	case host == "" && port != "":
		return netip.Addr{}, "", &fault{problem: fmt.Sprintf("%q has no address", clip(n.text)), expected: expected}
	}
	address, bad = parseAddress(&node{kind: scalarNode, class: n.class, text: host}, expected)
	if bad != nil {
		return netip.Addr{}, "", bad
	}
	if address.Is4() && strings.HasPrefix(n.text, "[") {
		return netip.Addr{}, "", &fault{fmt.Sprintf("%q has brackets", clip(n.text)), expected, "brackets are for IPv6 addresses"}
	}
	if problem := notBalanced(address); problem != "" && !address.IsLoopback() {
		return netip.Addr{}, "", &fault{problem: fmt.Sprintf("%s is %s", address, problem), expected: expected}
	}
	return address, port, nil
}

// splitPort takes "host:port" or "[host]:port" apart. An IPv6 address without
// brackets has no port.
func splitPort(text string) (host, port string) {
	if inside, found := strings.CutPrefix(text, "["); found {
		if host, rest, closed := strings.Cut(inside, "]"); closed {
			if port, colon := strings.CutPrefix(rest, ":"); colon && port != "" {
				return host, port
			}
			if rest == "" {
				return host, ""
			}
		}
		return text, ""
	}
	if strings.Count(text, ":") == 1 {
		host, port, _ = strings.Cut(text, ":")
		if port != "" {
			return host, port
		}
	}
	return text, ""
}

// interfaceAddress reads an interface's own address with its prefix length.
func interfaceAddress(n *node) (netip.Prefix, *fault) {
	const expected = "an address with its prefix length such as 192.168.4.5/24 or 2001:db8::5/64"
	if n.class == nullScalar || n.text == "" {
		return netip.Prefix{}, &fault{problem: "is empty", expected: expected}
	}
	host, _, slash := strings.Cut(n.text, "/")
	address, bad := parseAddress(&node{kind: scalarNode, class: n.class, text: host}, expected)
	if bad != nil {
		return netip.Prefix{}, bad
	}
	if !slash {
		return netip.Prefix{}, &fault{fmt.Sprintf("%s has no prefix length", address), expected, prefixHint(address)}
	}
	prefix, err := netip.ParsePrefix(n.text)
	if err != nil || prefix.Bits() == 0 {
		return netip.Prefix{}, &fault{problem: fmt.Sprintf("%q has a bad prefix length", clip(n.text)), expected: expected}
	}
	if problem := notHost(prefix); problem != "" {
		return netip.Prefix{}, &fault{problem: fmt.Sprintf("%s is %s", prefix.Addr(), problem), expected: expected}
	}
	return prefix, nil
}

func prefixHint(address netip.Addr) string {
	if address.Is6() {
		return fmt.Sprintf("for example %s/64", address)
	}
	return fmt.Sprintf("for example %s/24", address)
}

// notHost says why a machine cannot have the address in its own network.
func notHost(prefix netip.Prefix) string {
	if problem := notUnicast(prefix.Addr()); problem != "" {
		return problem
	}
	if prefix.Addr().Is4() && prefix.Bits() < 31 && prefix.Addr() == prefix.Masked().Addr() {
		return fmt.Sprintf("the address of the network %s itself", prefix.Masked())
	}
	if broadcasts(prefix, prefix.Addr()) {
		return fmt.Sprintf("the broadcast address of %s", prefix.Masked())
	}
	if prefix.Addr().Is6() && prefix.Bits() < 127 && prefix.Addr() == prefix.Masked().Addr() {
		return fmt.Sprintf("the routers' anycast address of %s", prefix.Masked()) // RFC 4291 section 2.6.1
	}
	return ""
}

// broadcasts says that an address is the broadcast address of a network (RFC
// 922); one of two addresses has none (RFC 3021).
func broadcasts(network netip.Prefix, address netip.Addr) bool {
	return address.Is4() && network.Bits() < 31 && address == lastAddress(network)
}

// lastAddress is the highest address of an IPv4 prefix.
func lastAddress(prefix netip.Prefix) netip.Addr {
	bytes := prefix.Masked().Addr().As4()
	for bit := prefix.Bits(); bit < 32; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(bytes)
}

// routeTo reads the destination of a route.
func routeTo(n *node) (routeTarget, *fault) {
	const expected = "default or a network such as 192.168.9.0/24 or 2001:db8:9::/48"
	switch {
	case n.class == nullScalar || n.text == "":
		return routeTarget{}, &fault{problem: "is empty", expected: expected}
	case n.text == "default":
		return routeTarget{isDefault: true}, nil
	}
	prefix, err := netip.ParsePrefix(n.text)
	if err != nil {
		return routeTarget{}, &fault{fmt.Sprintf("%q is no network", clip(n.text)), expected, hostRouteHint(n.text)}
	}
	if prefix.Addr().Is4In6() {
		return routeTarget{}, &fault{problem: fmt.Sprintf("%q is an IPv4 network in IPv6 notation", clip(n.text)), expected: expected}
	}
	if prefix != prefix.Masked() {
		return routeTarget{}, &fault{fmt.Sprintf("%s has bits behind its prefix length", prefix), expected,
			fmt.Sprintf("did you mean %s?", prefix.Masked())}
	}
	if prefix.Addr().IsMulticast() {
		return routeTarget{}, &fault{problem: fmt.Sprintf("%s is a multicast network", prefix), expected: expected}
	}
	return routeTarget{isDefault: prefix.Bits() == 0, prefix: prefix}, nil
}

func hostRouteHint(text string) string {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		return fmt.Sprintf("for one machine write %s", netip.PrefixFrom(address, address.BitLen()))
	}
	return suggest(text, []string{"default"})
}
