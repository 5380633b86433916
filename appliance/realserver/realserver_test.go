package realserver

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/config"
	"dipper/appliance/network"
)

// example parses one of the clusters that are delivered.
func example(t *testing.T, name string) *config.Config {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("..", "..", "examples", filepath.FromSlash(name)))
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
// on a machine that has its links, all down, and nothing else. What the
// packages below set on any machine, in either role, is left out.
func commands(t *testing.T, cfg *config.Config) string {
	t.Helper()
	state := Desired(cfg, nil)
	state.MSSClamps = nil // see TestClamps
	bare := network.State{Links: []network.Link{{Name: "lo", Kind: network.Fallback, Index: 1, Up: true}}}
	for i, link := range state.Links {
		bare.Links = append(bare.Links, network.Link{Name: link.Name, Kind: link.Kind, Index: i + 2})
	}
	plan := network.MakePlan(bare, state)
	if len(plan.Hide)+len(plan.Withdraw) > 0 {
		t.Errorf("withdraws %v from a machine that has nothing", plan.Withdraw)
	}
	var lines []string
	for _, op := range append(plan.Prepare, plan.Expose...) {
		if line := op.String(); !ofEveryMachine.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

var ofEveryMachine = regexp.MustCompile(`accept_ra|accept_dad|promote_secondaries`)

// TestScenarios holds the clusters that are delivered to what an administrator
// would type on their real servers. The settings for ARP come before the VIP.
func TestScenarios(t *testing.T) {
	tests := []struct{ name, want string }{
		{"s1-nat/web1", `
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.conf.all.accept_redirects=0
sysctl -w net.ipv4.conf.lo.arp_ignore=0
sysctl -w net.ipv4.conf.lo.arp_announce=0
sysctl -w net.ipv4.conf.eth0.accept_redirects=0
sysctl -w net.ipv6.conf.eth0.accept_redirects=0
ip link set eth0 up
ip addr add 192.168.2.100/24 dev eth0
ip route replace default via 192.168.2.5 dev eth0 src 192.168.2.100 proto 68`},
		{"s2-dr/web1", `
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.arp_ignore=1
sysctl -w net.ipv4.conf.all.arp_announce=2
sysctl -w net.ipv4.conf.all.accept_redirects=0
sysctl -w net.ipv4.conf.lo.arp_ignore=1
sysctl -w net.ipv4.conf.lo.arp_announce=2
sysctl -w net.ipv4.conf.eth0.accept_redirects=0
sysctl -w net.ipv6.conf.eth0.accept_redirects=0
ip link set eth0 up
ip addr add 192.168.4.100/24 dev eth0
ip addr add 192.168.4.15/32 dev lo noprefixroute`},
		{"s2-dr-v6/web1", `
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.conf.all.accept_redirects=0
sysctl -w net.ipv4.conf.lo.arp_ignore=0
sysctl -w net.ipv4.conf.lo.arp_announce=0
sysctl -w net.ipv4.conf.eth0.accept_redirects=0
sysctl -w net.ipv6.conf.eth0.accept_redirects=0
ip link set eth0 up
ip addr add 2001:db8:4::100/64 dev eth0
ip addr add 2001:db8:4::15/128 dev lo nodad noprefixroute valid_lft forever preferred_lft 0`},
		{"s3-tun/rs1", `
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.arp_ignore=1
sysctl -w net.ipv4.conf.all.arp_announce=2
sysctl -w net.ipv4.conf.all.rp_filter=0
sysctl -w net.ipv4.conf.all.accept_redirects=0
sysctl -w net.ipv4.conf.lo.arp_ignore=1
sysctl -w net.ipv4.conf.lo.arp_announce=2
sysctl -w net.ipv4.conf.tunl0.rp_filter=0
sysctl -w net.ipv4.conf.eth0.accept_redirects=0
sysctl -w net.ipv6.conf.eth0.accept_redirects=0
ip link set eth0 up
ip link set tunl0 up
ip addr add 192.168.10.112/24 dev eth0
ip addr add 192.168.10.110/32 dev tunl0 noprefixroute`},
		{"s3-tun-v6/rs1", `
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.conf.all.accept_redirects=0
sysctl -w net.ipv4.conf.lo.arp_ignore=0
sysctl -w net.ipv4.conf.lo.arp_announce=0
sysctl -w net.ipv4.conf.eth0.accept_redirects=0
sysctl -w net.ipv6.conf.eth0.accept_redirects=0
ip link set eth0 up
ip link set ip6tnl0 up
ip addr add 2001:db8:10::112/64 dev eth0
ip addr add 2001:db8:10::110/128 dev ip6tnl0 nodad noprefixroute valid_lft forever preferred_lft 0`},
		{"s3-tun-gre/rs1", `
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.arp_ignore=1
sysctl -w net.ipv4.conf.all.arp_announce=2
sysctl -w net.ipv4.conf.all.rp_filter=0
sysctl -w net.ipv4.conf.all.accept_redirects=0
sysctl -w net.ipv4.conf.lo.arp_ignore=1
sysctl -w net.ipv4.conf.lo.arp_announce=2
sysctl -w net.ipv4.conf.gre0.rp_filter=0
sysctl -w net.ipv4.conf.eth0.accept_redirects=0
sysctl -w net.ipv6.conf.eth0.accept_redirects=0
ip link set eth0 up
ip link set gre0 up
ip addr add 192.168.10.112/24 dev eth0
ip addr add 192.168.10.110/32 dev gre0 noprefixroute`},
		{"s3-tun-gre-v6/rs1", `
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.conf.all.accept_redirects=0
sysctl -w net.ipv4.conf.lo.arp_ignore=0
sysctl -w net.ipv4.conf.lo.arp_announce=0
sysctl -w net.ipv4.conf.eth0.accept_redirects=0
sysctl -w net.ipv6.conf.eth0.accept_redirects=0
ip link set eth0 up
ip link set ip6gre0 up
ip addr add 2001:db8:10::112/64 dev eth0
ip addr add 2001:db8:10::110/128 dev ip6gre0 nodad noprefixroute valid_lft forever preferred_lft 0`},
		{"s3-tun-gue/rs1", `
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.arp_ignore=1
sysctl -w net.ipv4.conf.all.arp_announce=2
sysctl -w net.ipv4.conf.all.rp_filter=0
sysctl -w net.ipv4.conf.all.accept_redirects=0
sysctl -w net.ipv4.conf.lo.arp_ignore=1
sysctl -w net.ipv4.conf.lo.arp_announce=2
sysctl -w net.ipv4.conf.tunl0.rp_filter=0
sysctl -w net.ipv4.conf.eth0.accept_redirects=0
sysctl -w net.ipv6.conf.eth0.accept_redirects=0
ip link set eth0 up
ip link set tunl0 up
ip fou add port 6080 gue
ip addr add 192.168.10.112/24 dev eth0
ip addr add 192.168.10.110/32 dev tunl0 noprefixroute`},
		{"s3-tun-gue-v6/rs1", `
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.arp_ignore=0
sysctl -w net.ipv4.conf.all.arp_announce=0
sysctl -w net.ipv4.conf.all.accept_redirects=0
sysctl -w net.ipv4.conf.lo.arp_ignore=0
sysctl -w net.ipv4.conf.lo.arp_announce=0
sysctl -w net.ipv4.conf.eth0.accept_redirects=0
sysctl -w net.ipv6.conf.eth0.accept_redirects=0
ip link set eth0 up
ip link set ip6tnl0 up
ip fou add port 6080 gue -6
ip addr add 2001:db8:10::112/64 dev eth0
ip addr add 2001:db8:10::110/128 dev ip6tnl0 nodad noprefixroute valid_lft forever preferred_lft 0`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := commands(t, example(t, tt.name+".yaml"))
			if diff := cmp.Diff(strings.TrimSpace(tt.want), got); diff != "" {
				t.Errorf("real server (-want +got):\n%s", diff)
			}
		})
	}
}

// TestClamps holds the MSS to the overhead that IPVS takes off the MTU, by the
// example of Ethernet's 1500 bytes.
func TestClamps(t *testing.T) {
	tests := []struct {
		name    string
		network string
		tunnel  string
		four    uint16
		six     uint16
	}{
		{"ipip", "eth0: {addresses: [192.0.2.100/24, 2001:db8::100/64]}", "type: ipip",
			1500 - 20 - 20 - 20, 1500 - 40 - 40 - 20},
		{"gue", "eth0: {addresses: [192.0.2.100/24, 2001:db8::100/64]}", "type: gue, port: 6080",
			1500 - 20 - 8 - 4 - 20 - 20, 1500 - 40 - 8 - 4 - 40 - 20},
		{"gue with a checksum, which UDP has room for", "eth0: {addresses: [192.0.2.100/24, 2001:db8::100/64]}", "type: gue, port: 6080, checksum: true",
			1500 - 20 - 8 - 4 - 20 - 20, 1500 - 40 - 8 - 4 - 40 - 20},
		{"gue with remote checksum offload", "eth0: {addresses: [192.0.2.100/24, 2001:db8::100/64]}", "type: gue, port: 6080, remote-checksum: true",
			1500 - 20 - 8 - 4 - 8 - 20 - 20, 1500 - 40 - 8 - 4 - 8 - 40 - 20},
		{"gre", "eth0: {addresses: [192.0.2.100/24, 2001:db8::100/64]}", "type: gre",
			1500 - 20 - 4 - 20 - 20, 1500 - 40 - 4 - 40 - 20},
		{"the smallest MTU of the links with addresses", `eth0: {mtu: 1400}
    eth1: {mtu: 9000, addresses: [192.0.2.100/24]}
    eth2: {mtu: 1450, addresses: ["2001:db8::100/64"]}`, "type: ipip",
			1450 - 20 - 20 - 20, 1450 - 40 - 40 - 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			state := Desired(parse(t, `
role: real-server
network:
  interfaces:
    `+tt.network+`
virtual-addresses:
  - {address: 192.0.2.15, forward: tun, tunnel: {`+tt.tunnel+`}}
  - {address: "2001:db8::15", forward: tun, tunnel: {`+tt.tunnel+`}}
  - {address: 192.0.2.16, forward: dr}
`), nil)
			want := []network.MSSClamp{
				{Source: netip.MustParseAddr("192.0.2.15"), MSS: tt.four},
				{Source: netip.MustParseAddr("2001:db8::15"), MSS: tt.six},
			}
			if diff := cmp.Diff(want, state.MSSClamps, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("clamps (-want +got):\n%s", diff)
			}
		})
	}
}

