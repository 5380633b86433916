package network

import (
	"net/netip"
	"strings"
	"time"
)

// Lease is what a DHCPv4 server granted to a link.
type Lease struct {
	Link        string
	Address     netip.Prefix
	Gateway     netip.Addr // zero: none
	Routes      []Route    // classless static routes (RFC 3442); they replace Gateway
	NameServers []netip.Addr
	Hostname    string
	// ConfigURL is where the server says a boot config is: option 224, or else
	// a bootfile that is a URL and ends in .yaml or .yml. "": nowhere.
	ConfigURL string
	MTU       int        // 0: not said
	Server    netip.Addr // who granted it

	Acquired     time.Time
	T1, T2       time.Duration // after Acquired: when to renew, when to rebind
	ExpiresAfter time.Duration // after Acquired; 0: never
}

// Expires is when the address must no longer be used; zero: never.
func (l Lease) Expires() time.Time {
	if l.ExpiresAfter == 0 {
		return time.Time{}
	}
	return l.Acquired.Add(l.ExpiresAfter)
}

// isConfigURL says whether a bootfile name is meant for us and not for a
// network boot loader, which reads the same option.
func isConfigURL(name string) bool {
	lower := strings.ToLower(name)
	scheme, _, found := strings.Cut(lower, "://")
	if !found || (scheme != "http" && scheme != "https" && scheme != "tftp") {
		return false
	}
	return strings.HasSuffix(lower, ".yaml") || strings.HasSuffix(lower, ".yml")
}
