package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Protocol marks the routes that this package made (rtnetlink(7), rtm_protocol).
const Protocol = 68 // 'D'

// alias marks the links that this package made.
const alias = "dipper"

// Observe reads the kernel: all links, the addresses and routes that are ours
// to change, and of the sysctls those that desired names. It leaves out what
// the kernel makes by itself: loopback and link-local addresses, those from
// router advertisements, and routes of other protocols.
func (k *Kernel) Observe(ctx context.Context, desired State) (State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	desired = complete(desired)
	state := State{At: time.Now()}
	steps := []func() error{
		func() (err error) { state.Links, err = k.observeLinks(wantsDriver(desired.Links)); return },
		func() (err error) {
			state.Addresses, err = k.observeAddresses(state.Links, desired.Addresses, state.At)
			return
		},
		func() (err error) { state.Routes, err = k.observeRoutes(state.Links); return },
		func() (err error) { state.Sysctls, err = k.sysctls.observe(desired.Sysctls); return },
		func() (err error) { state.FOU, err = k.observeFOU(); return },
		func() (err error) { state.MSSClamps, err = observeClamps(); return },
		func() (err error) { state.Marks, state.MarkTable, err = observeMarks(); return },
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return State{}, fmt.Errorf("network: observe: %w", err)
		}
		if err := step(); err != nil {
			return State{}, fmt.Errorf("network: observe: %w", err)
		}
	}
	return state, nil
}

// dumpTries is how often a dump is repeated that the kernel says was
// interrupted by a change.
const dumpTries = 5

func dump[T any](read func() ([]T, error)) ([]T, error) {
	for range dumpTries - 1 {
		list, err := read()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	return read()
}

func (k *Kernel) observeLinks(drivers bool) ([]Link, error) {
	raw, err := dump(k.netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("links: %w", err)
	}
	names := make(map[int]string, len(raw))
	for _, l := range raw {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	links := make([]Link, 0, len(raw))
	for _, l := range raw {
		link := observedLink(l, names)
		if drivers && link.Kind == Physical {
			// A link without a driver's name matches none.
			link.Driver, _ = driver(link.Name)
		}
		links = append(links, link)
	}
	joinMembers(links, raw, names)
	return links, nil
}

func observedLink(l netlink.Link, names map[int]string) Link {
	a := l.Attrs()
	link := Link{
		Name: a.Name, Kind: Other, MTU: a.MTU, Index: a.Index,
		MAC: a.HardwareAddr.String(), PermanentMAC: permanentMAC(a.PermHWAddr),
		Up: a.Flags&net.FlagUp != 0, Ours: a.Alias == alias,
	}
	switch t := l.(type) {
	case *netlink.Vlan:
		link.Kind, link.VLANID, link.Parent = VLAN, t.VlanId, names[a.ParentIndex]
	case *netlink.Bond:
		link.Kind, link.BondMode = Bond, t.Mode.String()
		link.BondMIIMon = time.Duration(t.Miimon) * time.Millisecond
	default:
		switch {
		case slices.Contains(fallbackNames, a.Name):
			link.Kind = Fallback
		case slices.Contains(hardwareTypes, l.Type()):
			link.Kind = Physical
		}
	}
	if t, tunnel := l.(*netlink.Ip6tnl); tunnel {
		link.AnyInside = t.Proto == 0
	}
	return link
}

// hardwareTypes are the types of links that are, or stand for, a network card:
// real ones have no type of their own, containers have veth.
var hardwareTypes = []string{"device", "veth"}

// fallbackNames are the links that the kernel makes by itself.
var fallbackNames = []string{
	"lo", "tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip_vti0",
	"ip6tnl0", "ip6gre0", "ip6_vti0",
}

// permanentMAC renders a burnt-in address; drivers without one give zeros.
func permanentMAC(mac net.HardwareAddr) string {
	if !slices.ContainsFunc(mac, func(b byte) bool { return b != 0 }) {
		return ""
	}
	return mac.String()
}

// joinMembers lists in each bond the names of its members, in the kernel's order.
func joinMembers(links []Link, raw []netlink.Link, names map[int]string) {
	for i := range links {
		if links[i].Kind != Bond {
			continue
		}
		for _, l := range raw {
			if a := l.Attrs(); names[a.MasterIndex] == links[i].Name && a.MasterIndex != 0 {
				links[i].BondMembers = append(links[i].BondMembers, a.Name)
			}
		}
	}
}

func wantsDriver(links []Link) bool {
	return slices.ContainsFunc(links, func(l Link) bool { return l.MatchDriver != "" })
}

// driver asks the link's driver for its name (ethtool(8) -i).
func driver(link string) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("driver of %s: %w", link, err)
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, link)
	if err != nil {
		return "", fmt.Errorf("driver of %s: %w", link, err)
	}
	return unix.ByteSliceToString(info.Driver[:]), nil
}

