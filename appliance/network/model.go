// Package network owns the machine's connection to its networks: links,
// addresses, routes, sysctls, tunnels, announcements and DHCP leases. It reads
// the kernel, plans the smallest set of in-place edits to a desired State and
// applies them. It is the only importer of netlink and DHCP libraries, and
// knows nothing of configurations, roles or IPVS.
package network

import (
	"net/netip"
	"time"
)

// State is what the machine's network should be, or is. It holds no order of
// application: the plan makes that. Fields marked "observed" are filled in by
// Observe and ignored in a desired State.
type State struct {
	At        time.Time // observed: when
	Sysctls   []Sysctl
	Links     []Link
	Addresses []Address
	Routes    []Route
	FOU       []FOU
	MSSClamps []MSSClamp
	Marks     []Mark

	MarkTable bool // observed: the rules that set marks are there
}

// Sysctl is one kernel setting by its path below /proc/sys, with slashes:
// "net/ipv4/conf/eth0/arp_ignore". An absent path is an error unless Optional.
type Sysctl struct {
	Path     string
	Value    string // as read back, white space folded to single spaces
	Optional bool
	Also     string // a value that the kernel makes of Value by itself; "": none
}

// LinkKind is what a link is.
type LinkKind string

// The kinds of links that a State can hold.
const (
	Physical LinkKind = "physical" // exists; found by name, MAC or driver
	Other    LinkKind = "other"    // observed only: made by somebody else, such as a bridge
	VLAN     LinkKind = "vlan"     // made
	Bond     LinkKind = "bond"     // made
	Fallback LinkKind = "fallback" // lo, tunl0, sit0, ip6tnl0, gre0, ip6gre0: exists in every kernel of ours
)

// Link is a network interface that should exist and be up.
type Link struct {
	Name        string
	Kind        LinkKind
	MatchMAC    string // Physical: find by MAC and rename
	MatchDriver string // Physical: find by driver and rename
	MTU         int    // 0: leave
	Parent      string // VLAN
	VLANID      int    // VLAN
	BondMode    string // Bond
	BondMembers []string
	BondMIIMon  time.Duration
	AnyInside   bool // ip6tnl0: takes IPv4 out of IPv6 too, not only IPv6

	Index        int    // observed: the kernel's number
	MAC          string // observed: hardware address, lower case
	PermanentMAC string // observed: as burnt in, when the driver knows it; a bond changes only MAC
	Driver       string // observed, when a desired link is found by driver
	Up           bool   // observed: administratively; a desired link is always up
	Ours         bool   // observed: made by this package (VLAN, Bond), and removed by it
}

// Address is an IP address on a link.
type Address struct {
	Link   string
	Prefix netip.Prefix
	// VIP marks a virtual IP: applied after everything else, withdrawn before
	// what stands behind it goes, never a source address of the machine's own
	// traffic if avoidable, and without duplicate address detection, because it
	// moves between machines.
	VIP bool
	// Announce sends gratuitous ARP or an unsolicited neighbour advertisement
	// when the address was added (directors; never real servers).
	Announce bool
	// ValidUntil is the end of a lease; zero: for ever. It must come from
	// time.Now, whose monotonic reading survives a clock that is set later.
	ValidUntil time.Time
}

// Route is a unicast route in the main table, or with Local one in the local
// table: packets to any address of To are for this machine.
type Route struct {
	To     netip.Prefix
	Via    netip.Addr // zero: on-link
	Link   string     // "": the link with an address whose prefix holds Via
	Metric int        // lower wins; 0: the kernel's default (IPv6: 1024)
	// Source is the preferred source address (IPv4). Zero: the first address
	// of the link that is no VIP, one that shares a prefix with Via if any.
	Source netip.Addr
	// Local routes lead to lo and stand for VIPs: they come and go with these.
	Local bool
}

// FOU is a receive port for foo-over-UDP (GUE) decapsulation.
type FOU struct {
	Port uint16
	IPv6 bool
}

// MSSClamp lowers the MSS option of TCP SYN packets that leave with source
// address Source to at most MSS, so that what comes back through a tunnel fits.
type MSSClamp struct {
	Source netip.Addr
	MSS    uint16
}

// Mark is a firewall mark for packets to any address of Prefix, by a protocol
// (IANA number) and to ports from First to Last, 0 to 65535 for all of them
// and where the protocol has none. No two may overlap.
type Mark struct {
	Prefix      netip.Prefix
	Protocol    uint8
	First, Last uint16
	Mark        uint32
}
