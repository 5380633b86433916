package ipvsadm

import (
	"net/netip"
	"strconv"
	"strings"
)

// parseNumber reads a decimal number as strtol(3) does: space before it and a
// sign are allowed, nothing after it is.
func parseNumber(s string, lowest, highest int64) (int64, bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	if strings.HasPrefix(s, "+") && !strings.HasPrefix(s, "+-") {
		s = s[1:]
	}
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (i > 0 || s[i] != '-') {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= lowest && n <= highest
}

// parseIPv6 reads an address as inet_pton(3) does: without a zone.
func parseIPv6(s string) (netip.Addr, bool) {
	if strings.IndexByte(s, ':') < 0 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Is6() && a.Zone() == ""
}

// parseIPv4 reads an address as inet_aton(3) does, which people use without
// knowing it: "10.1" is 10.0.0.1, "0x0a.1" too, and 010 is 8.
func parseIPv4(s string) (netip.Addr, bool) {
	if end := strings.IndexAny(s, " \t\n\v\f\r"); end >= 0 {
		s = s[:end]
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return a, true
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var address uint32
	for i, part := range parts {
		last := i == len(parts)-1
		n, ok := parseCNumber(part)
		room := uint64(0xff)
		if last {
			room = 0xffffffff >> (8 * i)
		}
		if !ok || n > room {
			return netip.Addr{}, false
		}
		if last {
			address |= uint32(n)
		} else {
			address |= uint32(n) << (24 - 8*i)
		}
	}
	return addr4(address), true
}

// parseCNumber reads a number in C's notations: 192, 0300, 0xc0.
func parseCNumber(s string) (uint64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	base := 10
	switch {
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0X"):
		base, s = 16, s[2:]
	case len(s) > 1 && s[0] == '0':
		base = 8
	}
	n, err := strconv.ParseUint(s, base, 32)
	return n, err == nil
}

// addr4 returns the address of a number in host order.
func addr4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// onlyDigits tells whether there is nothing but digits in s, or nothing.
func onlyDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
