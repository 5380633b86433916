package uplink

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/config"
	"dipper/appliance/network"
)

// text renders a state as lines like those of ip and sysctl, in its own order.
func text(s network.State) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, l := range s.Links {
		line("%s", linkText(l))
	}
	for _, a := range s.Addresses {
		words := fmt.Sprintf("address %s dev %s", a.Prefix, a.Link)
		if !a.ValidUntil.IsZero() {
			words += " until " + a.ValidUntil.UTC().Format(time.TimeOnly)
		}
		if a.VIP || a.Announce {
			words += " VIP"
		}
		line("%s", words)
	}
	for _, r := range s.Routes {
		line("route %s via %v dev %s metric %d", r.To, r.Via, r.Link, r.Metric)
	}
	for _, c := range s.Sysctls {
		line("sysctl %s=%s", c.Path, c.Value)
	}
	return b.String()
}

func linkText(l network.Link) string {
	words := fmt.Sprintf("link %s %s", l.Name, l.Kind)
	for _, property := range []struct {
		name  string
		value any
		given bool
	}{
		{"mac", l.MatchMAC, l.MatchMAC != ""},
		{"driver", l.MatchDriver, l.MatchDriver != ""},
		{"mtu", l.MTU, l.MTU != 0},
		{"parent", l.Parent, l.Parent != ""},
		{"id", l.VLANID, l.VLANID != 0},
		{"mode", l.BondMode, l.BondMode != ""},
		{"members", strings.Join(l.BondMembers, ","), l.BondMembers != nil},
		{"miimon", l.BondMIIMon, l.BondMIIMon != 0},
	} {
		if property.given {
			words += fmt.Sprintf(" %s %v", property.name, property.value)
		}
	}
	return words
}

