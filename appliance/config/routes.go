package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func (r *resolver) resolveRoutes(raw field[[]field[fileRoute]], interfaces field[[]named[fileInterface]]) []Route {
	type key struct {
		to     netip.Prefix
		metric int
	}
	first := make(map[key]place)
	var routes []Route
	for _, item := range raw.value {
		route, ok := r.resolveRoute(item, interfaces.value)
		if !ok {
			continue
		}
		if earlier, taken := first[key{route.To, route.Metric}]; taken {
			r.report(item.at, fault{problem: fmt.Sprintf("a second route to %s with metric %d, first on line %d", route.To, route.Metric, earlier.line),
				hint: "give one of them a higher metric to use it when the other's interface is down"})
			continue
		}
		first[key{route.To, route.Metric}] = item.at
		routes = append(routes, route)
	}
	return routes
}

func (r *resolver) resolveRoute(item field[fileRoute], interfaces []named[fileInterface]) (Route, bool) {
	raw := item.value
	if !item.valid || !demand(r.decoder, item, "to", raw.to, "default or a network") || raw.via.given && !raw.via.valid {
		return Route{}, false
	}
	route := Route{Via: raw.via.value, Interface: raw.outgoing.value, Metric: raw.metric.value}
	to, bad := destination(raw)
	if bad != nil {
		r.report(raw.to.at, *bad)
		return Route{}, false
	}
	route.To = to
	if raw.outgoing.valid && !slices.ContainsFunc(interfaces, func(i named[fileInterface]) bool { return i.name == raw.outgoing.value }) {
		r.unknownInterface(raw.outgoing.at, raw.outgoing.value, interfaces)
		return Route{}, false
	}
	if raw.via.valid {
		r.checkGateway(raw)
	}
	return route, true
}

// destination gives a route's prefix, in which "default" takes its family from
// the gateway.
func destination(raw fileRoute) (netip.Prefix, *fault) {
	to, via := raw.to.value, raw.via
	switch {
	case !via.given && !raw.outgoing.given:
		return netip.Prefix{}, &fault{problem: "the route leads nowhere", expected: "via: the next router, or interface: for a network on the link"}
	case to.prefix.IsValid() && via.valid && to.prefix.Addr().Is4() != via.value.Is4():
		return netip.Prefix{}, &fault{problem: fmt.Sprintf("%s and its gateway %s are of different families", to.prefix, via.value)}
	case to.prefix.IsValid():
		return to.prefix, nil
	case !via.given:
		return netip.Prefix{}, &fault{problem: "default without via says neither IPv4 nor IPv6", expected: "0.0.0.0/0 or ::/0"}
	case via.value.Is4():
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0), nil
}

// checkGateway reports gateways that the machine cannot reach.
func (r *resolver) checkGateway(raw fileRoute) {
	via := raw.via.value
	if own, mine := r.net.owner(via); mine {
		r.report(raw.via.at, fault{problem: fmt.Sprintf("%s is this machine's own address, on %s", via, own.link), expected: "the address of the next router"})
		return
	}
	if via.IsLinkLocalUnicast() {
		if !raw.outgoing.given {
			r.report(raw.via.at, fault{problem: fmt.Sprintf("%s is link-local", via), hint: "say on which link with interface:"})
		}
		return
	}
	if r.net.unknown(via) {
		return
	}
	own, connected := r.net.connected(via)
	switch {
	case !connected && raw.outgoing.valid && r.net.alone(raw.outgoing.value, via):
		// A host address without a network: the gateway is on the link, as in many clouds.
	case !connected:
		r.report(raw.via.at, fault{problem: fmt.Sprintf("gateway %s is in no network of this machine", via),
			expected: r.net.oneNetworkOf(via)})
	case raw.outgoing.valid && own.link != raw.outgoing.value:
		r.report(raw.outgoing.at, fault{problem: fmt.Sprintf("gateway %s is not on %s but on %s", via, raw.outgoing.value, own.link)})
	}
}

// oneNetworkOf names the networks that an address could be in.
func (t *topology) oneNetworkOf(a netip.Addr) string {
	networks := t.networks(a)
	family := "IPv4"
	if a.Is6() {
		family = "IPv6"
	}
	if len(networks) == 0 {
		return "an interface with an " + family + " address, of which there is none"
	}
	return "an address in " + strings.Join(networks, " or ")
}
