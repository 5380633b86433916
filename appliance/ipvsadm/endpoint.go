package ipvsadm

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
)

// endpoint is a service or a real server as it was written.
type endpoint struct {
	netip.AddrPort
	hasPort bool
}

// endpoint reads "192.0.2.1:80", "[2001:db8::1]:80", "2001:db8::1" or
// "www:http". The problem is "" if there is none.
//
// In one thing ipvsadm is followed where it surprises: of "[192.0.2.1]:80" it
// reads no port.
func (p *parser) endpoint(text string) (e endpoint, problem string) {
	const form = "is no host[:port]: it is written as 192.0.2.1:80 or [2001:db8::1]:80"
	if onlyDigits(text) {
		return e, form
	}
	host, port, hasPort := text, "", false
	if strings.HasPrefix(text, "[") {
		inside, after, closed := strings.Cut(text[1:], "]")
		if !closed || !strings.HasPrefix(after, ":") {
			return e, form
		}
		host, port, hasPort = inside, after[1:], true
	}
	if address, ok := parseIPv6(host); ok {
		return p.withPort(address, port, hasPort)
	}
	hasPort = false
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 {
		host, port, hasPort = host[:colon], host[colon+1:], true
	}
	address, err := p.address(host)
	if err != nil {
		return e, err.Error()
	}
	return p.withPort(address, port, hasPort)
}

func (p *parser) address(host string) (netip.Addr, error) {
	if a, ok := parseIPv4(host); ok {
		return a, nil
	}
	if p.names == nil || host == "" {
		return netip.Addr{}, fmt.Errorf("has no address that is known: %q", host)
	}
	a, err := p.names.Address(host)
	if err != nil {
		return netip.Addr{}, err
	}
	if a = a.Unmap(); !a.Is4() {
		return netip.Addr{}, fmt.Errorf("names %s: give an IPv6 address itself, in brackets", a)
	}
	return a, nil
}

func (p *parser) withPort(address netip.Addr, port string, given bool) (endpoint, string) {
	if !given {
		return endpoint{netip.AddrPortFrom(address, 0), false}, ""
	}
	if n, ok := parseNumber(port, 0, math.MaxUint16); ok {
		return endpoint{netip.AddrPortFrom(address, uint16(n)), true}, ""
	}
	if n, ok := p.ports.port(port, p.protocol); ok {
		return endpoint{netip.AddrPortFrom(address, n), true}, ""
	}
	if p.protocol == 0 {
		return endpoint{}, fmt.Sprintf("names a port %q: a service such as -t stands before a real server whose port has a name", port)
	}
	return endpoint{}, fmt.Sprintf("has no port: %q is no number up to %d and no name of a %s port", port, math.MaxUint16, p.protocol)
}
