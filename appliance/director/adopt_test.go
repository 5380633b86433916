package director

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dipper/appliance/config"
	"dipper/appliance/ipvs"
)

// tables makes random tables: of what the kernel takes, everything.
type tables struct{ *rand.Rand }

func (r tables) table() ipvs.Table {
	var t ipvs.Table
	keys := make(map[ipvs.Key]bool)
	for range r.IntN(12) {
		s := r.service()
		if !keys[s.Key] {
			keys[s.Key] = true
			t.Services = append(t.Services, s)
		}
	}
	return t
}

func (r tables) service() ipvs.Service {
	s := ipvs.Service{
		Scheduler: pick(r, config.Schedulers()...),
		Flags:     pick(r, 0, ipvs.SchedulerFlag1, ipvs.SchedulerFlag1|ipvs.SchedulerFlag2, ipvs.SchedulerFlag2|ipvs.SchedulerFlag3),
	}
	s.Address = r.vip()
	switch r.IntN(4) {
	case 0: // a mark
		s.Address = unspecified(familyOf(s.Address))
		s.FWMark = pick(r, 1, 7, 8, config.FirstMark+uint32(r.IntN(3)), 1<<32-1)
	case 1: // every port
		s.Protocol = pick(r, ipvs.TCP, ipvs.UDP, ipvs.SCTP)
		s.Flags |= ipvs.Persistent
	case 2:
		s.Protocol = pick(r, ipvs.AH, ipvs.ESP)
	default:
		s.Protocol, s.Port = pick(r, ipvs.TCP, ipvs.UDP, ipvs.SCTP), pick[uint16](r, 80, 443, 65535)
	}
	if s.Protocol == ipvs.UDP || s.FWMark != 0 {
		s.Flags |= pick(r, 0, ipvs.OnePacket)
	}
	if s.Flags |= pick(r, 0, ipvs.Persistent); s.Flags&ipvs.Persistent != 0 {
		s.Timeout, s.Engine = pick[uint32](r, 1, 360, 31*24*3600), pick(r, "", "sip")
		s.Netmask = granularity(familyOf(s.Address), 1+r.IntN(s.Address.BitLen()))
	}
	s.RealServers = r.realServers(s)
	return s
}

func (r tables) vip() netip.Addr {
	return netip.MustParseAddr(pick(r, "192.168.4.15", "192.168.4.16", "192.168.4.255", "203.0.113.80", "127.0.0.1", "2001:db8:4::15", "2001:db8:77::1", "::1"))
}

func (r tables) realServers(s ipvs.Service) []ipvs.RealServer {
	var servers []ipvs.RealServer
	targets := make(map[ipvs.Target]bool)
	for range r.IntN(5) {
		server := ipvs.RealServer{
			Port: s.Port, Forward: pick(r, ipvs.NAT, ipvs.DR, ipvs.TUN), Weight: pick[uint32](r, 0, 1, 100, 1<<31-1),
			UpperThreshold: pick[uint32](r, 0, 1000), Address: r.rip(s.Address.Is4()),
		}
		server.LowerThreshold = pick(r, 0, server.UpperThreshold)
		if server.Forward == ipvs.NAT || s.FWMark != 0 {
			server.Port = pick[uint16](r, 0, 80, 8080)
		}
		if server.Forward == ipvs.TUN {
			server.Address = r.rip(r.IntN(2) == 0)
			server.Tunnel = pick(r, ipvs.Tunnel{}, ipvs.Tunnel{Type: ipvs.GRE}, ipvs.Tunnel{Type: ipvs.GRE, Checksum: true},
				ipvs.Tunnel{Type: ipvs.GUE, Port: 6080}, ipvs.Tunnel{Type: ipvs.GUE, Port: 1, Checksum: true},
				ipvs.Tunnel{Type: ipvs.GUE, Port: 65535, RemoteChecksum: true})
		}
		if !targets[server.Target()] {
			targets[server.Target()] = true
			servers = append(servers, server)
		}
	}
	return servers
}

func (r tables) rip(is4 bool) netip.Addr {
	if is4 {
		return netip.MustParseAddr(pick(r, "192.168.4.100", "192.168.4.200", "192.168.4.5", "192.168.4.15", "10.0.0.1", "127.0.0.1"))
	}
	return netip.MustParseAddr(pick(r, "2001:db8:4::100", "2001:db8:4::200", "2001:db8:4::5", "2001:db8:99::1"))
}

