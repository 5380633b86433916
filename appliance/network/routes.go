package network

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ipv6DefaultMetric is what the kernel makes of metric 0 (uapi/linux/ipv6_route.h,
// IP6_RT_PRIO_USER).
const ipv6DefaultMetric = 1024

// routePlan is what must happen to routes.
type routePlan struct {
	withdraw []Op // local ones that go
	set      []Op
	remove   []Op
	expose   []Op // local ones that come
}

// planRoutes compares routes. A route is known by where it leads and by its
// metric; of two desired ones alike, the first counts. A changed one is
// replaced in place.
func planRoutes(observed []Route, desired State) routePlan {
	var p routePlan
	have := make(map[Route]bool, len(observed))
	for _, r := range observed {
		have[r] = true
	}
	wanted := make(map[routeKey]bool, len(desired.Routes))
	for _, want := range desired.Routes {
		want = resolve(want, desired.Addresses)
		if wanted[want.key()] {
			continue
		}
		wanted[want.key()] = true
		switch {
		case have[want]:
		case want.Local:
			p.expose = append(p.expose, setRoute{Route: want})
		default:
			p.set = append(p.set, setRoute{Route: want, onLink: !reaches(want, desired.Addresses)})
		}
	}
	for _, r := range observed {
		switch {
		case wanted[r.key()]:
		case r.Local:
			p.withdraw = append(p.withdraw, deleteRoute{r})
		default:
			p.remove = append(p.remove, deleteRoute{r})
		}
	}
	return p
}

// routeKey is what the kernel tells routes apart by.
type routeKey struct {
	to     netip.Prefix
	metric int
	local  bool
}

func (r Route) key() routeKey { return routeKey{r.To, r.Metric, r.Local} }

// resolve fills in what a desired route leaves open.
func resolve(r Route, addresses []Address) Route {
	r.To = r.To.Masked()
	if r.To.Addr().Is6() && r.Metric == 0 {
		r.Metric = ipv6DefaultMetric
	}
	if r.Local {
		r.Link = "lo"
		return r
	}
	near, reaches := nearest(r, addresses)
	if r.Link == "" && reaches {
		r.Link = near.Link
	}
	// IPv6 chooses sources by RFC 6724, for which a VIP is deprecated.
	if r.To.Addr().Is4() && !r.Source.IsValid() && near.Prefix.IsValid() {
		r.Source = near.Prefix.Addr()
	}
	return r
}

// nearest finds the own address from which a route's gateway is reached: the
// one with the longest prefix that holds the gateway (true), or else the
// link's first of the family.
func nearest(r Route, addresses []Address) (near Address, reaches bool) {
	for _, a := range addresses {
		if a.VIP || a.Prefix.Addr().Is4() != r.To.Addr().Is4() || (r.Link != "" && a.Link != r.Link) {
			continue
		}
		holds := r.Via.IsValid() && a.Prefix.Contains(r.Via)
		switch {
		case holds && (!reaches || a.Prefix.Bits() > near.Prefix.Bits()):
			near, reaches = a, true
		case !reaches && !near.Prefix.IsValid() && r.Link != "":
			near = a
		}
	}
	return near, reaches
}

// reaches says whether the kernel will find the gateway by itself. Otherwise
// it must be told that the gateway is on the link, as with a lease of one /32.
func reaches(r Route, addresses []Address) bool {
	if !r.Via.IsValid() || r.Link == "" || r.Via.IsLinkLocalUnicast() {
		return true
	}
	_, holds := nearest(r, addresses)
	return holds
}

// setRoute is the Op that adds a route or replaces the one with the same
// destination and metric.
type setRoute struct {
	Route
	onLink bool
}

func (o setRoute) String() string {
	s := "ip route replace " + routeText(o.Route)
	if o.onLink {
		s += " onlink"
	}
	return s
}

func (o setRoute) subject() string { return o.Link }

func (o setRoute) apply(k *Kernel) error {
	message, err := o.message(k)
	if err != nil {
		return err
	}
	if o.onLink {
		message.Flags = int(netlink.FLAG_ONLINK)
	}
	return k.netlink.RouteReplace(message)
}

// message is the route for the kernel.
func (r Route) message(k *Kernel) (*netlink.Route, error) {
	m := &netlink.Route{
		Dst: ipNet(r.To), Priority: r.Metric, Protocol: Protocol, Table: unix.RT_TABLE_MAIN,
		Scope: netlink.SCOPE_UNIVERSE,
	}
	if r.Local {
		m.Table, m.Type, m.Scope = unix.RT_TABLE_LOCAL, unix.RTN_LOCAL, netlink.SCOPE_HOST
	} else if r.Via.IsValid() {
		m.Gw = r.Via.AsSlice()
	} else if r.To.Addr().Is4() {
		m.Scope = netlink.SCOPE_LINK
	}
	if r.Source.IsValid() {
		m.Src = r.Source.AsSlice()
	}
	if r.Link == "" {
		return m, nil
	}
	link, err := k.link(r.Link)
	if err != nil {
		return nil, err
	}
	m.LinkIndex = link.Attrs().Index
	return m, nil
}

// deleteRoute is the Op that removes a route of ours.
type deleteRoute struct{ Route }

func (o deleteRoute) String() string  { return "ip route del " + routeText(o.Route) }
func (o deleteRoute) subject() string { return o.Link }
func (o deleteRoute) apply(k *Kernel) error {
	message, err := o.message(k)
	if err != nil {
		return err
	}
	return unlessGone(k.netlink.RouteDel(message), unix.ESRCH)
}

func routeText(r Route) string {
	s := r.To.String()
	if r.Local {
		s = "local " + s
	}
	if r.To.Bits() == 0 {
		s = "default"
		if !r.Via.IsValid() && r.To.Addr().Is6() {
			s = "::/0"
		}
	}
	add := func(word string, value any) { s += fmt.Sprintf(" %s %v", word, value) }
	if r.Via.IsValid() {
		add("via", r.Via)
	}
	if r.Link != "" {
		add("dev", r.Link)
	}
	if r.Source.IsValid() {
		add("src", r.Source)
	}
	if r.Metric != 0 && (r.Metric != ipv6DefaultMetric || r.To.Addr().Is4()) {
		add("metric", r.Metric)
	}
	add("proto", Protocol)
	return s
}
