// Package scenario is what must be true of the clusters in examples/: the
// traffic that shows it, and the facts to be read from the wire. The demo prints
// them, and the tests hold the appliance to them.
//
// It is a black box test bench: it sees clients' answers and frames, and asks
// no machine what it thinks of itself.
package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"dipper/qemu/ether"
	"dipper/qemu/lab"
)

// Scenario is one directory of examples/, as scenarios are described: by
// addresses and the way packets take.
type Scenario struct {
	Example string // the directory
	Title   string
	Forward Forward
	// Outer is what a tunnelled packet is wrapped in: its innermost outer layer.
	Outer   gopacket.LayerType
	Client  netip.Addr
	VIP     netip.Addr
	DIP     netip.Addr
	Servers []Server
	// Router is the name of the machine between director and real servers.
	Router string
}

// Forward is how requests reach a real server.
type Forward string

// The three ways of LVS.
const (
	NAT Forward = "nat"
	DR  Forward = "dr"
	TUN Forward = "tun"
)

// Server is a real server. The pages of the examples are their address.
type Server struct {
	Name   string
	RIP    netip.Addr
	Weight int
}

// All are the clusters of examples/.
func All() []Scenario {
	var all []Scenario
	for _, family := range []struct {
		suffix  string
		address func(v4, v6 string) netip.Addr
	}{
		{"", func(v4, _ string) netip.Addr { return netip.MustParseAddr(v4) }},
		{"-v6", func(_, v6 string) netip.Addr { return netip.MustParseAddr(v6) }},
	} {
		for _, s := range scenarios(family.address) {
			s.Example += family.suffix
			if family.suffix != "" {
				s.Title += ", IPv6"
			}
			all = append(all, s)
		}
	}
	return all
}

// Demonstrated are those that the demo shows.
func Demonstrated() []Scenario {
	shown := map[string]bool{"s1-nat": true, "s2-dr": true, "s3-tun": true}
	var demonstrated []Scenario
	for _, s := range All() {
		if shown[s.Example] {
			demonstrated = append(demonstrated, s)
		}
	}
	return demonstrated
}

func scenarios(address func(v4, v6 string) netip.Addr) []Scenario {
	nat := Scenario{
		Example: "s1-nat", Title: "NAT, two networks", Forward: NAT,
		Client: address("192.168.4.10", "2001:db8:4::10"),
		VIP:    address("192.168.4.5", "2001:db8:4::5"),
		DIP:    address("192.168.2.5", "2001:db8:2::5"),
		Servers: []Server{
			{"web1", address("192.168.2.100", "2001:db8:2::100"), 1},
			{"web2", address("192.168.2.200", "2001:db8:2::200"), 1},
		},
	}
	dr := Scenario{
		Example: "s2-dr", Title: "direct routing, one LAN", Forward: DR,
		Client: address("192.168.4.10", "2001:db8:4::10"),
		VIP:    address("192.168.4.15", "2001:db8:4::15"),
		DIP:    address("192.168.4.5", "2001:db8:4::5"),
		Servers: []Server{
			{"web1", address("192.168.4.100", "2001:db8:4::100"), 1},
			{"web2", address("192.168.4.200", "2001:db8:4::200"), 2},
		},
	}
	tun := Scenario{
		Example: "s3-tun", Title: "IP tunnelling", Forward: TUN,
		Outer:  ipLayer(address("192.168.10.118", "2001:db8:10::118")),
		Client: address("192.168.10.105", "2001:db8:10::105"),
		VIP:    address("192.168.10.110", "2001:db8:10::110"),
		DIP:    address("192.168.10.118", "2001:db8:10::118"),
		Servers: []Server{
			{"rs1", address("192.168.10.112", "2001:db8:10::112"), 1},
			{"rs2", address("192.168.10.113", "2001:db8:10::113"), 1},
		},
	}
	gue, gre, routed := tun, tun, tun
	gue.Example, gue.Title, gue.Outer = "s3-tun-gue", "tunnelling by GUE", layers.LayerTypeUDP
	gre.Example, gre.Title, gre.Outer = "s3-tun-gre", "tunnelling by GRE", layers.LayerTypeGRE
	routed.Example, routed.Title, routed.Router = "s3-tun-routed", "IP tunnelling through a router", "router"
	routed.Servers = []Server{
		{"rs1", address("192.168.20.112", "2001:db8:20::112"), 1},
		{"rs2", address("192.168.20.113", "2001:db8:20::113"), 1},
	}
	return []Scenario{nat, dr, tun, gue, gre, routed}
}

