package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LinkState is a link with what it carries and what it counted.
type LinkState struct {
	LinkInfo
	Index     int
	Type      string // "device", "vlan", "bond", ... as ip -d link says
	Speed     int    // Mbit/s; 0: it does not say
	Addresses []netip.Prefix
	Counters  LinkCounters
}

// Spare reports whether nobody uses the link and nobody asked for it: the kernel
// makes one tunnel of every kind by itself.
func (s LinkState) Spare() bool {
	return s.Name != "lo" && slices.Contains(fallbackNames, s.Name) && !s.Up && len(s.Addresses) == 0
}

// LinkCounters are what a link counted since it was made.
type LinkCounters struct {
	InBytes, InPackets, InErrors, InDrops     uint64
	OutBytes, OutPackets, OutErrors, OutDrops uint64
}

// RouteEntry is a route of any table, as the kernel has it.
type RouteEntry struct {
	To       netip.Prefix
	Via      netip.Addr // zero: on-link
	Link     string
	Source   netip.Addr
	Protocol string // who made it: "dipper", "kernel", "ra", ...
	Metric   int
	Table    string // "" is main
	Local    bool   // packets for it end here
}

// NeighbourEntry is an entry of the ARP or ND cache.
type NeighbourEntry struct {
	Address netip.Addr
	MAC     string
	Link    string
	State   string // "reachable", "stale", "failed", ...
}

// LinkStates lists all links, in the kernel's order.
func (k *Kernel) LinkStates(ctx context.Context) ([]LinkState, error) {
	infos, err := k.Links(ctx)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	raw, err := dump(k.netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("network: links: %w", err)
	}
	addresses, err := dump(func() ([]netlink.Addr, error) { return k.netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("network: addresses: %w", err)
	}
	byName := make(map[string]netlink.Link, len(raw))
	for _, l := range raw {
		byName[l.Attrs().Name] = l
	}
	var states []LinkState
	for _, info := range infos {
		l, there := byName[info.Name]
		if !there {
			continue // gone meanwhile
		}
		state := LinkState{LinkInfo: info, Index: l.Attrs().Index, Type: l.Type(), Speed: speed(info.Name), Counters: linkCounters(l.Attrs().Statistics)}
		for _, a := range addresses {
			if a.LinkIndex == l.Attrs().Index {
				ones, _ := a.Mask.Size()
				state.Addresses = append(state.Addresses, netip.PrefixFrom(address(a.IP), ones))
			}
		}
		states = append(states, state)
	}
	return states, nil
}

func linkCounters(s *netlink.LinkStatistics) LinkCounters {
	if s == nil {
		return LinkCounters{}
	}
	return LinkCounters{
		InBytes: s.RxBytes, InPackets: s.RxPackets, InErrors: s.RxErrors, InDrops: s.RxDropped,
		OutBytes: s.TxBytes, OutPackets: s.TxPackets, OutErrors: s.TxErrors, OutDrops: s.TxDropped,
	}
}

// speed is a link's, in Mbit/s; 0 when it does not know.
func speed(link string) int {
	text, err := os.ReadFile("/sys/class/net/" + link + "/speed")
	if err != nil {
		return 0 // virtual links have none
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// RouteEntries lists the routes of both families, those of the local table
// too.
func (k *Kernel) RouteEntries(ctx context.Context) ([]RouteEntry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("network: routes: %w", err)
	}
	names, err := k.names()
	if err != nil {
		return nil, err
	}
	var entries []RouteEntry
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := dump(func() ([]netlink.Route, error) {
			return k.netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, fmt.Errorf("network: routes: %w", err)
		}
		for _, r := range routes {
			entries = append(entries, routeEntry(r, family, names))
		}
	}
	return entries, nil
}

func routeEntry(r netlink.Route, family int, names map[int]string) RouteEntry {
	e := RouteEntry{
		To:       destination(r.Dst, family),
		Via:      address(r.Gw),
		Link:     names[r.LinkIndex],
		Source:   address(r.Src),
		Protocol: r.Protocol.String(),
		Metric:   r.Priority,
		Local:    r.Type == unix.RTN_LOCAL,
	}
	if r.Protocol == Protocol {
		e.Protocol = "dipper"
	}
	switch r.Table {
	case unix.RT_TABLE_MAIN:
	case unix.RT_TABLE_LOCAL:
		e.Table = "local"
	default:
		e.Table = strconv.Itoa(r.Table)
	}
	return e
}

// destination is a route's network; a default route has none.
func destination(n *net.IPNet, family int) netip.Prefix {
	if n == nil && family == netlink.FAMILY_V6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if n == nil {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(address(n.IP), ones)
}

// NeighbourEntries lists the ARP and ND caches.
func (k *Kernel) NeighbourEntries(ctx context.Context) ([]NeighbourEntry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("network: neighbours: %w", err)
	}
	names, err := k.names()
	if err != nil {
		return nil, err
	}
	raw, err := dump(func() ([]netlink.Neigh, error) { return k.netlink.NeighList(0, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("network: neighbours: %w", err)
	}
	var entries []NeighbourEntry
	for _, n := range raw {
		if n.State&netlink.NUD_NOARP != 0 || !address(n.IP).IsValid() {
			continue // multicast and loopback: nobody was asked; bridges' entries have no address
		}
		entries = append(entries, NeighbourEntry{address(n.IP), n.HardwareAddr.String(), names[n.LinkIndex], neighbourState(n.State)})
	}
	return entries, nil
}

// neighbourState is the state's name (uapi/linux/neighbour.h, NUD_*).
func neighbourState(state int) string {
	for _, known := range []struct {
		bit  int
		name string
	}{
		{netlink.NUD_REACHABLE, "reachable"}, {netlink.NUD_STALE, "stale"}, {netlink.NUD_DELAY, "delay"}, {netlink.NUD_PROBE, "probe"},
		{netlink.NUD_INCOMPLETE, "incomplete"}, {netlink.NUD_FAILED, "failed"}, {netlink.NUD_PERMANENT, "permanent"},
	} {
		if state&known.bit != 0 {
			return known.name
		}
	}
	return "none"
}

// names are the links' names by index.
func (k *Kernel) names() (map[int]string, error) {
	raw, err := dump(k.netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("network: links: %w", err)
	}
	names := make(map[int]string, len(raw))
	for _, l := range raw {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return names, nil
}

// Sysctls reads kernel settings; one that does not exist is left out.
func (k *Kernel) Sysctls(ctx context.Context, wanted []Sysctl) ([]Sysctl, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("network: sysctls: %w", err)
	}
	return k.sysctls.observe(wanted)
}
