package network

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func eth(index int, name string, up bool) Link {
	return Link{Name: name, Kind: Physical, Index: index, MTU: 1500, Up: up, MAC: "52:54:00:00:00:0" + string(rune('0'+index))}
}

// promoted is the sysctl that every plan wants, as it is when set.
var promoted = Sysctl{Path: "net/ipv4/conf/all/promote_secondaries", Value: "1"}

func own(link, prefix string) Address {
	return Address{Link: link, Prefix: netip.MustParsePrefix(prefix)}
}

func vip(link, prefix string) Address {
	return Address{Link: link, Prefix: netip.MustParsePrefix(prefix), VIP: true}
}

// TestPlan holds plans as an administrator would type them. "--" stands
// between hiding, preparing and exposing, and before what is withdrawn.
func TestPlan(t *testing.T) {
	vlan := func(name, parent string, id int) Link {
		return Link{Name: name, Kind: VLAN, Parent: parent, VLANID: id}
	}
	made := func(l Link, index int) Link { l.Index, l.MTU, l.Up, l.Ours = index, 1500, true, true; return l }
	bond := func(mode string, members ...string) Link {
		return Link{Name: "bond0", Kind: Bond, BondMode: mode, BondMembers: members, BondMIIMon: 100 * time.Millisecond}
	}
	tests := []struct {
		name              string
		observed, desired State
		want              string
	}{
		{
			name:     "nothing to do",
			observed: State{Links: []Link{eth(2, "eth0", true)}, Addresses: []Address{own("eth0", "192.168.4.5/24"), vip("eth0", "192.168.4.15/32")}},
			desired:  State{Links: []Link{{Name: "eth0", Kind: Physical}}, Addresses: []Address{vip("eth0", "192.168.4.15/32"), own("eth0", "192.168.4.5/24")}},
			want:     "-- --",
		},
		{
			name: "one network of VIPs goes, one comes, each with its VIPs",
			observed: State{Links: []Link{{Name: "lo", Kind: Fallback, Index: 1, Up: true}, eth(2, "eth0", true)}, Addresses: []Address{vip("eth0", "192.168.4.15/32")},
				Routes: []Route{{To: netip.MustParsePrefix("192.168.5.0/24"), Link: "lo", Local: true}}},
			desired: State{Links: []Link{{Name: "eth0", Kind: Physical}}, Addresses: []Address{vip("eth0", "192.168.4.16/32")},
				Routes: []Route{{To: netip.MustParsePrefix("192.168.6.0/24"), Local: true}, {To: netip.MustParsePrefix("192.168.6.0/24"), Link: "eth0"}}},
			want: `
				--
				ip route replace 192.168.6.0/24 dev eth0 proto 68
				--
				ip route replace local 192.168.6.0/24 dev lo proto 68
				ip addr add 192.168.4.16/32 dev eth0 noprefixroute
				--
				ip addr del 192.168.4.15/32 dev eth0
				ip route del local 192.168.5.0/24 dev lo proto 68`,
		},
		{
			name:     "what the kernel makes of a setting by itself",
			observed: State{Sysctls: []Sysctl{{Path: "net/ipv4/vs/drop_entry", Value: "2"}, {Path: "net/ipv4/vs/drop_packet", Value: "2"}}},
			desired:  State{Sysctls: []Sysctl{{Path: "net/ipv4/vs/drop_entry", Value: "1", Also: "2"}, {Path: "net/ipv4/vs/drop_packet", Value: "1"}}},
			want:     "--\nsysctl -w net.ipv4.vs.drop_packet=1\n--",
		},
		{
			name: "one VIP goes, one comes",
			observed: State{Links: []Link{eth(2, "eth0", true)},
				Addresses: []Address{own("eth0", "192.168.4.5/24"), vip("eth0", "192.168.4.15/32")}},
			desired: State{Links: []Link{{Name: "eth0", Kind: Physical}},
				Addresses: []Address{own("eth0", "192.168.4.5/24"), {Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.16/32"), VIP: true, Announce: true}}},
			want: `
				-- --
				ip addr add 192.168.4.16/32 dev eth0 noprefixroute
				arping -U -I eth0 192.168.4.16
				--
				ip addr del 192.168.4.15/32 dev eth0`,
		},
		{
			name: "a real server becomes a director: it would answer ARP for its VIPs before it has services",
			observed: State{Links: []Link{{Name: "lo", Kind: Fallback, Index: 1, Up: true}, eth(2, "eth0", true)},
				Addresses: []Address{vip("lo", "192.168.4.15/32")}, Sysctls: []Sysctl{{Path: "net/ipv4/conf/all/arp_ignore", Value: "1"}}},
			desired: State{Links: []Link{{Name: "eth0", Kind: Physical}},
				Addresses: []Address{vip("eth0", "192.168.4.15/32")}, Sysctls: []Sysctl{{Path: "net/ipv4/conf/all/arp_ignore", Value: "0"}}},
			want: `
				ip addr del 192.168.4.15/32 dev lo
				--
				sysctl -w net.ipv4.conf.all.arp_ignore=0
				--
				ip addr add 192.168.4.15/32 dev eth0 noprefixroute`,
		},
		{
			name: "a director becomes a real server: it has the VIP in silence before it stops to announce it",
			observed: State{Links: []Link{{Name: "lo", Kind: Fallback, Index: 1, Up: true}, eth(2, "eth0", true)},
				Addresses: []Address{vip("eth0", "192.168.4.15/32")}, Sysctls: []Sysctl{{Path: "net/ipv4/conf/all/arp_ignore", Value: "0"}}},
			desired: State{Links: []Link{{Name: "lo", Kind: Fallback}, {Name: "eth0", Kind: Physical}},
				Addresses: []Address{vip("lo", "192.168.4.15/32")}, Sysctls: []Sysctl{{Path: "net/ipv4/conf/all/arp_ignore", Value: "1"}}},
			want: `
				--
				sysctl -w net.ipv4.conf.all.arp_ignore=1
				--
				ip addr add 192.168.4.15/32 dev lo noprefixroute
				--
				ip addr del 192.168.4.15/32 dev eth0`,
		},
		{
			name: "names change places, and a stranger is in the way",
			observed: State{Links: []Link{eth(2, "eth0", true), eth(3, "eth1", false), eth(4, "lan", false)}, Addresses: []Address{vip("eth0", "192.0.2.1/32")},
				Sysctls: []Sysctl{{Path: "net/ipv4/conf/lan/rp_filter", Value: "0"}}}, // the stranger's
			desired: State{
				Sysctls: []Sysctl{{Path: "net/ipv4/conf/lan/rp_filter", Value: "0"}},
				Links: []Link{
					{Name: "eth1", Kind: Physical, MatchMAC: "52:54:00:00:00:02"},
					{Name: "lan", Kind: Physical, MatchMAC: "52:54:00:00:00:03"},
				},
				Addresses: []Address{own("lan", "192.168.4.5/24")},
			},
			want: `
				--
				ip link set lan name was4
				ip link set eth1 name lan
				ip link set eth0 name eth1
				sysctl -w net.ipv4.conf.lan.rp_filter=0
				ip link set lan up
				ip addr add 192.168.4.5/24 dev lan
				-- --
				ip addr del 192.0.2.1/32 dev eth1`,
		},
		{
			name:     "two names swap",
			observed: State{Links: []Link{eth(2, "eth0", true), eth(3, "eth1", true)}},
			desired: State{Links: []Link{
				{Name: "eth0", Kind: Physical, MatchMAC: "52:54:00:00:00:03"}, {Name: "eth1", Kind: Physical, MatchMAC: "52:54:00:00:00:02"},
			}},
			want: `
				--
				ip link set eth0 name was2
				ip link set eth1 name eth0
				ip link set was2 name eth1
				--`,
		},
		{
			name:     "links that are not there",
			observed: State{Links: []Link{eth(2, "eth0", true)}},
			desired: State{
				Sysctls: []Sysctl{{Path: "net/ipv4/conf/eth1/rp_filter", Value: "0"}},
				Links: []Link{
					{Name: "eth1", Kind: Physical}, vlan("eth1.5", "eth1", 5),
					{Name: "wan", Kind: Physical, MatchMAC: "52:54:00:00:00:09"}, {Name: "fast", Kind: Physical, MatchDriver: "ice"},
				},
				Addresses: []Address{own("eth1", "192.168.4.5/24"), own("eth1.5", "192.168.5.5/24")},
				Routes:    []Route{{To: netip.MustParsePrefix("10.0.0.0/8"), Link: "eth1"}},
			},
			want: `
				--
				ip link show eth1
				ip link show fast  # by driver ice
				ip link show wan  # by MAC 52:54:00:00:00:09
				--`,
		},
		{
			name:     "a bond with a VLAN on it",
			observed: State{Links: []Link{eth(2, "eth0", true), eth(3, "eth1", false)}},
			desired: State{
				Sysctls: []Sysctl{{Path: "net/ipv4/conf/bond0.5/arp_ignore", Value: "1"}, {Path: "net/ipv4/conf/default/rp_filter", Value: "0"}},
				Links: []Link{
					{Name: "bond0.5", Kind: VLAN, Parent: "bond0", VLANID: 5, MTU: 1400}, bond("802.3ad", "eth0", "eth1"),
					{Name: "eth0", Kind: Physical}, {Name: "eth1", Kind: Physical, MTU: 9000},
				},
				Addresses: []Address{own("bond0.5", "192.168.4.5/24")},
			},
			want: `
				--
				sysctl -w net.ipv4.conf.default.rp_filter=0
				ip link add bond0 type bond mode 802.3ad miimon 100
				ip link set bond0 alias dipper
				ip link add link bond0 name bond0.5 type vlan id 5
				ip link set bond0.5 alias dipper
				sysctl -w net.ipv4.conf.bond0/5.arp_ignore=1
				ip link set eth0 down
				ip link set eth0 master bond0
				ip link set eth1 master bond0
				ip link set bond0 up
				ip link set bond0.5 mtu 1400
				ip link set bond0.5 up
				ip addr add 192.168.4.5/24 dev bond0.5
				--`,
		},
		{
			name: "a bond's mode changes: it is made again, with what stood on it",
			observed: State{
				Links:     []Link{eth(2, "eth0", true), eth(3, "eth1", true), made(bond("802.3ad", "eth0", "eth1"), 4), made(vlan("bond0.5", "bond0", 5), 5)},
				Addresses: []Address{own("bond0.5", "192.168.4.5/24"), vip("bond0.5", "192.168.4.15/32")},
				Routes:    []Route{{To: netip.MustParsePrefix("10.0.0.0/8"), Link: "bond0.5", Source: netip.MustParseAddr("192.168.4.5")}},
			},
			desired: State{
				Links:     []Link{{Name: "eth0", Kind: Physical}, {Name: "eth1", Kind: Physical}, bond("active-backup", "eth0"), vlan("bond0.5", "bond0", 5)},
				Addresses: []Address{own("bond0.5", "192.168.4.5/24"), vip("bond0.5", "192.168.4.15/32")},
				Routes:    []Route{{To: netip.MustParsePrefix("10.0.0.0/8"), Link: "bond0.5"}},
			},
			want: `
				--
				ip link del bond0  # mode 802.3ad cannot become active-backup in place
				ip link add bond0 type bond mode active-backup miimon 100
				ip link set bond0 alias dipper
				ip link add link bond0 name bond0.5 type vlan id 5
				ip link set bond0.5 alias dipper
				ip link set eth0 master bond0
				ip link set bond0 up
				ip link set bond0.5 up
				ip link set eth1 up
				ip addr add 192.168.4.5/24 dev bond0.5
				ip route replace 10.0.0.0/8 dev bond0.5 src 192.168.4.5 proto 68
				--
				ip addr add 192.168.4.15/32 dev bond0.5 noprefixroute`,
		},
		{
			name:     "a bond's members and monitoring change in place",
			observed: State{Links: []Link{eth(2, "eth0", true), eth(3, "eth1", true), made(bond("802.3ad", "eth0"), 4)}},
			desired: State{Links: []Link{{Name: "eth0", Kind: Physical}, {Name: "eth1", Kind: Physical},
				{Name: "bond0", Kind: Bond, BondMode: "802.3ad", BondMembers: []string{"eth1"}, BondMIIMon: 200 * time.Millisecond}}},
			want: `
				--
				ip link set bond0 type bond miimon 200
				ip link set eth1 down
				ip link set eth1 master bond0
				ip link set eth0 nomaster
				ip link set eth0 up
				--`,
		},
		{
			name: "made links that nobody wants go, foreign ones stay, a wanted one is adopted",
			observed: State{Links: []Link{eth(2, "eth0", true), made(vlan("eth0.5", "eth0", 5), 3),
				{Name: "eth0.6", Kind: VLAN, Parent: "eth0", VLANID: 6, Up: true}, {Name: "eth0.7", Kind: VLAN, Parent: "eth0", VLANID: 7, Up: true},
				made(vlan("eth0.8", "eth0", 8), 6)}},
			desired: State{Links: []Link{{Name: "eth0", Kind: Physical}, vlan("eth0.7", "eth0", 7), vlan("eth0.8", "eth0", 9)}},
			want: `
				--
				ip link del eth0.5  # not wanted
				ip link del eth0.8  # id 8 cannot become 9 in place
				ip link set eth0.7 alias dipper
				ip link add link eth0 name eth0.8 type vlan id 9
				ip link set eth0.8 alias dipper
				ip link set eth0.8 up
				--`,
		},
		{
			name:     "a name that a physical link has",
			observed: State{Links: []Link{eth(2, "eth0", true), eth(3, "bond0", false)}},
			desired:  State{Links: []Link{{Name: "eth0", Kind: Physical}, bond("802.3ad")}},
			want: `
				--
				ip link show bond0
				--`,
		},
		{
			name:     "a lease is renewed, another one is over",
			observed: State{Links: []Link{eth(2, "eth0", true)}, Addresses: []Address{{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.77/24"), ValidUntil: noon.Add(time.Minute)}}},
			desired: State{Links: []Link{{Name: "eth0", Kind: Physical}}, Addresses: []Address{
				{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.77/24"), ValidUntil: noon.Add(time.Hour)},
				{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.5.77/24"), ValidUntil: noon},
			}},
			want: `
				--
				ip addr change 192.168.4.77/24 dev eth0 valid_lft 3600 preferred_lft 3600
				--`,
		},
		{
			name:     "a lease that the kernel counts down",
			observed: State{Links: []Link{eth(2, "eth0", true)}, Addresses: []Address{{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.77/24"), ValidUntil: noon.Add(59 * time.Second)}}},
			desired:  State{Links: []Link{{Name: "eth0", Kind: Physical}}, Addresses: []Address{{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.77/24"), ValidUntil: noon.Add(time.Minute)}}},
			want:     "-- --",
		},
		{
			name:     "a lease of a /32 with its gateway outside",
			observed: State{Links: []Link{eth(2, "eth0", true)}},
			desired: State{Links: []Link{{Name: "eth0", Kind: Physical}}, Addresses: []Address{own("eth0", "10.0.0.7/32")},
				Routes: []Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("172.16.0.1"), Link: "eth0", Metric: 1024}}},
			want: `
				--
				ip addr add 10.0.0.7/32 dev eth0
				ip route replace default via 172.16.0.1 dev eth0 src 10.0.0.7 metric 1024 proto 68 onlink
				--`,
		},
		{
			name: "an IPv6 address changes its prefix length; one becomes a VIP",
			observed: State{Links: []Link{eth(2, "eth0", true)}, Sysctls: []Sysctl{{Path: "net/ipv6/conf/eth0/accept_dad", Value: "0"}},
				Addresses: []Address{own("eth0", "2001:db8::5/64"), own("eth0", "2001:db8::15/64")}},
			desired: State{Links: []Link{{Name: "eth0", Kind: Physical}}, Addresses: []Address{own("eth0", "2001:db8::5/56"), vip("eth0", "2001:db8::15/128")}},
			want: `
				--
				ip addr del 2001:db8::5/64 dev eth0
				ip addr add 2001:db8::5/56 dev eth0
				--
				ip addr del 2001:db8::15/64 dev eth0
				ip addr add 2001:db8::15/128 dev eth0 nodad noprefixroute valid_lft forever preferred_lft 0`,
		},
		{
			name: "an IPv6 VIP becomes an own address, which the link has only once",
			observed: State{Links: []Link{eth(2, "eth0", true)}, Sysctls: []Sysctl{{Path: "net/ipv6/conf/eth0/accept_dad", Value: "0"}},
				Addresses: []Address{vip("eth0", "2001:db8::15/128")}},
			desired: State{Links: []Link{{Name: "eth0", Kind: Physical}}, Addresses: []Address{own("eth0", "2001:db8::15/64")}},
			want: `
				--
				ip addr del 2001:db8::15/128 dev eth0
				ip addr add 2001:db8::15/64 dev eth0
				--`,
		},
		{
			name: "forwarding is copied to all links by the kernel",
			observed: State{Links: []Link{eth(2, "eth0", true)}, Sysctls: []Sysctl{
				{Path: "net/ipv4/ip_forward", Value: "0"}, {Path: "net/ipv4/conf/eth0/forwarding", Value: "0"}, {Path: "net/ipv4/conf/eth0/rp_filter", Value: "0"},
				{Path: "net/ipv4/vs/sync_threshold", Value: "3 50"},
			}},
			desired: State{Links: []Link{{Name: "eth0", Kind: Physical}}, Sysctls: []Sysctl{
				{Path: "net/ipv4/ip_forward", Value: "1"}, {Path: "net/ipv4/conf/eth0/forwarding", Value: "0"}, {Path: "net/ipv4/conf/eth0/rp_filter", Value: "0"},
				{Path: "net/ipv4/vs/sync_threshold", Value: "3\t60"},
			}},
			want: `
				--
				sysctl -w net.ipv4.ip_forward=1
				sysctl -w net.ipv4.vs.sync_threshold="3	60"
				sysctl -w net.ipv4.conf.eth0.forwarding=0
				--`,
		},
		{
			name:     "GUE ports and clamps",
			observed: State{FOU: []FOU{{Port: 6080}, {Port: 6081}}, MSSClamps: []MSSClamp{{netip.MustParseAddr("192.168.4.15"), 1400}}},
			desired:  State{FOU: []FOU{{Port: 6080}, {Port: 6080, IPv6: true}}, MSSClamps: []MSSClamp{{netip.MustParseAddr("2001:db8::15"), 1380}}},
			want: `
				--
				ip fou del port 6081
				ip fou add port 6080 gue -6
				nft add rule inet dipper mss ip6 saddr 2001:db8::15 tcp flags syn tcp option maxseg size set 1380
				nft delete rule inet dipper mss  # 192.168.4.15 1400
				--`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.observed.At = noon
			test.observed.Sysctls = append(test.observed.Sysctls, promoted)
			got := MakePlan(test.observed, test.desired)
			if diff := cmp.Diff(trim(test.want), sections(got)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func trim(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "-- --" {
			lines = append(lines, "--", "--")
		} else if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func sections(p Plan) []string {
	lines := func(ops []Op) (out []string) {
		for _, op := range ops {
			out = append(out, op.String())
		}
		return out
	}
	all := slices.Concat(lines(p.Hide), []string{"--"}, lines(p.Prepare), []string{"--"}, lines(p.Expose))
	if len(p.Withdraw) > 0 {
		all = append(append(all, "--"), lines(p.Withdraw)...)
	}
	return all
}

// TestPlanIsPure plans random states twice, and leaves them as they were.
func TestPlanIsPure(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		observed, desired := randomState(r), randomState(r)
		observed.At = noon
		for i := range observed.Links {
			observed.Links[i].Index = i + 1
		}
		before := clone(observed, desired)
		first, second := MakePlan(observed, desired), MakePlan(observed, desired)
		if diff := cmp.Diff(sections(first), sections(second)); diff != "" {
			t.Fatalf("two plans for the same states:\n%s", diff)
		}
		if !reflect.DeepEqual(before, []State{observed, desired}) {
			t.Fatal("planning changed a state")
		}
	}
}

func clone(states ...State) []State {
	var out []State
	for _, s := range states {
		s.Sysctls, s.Links, s.Addresses = slices.Clone(s.Sysctls), slices.Clone(s.Links), slices.Clone(s.Addresses)
		s.Routes, s.FOU, s.MSSClamps = slices.Clone(s.Routes), slices.Clone(s.FOU), slices.Clone(s.MSSClamps)
		s.Marks = slices.Clone(s.Marks)
		out = append(out, s)
	}
	return out
}

// TestMissingLinkSaysWhatThereIs is what an administrator reads who mistyped.
func TestMissingLinkSaysWhatThereIs(t *testing.T) {
	observed := []Link{eth(2, "eth0", true), {Name: "eth1", Kind: Physical, MAC: "02:00:00:00:00:01", PermanentMAC: "52:54:00:00:00:03", Driver: "virtio_net"}}
	tests := []struct {
		want Link
		says string
	}{
		{Link{Name: "wan", Kind: Physical}, "no such link; this machine has eth0 (52:54:00:00:00:02), eth1 (52:54:00:00:00:03, virtio_net)"},
		{Link{Name: "wan", Kind: Physical, MatchMAC: "02:00:00:00:00:01"}, "no such link"},
		{Link{Name: "wan", Kind: Physical, MatchMAC: "52:54:00:00:00:03"}, ""},
		{Link{Name: "wan", Kind: Physical, MatchDriver: "virtio_net"}, ""},
		{Link{Name: "wan", Kind: Physical, MatchDriver: ""}, "no such link"},
	}
	for _, test := range tests {
		_, err := match(test.want, observed)
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%+v: %v, want %q", test.want, err, test.says)
		}
	}
	observed = append(observed, Link{Name: "eth2", Kind: Physical, Driver: "virtio_net"})
	if _, err := match(Link{Name: "wan", Kind: Physical, MatchDriver: "virtio_net"}, observed); err == nil || !strings.Contains(err.Error(), "2 links match") {
		t.Errorf("an ambiguous driver: %v", err)
	}
}