// Load reads the scenario's cluster from the tree.
func (s Scenario) Load() (*lab.Description, error) {
	root, err := lab.Root()
	if err != nil {
		return nil, err
	}
	return lab.Load(filepath.Join(root, "examples", s.Example))
}

// URL is where clients find the service.
func (s Scenario) URL() string { return "http://" + netip.AddrPortFrom(s.VIP, 80).String() + "/" }

// Report is what a scenario showed.
type Report struct {
	Scenario Scenario
	Requests int
	Answers  map[string]int // by real server; "" for what is no real server's page
	Facts    []Fact
}

// Fact is a claim about the cluster, and what contradicts it.
type Fact struct {
	Claim  string
	Denial error // nil: the claim holds
}

// Failed are the facts that do not hold.
func (r Report) Failed() []Fact {
	var failed []Fact
	for _, f := range r.Facts {
		if f.Denial != nil {
			failed = append(failed, f)
		}
	}
	return failed
}

// rounds is how often every unit of weight is served. More than one, so that
// a real server answers again; wrr repeats after each.
const rounds = 4

// Show sends requests through the VIP, with neighbour caches flushed in between,
// and reads the captures. Its error is that it could not.
func (s Scenario) Show(ctx context.Context, c *lab.Cluster) (Report, error) {
	total := 0
	for _, server := range s.Servers {
		total += rounds * server.Weight
	}
	report := Report{Scenario: s, Requests: total}
	from, err := markAll(c)
	if err != nil {
		return report, err
	}
	// Half of the requests before, half after: rounds is even. The client asks
	// for the VIP twice, whatever it has done before. When the director answers
	// the ping, it has forwarded what came before that.
	script := fmt.Sprintf(`
ask() { for _ in $(seq %d); do curl -sS --max-time 60 '%s'; done; }
ip neigh flush all
ask
ip neigh flush all
ask
ping -c 1 -W 60 %s > /dev/null`, total/2, s.URL(), s.VIP)
	pages, err := c.Peer("client").Run(ctx, script)
	if err != nil {
		return report, err
	}
	report.Answers = s.count(pages)
	packets, err := packetsSince(c, from)
	if err != nil {
		return report, err
	}
	report.Facts = s.facts(report, packets)
	return report, nil
}

// count tells the pages apart: each is a line with the address of who serves it.
func (s Scenario) count(pages string) map[string]int {
	names := make(map[string]string)
	for _, server := range s.Servers {
		names[server.RIP.String()] = server.Name
	}
	answers := make(map[string]int)
	for line := range strings.Lines(pages) {
		answers[names[strings.TrimSpace(line)]]++
	}
	return answers
}

// markAll counts what every LAN has carried until now.
func markAll(c *lab.Cluster) (map[string]int, error) {
	counts := make(map[string]int)
	return counts, eachLAN(c, func(name string, frames []ether.Frame) { counts[name] = len(frames) })
}

func packetsSince(c *lab.Cluster, from map[string]int) ([]Packet, error) {
	var packets []Packet
	return packets, eachLAN(c, func(name string, frames []ether.Frame) {
		packets = append(packets, decode(c.MACs(), name, frames[from[name]:])...)
	})
}

func eachLAN(c *lab.Cluster, do func(name string, frames []ether.Frame)) error {
	for _, name := range c.LANs() {
		frames, err := c.Capture(name).Frames()
		if err != nil {
			return err
		}
		do(name, frames)
	}
	return nil
}