func pick[T any](r tables, from ...T) T { return from[r.IntN(len(from))] }

func familyOf(a netip.Addr) config.Family {
	if a.Is4() {
		return config.IPv4
	}
	return config.IPv6
}

const adopting = `role: director
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24, 2001:db8:4::5/64]}
ipvs: {settings: {sloppy-tcp: true}}
services:
  web:
    listen: 192.168.4.15:80
    scheduler: mh
    on-down: reset
    forward: tun
    tunnel: {type: gue, port: 6080}
    real-servers:
      - {address: 192.168.4.200, weight: 3}
      - {address: 192.168.4.100}
  games:
    listen: ["192.168.4.17:7000-7010", 192.168.4.18:7000]
    protocol: [tcp, udp]
    forward: nat
    real-servers: [{address: 192.168.4.100}]
  marked: {fwmark: 7, family: ipv4, forward: dr, real-servers: [{address: 192.168.4.100}]}
`

// TestAdoptDesired holds the two directions to each other: what is adopted is
// desired, and is a valid configuration that reads back as it was.
func TestAdoptDesired(t *testing.T) {
	for seed := range uint64(400) {
		r := tables{rand.New(rand.NewPCG(seed, 0))}
		cfg := parse(t, adopting)
		for range 2 { // adopted configurations adopt as well
			table := r.table()
			adopted, err := Adopt(cfg, table)
			if err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, table)
			}
			_, desired := Desired(adopted, nil)
			if diff := cmp.Diff(table.Canonical(), desired, byValue()); diff != "" {
				t.Fatalf("seed %d: adopted, the table would be different (-adopted +desired):\n%s", seed, diff)
			}
			text := config.Render(adopted)
			again, err := config.Parse("adopted", text)
			if err != nil {
				t.Fatalf("seed %d: the adopted configuration\n%s\nis refused: %v", seed, text, err)
			}
			if diff := cmp.Diff(adopted, again, byValue()); diff != "" {
				t.Fatalf("seed %d: the adopted configuration\n%s\nreads back differently (-before +after):\n%s", seed, text, diff)
			}
			cfg = adopted
		}
	}
}

// strange makes of a table one that the kernel might take as well, by ipvsadm
// or without it: with an address, a port or a tunnel that makes no sense.
func (r tables) strange(t ipvs.Table) ipvs.Table {
	for i := range t.Services {
		s := &t.Services[i]
		if r.IntN(4) == 0 {
			r.strangeService(s)
		}
		for j := range s.RealServers {
			if r.IntN(6) == 0 {
				r.strangeServer(&s.RealServers[j])
			}
		}
	}
	return t
}

func (r tables) strangeService(s *ipvs.Service) {
	switch r.IntN(5) {
	case 0:
		s.Flags |= ipvs.OnePacket
	case 1:
		s.Protocol = pick(r, ipvs.TCP, ipvs.UDP, ipvs.SCTP, ipvs.AH, ipvs.ESP)
	case 2:
		s.Port = pick[uint16](r, 0, 7000, 7010, 7011)
	default:
		if s.FWMark == 0 {
			s.Address = r.anyAddress()
		}
	}
	if s.FWMark != 0 {
		s.Protocol, s.Port = 0, 0
	}
}

func (r tables) strangeServer(server *ipvs.RealServer) {
	switch r.IntN(4) {
	case 0:
		server.Port = pick[uint16](r, 0, 1, 80, 8080)
	case 1:
		server.Forward = pick(r, ipvs.NAT, ipvs.DR, ipvs.TUN)
	case 2:
		server.Tunnel = ipvs.Tunnel{Type: pick(r, ipvs.IPIP, ipvs.GUE, ipvs.GRE), Port: pick[uint16](r, 0, 1), Checksum: r.IntN(2) == 0, RemoteChecksum: r.IntN(2) == 0}
	default:
		server.Address = r.anyAddress()
	}
}

