package network

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T) *Kernel {
	t.Helper()
	k, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// reach applies the plan to desired and returns it as text.
func reach(t *testing.T, k *Kernel, desired State) []string {
	t.Helper()
	plan := planFor(t, k, desired)
	if err := k.Apply(t.Context(), plan.Ops()); err != nil {
		t.Fatalf("apply:\n%s\nerror: %v\n%s", strings.Join(text(plan), "\n"), err, run(t, "ip -6 route")+run(t, "ip -6 addr"))
	}
	return text(plan)
}

func planFor(t *testing.T, k *Kernel, desired State) Plan {
	t.Helper()
	observed, err := k.Observe(t.Context(), desired)
	if err != nil {
		t.Fatal(err)
	}
	return MakePlan(observed, desired)
}

// settled fails unless the kernel needs no further edit.
func settled(t *testing.T, k *Kernel, desired State) {
	t.Helper()
	if left := text(planFor(t, k, desired)); len(left) > 0 {
		t.Fatalf("plan is not empty after apply:\n%s", strings.Join(left, "\n"))
	}
}

func TestDirectorInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNeighbour(t, "eth0")
	k := open(t)
	desired := State{
		Sysctls: []Sysctl{{Path: "net/ipv4/ip_forward", Value: "1"}, {Path: "net/ipv4/conf/eth0/send_redirects", Value: "0"}},
		Links:   []Link{{Name: "lo", Kind: Fallback}, {Name: "eth0", Kind: Physical}},
		Addresses: []Address{
			{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.5/24")},
			{Link: "eth0", Prefix: netip.MustParsePrefix("2001:db8:4::5/64")},
			{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.15/32"), VIP: true, Announce: true},
			{Link: "eth0", Prefix: netip.MustParsePrefix("2001:db8:4::15/128"), VIP: true, Announce: true},
		},
		Routes: []Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.4.254")},
			{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("2001:db8:4::fe")},
		},
	}
	want := []string{
		"sysctl -w net.ipv4.ip_forward=1",
		"sysctl -w net.ipv4.conf.all.promote_secondaries=1",
		"sysctl -w net.ipv4.conf.eth0.send_redirects=0",
		"sysctl -w net.ipv6.conf.eth0.accept_dad=0",
		"ip link set eth0 up",
		"ip link set lo up",
		"ip addr add 192.168.4.5/24 dev eth0",
		"ip addr add 2001:db8:4::5/64 dev eth0",
		"ip route replace default via 192.168.4.254 dev eth0 src 192.168.4.5 proto 68",
		"ip route replace default via 2001:db8:4::fe dev eth0 proto 68",
		"ip addr add 192.168.4.15/32 dev eth0 noprefixroute",
		"ip addr add 2001:db8:4::15/128 dev eth0 nodad noprefixroute valid_lft forever preferred_lft 0",
		"arping -U -I eth0 192.168.4.15",
		"ndsend 2001:db8:4::15 eth0",
	}
	if diff := cmp.Diff(want, reach(t, k, desired)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	settled(t, k, desired)

	// The machine's own traffic leaves with its own addresses, as soon as they
	// are no longer tentative: the kernel finishes them in the background.
	for strings.Contains(run(t, "ip -6 addr show dev eth0 tentative"), "2001:db8") {
	}
	for destination, source := range map[string]string{
		"198.51.100.1": "192.168.4.5", "192.168.4.100": "192.168.4.5",
		"2001:db8:ffff::1": "2001:db8:4::5", "2001:db8:4::100": "2001:db8:4::5",
	} {
		if got := run(t, "ip route get "+destination); !strings.Contains(got, "src "+source+" ") {
			t.Errorf("source towards %s is not %s: %s", destination, source, got)
		}
	}

	// What others add goes, what the kernel made stays.
	run(t, "ip addr add 192.0.2.1/24 dev eth0")
	run(t, "ip route add 203.0.113.0/24 via 192.168.4.254 proto 68")
	run(t, "ip route add 203.0.114.0/24 via 192.168.4.254 proto static")
	want = []string{"ip route del 203.0.113.0/24 via 192.168.4.254 dev eth0 proto 68", "ip addr del 192.0.2.1/24 dev eth0"}
	if diff := cmp.Diff(want, reach(t, k, desired)); diff != "" {
		t.Errorf("plan after foreign edits (-want +got):\n%s", diff)
	}
	settled(t, k, desired)
	if got := run(t, "ip route show proto static"); !strings.Contains(got, "203.0.114.0/24") {
		t.Errorf("a foreign route was removed; static routes: %s", got)
	}
}

func TestOwnAddressChangesWithoutLosingRoutesInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNeighbour(t, "eth0")
	k := open(t)
	state := func(own ...string) State {
		s := State{
			Links: []Link{{Name: "eth0", Kind: Physical}},
			Addresses: []Address{
				{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.15/32"), VIP: true},
			},
			Routes: []Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.4.254")}},
		}
		for _, a := range own {
			s.Addresses = append(s.Addresses, Address{Link: "eth0", Prefix: netip.MustParsePrefix(a)})
		}
		return s
	}
	reach(t, k, state("192.168.4.5/24", "192.168.4.6/24"))
	want := []string{
		"ip addr add 192.168.4.7/24 dev eth0",
		"ip route replace default via 192.168.4.254 dev eth0 src 192.168.4.7 proto 68",
		"ip addr del 192.168.4.5/24 dev eth0",
		"ip addr del 192.168.4.6/24 dev eth0",
	}
	if diff := cmp.Diff(want, reach(t, k, state("192.168.4.7/24"))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	settled(t, k, state("192.168.4.7/24"))
	if got := run(t, "ip route get 198.51.100.1"); !strings.Contains(got, "src 192.168.4.7 ") {
		t.Errorf("route get: %s", got)
	}
}

func TestRealServerVIPWaitsForARPSettingsInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	k := open(t)
	desired := State{
		Sysctls:   []Sysctl{{Path: "net/ipv4/conf/all/arp_ignore", Value: "1"}},
		Links:     []Link{{Name: "lo", Kind: Fallback}},
		Addresses: []Address{{Link: "lo", Prefix: netip.MustParsePrefix("192.168.4.15/32"), VIP: true}},
	}
	plan := planFor(t, k, desired)
	err := k.Apply(t.Context(), plan.Expose)
	if err == nil || !strings.Contains(err.Error(), "net/ipv4/conf/all/arp_ignore is 0 and must be 1") {
		t.Errorf("VIP before its ARP setting: error %v", err)
	}
	if got := run(t, "ip -br addr show lo"); strings.Contains(got, "192.168.4.15") {
		t.Errorf("VIP is there: %s", got)
	}
	reach(t, k, desired)
	settled(t, k, desired)
}

// TestVIPStaysLocalWhileItMovesInNamespace moves a VIP to another link, as a
// director does that becomes a real server.
func TestVIPStaysLocalWhileItMovesInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNeighbour(t, "eth0")
	k := open(t)
	vips := []string{"192.168.4.15", "2001:db8::15"}
	at := func(link string) State {
		s := State{Links: []Link{{Name: "lo", Kind: Fallback}, {Name: "eth0", Kind: Physical}}}
		for _, vip := range vips {
			a := netip.MustParseAddr(vip)
			s.Addresses = append(s.Addresses, Address{Link: link, Prefix: netip.PrefixFrom(a, a.BitLen()), VIP: true})
		}
		return s
	}
	reach(t, k, at("eth0"))
	for _, link := range []string{"lo", "eth0"} {
		for _, op := range planFor(t, k, at(link)).Ops() {
			if err := k.Apply(t.Context(), []Op{op}); err != nil {
				t.Fatal(err)
			}
			for _, vip := range vips {
				if got := run(t, "ip route get "+vip); !strings.HasPrefix(got, "local "+vip) {
					t.Errorf("after %s: %s", op, got)
				}
			}
		}
		settled(t, k, at(link))
	}
}

func TestRefusedOpStopsOnlyItsDependantsInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNeighbour(t, "eth0")
	k := open(t)
	err := k.Apply(t.Context(), []Op{
		addVLAN{Link{Name: "eth9.5", Kind: VLAN, Parent: "eth9", VLANID: 5}},
		setLink{link: "eth9.5", action: "up"},
		setAddress{Address: Address{Link: "eth0", Prefix: netip.MustParsePrefix("224.0.0.1/24")}},
		setLink{link: "eth0", action: "up"},
	})
	want := []string{
		"ip link add link eth9 name eth9.5 type vlan id 5: link eth9: Link not found",
		"ip link set eth9.5 up: not tried: link eth9.5 is missing",
	}
	var refused *OpError
	if !errors.As(err, &refused) {
		t.Fatalf("error %v is no *OpError", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error lacks %q:\n%v", w, err)
		}
	}
	if got := run(t, "ip -br link show eth0"); !strings.Contains(got, "UP") {
		t.Errorf("the last op was not tried: %s", got)
	}
}