// TestThroughTheOtherFamily readies a real server for tunnels whose packets are
// not of the VIP's family: the links that take the VIP's packets out of them,
// and the MSS that leaves room for their headers.
func TestThroughTheOtherFamily(t *testing.T) {
	cfg := parse(t, `
role: real-server
network: {interfaces: {eth0: {addresses: [192.0.2.100/24, "2001:db8::100/64"]}}}
virtual-addresses:
  - {address: 192.0.2.15, forward: tun, through: ipv6}
  - {address: "2001:db8::15", forward: tun, through: ipv4}
  - {address: 192.0.2.16, forward: tun, tunnel: {type: gre}, through: ipv6}
  - {address: "2001:db8::16", forward: tun, tunnel: {type: gre}, through: ipv4}
  - {address: 192.0.2.17, forward: tun, tunnel: {type: gue, port: 6080}, through: ipv6}
  - {address: "2001:db8::17", forward: tun, tunnel: {type: gue, port: 7080}, through: ipv4}
`)
	const want = `
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv4.conf.all.arp_ignore=1
sysctl -w net.ipv4.conf.all.arp_announce=2
sysctl -w net.ipv4.conf.all.rp_filter=0
sysctl -w net.ipv4.conf.all.accept_redirects=0
sysctl -w net.ipv4.conf.lo.arp_ignore=1
sysctl -w net.ipv4.conf.lo.arp_announce=2
sysctl -w net.ipv4.conf.ip6gre0.rp_filter=0
sysctl -w net.ipv4.conf.ip6tnl0.rp_filter=0
sysctl -w net.ipv4.conf.eth0.accept_redirects=0
sysctl -w net.ipv6.conf.eth0.accept_redirects=0
ip link set eth0 up
ip link set gre0 up
ip link set ip6gre0 up
ip -6 tunnel change ip6tnl0 mode any
ip link set ip6tnl0 up
ip link set sit0 up
ip fou add port 6080 gue -6
ip fou add port 7080 gue
ip addr add 192.0.2.100/24 dev eth0
ip addr add 2001:db8::100/64 dev eth0
ip addr add 192.0.2.15/32 dev ip6tnl0 noprefixroute
ip addr add 2001:db8::15/128 dev sit0 nodad noprefixroute valid_lft forever preferred_lft 0
ip addr add 192.0.2.16/32 dev ip6gre0 noprefixroute
ip addr add 2001:db8::16/128 dev gre0 nodad noprefixroute valid_lft forever preferred_lft 0
ip addr add 192.0.2.17/32 dev ip6tnl0 noprefixroute
ip addr add 2001:db8::17/128 dev sit0 nodad noprefixroute valid_lft forever preferred_lft 0`
	if diff := cmp.Diff(strings.TrimSpace(want), commands(t, cfg)); diff != "" {
		t.Errorf("real server (-want +got):\n%s", diff)
	}
	var sizes []uint16
	for _, c := range Desired(cfg, nil).MSSClamps {
		sizes = append(sizes, c.MSS)
	}
	if diff := cmp.Diff([]uint16{
		1500 - 40 - 20 - 20, 1500 - 20 - 40 - 20,
		1500 - 40 - 4 - 20 - 20, 1500 - 20 - 4 - 40 - 20,
		1500 - 40 - 8 - 4 - 20 - 20, 1500 - 20 - 8 - 4 - 40 - 20,
	}, sizes); diff != "" {
		t.Errorf("clamps (-want +got):\n%s", diff)
	}
}

// TestVIPsAreNeverAnnounced is what a real server is about.
func TestVIPsAreNeverAnnounced(t *testing.T) {
	examples, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	vips := 0
	for _, path := range examples {
		if filepath.Base(path) == "lab.yaml" {
			continue // how the machines are wired
		}
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		cfg := parse(t, string(src))
		if cfg.Role != config.RoleRealServer {
			continue
		}
		for _, a := range Desired(cfg, nil).Addresses {
			if !a.VIP {
				continue
			}
			vips++
			if a.Announce || !a.Prefix.IsSingleIP() || a.Link == "eth0" {
				t.Errorf("%s: %+v", path, a)
			}
		}
	}
	if vips == 0 {
		t.Error("no example has a VIP")
	}
}