func (r tables) anyAddress() netip.Addr {
	return netip.MustParseAddr(pick(r, "0.0.0.0", "0.1.2.3", "10.0.0.1", "127.0.0.1", "169.254.1.1", "192.168.4.0", "192.168.4.1", "192.168.4.5", "192.168.4.15", "192.168.4.17",
		"192.168.4.255", "192.168.6.7", "224.0.0.9", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::1.2.3.4", "::ffff:1.2.3.4", "2001:db8:4::", "2001:db8:4::5", "2001:db8:4::15", "fc00::1", "fe80::1", "fec0::1", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))
}

// crowded has what can be in the way of a service that comes.
const crowded = `role: director
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24, 2001:db8:4::5/64], mtu: 1400}
  routes:
    - {to: default, via: 192.168.4.1}
    - {to: "2001:db8:9::/48", via: "2001:db8:4::15"}
services:
  games:
    listen: ["192.168.4.17:7000-7010", 192.168.4.18:7000]
    protocol: [tcp, udp]
    forward: nat
    real-servers: [{address: 192.168.4.100}]
  net: {listen: "192.168.6.0/24:80", forward: nat, real-servers: [{address: 192.168.4.101}]}
  ipsec: {listen: 192.168.4.16, protocol: esp, forward: dr, real-servers: [{address: 192.168.4.100}]}
`

// TestAdoptReadable holds Adopt to Parse: of whatever the kernel might have, what
// it takes over is read back as it was.
func TestAdoptReadable(t *testing.T) {
	adopts, refuses := 0, 0
	for seed := range uint64(1000) {
		r := tables{rand.New(rand.NewPCG(seed, 2))}
		cfg := parse(t, crowded)
		var q Sequence
		table := r.table()
		if r.IntN(2) == 0 { // services that are there already
			table.Services = append(table.Services, q.Table(cfg).Canonical().Services...)
		}
		table = unique(r.strange(table))
		adopted, err := q.Adopt(cfg, table)
		if err != nil {
			refuses++
			if adopted != nil {
				t.Fatalf("seed %d: refused, and adopted all the same", seed)
			}
			continue
		}
		adopts++
		text := config.Render(adopted)
		again, err := config.Parse("adopted", text)
		if err != nil {
			t.Fatalf("seed %d: the adopted configuration\n%s\nis refused: %v", seed, text, err)
		}
		if diff := cmp.Diff(adopted, again, byValue()); diff != "" {
			t.Fatalf("seed %d: the adopted configuration\n%s\nreads back differently (-before +after):\n%s", seed, text, diff)
		}
	}
	if adopts < 100 || refuses < 100 {
		t.Errorf("%d tables adopted and %d refused: hardly a test", adopts, refuses)
	}
}

// unique drops what the kernel cannot have twice.
func unique(t ipvs.Table) ipvs.Table {
	keys := make(map[ipvs.Key]bool)
	t.Services = slices.DeleteFunc(t.Services, func(s ipvs.Service) bool {
		known := keys[s.Key]
		keys[s.Key] = true
		return known
	})
	for i := range t.Services {
		targets := make(map[ipvs.Target]bool)
		t.Services[i].RealServers = slices.DeleteFunc(t.Services[i].RealServers, func(r ipvs.RealServer) bool {
			known := targets[r.Target()]
			targets[r.Target()] = true
			return known
		})
	}
	return t
}

func byValue() cmp.Option {
	return cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
}

func TestAdoptNothing(t *testing.T) {
	cfg := parse(t, adopting)
	_, table := Desired(cfg, nil)
	adopted, err := Adopt(cfg, table)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cfg, adopted, byValue()); diff != "" {
		t.Errorf("adopting what is desired changes it (-before +after):\n%s", diff)
	}
}

// TestAdoptChanges shows what edits of the table become.
func TestAdoptChanges(t *testing.T) {
	web := ipvs.Key{Protocol: ipvs.TCP, Address: netip.MustParseAddr("192.168.4.15"), Port: 80}
	for _, tt := range []struct {
		name string
		edit func(t *ipvs.Table)
		want string
	}{
		{"weight", func(t *ipvs.Table) { find(t, web).RealServers[0].Weight = 0 },
			"set services web real-servers 192.168.4.100:80 weight 0"},
		{"forward of one", func(t *ipvs.Table) {
			r := &find(t, web).RealServers[0]
			r.Forward, r.Tunnel = ipvs.DR, ipvs.Tunnel{}
		}, "set services web real-servers 192.168.4.100:80 forward dr"},
		{"server gone", func(t *ipvs.Table) { find(t, web).RealServers = find(t, web).RealServers[1:] },
			"delete services web real-servers 192.168.4.100:80"},
		{"no fallback", func(t *ipvs.Table) { find(t, web).Flags = 0 },
			"delete services web scheduler-flags fallback"},
		{"service gone", func(t *ipvs.Table) { t.Services = t.Services[1:] }, "delete services web"},
		{"persistence", func(t *ipvs.Table) {
			s := find(t, web)
			s.Flags |= ipvs.Persistent
			s.Timeout, s.Netmask = 360, 0xffffff00
		}, "set services web persistence timeout 6m\nset services web persistence netmask 255.255.255.0"},
		{"new service elsewhere", func(t *ipvs.Table) {
			t.Services = append(t.Services, ipvs.Service{
				Key:         ipvs.Key{Protocol: ipvs.TCP, Address: netip.MustParseAddr("192.168.9.1"), Port: 443},
				Scheduler:   "wlc",
				RealServers: []ipvs.RealServer{{Address: netip.MustParseAddr("10.0.0.1"), Port: 443, Forward: ipvs.NAT, Weight: 1}},
			})
		}, `set services tcp-192.168.9.1-443 listen 192.168.9.1:443
set services tcp-192.168.9.1-443 protocol tcp
set services tcp-192.168.9.1-443 scheduler wlc
set services tcp-192.168.9.1-443 assign false
set services tcp-192.168.9.1-443 forward nat
set services tcp-192.168.9.1-443 real-servers 10.0.0.1:443 weight 1
set services tcp-192.168.9.1-443 real-servers 10.0.0.1:443 verify false`},
		{"new mark", func(t *ipvs.Table) {
			t.Services = append(t.Services, ipvs.Service{Key: ipvs.Key{Address: netip.IPv6Unspecified(), FWMark: 7}, Scheduler: "rr"})
		}, `set services fwmark-7-ipv6 fwmark 7
set services fwmark-7-ipv6 family ipv6
set services fwmark-7-ipv6 scheduler rr
set services fwmark-7-ipv6 forward dr`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := parse(t, adopting)
			_, table := Desired(cfg, nil)
			tt.edit(&table)
			adopted, err := Adopt(cfg, table)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, change := range config.Diff(cfg, adopted) {
				got = append(got, change.String())
			}
			if diff := cmp.Diff(strings.Split(tt.want, "\n"), got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func find(t *ipvs.Table, key ipvs.Key) *ipvs.Service {
	for i := range t.Services {
		if t.Services[i].Key == key {
			return &t.Services[i]
		}
	}
	panic("no such service")
}

// TestAdoptNamesAreFree has a service whose name a new one would get.
func TestAdoptNamesAreFree(t *testing.T) {
	cfg := parse(t, `
role: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24]}}}
services:
  tcp-192.168.4.15-80: {listen: 192.168.4.15:81, forward: dr}
  fwmark-7: {listen: 192.168.4.15:82, forward: dr}
`)
	table := ipvs.Table{Services: []ipvs.Service{
		{Key: ipvs.Key{Protocol: ipvs.TCP, Address: netip.MustParseAddr("192.168.4.15"), Port: 80}, Scheduler: "rr"},
		{Key: ipvs.Key{Address: netip.IPv4Unspecified(), FWMark: 7}, Scheduler: "rr"},
	}}
	adopted, err := Adopt(cfg, table)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range adopted.Services {
		names = append(names, s.Name)
	}
	if diff := cmp.Diff([]string{"fwmark-7-2", "tcp-192.168.4.15-80-2"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// TestAdoptRefuses names what no configuration can say.
func TestAdoptRefuses(t *testing.T) {
	base := ipvs.Service{Key: ipvs.Key{Protocol: ipvs.TCP, Address: netip.MustParseAddr("192.168.4.15"), Port: 80}, Scheduler: "rr"}
	for want, edit := range map[string]func(*ipvs.Service){
		`scheduler "lcss"`:             func(s *ipvs.Service) { s.Scheduler = "lcss" },
		"protocol 1":                   func(s *ipvs.Service) { s.Protocol = 1 },
		"mask 0xff00ff00 has gaps":     func(s *ipvs.Service) { s.Flags, s.Timeout, s.Netmask = ipvs.Persistent, 60, 0xff00ff00 },
		"persistence of 0 bits":        func(s *ipvs.Service) { s.Flags, s.Timeout = ipvs.Persistent, 60 },
		"persistence timeout 0s":       func(s *ipvs.Service) { s.Flags, s.Netmask = ipvs.Persistent, 1<<32-1 },
		`engine "sip" without`:         func(s *ipvs.Service) { s.Engine = "sip" },
		"weight 2147483648, threshold": func(s *ipvs.Service) { s.RealServers = []ipvs.RealServer{{Address: base.Address, Weight: 1 << 31}} },
		"thresholds 1 and 2": func(s *ipvs.Service) {
			s.RealServers = []ipvs.RealServer{{Address: base.Address, UpperThreshold: 1, LowerThreshold: 2}}
		},
	} {
		s := base
		edit(&s)
		adopted, err := Adopt(parse(t, adopting), ipvs.Table{Services: []ipvs.Service{s}})
		if adopted != nil || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "192.168.4.15:80") {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestPlaces(t *testing.T) {
	cfg := parse(t, adopting)
	_, table := Desired(cfg, nil)
	places := PlacesIn(cfg)
	var got []string
	for _, op := range ipvs.Plan(ipvs.Table{}, table) {
		got = append(got, places.Of(op))
	}
	want := []string{
		`service "web"`, `service "web": real server 192.168.4.100`, `service "web": real server 192.168.4.200`,
		`service "marked"`, `service "marked": real server 192.168.4.100`,
		`service "games"`, `service "games": real server 192.168.4.100`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	foreign := ipvs.Op{Kind: ipvs.DeleteRealServer, Service: ipvs.Service{Key: ipvs.Key{FWMark: 9, Address: netip.IPv4Unspecified()}},
		RealServer: ipvs.RealServer{Address: netip.MustParseAddr("10.0.0.1"), Port: 80}}
	if got := fmt.Sprint(places.Of(foreign)); got != "service -f 9: real server 10.0.0.1:80" {
		t.Errorf("foreign: %s", got)
	}
}

// many is a director of so many services with ten real servers each.
func many(t testing.TB, services int) *config.Config {
	t.Helper()
	var b strings.Builder
	b.WriteString("role: director\nnetwork: {interfaces: {eth0: {addresses: [10.0.0.1/8]}}}\nservices:\n")
	for s := range services {
		fmt.Fprintf(&b, "  web%d:\n    listen: 10.1.%d.%d:80\n    forward: dr\n    real-servers:\n", s, s/256, s%256)
		for i := range 10 {
			fmt.Fprintf(&b, "      - {address: 10.2.%d.%d}\n", s%256, i+1)
		}
	}
	cfg, err := config.Parse("many", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestCostIsLinear counts allocations, which are the same on every machine:
// eight times the services may take hardly more than eight times of them.
func TestCostIsLinear(t *testing.T) {
	small, large := many(t, 100), many(t, 800)
	for what, do := range map[string]func(cfg *config.Config){
		"desired": func(cfg *config.Config) { Desired(cfg, nil) },
		"adopt": func(cfg *config.Config) {
			_, table := Desired(cfg, nil)
			table.Services[7].RealServers[3].Weight = 9
			if _, err := Adopt(cfg, table); err != nil {
				t.Fatal(err)
			}
		},
	} {
		few, more := testing.AllocsPerRun(1, func() { do(small) }), testing.AllocsPerRun(1, func() { do(large) })
		if more > 8*1.2*few {
			t.Errorf("%s: %.0f allocations for 100 services, %.0f for 800", what, few, more)
		}
	}
}

func BenchmarkAdopt(b *testing.B) {
	for _, services := range []int{100, 1000, 10000} {
		cfg := many(b, services)
		_, table := Desired(cfg, nil)
		b.Run(fmt.Sprintf("%d services", services), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Adopt(cfg, table); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDesired(b *testing.B) {
	for _, services := range []int{100, 1000, 10000} {
		cfg := many(b, services)
		b.Run(fmt.Sprintf("%d services", services), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Desired(cfg, nil)
			}
		})
	}
}