// TestWhatRoutersAdvertiseStaysInNamespace lets a router give the link an
// address and a default route, which are the kernel's to keep.
func TestWhatRoutersAdvertiseStaysInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	n := newNeighbour(t, "eth0")
	n.run("ip -6 addr add 2001:db8:9::1/64 dev peer nodad")
	startDnsmasq(t, n, "--enable-ra --ra-param=peer,4 --dhcp-range=2001:db8:9::,ra-only,64,10m")
	k := open(t)
	desired := State{
		Sysctls:   []Sysctl{{Path: "net/ipv6/conf/eth0/accept_ra", Value: "2"}},
		Links:     []Link{{Name: "eth0", Kind: Physical}},
		Addresses: []Address{own("eth0", "2001:db8:4::5/64")},
	}
	reach(t, k, desired)
	for end := time.Now().Add(patience); ; {
		if got := run(t, "ip -6 addr show dev eth0 dynamic"); strings.Contains(got, "2001:db8:9:") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the router's advertisement did not come")
		}
	}
	settled(t, k, desired)
}

func TestDeletingWhatIsGoneInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNeighbour(t, "eth0")
	k := open(t)
	run(t, "ip link set eth0 up")
	err := k.Apply(t.Context(), []Op{
		deleteAddress{own("eth0", "192.168.4.5/24")},
		deleteAddress{own("eth0", "2001:db8::5/64")},
		deleteRoute{Route{To: netip.MustParsePrefix("10.0.0.0/8"), Link: "eth0"}},
		deleteRoute{Route{To: netip.MustParsePrefix("2001:db8:1::/48"), Link: "eth0"}},
	})
	if err != nil {
		t.Error(err)
	}
}

func TestNamesSwapInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	run(t, "ip link add name e0 address 52:54:00:00:00:01 type veth peer name p0")
	run(t, "ip link add name e1 address 52:54:00:00:00:02 type veth peer name p1")
	run(t, "ip link add name e2 address 52:54:00:00:00:03 type veth peer name p2")
	run(t, "ip link set e0 up")
	run(t, "ip addr add 192.168.4.5/24 dev e0")
	k := open(t)
	desired := State{
		Sysctls: []Sysctl{{Path: "net/ipv4/conf/e1/arp_ignore", Value: "1"}},
		Links: []Link{
			{Name: "e0", Kind: Physical, MatchMAC: "52:54:00:00:00:02"},
			{Name: "e1", Kind: Physical, MatchMAC: "52:54:00:00:00:03"},
			{Name: "e2", Kind: Physical, MatchMAC: "52:54:00:00:00:01"},
		},
		Addresses: []Address{{Link: "e2", Prefix: netip.MustParsePrefix("192.168.4.5/24")}},
	}
	reach(t, k, desired)
	settled(t, k, desired)
	for name, mac := range map[string]string{"e0": "52:54:00:00:00:02", "e1": "52:54:00:00:00:03", "e2": "52:54:00:00:00:01"} {
		if got := run(t, "ip -br link show "+name); !strings.Contains(got, mac) {
			t.Errorf("%s is not %s: %s", name, mac, got)
		}
	}
}

// TestPlanIsEmptyAfterApplyInNamespace walks through random states.
func TestPlanIsEmptyAfterApplyInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNeighbour(t, "eth0")
	for _, link := range []string{"eth1", "eth2", "eth3"} {
		newNeighbour(t, link)
	}
	k := open(t)
	stacked := os.Getenv(onOwnKernel) != ""
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 150 {
		desired := randomState(r)
		if stacked {
			desired = stack(r, desired)
		}
		reach(t, k, desired)
		settled(t, k, desired)
		if t.Failed() {
			t.Fatalf("desired: %+v", desired)
		}
	}
}

