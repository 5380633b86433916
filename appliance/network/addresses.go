package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// leaseSlack is how far an address's end of life may be from the lease's
// before it is refreshed: the kernel counts whole seconds.
const leaseSlack = 5 * time.Second

// addressPlan is what must happen to addresses.
type addressPlan struct {
	hide     []Op // VIPs that go before anything else changes
	set      []Op // own addresses that come or change
	remove   []Op // own addresses that go
	expose   []Op // VIPs that come or change, and announcements
	withdraw []Op // VIPs that go
}

// hideFirst has the VIPs on links without neighbours go before anything else.
func (p *addressPlan) hideFirst(links []Link) {
	p.withdraw = slices.DeleteFunc(p.withdraw, func(op Op) bool {
		name := op.subject()
		hidden := slices.ContainsFunc(links, func(l Link) bool { return l.Name == name && l.Kind == Fallback })
		if hidden {
			p.hide = append(p.hide, op)
		}
		return hidden
	})
}

// planAddresses compares addresses; the states have the same link names.
func planAddresses(observed, desired State) addressPlan {
	var p addressPlan
	wanted := effective(desired.Addresses, observed.At)
	wants, has := index(wanted), index(observed.Addresses)
	for _, have := range observed.Addresses {
		if _, keep := wants.find(have); keep {
			continue
		}
		switch {
		case have.Prefix.Addr().Is6() && len(wants[have.host()]) > 0:
			// It comes back with another prefix length: see clash.
		case have.VIP:
			p.withdraw = append(p.withdraw, deleteAddress{have})
		default:
			p.remove = append(p.remove, deleteAddress{have})
		}
	}
	var announce []Op
	for _, want := range wanted {
		have, exists := has.find(want)
		if exists && sameForm(have, want) {
			continue
		}
		list := &p.set
		if want.VIP {
			list = &p.expose
		}
		*list = append(*list, clash(want, has)...)
		*list = append(*list, setAddress{
			Address: want, exists: exists, at: observed.At, guards: guards(want, desired.Sysctls),
		})
		if want.Announce && !exists {
			announce = append(announce, announceAddress{link: want.Link, address: want.Prefix.Addr()})
		}
	}
	p.expose = append(p.expose, announce...)
	return p
}

// host is an address on a link, whatever its prefix length.
type host struct {
	link    string
	address netip.Addr
}

func (a Address) host() host { return host{a.Link, a.Prefix.Addr()} }

// addressIndex finds addresses among thousands. Few have more than one prefix
// length.
type addressIndex map[host][]Address

func index(list []Address) addressIndex {
	x := make(addressIndex, len(list))
	for _, a := range list {
		x[a.host()] = append(x[a.host()], a)
	}
	return x
}

func (x addressIndex) find(a Address) (Address, bool) {
	i := slices.IndexFunc(x[a.host()], func(b Address) bool { return a.Prefix == b.Prefix })
	if i < 0 {
		return Address{}, false
	}
	return x[a.host()][i], true
}

// effective drops leases that are over, VIPs that are own addresses of the
// same link anyway, and of an IPv6 address with several prefix lengths all but
// the first: a link has it only once (addrconf.c, ipv6_add_addr).
func effective(desired []Address, at time.Time) []Address {
	all, taken := index(desired), make(addressIndex)
	var wanted []Address
	for _, a := range desired {
		over := !a.ValidUntil.IsZero() && !a.ValidUntil.After(at)
		isOwn := a.VIP && slices.ContainsFunc(all[a.host()], func(b Address) bool { return !b.VIP })
		_, twice := taken.find(a)
		if over || isOwn || twice || a.Prefix.Addr().Is6() && len(taken[a.host()]) > 0 {
			continue
		}
		taken[a.host()] = append(taken[a.host()], a)
		wanted = append(wanted, a)
	}
	return wanted
}

// sameForm says whether an observed address is already as wanted. The kernel
// cannot make a VIP of another IPv4 /32 in place, and no packet can tell them
// apart.
func sameForm(have, want Address) bool {
	if have.VIP != want.VIP && want.Prefix.Addr().Is6() {
		return false
	}
	if have.ValidUntil.IsZero() || want.ValidUntil.IsZero() {
		return have.ValidUntil.IsZero() == want.ValidUntil.IsZero()
	}
	return have.ValidUntil.Sub(want.ValidUntil).Abs() <= leaseSlack
}

