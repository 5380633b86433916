package network

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBondAndVLANInNamespace makes, changes and removes what stands on other
// links.
func TestBondAndVLANInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	kernelDoes(t, "ip link add probe type bond")
	run(t, "ip link del probe")
	for _, link := range []string{"eth0", "eth1", "eth2"} {
		newNeighbour(t, link)
	}
	k := open(t)
	state := func(mode string, id int, members ...string) State {
		s := State{Sysctls: []Sysctl{{Path: "net/ipv4/conf/bond0.5/rp_filter", Value: "0"}}}
		for _, link := range []string{"eth0", "eth1", "eth2"} {
			s.Links = append(s.Links, Link{Name: link, Kind: Physical})
		}
		s.Links = append(s.Links,
			Link{Name: "bond0.5", Kind: VLAN, Parent: "bond0", VLANID: id, MTU: 1400},
			Link{Name: "bond0", Kind: Bond, BondMode: mode, BondMembers: members, BondMIIMon: 100 * time.Millisecond})
		s.Addresses = []Address{own("bond0.5", "192.168.4.5/24"), vip("bond0.5", "192.168.4.15/32"), own("bond0.5", "2001:db8::5/64")}
		s.Routes = []Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.4.254")}}
		return s
	}
	shows := func(command string, words ...string) {
		t.Helper()
		got := run(t, command)
		for _, w := range words {
			if !strings.Contains(got, w) {
				t.Errorf("%s lacks %q: %s", command, w, got)
			}
		}
	}
	become := func(s State) []string {
		t.Helper()
		plan := reach(t, k, s)
		settled(t, k, s)
		return plan
	}
	become(state("active-backup", 5, "eth0", "eth1"))
	shows("ip -d link show bond0", "mode active-backup", "miimon 100", "alias dipper", "UP")
	shows("ip -d link show bond0.5", "vlan protocol 802.1Q id 5", "mtu 1400", "alias dipper")
	shows("ip link show eth1", "master bond0")
	shows("ip route show default", "via 192.168.4.254 dev bond0.5", "src 192.168.4.5")
	bondNumber := number(t, "bond0")
	shows("cat /proc/sys/net/ipv4/conf/bond0.5/rp_filter", "0")

	plan := become(state("active-backup", 5, "eth1", "eth2"))
	if got := strings.Join(plan, "\n"); strings.Contains(got, "del") {
		t.Errorf("members were not changed in place:\n%s", got)
	}
	shows("ip link show eth2", "master bond0")
	shows("ip link show eth0", "UP")
	if got := number(t, "bond0"); got != bondNumber {
		t.Errorf("bond0 is another one: number %d, was %d", got, bondNumber)
	}

	become(state("802.3ad", 7, "eth0", "eth1"))
	shows("ip -d link show bond0", "mode 802.3ad")
	shows("ip -d link show bond0.5", "id 7")
	shows("ip addr show bond0.5", "192.168.4.15/32", "192.168.4.5/24")

	run(t, "ip link add link eth2 name foreign type vlan id 9")
	plain := State{Links: []Link{{Name: "eth0", Kind: Physical}, {Name: "eth1", Kind: Physical}}, Addresses: []Address{own("eth0", "192.168.4.5/24")}}
	become(plain)
	shows("ip -br link", "foreign", "eth0", "UP")
	if got := run(t, "ip -br link"); strings.Contains(got, "bond0") {
		t.Errorf("bond0 is still there: %s", got)
	}
}

// number is the kernel's of a link.
func number(t *testing.T, link string) int {
	t.Helper()
	found, err := net.InterfaceByName(link)
	if err != nil {
		t.Fatal(err)
	}
	return found.Index
}

// TestTunnelEndsInNamespace readies a real server for IPIP, GRE and GUE.
func TestTunnelEndsInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, link := range []string{"tunl0", "sit0", "ip6tnl0", "gre0", "ip6gre0"} {
		kernelDoes(t, "ip link show "+link)
	}
	kernelDoes(t, "ip fou show")
	k := open(t)
	desired := State{
		Sysctls: []Sysctl{
			{Path: "net/ipv4/conf/all/rp_filter", Value: "0"}, {Path: "net/ipv4/conf/tunl0/rp_filter", Value: "0"},
			{Path: "net/ipv4/conf/all/arp_ignore", Value: "1"}, {Path: "net/ipv4/conf/all/arp_announce", Value: "2"},
		},
		FOU: []FOU{{Port: 6080}, {Port: 6080, IPv6: true}, {Port: 7000}},
	}
	for _, link := range []string{"lo", "tunl0", "sit0", "ip6tnl0", "gre0", "ip6gre0"} {
		desired.Links = append(desired.Links, Link{Name: link, Kind: Fallback, AnyInside: link == "ip6tnl0"})
	}
	desired.Addresses = []Address{vip("tunl0", "192.168.10.110/32"), vip("ip6tnl0", "2001:db8::110/128"),
		vip("ip6tnl0", "192.168.10.111/32"), vip("sit0", "2001:db8::111/128")}
	inside := func(want string) {
		t.Helper()
		if got := run(t, "ip -6 tunnel show ip6tnl0"); !strings.Contains(got, want) {
			t.Errorf("%q: want it to have %s inside", got, want)
		}
	}
	reach(t, k, desired)
	settled(t, k, desired)
	inside(": any/ipv6")
	for _, link := range []string{"tunl0", "sit0", "ip6tnl0", "gre0", "ip6gre0"} {
		if got := run(t, "ip link show "+link); !strings.Contains(got, ",UP") {
			t.Errorf("not up: %s", got)
		}
	}
	fou := func(want ...string) {
		t.Helper()
		got := slices.Sorted(strings.Lines(run(t, "ip fou show")))
		for i := range got {
			got[i] = strings.TrimSpace(got[i])
		}
		if !slices.Equal(got, want) {
			t.Errorf("ip fou show: %q, want %q", got, want)
		}
	}
	fou("port 6080 gue", "port 6080 gue -6", "port 7000 gue")
	desired.FOU = desired.FOU[1:2]
	for i := range desired.Links {
		desired.Links[i].AnyInside = false
	}
	reach(t, k, desired)
	fou("port 6080 gue -6")
	settled(t, k, desired)
	inside(": ipv6/ipv6")
}
