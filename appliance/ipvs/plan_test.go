package ipvs

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// web is the virtual service 192.168.4.15:80 over TCP.
func web(scheduler string, servers ...RealServer) Service {
	return Service{
		Key:         Key{Protocol: TCP, Address: netip.MustParseAddr("192.168.4.15"), Port: 80},
		Scheduler:   scheduler,
		RealServers: servers,
	}
}

// rs is a real server by direct routing.
func rs(addrPort string, weight uint32) RealServer {
	a := netip.MustParseAddrPort(addrPort)
	return RealServer{Address: a.Addr(), Port: a.Port(), Forward: DR, Weight: weight}
}

func with(r RealServer, change func(*RealServer)) RealServer {
	change(&r)
	return r
}

func tableOf(services ...Service) Table { return Table{Services: services} }

func TestPlan(t *testing.T) {
	v6 := Service{
		Key:         Key{Protocol: UDP, Address: netip.MustParseAddr("2001:db8::15"), Port: 53},
		Scheduler:   "rr",
		RealServers: []RealServer{rs("[2001:db8::100]:53", 1)},
	}
	mark := Service{Key: Key{Address: netip.IPv6Unspecified(), FWMark: 7}, Scheduler: "fo"}
	tests := []struct {
		name              string
		observed, desired Table
		want              string
	}{
		{
			name: "both empty",
		},
		{
			name:     "equal in another order",
			observed: tableOf(v6, web("wrr", rs("192.168.4.200:80", 2), rs("192.168.4.100:80", 1))),
			desired:  tableOf(web("wrr", rs("192.168.4.100:80", 1), rs("192.168.4.200:80", 2)), v6),
		},
		{
			name:    "first load in canonical order",
			desired: tableOf(v6, web("wrr", rs("192.168.4.200:80", 2), rs("192.168.4.100:80", 1))),
			want: `
ipvsadm -A -t 192.168.4.15:80 -s wrr
ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1
ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 2
ipvsadm -A -u [2001:db8::15]:53 -s rr
ipvsadm -a -u [2001:db8::15]:53 -r [2001:db8::100]:53 -g -w 1`,
		},
		{
			name:     "a weight is edited in place",
			observed: tableOf(web("wrr", rs("192.168.4.100:80", 1), rs("192.168.4.200:80", 1))),
			desired:  tableOf(web("wrr", rs("192.168.4.100:80", 1), rs("192.168.4.200:80", 3))),
			want:     `ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 3`,
		},
		{
			name:     "an edit holds the whole real server",
			observed: tableOf(web("wrr", with(rs("192.168.4.100:80", 1), gue))),
			desired:  tableOf(web("wrr", with(rs("192.168.4.100:80", 2), gue))),
			want:     `ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.100:80 -i -w 2 --tun-type gue --tun-port 6080 --tun-csum`,
		},
		{
			name:     "a scheduler is edited in place",
			observed: tableOf(web("wrr", rs("192.168.4.100:80", 1))),
			desired:  tableOf(web("mh", rs("192.168.4.100:80", 1))),
			want:     `ipvsadm -E -t 192.168.4.15:80 -s mh`,
		},
		{
			name:     "the replacement comes before the replaced goes",
			observed: tableOf(web("wrr", rs("192.168.4.100:80", 1))),
			desired:  tableOf(web("wrr", rs("192.168.4.200:80", 1))),
			want: `
ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 1
ipvsadm -d -t 192.168.4.15:80 -r 192.168.4.100:80`,
		},
		{
			name:     "one takes over before the other is drained",
			observed: tableOf(web("wrr", rs("192.168.4.100:80", 1), rs("192.168.4.200:80", 0))),
			desired:  tableOf(web("wrr", rs("192.168.4.100:80", 0), rs("192.168.4.200:80", 1))),
			want: `
ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 1
ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 0`,
		},
		{
			name:     "a foreign service goes, after what is wanted has come",
			observed: tableOf(mark),
			desired:  tableOf(web("wrr", rs("192.168.4.100:80", 1))),
			want: `
ipvsadm -A -t 192.168.4.15:80 -s wrr
ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1
ipvsadm -D -f 7 -6`,
		},
		{
			name:     "another protocol is another service",
			observed: tableOf(web("wrr")),
			desired: tableOf(Service{
				Key:       Key{Protocol: SCTP, Address: netip.MustParseAddr("192.168.4.15"), Port: 80},
				Scheduler: "wrr"}),
			want: `
ipvsadm -A --sctp-service 192.168.4.15:80 -s wrr
ipvsadm -D -t 192.168.4.15:80`,
		},
		{
			name:     "foreign persistence is taken back",
			observed: tableOf(persistent(web("wrr"))),
			desired:  tableOf(web("wrr")),
			want:     `ipvsadm -E -t 192.168.4.15:80 -s wrr`,
		},
		{
			name: "what takes from clients comes behind all that does not",
			observed: tableOf(
				web("wrr", rs("192.168.4.100:80", 1), rs("192.168.4.101:80", 1)),
				Service{Key: Key{Protocol: UDP, Address: netip.MustParseAddr("192.168.4.15"), Port: 53}, Scheduler: "rr"}, v6),
			desired: tableOf(web("wrr", rs("192.168.4.100:80", 0), rs("192.168.4.200:80", 1)),
				Service{Key: v6.Key, Scheduler: "wlc"}, mark),
			want: `
ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 1
ipvsadm -E -u [2001:db8::15]:53 -s wlc
ipvsadm -A -f 7 -6 -s fo
ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 0
ipvsadm -d -t 192.168.4.15:80 -r 192.168.4.101:80
ipvsadm -d -u [2001:db8::15]:53 -r [2001:db8::100]:53
ipvsadm -D -u 192.168.4.15:53`,
		},
		{
			name:    "a service twice counts once",
			desired: tableOf(web("wrr"), web("wrr")),
			want:    `ipvsadm -A -t 192.168.4.15:80 -s wrr`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, op := range Plan(tt.observed, tt.desired) {
				got = append(got, op.String())
			}
			if diff := cmp.Diff(strings.TrimSpace(tt.want), strings.Join(got, "\n")); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func gue(r *RealServer) {
	r.Forward = TUN
	r.Tunnel = Tunnel{Type: GUE, Port: 6080, Checksum: true}
}

func persistent(s Service) Service {
	s.Flags |= Persistent
	s.Timeout, s.Netmask = 600, 0xffffff00
	return s
}

func TestTableText(t *testing.T) {
	sip := Service{
		Key:       Key{Protocol: UDP, Address: netip.MustParseAddr("192.0.2.1"), Port: 5060},
		Scheduler: "mh", Flags: Persistent | OnePacket | SchedulerFlag2,
		Timeout: 60, Netmask: 0xffffffff, Engine: "sip",
	}
	mark := Service{
		Key:       Key{Address: netip.IPv6Unspecified(), FWMark: 7},
		Scheduler: "fo", Flags: Persistent, Timeout: 30, Netmask: 64,
		RealServers: []RealServer{with(rs("[2001:db8::99]:0", 1), func(r *RealServer) { r.Forward = TUN })},
	}
	served := persistent(web("wrr",
		with(rs("10.0.0.1:8080", 1), func(r *RealServer) { r.Forward = NAT; r.UpperThreshold, r.LowerThreshold = 100, 50 }),
		with(rs("10.0.0.2:80", 70000), gue),
		with(rs("10.0.0.3:80", 0), func(r *RealServer) { r.Forward = TUN; r.Tunnel = Tunnel{Type: GRE} }),
	))
	got := tableOf(mark, sip, served).Canonical().String()
	want := `-A -t 192.168.4.15:80 -s wrr -p 600 -M 255.255.255.0
-a -t 192.168.4.15:80 -r 10.0.0.1:8080 -m -w 1 -x 100 -y 50
-a -t 192.168.4.15:80 -r 10.0.0.2:80 -i -w 70000 --tun-type gue --tun-port 6080 --tun-csum
-a -t 192.168.4.15:80 -r 10.0.0.3:80 -i -w 0 --tun-type gre --tun-nocsum
-A -u 192.0.2.1:5060 -s mh -p 60 --pe sip -o -b mh-port
-A -f 7 -6 -s fo -p 30 -M 64
-a -f 7 -6 -r [2001:db8::99]:0 -i -w 1
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// TestPlanConverges applies plans between random tables to a fake kernel, one
// operation at a time, and looks at every table on the way.
func TestPlanConverges(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		observed, desired := randomTable(random), randomTable(random)
		var kernel Fake
		if err := kernel.Apply(t.Context(), Plan(Table{}, observed)); err != nil {
			t.Fatalf("load %v: %v", observed, err)
		}
		plan := Plan(observed, desired)
		bring, take := Halves(plan)
		if slices.ContainsFunc(bring, takes) || slices.ContainsFunc(take, func(o Op) bool { return !takes(o) }) {
			t.Fatalf("from\n%sto\n%sthe plan is in no halves: %v, %v", observed, desired, bring, take)
		}
		for _, op := range plan {
			if err := kernel.Apply(t.Context(), []Op{op}); err != nil {
				t.Fatalf("from\n%sto\n%s%v", observed, desired, err)
			}
			if key, empty := ranEmpty(t.Context(), &kernel, observed, desired); empty {
				t.Fatalf("from\n%sto\n%s%s was empty after %s", observed, desired, key, op)
			}
		}
		if got, want := kernel.String(), desired.Canonical().String(); got != want {
			t.Fatalf("table after the plan (-want +got):\n%s", cmp.Diff(want, got))
		}
		reached, err := kernel.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if again := Plan(reached, desired); len(again) > 0 {
			t.Fatalf("a second plan is not empty: %v", again)
		}
	}
}

func takes(o Op) bool { return o.Takes() }

// ranEmpty finds a service without real servers that has some both before and
// after.
func ranEmpty(ctx context.Context, kernel *Fake, observed, desired Table) (Key, bool) {
	now, _ := kernel.Observe(ctx)
	served := func(t Table, key Key) bool {
		return slices.ContainsFunc(t.Services, func(s Service) bool { return s.Key == key && len(s.RealServers) > 0 })
	}
	for _, s := range desired.Services {
		if served(observed, s.Key) && served(desired, s.Key) && !served(now, s.Key) {
			return s.Key, true
		}
	}
	return Key{}, false
}

// randomTable makes small tables with much in common.
func randomTable(random *rand.Rand) Table {
	var t Table
	for _, s := range []Service{
		web("wrr"),
		persistent(web("rr")),
		{Key: Key{Protocol: UDP, Address: netip.MustParseAddr("2001:db8::15"), Port: 53}, Scheduler: "sh", Flags: SchedulerFlag1},
		{Key: Key{Address: netip.IPv4Unspecified(), FWMark: 3}, Scheduler: "mh"},
	} {
		known := slices.ContainsFunc(t.Services, func(o Service) bool { return o.Key == s.Key })
		if known || random.IntN(3) == 0 {
			continue
		}
		for i := range byte(4) {
			if random.IntN(2) == 0 {
				s.RealServers = append(s.RealServers, randomRealServer(random, s.Address.Is6(), i))
			}
		}
		t.Services = append(t.Services, s)
	}
	return t
}

func randomRealServer(random *rand.Rand, six bool, host byte) RealServer {
	r := RealServer{
		Address: netip.AddrFrom4([4]byte{10, 0, 0, host + 1}),
		Port:    80,
		Weight:  []uint32{0, 1, 70000, 2147483647}[random.IntN(4)],
	}
	if six {
		r.Address = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: host + 1})
	}
	switch random.IntN(4) {
	case 0:
		r.Forward = NAT
	case 1:
		r.Forward = DR
	case 2:
		gue(&r)
	case 3:
		r.Forward = TUN
		r.Tunnel = Tunnel{Type: GRE, Checksum: random.IntN(2) == 0}
	}
	if random.IntN(4) == 0 {
		r.UpperThreshold, r.LowerThreshold = 1000, 10
	}
	return r
}
