package director

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/config"
	"dipper/appliance/network"
)

// example parses one of the clusters that are delivered.
func example(t *testing.T, name string) *config.Config {
	t.Helper()
	path := filepath.Join("..", "..", "examples", filepath.FromSlash(name))
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(src))
}

func parse(t *testing.T, src string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("dipper.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// commands renders the whole desired state as the commands that would make it
// on a machine that has its network cards and nothing else. What the packages
// below set on any machine, in either role, is left out, and so are the
// settings of IPVS.
func commands(t *testing.T, cfg *config.Config, leases ...network.Lease) string {
	t.Helper()
	state, table := Desired(cfg, leases)
	var bare network.State
	for i, link := range state.Links {
		bare.Links = append(bare.Links, network.Link{Name: link.Name, Kind: link.Kind, Index: i + 2, Up: true})
	}
	plan := network.MakePlan(bare, state)
	if len(plan.Hide)+len(plan.Withdraw) > 0 {
		t.Errorf("withdraws %v from a machine that has nothing", plan.Withdraw)
	}
	var lines []string
	for _, op := range plan.Prepare {
		if line := op.String(); !ofEveryMachine.MatchString(line) {
			lines = append(lines, line)
		}
	}
	lines = append(lines, strings.TrimSuffix(table.String(), "\n"))
	for _, op := range plan.Expose {
		lines = append(lines, op.String())
	}
	return strings.Join(lines, "\n")
}

var ofEveryMachine = regexp.MustCompile(`accept_ra|accept_dad|promote_secondaries|net.ipv4.vs`)

// TestScenarios holds the clusters that are delivered to what an administrator
// would type on their directors.
func TestScenarios(t *testing.T) {
	tests := []struct{ name, want string }{
		{"s1-nat", `
sysctl -w net.ipv4.conf.all.arp_notify=1
sysctl -w net.ipv6.conf.all.ndisc_notify=1
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.ip_forward=1
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.send_redirects=0
sysctl -w net.ipv4.conf.eth0.send_redirects=0
sysctl -w net.ipv4.conf.eth1.send_redirects=0
ip addr add 192.168.4.5/24 dev eth0
ip addr add 192.168.2.5/24 dev eth1
-A -t 192.168.4.5:80 -s wrr
-a -t 192.168.4.5:80 -r 192.168.2.100:80 -m -w 1
-a -t 192.168.4.5:80 -r 192.168.2.200:80 -m -w 1`},
		{"s1-nat-v6", `
sysctl -w net.ipv4.conf.all.arp_notify=1
sysctl -w net.ipv6.conf.all.ndisc_notify=1
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=1
ip addr add 2001:db8:4::5/64 dev eth0
ip addr add 2001:db8:2::5/64 dev eth1
-A -t [2001:db8:4::5]:80 -s wrr
-a -t [2001:db8:4::5]:80 -r [2001:db8:2::100]:80 -m -w 1
-a -t [2001:db8:4::5]:80 -r [2001:db8:2::200]:80 -m -w 1`},
		{"s2-dr", `
sysctl -w net.ipv4.conf.all.arp_notify=1
sysctl -w net.ipv6.conf.all.ndisc_notify=1
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
ip addr add 192.168.4.5/24 dev eth0
-A -t 192.168.4.15:80 -s wrr
-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1
-a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 2
ip addr add 192.168.4.15/32 dev eth0 noprefixroute
arping -U -I eth0 192.168.4.15`},
		{"s2-dr-v6", `
sysctl -w net.ipv4.conf.all.arp_notify=1
sysctl -w net.ipv6.conf.all.ndisc_notify=1
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
ip addr add 2001:db8:4::5/64 dev eth0
-A -t [2001:db8:4::15]:80 -s wrr
-a -t [2001:db8:4::15]:80 -r [2001:db8:4::100]:80 -g -w 1
-a -t [2001:db8:4::15]:80 -r [2001:db8:4::200]:80 -g -w 2
ip addr add 2001:db8:4::15/128 dev eth0 nodad noprefixroute valid_lft forever preferred_lft 0
ndsend 2001:db8:4::15 eth0`},
		{"s3-tun", `
sysctl -w net.ipv4.conf.all.arp_notify=1
sysctl -w net.ipv6.conf.all.ndisc_notify=1
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
ip addr add 192.168.10.118/24 dev eth0
-A -t 192.168.10.110:80 -s wrr
-a -t 192.168.10.110:80 -r 192.168.10.112:80 -i -w 1
-a -t 192.168.10.110:80 -r 192.168.10.113:80 -i -w 1
ip addr add 192.168.10.110/32 dev eth0 noprefixroute
arping -U -I eth0 192.168.10.110`},
		{"s3-tun-gue-v6", `
sysctl -w net.ipv4.conf.all.arp_notify=1
sysctl -w net.ipv6.conf.all.ndisc_notify=1
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
ip addr add 2001:db8:10::118/64 dev eth0
-A -t [2001:db8:10::110]:80 -s wrr
-a -t [2001:db8:10::110]:80 -r [2001:db8:10::112]:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum
-a -t [2001:db8:10::110]:80 -r [2001:db8:10::113]:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum
ip addr add 2001:db8:10::110/128 dev eth0 nodad noprefixroute valid_lft forever preferred_lft 0
ndsend 2001:db8:10::110 eth0`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := commands(t, example(t, tt.name+"/director.yaml"))
			if diff := cmp.Diff(strings.TrimSpace(tt.want), got); diff != "" {
				t.Errorf("director (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEverything has both families on one service, every forwarding method,
// every tunnel and a translated port on one machine.
func TestEverything(t *testing.T) {
	got := commands(t, parse(t, `
role: director
network:
  interfaces:
    eth0: {addresses: [192.0.2.5/24, "2001:db8::5/64"]}
services:
  mixed:
    listen: "[2001:db8::15]:80"
    protocol: tcp
    scheduler: mh
    forward: tun
    tunnel: {type: gre, checksum: true}
    real-servers:
      - {address: 192.0.2.100, weight: 1}
      - {address: 2001:db8::100, weight: 1}
  dns:
    listen: 192.0.2.15:53
    protocol: udp
    scheduler: sh
    forward: tun
    tunnel: {type: gue, port: 6080, checksum: true}
    real-servers:
      - {address: 192.0.2.100, weight: 2147483647}
  signalling:
    listen: 192.0.2.15:2905
    protocol: sctp
    scheduler: wlc
    forward: nat
    real-servers:
      - {address: 192.0.2.100, port: 2906, weight: 0}
`))
	want := `
sysctl -w net.ipv4.conf.all.arp_notify=1
sysctl -w net.ipv6.conf.all.ndisc_notify=1
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.ip_forward=1
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.send_redirects=0
sysctl -w net.ipv4.conf.eth0.send_redirects=0
ip addr add 192.0.2.5/24 dev eth0
ip addr add 2001:db8::5/64 dev eth0
-A -u 192.0.2.15:53 -s sh -b sh-fallback
-a -u 192.0.2.15:53 -r 192.0.2.100:53 -i -w 2147483647 --tun-type gue --tun-port 6080 --tun-csum
-A --sctp-service 192.0.2.15:2905 -s wlc
-a --sctp-service 192.0.2.15:2905 -r 192.0.2.100:2906 -m -w 0
-A -t [2001:db8::15]:80 -s mh -b mh-fallback
-a -t [2001:db8::15]:80 -r 192.0.2.100:80 -i -w 1 --tun-type gre --tun-csum
-a -t [2001:db8::15]:80 -r [2001:db8::100]:80 -i -w 1 --tun-type gre --tun-csum
ip addr add 192.0.2.15/32 dev eth0 noprefixroute
ip addr add 2001:db8::15/128 dev eth0 nodad noprefixroute valid_lft forever preferred_lft 0
arping -U -I eth0 192.0.2.15
ndsend 2001:db8::15 eth0`
	if diff := cmp.Diff(strings.TrimSpace(want), got); diff != "" {
		t.Errorf("director (-want +got):\n%s", diff)
	}
}

// TestMarks has everything that takes a firewall mark, and whole networks of
// VIPs.
func TestMarks(t *testing.T) {
	got := commands(t, parse(t, `
role: director
network:
  interfaces:
    eth0: {addresses: [192.0.2.5/24, "2001:db8::5/64"]}
services:
  games:
    listen: ["192.0.2.15:7000-7010", 192.0.2.16]
    fwmark: 7
    protocol: [udp, sctp]
    persistence: {timeout: 1h, netmask: 255.255.255.0}
    forward: dr
    real-servers: [{address: 192.0.2.100}]
  hosting:
    listen: "[2001:db8:5::/64]:80"
    fwmark: 7
    forward: tun
    real-servers: [{address: 192.0.2.100, tunnel: {type: gue, port: 6080, remote-checksum: true}}]
  elsewhere:
    fwmark: 9
    family: ipv4
    forward: nat
    one-packet: true
    real-servers: [{address: 192.0.2.100, port: 8080, upper-threshold: 10, lower-threshold: 5}]
  vpn: {listen: 192.0.2.17, protocol: esp, forward: dr, assign: false}
  delivered: {listen: 198.51.100.0/24:80, fwmark: 10, forward: dr, assign: false}
`))
	want := `
sysctl -w net.ipv4.conf.all.arp_notify=1
sysctl -w net.ipv6.conf.all.ndisc_notify=1
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.ip_forward=1
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.send_redirects=0
sysctl -w net.ipv4.conf.eth0.send_redirects=0
ip addr add 192.0.2.5/24 dev eth0
ip addr add 2001:db8::5/64 dev eth0
-A --protocol-50 192.0.2.17:0 -s wlc
-A -f 7 -s wlc -p 3600 -M 255.255.255.0
-a -f 7 -r 192.0.2.100:0 -g -w 1
-A -f 9 -s wlc -o
-a -f 9 -r 192.0.2.100:8080 -m -w 1 -x 10 -y 5
-A -f 10 -s wlc
-A -f 7 -6 -s wlc
-a -f 7 -6 -r 192.0.2.100:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum
MARKTABLE
nft 'add element inet dipper_marks ipv4 { 192.0.2.15 . 17 . 7000-7010 : 0x7, 192.0.2.15 . 132 . 7000-7010 : 0x7, 192.0.2.16 . 17 . 0-65535 : 0x7, 192.0.2.16 . 132 . 0-65535 : 0x7, 198.51.100.0/24 . 6 . 80 : 0xa }'
nft 'add element inet dipper_marks ipv6 { 2001:db8:5::/64 . 6 . 80 : 0x7 }'
ip route replace local 2001:db8:5::/64 dev lo proto 68
ip addr add 192.0.2.15/32 dev eth0 noprefixroute
ip addr add 192.0.2.16/32 dev eth0 noprefixroute
arping -U -I eth0 192.0.2.15
arping -U -I eth0 192.0.2.16`
	got = regexp.MustCompile(`(?m)^nft 'add table.*$`).ReplaceAllString(got, "MARKTABLE")
	if diff := cmp.Diff(strings.TrimSpace(want), got); diff != "" {
		t.Errorf("director (-want +got):\n%s", diff)
	}
}

// TestIPVSSettings finds the settings of IPVS among the sysctls.
func TestIPVSSettings(t *testing.T) {
	cfg := parse(t, "role: director\nipvs: {settings: {sync-threshold: 5, sync-period: 100, drop-entry: automatic, lblc-expiration: 1h}}\n")
	state, _ := Desired(cfg, nil)
	for _, want := range []network.Sysctl{
		{Path: "net/ipv4/vs/expire_nodest_conn", Value: "1"},
		{Path: "net/ipv4/vs/conntrack", Value: "0"},
		{Path: "net/ipv4/vs/sync_threshold", Value: "5 100"},
		{Path: "net/ipv4/vs/drop_entry", Value: "1", Also: "2"},
		{Path: "net/ipv4/vs/lblc_expiration", Value: "3600", Optional: true},
	} {
		if !slices.Contains(state.Sysctls, want) {
			t.Errorf("no %+v", want)
		}
	}
	if slices.ContainsFunc(state.Sysctls, func(s network.Sysctl) bool { return strings.HasSuffix(s.Path, "sync_qlen_max") }) {
		t.Error("sync_qlen_max is set, which the kernel computes")
	}
}

func TestHome(t *testing.T) {
	address := func(link, prefix string) network.Address {
		return network.Address{Link: link, Prefix: netip.MustParsePrefix(prefix)}
	}
	tests := []struct {
		name       string
		vip        string
		own        []network.Address
		interfaces []config.Interface
		link       string
		announce   bool
	}{
		{
			name: "the link whose network holds it",
			vip:  "192.0.2.15",
			own:  []network.Address{address("eth0", "198.51.100.5/24"), address("eth1", "192.0.2.5/24")},
			link: "eth1", announce: true,
		},
		{
			name: "the smallest network that holds it",
			vip:  "192.0.2.15",
			own:  []network.Address{address("eth0", "192.0.0.5/16"), address("eth1", "192.0.2.5/24"), address("eth2", "192.0.0.6/16")},
			link: "eth1", announce: true,
		},
		{
			name:       "no lease yet: the network may still come",
			vip:        "192.0.2.15",
			interfaces: []config.Interface{{Name: "eth0", DHCP: true}},
		},
		{
			name:       "the lease of one link of two: the network may still come",
			vip:        "192.0.2.15",
			own:        []network.Address{address("eth0", "198.51.100.5/24")},
			interfaces: []config.Interface{{Name: "eth0", DHCP: true}, {Name: "eth1", DHCP: true}},
		},
		{
			name:       "leased",
			vip:        "192.0.2.15",
			own:        []network.Address{address("eth0", "192.0.2.77/24")},
			interfaces: []config.Interface{{Name: "eth0", DHCP: true}},
			link:       "eth0", announce: true,
		},
		{
			name:       "leased elsewhere: a router sends it here",
			vip:        "192.0.2.15",
			own:        []network.Address{address("eth0", "198.51.100.77/24")},
			interfaces: []config.Interface{{Name: "eth0", DHCP: true}},
			link:       "lo",
		},
		{
			name:       "the network is advertised",
			vip:        "2001:db8::15",
			own:        []network.Address{address("eth0", "2001:db8:1::5/64")},
			interfaces: []config.Interface{{Name: "eth0"}, {Name: "eth1", AcceptRA: true}},
			link:       "eth1", announce: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			link, announce := home(netip.MustParseAddr(tt.vip), tt.own, tt.interfaces)
			if link != tt.link || announce != tt.announce {
				t.Errorf("got %q, announce %v; want %q, announce %v", link, announce, tt.link, tt.announce)
			}
		})
	}
}

// TestLeaseMovesVIP follows a VIP through the life of a lease.
func TestLeaseMovesVIP(t *testing.T) {
	cfg := parse(t, `
role: director
network:
  interfaces:
    eth0: {dhcp: true}
services:
  web:
    listen: 192.0.2.15:80
    protocol: tcp
    forward: dr
    real-servers: [{address: 192.0.2.100}]
`)
	vips := func(leases ...network.Lease) []network.Address {
		state, _ := Desired(cfg, leases)
		var found []network.Address
		for _, a := range state.Addresses {
			if a.VIP {
				found = append(found, a)
			}
		}
		return found
	}
	if got := vips(); len(got) != 0 {
		t.Errorf("without a lease: got %v, want no VIP", got)
	}
	want := []network.Address{{Link: "eth0", Prefix: netip.MustParsePrefix("192.0.2.15/32"), VIP: true, Announce: true}}
	got := vips(network.Lease{Link: "eth0", Address: netip.MustParsePrefix("192.0.2.77/24")})
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("with a lease (-want +got):\n%s", diff)
	}
}
