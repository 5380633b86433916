package ipvs

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// TestKernelHashesAgree compares which real servers clients get from two
// directors that came to the same table by different ways.
func TestKernelHashesAgree(t *testing.T) {
	const clients = 2048
	tests := []struct {
		scheduler, name string
		history         func(service func(servers ...int) Table) []Table
		least, most     int // clients that get another real server
	}{
		{"mh", "loaded alike", func(service func(...int) Table) []Table { return []Table{service(allHosts...)} }, 0, 0},
		{"mh", "one added later", func(service func(...int) Table) []Table {
			return []Table{service(1, 2, 3, 4, 6, 7, 8, 9, 10), service(allHosts...)}
		}, 0, 10},
		{"mh", "added one by one, from the end", oneByOne, 0, 20},
		{"mh", "one drained, and back", drained, 0, 0},
		{"sh", "loaded alike", func(service func(...int) Table) []Table { return []Table{service(allHosts...)} }, 0, 0},
		{"sh", "one added later", func(service func(...int) Table) []Table {
			return []Table{service(1, 2, 3, 4, 6, 7, 8, 9, 10), service(allHosts...)}
		}, clients / 2, clients},
		{"sh", "one drained, and back", drained, 0, 0},
	}
	loaded := make(map[string]map[netip.Addr]netip.Addr)
	for _, tt := range tests {
		service := func(hosts ...int) Table { return hashed(tt.scheduler, hosts) }
		if loaded[tt.scheduler] == nil {
			loaded[tt.scheduler], _ = destinations(t, clients, []Table{service(allHosts...)})
		}
		got, asLoaded := destinations(t, clients, tt.history(service))
		differ := 0
		for client, server := range got {
			if server != loaded[tt.scheduler][client] {
				differ++
			}
		}
		t.Logf("%s, %-30s %4d of %d clients get another real server", tt.scheduler, tt.name, differ, clients)
		if differ < tt.least || differ > tt.most {
			t.Errorf("%d clients differ, want %d to %d", differ, tt.least, tt.most)
		}
		if want := !strings.Contains(tt.name, "added"); asLoaded != want {
			t.Errorf("%s: in the order of a load: got %t, want %t", tt.name, asLoaded, want)
		}
	}
}

var allHosts = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}

func oneByOne(service func(hosts ...int) Table) []Table {
	var history []Table
	for first := len(allHosts) - 1; first >= 0; first-- {
		history = append(history, service(allHosts[first:]...))
	}
	return history
}

func drained(service func(hosts ...int) Table) []Table {
	drained := service(allHosts...)
	drained.Services[0].RealServers[4].Weight = 0
	return []Table{service(allHosts...), drained, service(allHosts...)}
}

// hashedVIP is where the clients of destinations send to.
var hashedVIP = netip.MustParseAddrPort("127.0.0.1:53")

func hashed(scheduler string, hosts []int) Table {
	s := Service{Key: Key{Protocol: UDP, Address: hashedVIP.Addr(), Port: hashedVIP.Port()}, Scheduler: scheduler, Flags: SchedulerFlag1}
	for _, host := range hosts {
		s.RealServers = append(s.RealServers, RealServer{
			Address: netip.AddrFrom4([4]byte{127, 1, 0, byte(host)}), Port: 53, Forward: NAT, Weight: 1,
		})
	}
	return tableOf(s)
}

// destinations has a table go through a history, in a network namespace of its
// own, and tells which real server each of many clients then gets, and whether
// its real servers are in the order of a load.
func destinations(t *testing.T, clients int, history []Table) (servers map[netip.Addr]netip.Addr, asLoaded bool) {
	t.Helper()
	k, space := live(t)
	for _, table := range history {
		load(t, k, table)
	}
	statistics, err := k.Statistics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	asLoaded = statistics[0].AsLoaded()
	err = within(space, func() error {
		for i := range clients {
			client := &net.UDPAddr{IP: net.IPv4(127, 2, byte(i>>8), byte(i))}
			c, err := net.DialUDP("udp4", client, net.UDPAddrFromAddrPort(hashedVIP))
			if err != nil {
				return err
			}
			_, err = c.Write([]byte{0})
			if err := errors.Join(err, c.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	servers = make(map[netip.Addr]netip.Addr)
	for c, err := range k.Connections(t.Context(), ConnectionFilter{Virtual: hashedVIP}) {
		if err != nil {
			t.Fatal(err)
		}
		servers[c.Client.Addr()] = c.Destination.Addr()
	}
	if len(servers) != clients {
		t.Fatalf("%d of %d clients have a connection", len(servers), clients)
	}
	return servers, asLoaded
}