// clash removes an IPv6 address that is about to come back with another prefix
// length: a link has it only once.
func clash(want Address, has addressIndex) []Op {
	var ops []Op
	for _, have := range has[want.host()] {
		if want.Prefix.Addr().Is6() && have.Prefix != want.Prefix {
			ops = append(ops, deleteAddress{have})
		}
	}
	return ops
}

// guards are the settings without which a VIP must not be on a link: those
// that keep a real server from answering ARP for it.
func guards(want Address, desired []Sysctl) []Sysctl {
	if !want.VIP || want.Announce || !want.Prefix.Addr().Is4() {
		return nil
	}
	var list []Sysctl
	for _, s := range desired {
		if strings.HasSuffix(s.Path, "/arp_ignore") || strings.HasSuffix(s.Path, "/arp_announce") {
			list = append(list, s)
		}
	}
	return list
}

// setAddress is the Op that adds an address or changes it in place.
type setAddress struct {
	Address
	exists bool
	at     time.Time // when ValidUntil was looked at
	guards []Sysctl
}

func (o setAddress) String() string {
	verb := "add"
	if o.exists {
		verb = "change"
	}
	s := fmt.Sprintf("ip addr %s %s dev %s", verb, o.Prefix, o.Link)
	switch {
	case o.VIP && o.Prefix.Addr().Is6():
		s += " nodad noprefixroute valid_lft forever preferred_lft 0"
	case o.VIP:
		s += " noprefixroute"
	case !o.ValidUntil.IsZero():
		life := seconds(o.ValidUntil.Sub(o.at))
		s += fmt.Sprintf(" valid_lft %d preferred_lft %d", life, life)
	}
	return s
}

func (o setAddress) subject() string { return o.Link }

func (o setAddress) apply(k *Kernel) error {
	for _, guard := range o.guards {
		value, err := k.sysctls.read(guard.Path)
		if err != nil {
			return fmt.Errorf("withheld, this machine might answer ARP for it: %w", err)
		}
		if value != fold(guard.Value) {
			return fmt.Errorf("withheld, this machine would answer ARP for it: %s is %s and must be %s", guard.Path, value, guard.Value)
		}
	}
	link, err := k.link(o.Link)
	if err != nil {
		return err
	}
	return k.netlink.AddrReplace(link, o.message())
}

// message is the address for the kernel. A VIP gets no route, because only
// this machine has it, which also tells it from an own /32 when it is read
// back. An IPv6 VIP is deprecated (preferred lifetime 0), which keeps it from
// being chosen as a source (RFC 6724 rule 3) and changes nothing for what is
// addressed to it, and is not probed for duplicates, because it moves between
// machines.
func (o setAddress) message() *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(o.Prefix)}
	switch {
	case o.VIP && o.Prefix.Addr().Is6():
		a.Flags = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE
		a.ValidLft, a.PreferedLft = lifetimeForever, 0
	case o.VIP:
		a.Flags = unix.IFA_F_NOPREFIXROUTE
		a.ValidLft, a.PreferedLft = lifetimeForever, lifetimeForever
	case !o.ValidUntil.IsZero():
		life := seconds(time.Until(o.ValidUntil))
		a.ValidLft, a.PreferedLft = life, life
	default:
		a.ValidLft, a.PreferedLft = lifetimeForever, lifetimeForever
	}
	return a
}

// seconds rounds a lifetime for the kernel, which takes 0 for an error.
func seconds(d time.Duration) int { return max(1, int(d.Round(time.Second)/time.Second)) }

// unlessGone makes a success of a deletion that came too late: the kernel
// removes routes with their source address, and addresses with their lifetime.
func unlessGone(err error, gone unix.Errno) error {
	if errors.Is(err, gone) {
		return nil
	}
	return err
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// deleteAddress is the Op that removes an address.
type deleteAddress struct{ Address }

func (o deleteAddress) String() string  { return fmt.Sprintf("ip addr del %s dev %s", o.Prefix, o.Link) }
func (o deleteAddress) subject() string { return o.Link }
func (o deleteAddress) apply(k *Kernel) error {
	k.announcer.forget(o.Link, o.Prefix.Addr())
	link, err := k.link(o.Link)
	if err != nil {
		return err
	}
	return unlessGone(k.netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(o.Prefix)}), unix.EADDRNOTAVAIL)
}