// Address attributes that the netlink library does not parse
// (uapi/linux/if_addr.h).
const (
	ifaProto         = 11 // IFA_PROTO
	ifaProtoKernelRA = 2  // IFAPROT_KERNEL_RA
	lifetimeForever  = 0xffffffff
)

func (k *Kernel) observeAddresses(links []Link, desired []Address, at time.Time) ([]Address, error) {
	wants := index(desired)
	messages, err := dump(func() ([][]byte, error) {
		request := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		request.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
		return request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	})
	if err != nil {
		return nil, fmt.Errorf("addresses: %w", err)
	}
	names := linkNames(links)
	var addresses []Address
	for _, m := range messages {
		a, err := parseAddress(m, names, at)
		if err != nil {
			return nil, fmt.Errorf("addresses: %w", err)
		}
		_, wanted := wants.find(a.Address)
		if kernels := a.kernels || a.Link == "sit0" && isCompatible(a.Prefix.Addr()); !kernels || wanted {
			addresses = append(addresses, a.Address)
		}
	}
	return addresses, nil
}

func linkNames(links []Link) map[int]string {
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Index] = l.Name
	}
	return names
}

// parsedAddress is an Address of a dump, and whether the kernel made it.
type parsedAddress struct {
	Address
	kernels bool
}

func parseAddress(message []byte, names map[int]string, at time.Time) (parsedAddress, error) {
	header := nl.DeserializeIfAddrmsg(message)
	attributes, err := nl.ParseRouteAttr(message[header.Len():])
	if err != nil {
		return parsedAddress{}, err
	}
	var (
		local, peer netip.Addr
		proto       byte
		life        = unix.IfaCacheinfo{Prefered: lifetimeForever, Valid: lifetimeForever}
		flags       = uint32(header.Flags)
	)
	for _, attribute := range attributes {
		switch attribute.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(attribute.Value)
		case unix.IFA_ADDRESS:
			peer, _ = netip.AddrFromSlice(attribute.Value)
		case unix.IFA_FLAGS:
			flags = nl.NativeEndian().Uint32(attribute.Value)
		case unix.IFA_CACHEINFO:
			life = nl.DeserializeIfaCacheInfo(attribute.Value).IfaCacheinfo
		case ifaProto:
			proto = attribute.Value[0]
		}
	}
	if !local.IsValid() {
		local = peer // IPv6 without a peer has only IFA_ADDRESS
	}
	a := Address{
		Link:   names[int(header.Index)],
		Prefix: netip.PrefixFrom(local, int(header.Prefixlen)),
		VIP:    isVIP(local, int(header.Prefixlen), flags, life),
	}
	if life.Valid != lifetimeForever {
		a.ValidUntil = at.Add(time.Duration(life.Valid) * time.Second)
	}
	return parsedAddress{a, isKernels(local, proto, flags)}, nil
}

// isVIP recognises the form in which setAddress adds VIPs.
func isVIP(a netip.Addr, bits int, flags uint32, life unix.IfaCacheinfo) bool {
	if bits != a.BitLen() || flags&unix.IFA_F_NOPREFIXROUTE == 0 {
		return false
	}
	return a.Is4() || flags&unix.IFA_F_NODAD != 0 && life.Prefered == 0 && life.Valid == lifetimeForever
}