// stack adds a bond and VLANs, of kinds and parents that change.
func stack(r *rand.Rand, s State) State {
	for _, link := range []string{"eth2", "eth3"} {
		s.Links = append(s.Links, Link{Name: link, Kind: Physical})
	}
	if r.IntN(3) > 0 {
		members := [][]string{{"eth2"}, {"eth3"}, {"eth2", "eth3"}, {"eth3", "eth2"}}[r.IntN(4)]
		mode := []string{"active-backup", "802.3ad", "balance-xor"}[r.IntN(3)]
		s.Links = append(s.Links, Link{Name: "bond0", Kind: Bond, BondMode: mode, BondMembers: members, BondMIIMon: time.Duration(1+r.IntN(2)) * 100 * time.Millisecond})
	}
	for _, parent := range []string{"eth0", "eth2", "bond0"} {
		exists := slices.ContainsFunc(s.Links, func(l Link) bool { return l.Name == parent })
		if !exists || r.IntN(2) == 0 {
			continue
		}
		vlan := Link{Name: "vlan", Kind: VLAN, Parent: parent, VLANID: 5 + r.IntN(2), MTU: 1300}
		s.Links = append(s.Links, vlan)
		s.Addresses = append(s.Addresses, own("vlan", "192.168.6.5/24"), vip("vlan", "192.168.6.15/32"))
		break
	}
	return s
}

// randomState is a director's or real server's network, drawn from a small
// pool, so that states overlap.
func randomState(r *rand.Rand) State {
	flip := func() bool { return r.IntN(2) == 0 }
	bit := func() string { return []string{"0", "1"}[r.IntN(2)] }
	s := State{Links: []Link{{Name: "lo", Kind: Fallback}, {Name: "eth0", Kind: Physical, MTU: 1400 + 100*r.IntN(2)}}}
	for _, path := range []string{
		"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/arp_ignore",
		"net/ipv4/conf/eth0/accept_redirects", "net/ipv6/conf/eth0/accept_redirects", "net/ipv4/conf/lo/arp_announce",
	} {
		if flip() {
			s.Sysctls = append(s.Sysctls, Sysctl{Path: path, Value: bit()})
		}
	}
	if flip() {
		s.Links = append(s.Links, Link{Name: "eth1", Kind: Physical})
	}
	own := map[string][]string{
		"eth0": {"192.168.4.5/24", "192.168.4.6/24", "192.168.4.5/16", "2001:db8::5/64", "2001:db8::5/56", "2001:db8::6/64", "10.0.0.7/32"},
		"eth1": {"192.168.5.5/24", "192.168.4.5/32", "2001:db8:5::5/64", "2001:db8::5/128", "10.0.0.8/32"},
	}
	for _, link := range s.Links[1:] {
		for _, i := range r.Perm(len(own[link.Name])) {
			a := Address{Link: link.Name, Prefix: netip.MustParsePrefix(own[link.Name][i])}
			// Leases are IPv4 here. In IPv6 the kernel lets the route to a prefix
			// expire with any one of its addresses (6.18, addrconf.c).
			if r.IntN(4) == 0 && a.Prefix.Addr().Is4() {
				a.ValidUntil = time.Now().Add(time.Duration(60+r.IntN(1000)) * time.Second)
			}
			if flip() {
				s.Addresses = append(s.Addresses, a)
			}
		}
	}
	for _, link := range s.Links {
		for _, a := range []string{"192.168.4.15/32", "192.168.4.16/32", "2001:db8::15/128", "2001:db8::5/128"} {
			if flip() {
				s.Addresses = append(s.Addresses, Address{Link: link.Name, Prefix: netip.MustParsePrefix(a), VIP: true, Announce: flip() && link.Name != "lo"})
			}
		}
	}
	// Routes need an address on their link: the kernel drops them with the last.
	s.Addresses = append(s.Addresses,
		Address{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.9/24")},
		Address{Link: "eth0", Prefix: netip.MustParsePrefix("2001:db8::9/64")})
	for _, to := range []string{"0.0.0.0/0", "198.51.100.0/24", "::/0", "2001:db8:1::/48"} {
		if !flip() {
			continue
		}
		route := Route{To: netip.MustParsePrefix(to), Metric: 100 * r.IntN(2), Link: "eth0"}
		switch via := r.IntN(3); {
		case via == 0: // on-link
		case route.To.Addr().Is4():
			route.Via = netip.MustParseAddr([]string{"192.168.4.254", "172.16.0.1"}[via-1])
		default:
			route.Via = netip.MustParseAddr([]string{"2001:db8::fe", "fe80::1"}[via-1])
		}
		s.Routes = append(s.Routes, route)
	}
	for _, clamp := range []MSSClamp{{netip.MustParseAddr("192.168.4.15"), 1400}, {netip.MustParseAddr("192.168.4.15"), 1300}, {netip.MustParseAddr("2001:db8::15"), 1300}} {
		if flip() {
			s.MSSClamps = append(s.MSSClamps, clamp)
		}
	}
	return s
}

func text(p Plan) []string {
	var lines []string
	for _, op := range p.Ops() {
		lines = append(lines, op.String())
	}
	return lines
}