func TestState(t *testing.T) {
	granted := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	lease := network.Lease{
		Link: "eth0", Address: netip.MustParsePrefix("192.168.4.5/24"), Gateway: netip.MustParseAddr("192.168.4.254"),
		Acquired: granted, ExpiresAfter: time.Hour,
	}
	other := network.Lease{Link: "eth1", Address: netip.MustParsePrefix("10.0.0.5/8"), Gateway: netip.MustParseAddr("10.0.0.1")}
	for _, tt := range []struct {
		name, network string
		leases        []network.Lease
		want          string
	}{
		{name: "nothing", network: "{}"},
		{
			name:    "static",
			network: "{interfaces: {eth0: {addresses: [192.168.4.5/24, 2001:db8:4::5/64], mtu: 1400}}, routes: [{to: default, via: 192.168.4.254}, {to: 10.0.0.0/8, interface: eth0, metric: 7}]}",
			want: `
link eth0 physical mtu 1400
address 192.168.4.5/24 dev eth0
address 2001:db8:4::5/64 dev eth0
route 0.0.0.0/0 via 192.168.4.254 dev  metric 0
route 10.0.0.0/8 via invalid IP dev eth0 metric 7
sysctl net/ipv6/conf/eth0/accept_ra=0
`},
		{
			name:    "card, bond and VLAN",
			network: `{interfaces: {p1: {match: {mac: "52:54:00:00:00:01"}}, p2: {match: {driver: ixgbe}}, b0: {bond: {mode: 802.3ad, members: [p1, p2]}}, v7: {vlan: {parent: b0, id: 7}, accept-ra: true}}}`,
			want: `
link b0 bond mode 802.3ad members p1,p2 miimon 100ms
link p1 physical mac 52:54:00:00:00:01
link p2 physical driver ixgbe
link v7 vlan parent b0 id 7
sysctl net/ipv6/conf/b0/accept_ra=0
sysctl net/ipv6/conf/p1/accept_ra=0
sysctl net/ipv6/conf/p2/accept_ra=0
sysctl net/ipv6/conf/v7/accept_ra=2
`},
		{
			name:    "no lease yet",
			network: "{interfaces: {eth0: {dhcp: true}}}",
			want: `
link eth0 physical
sysctl net/ipv6/conf/eth0/accept_ra=0
`},
		{
			name:    "leases and a static route",
			network: "{interfaces: {eth0: {dhcp: true}, eth1: {dhcp: true, addresses: [10.0.0.9/8]}}, routes: [{to: default, via: 10.0.0.2}]}",
			leases:  []network.Lease{lease, other},
			want: `
link eth0 physical
link eth1 physical
address 192.168.4.5/24 dev eth0 until 13:00:00
address 10.0.0.9/8 dev eth1
address 10.0.0.5/8 dev eth1
route 0.0.0.0/0 via 10.0.0.2 dev  metric 0
route 0.0.0.0/0 via 192.168.4.254 dev eth0 metric 1024
route 0.0.0.0/0 via 10.0.0.1 dev eth1 metric 1025
sysctl net/ipv6/conf/eth0/accept_ra=0
sysctl net/ipv6/conf/eth1/accept_ra=0
`},
		{
			name:    "a lease that nobody asked for",
			network: "{interfaces: {eth0: {addresses: [192.168.4.6/24]}}}",
			leases:  []network.Lease{lease, other},
			want: `
link eth0 physical
address 192.168.4.6/24 dev eth0
sysctl net/ipv6/conf/eth0/accept_ra=0
`},
		{
			name:    "classless routes replace the gateway",
			network: "{interfaces: {eth0: {dhcp: true}}}",
			leases: []network.Lease{{
				Link: "eth0", Address: netip.MustParsePrefix("192.168.4.5/32"), Gateway: netip.MustParseAddr("192.168.4.254"),
				Routes: []network.Route{
					{To: netip.MustParsePrefix("192.168.4.1/32"), Via: netip.IPv4Unspecified()},
					{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.4.1")},
				},
			}},
			want: `
link eth0 physical
address 192.168.4.5/32 dev eth0
route 192.168.4.1/32 via invalid IP dev eth0 metric 1024
route 0.0.0.0/0 via 192.168.4.1 dev eth0 metric 1024
sysctl net/ipv6/conf/eth0/accept_ra=0
`},
		{
			name:    "the lease's MTU counts where none is configured, if it is one",
			network: "{interfaces: {eth0: {dhcp: true}, eth1: {dhcp: true, mtu: 9000}, eth2: {dhcp: true}}}",
			leases: []network.Lease{
				{Link: "eth0", Address: netip.MustParsePrefix("10.0.0.1/8"), MTU: 1460},
				{Link: "eth1", Address: netip.MustParsePrefix("10.0.0.2/8"), MTU: 1460},
				{Link: "eth2", Address: netip.MustParsePrefix("10.0.0.3/8"), MTU: 68},
			},
			want: `
link eth0 physical mtu 1460
link eth1 physical mtu 9000
link eth2 physical
address 10.0.0.1/8 dev eth0
address 10.0.0.2/8 dev eth1
address 10.0.0.3/8 dev eth2
sysctl net/ipv6/conf/eth0/accept_ra=0
sysctl net/ipv6/conf/eth1/accept_ra=0
sysctl net/ipv6/conf/eth2/accept_ra=0
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Parse("test.yaml", []byte("role: director\nnetwork: "+tt.network+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			want := strings.TrimPrefix(tt.want, "\n")
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(text(State(c.Network, tt.leases)), "\n")); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStateKeepsItsInput shows that what is given is not changed, since leases
// are used again for every state.
func TestStateKeepsItsInput(t *testing.T) {
	routes := []network.Route{{To: netip.MustParsePrefix("10.0.0.0/8"), Via: netip.MustParseAddr("192.168.4.1")}}
	lease := network.Lease{Link: "eth0", Address: netip.MustParsePrefix("192.168.4.5/24"), Routes: routes}
	State(config.Network{Interfaces: []config.Interface{{Name: "eth0", DHCP: true}}}, []network.Lease{lease})
	if routes[0].Link != "" || routes[0].Metric != 0 {
		t.Errorf("the lease's route was changed: %v", routes[0])
	}
}