// isKernels tells addresses that the kernel makes and keeps by itself.
func isKernels(a netip.Addr, proto byte, flags uint32) bool {
	if a.IsLoopback() || a.IsLinkLocalUnicast() || proto == ifaProtoKernelRA {
		return true
	}
	return a.Is6() && flags&unix.IFA_F_TEMPORARY != 0
}

// isCompatible tells addresses such as ::192.0.2.1, which the kernel makes of
// all IPv4 addresses of the machine when sit0 comes up (addrconf.c,
// add_v4_addrs).
func isCompatible(a netip.Addr) bool {
	return netip.PrefixFrom(netip.IPv6Unspecified(), 96).Contains(a)
}

func (k *Kernel) observeRoutes(links []Link) ([]Route, error) {
	raw, err := dump(func() ([]netlink.Route, error) {
		return k.netlink.RouteListFiltered(netlink.FAMILY_ALL,
			&netlink.Route{Protocol: Protocol, Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	names := linkNames(links)
	var routes []Route
	for _, r := range raw {
		unicast := r.Type == unix.RTN_UNICAST && r.Table == unix.RT_TABLE_MAIN
		if local := r.Type == unix.RTN_LOCAL && r.Table == unix.RT_TABLE_LOCAL; unicast || local {
			route := observedRoute(r, names)
			route.Local = local
			routes = append(routes, route)
		}
	}
	return routes, nil
}

func observedRoute(r netlink.Route, names map[int]string) Route {
	route := Route{Link: names[r.LinkIndex], Metric: r.Priority, Via: address(r.Gw), Source: address(r.Src)}
	switch {
	case r.Dst != nil:
		bits, _ := r.Dst.Mask.Size()
		route.To = netip.PrefixFrom(address(r.Dst.IP), bits)
	case r.Family == netlink.FAMILY_V6:
		route.To = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	default:
		route.To = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return route
}

// address converts from the netlink library, which gives some IPv4 addresses
// as 16 bytes; the zero Addr for none.
func address(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// LinkInfo is a link as an administrator wants to see it.
type LinkInfo struct {
	Name    string
	Kind    LinkKind
	MAC     string
	Driver  string // "": it does not say
	MTU     int
	Up      bool // administratively
	Carrier bool // something is plugged in
}

// Links lists all links, in the kernel's order.
func (k *Kernel) Links(ctx context.Context) ([]LinkInfo, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("network: links: %w", err)
	}
	raw, err := dump(k.netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("network: links: %w", err)
	}
	infos := make([]LinkInfo, 0, len(raw))
	for _, r := range raw {
		l := observedLink(r, nil)
		info := LinkInfo{Name: l.Name, Kind: l.Kind, MAC: l.MAC, MTU: l.MTU, Up: l.Up}
		info.Carrier = r.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
		// A link without a driver, such as lo, has no driver's name.
		info.Driver, _ = driver(l.Name)
		infos = append(infos, info)
	}
	return infos, nil
}

// PhysicalLinks names the machine's physical links, in the kernel's order.
func (k *Kernel) PhysicalLinks(ctx context.Context) ([]string, error) {
	links, err := k.Links(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range links {
		if l.Kind == Physical {
			names = append(names, l.Name)
		}
	}
	return names, nil
}

// describe lists physical links for an error message: "eth0 (52:54:00:00:00:01)".
func describe(links []Link) string {
	var list []string
	for _, l := range links {
		if l.Kind != Physical {
			continue
		}
		detail := hardwareAddress(l)
		if l.Driver != "" {
			detail += ", " + l.Driver
		}
		list = append(list, l.Name+" ("+detail+")")
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

func hardwareAddress(l Link) string {
	if l.PermanentMAC != "" {
		return l.PermanentMAC
	}
	return l.MAC
}
