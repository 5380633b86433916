package ipvsadm

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/ipvs"
)

// counted is a table whose counters are as large as no test can make the
// kernel's.
func counted(t *testing.T) Snapshot {
	t.Helper()
	table := edited(t, State{},
		"-A -t 192.168.4.5:80 -s wrr -p 600 -M 255.255.255.0 --pe sip",
		"-a -t 192.168.4.5:80 -r 192.168.2.100 -m -w 2147483647 -x 100 -y 50",
		"-a -t 192.168.4.5:80 -r 2001:db8::100 -i --tun-type gue --tun-port 6080 --tun-remcsum",
		"-A -f 9 -6 -s mh -b mh-port,flag-3 -o").Table
	services := uncounted(table)
	services[0].Counters = ipvs.Counters{
		Connections: 99_999_999, InPackets: 100_000_000, OutPackets: 999_999_999, InBytes: 1_000_000_000, OutBytes: 99_999_999_999,
		ConnectionRate: 100_000_000_000, InPacketRate: 99_999_999_999_999, OutPacketRate: 100_000_000_000_000, InByteRate: 1<<64 - 1, OutByteRate: 7,
	}
	one := &services[0].RealServers[0]
	one.Counters = services[0].Counters
	one.ActiveConnections, one.InactiveConnections, one.PersistentConnections = 4294967295, 5, 12
	return Snapshot{Info: ipvs.Info{Version: 0x010201, ConnectionTableSize: 262144}, Services: services}
}

func TestListings(t *testing.T) {
	tests := map[string]string{
		"-Ln": `IP Virtual Server version 1.2.1 (size=262144)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.168.4.5:80 wrr persistent 600 mask 255.255.255.0 pe sip
  -> 192.168.2.100:80             Masq    2147483647 4294967295 5         
  -> [2001:db8::100]:80           Tunnel  1      0          0         
FWM  9 IPv6 mh (mh-port) ops
`,
		"-Ln --stats": `IP Virtual Server version 1.2.1 (size=262144)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  192.168.4.5:80               99999999  100000K  999999K    1000M   99999M
  -> 192.168.2.100:80             99999999  100000K  999999K    1000M   99999M
  -> [2001:db8::100]:80                  0        0        0        0        0
FWM  9 IPv6                              0        0        0        0        0
`,
		"-Ln --rate": `IP Virtual Server version 1.2.1 (size=262144)
Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS
  -> RemoteAddress:Port
TCP  192.168.4.5:80                   100G   99999G     100T18446744T        7
  -> 192.168.2.100:80             100000000000 99999999999999 10000000000000018446744T        7
  -> [2001:db8::100]:80                  0        0        0        0        0
FWM  9 IPv6                              0        0        0        0        0
`,
		"-Ln --stats --exact -t 192.168.4.5:80": `Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  192.168.4.5:80               99999999 100000000 999999999 1000000000 99999999999
  -> 192.168.2.100:80             99999999 100000000 999999999 1000000000 99999999999
  -> [2001:db8::100]:80                  0        0        0        0        0
`,
		"-Ln --tun-info -t 192.168.4.5:80": `Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn
TCP  192.168.4.5:80 wrr persistent 600 mask 255.255.255.0 pe sip
  -> 192.168.2.100:80             Masq    n/a           2147483647 4294967295 5         
  -> [2001:db8::100]:80           Tunnel  gue:6080:r+c  1      0          0         
`,
		"-L --json -f 9 -6": `{
  "version": "1.2.1",
  "connectionTableSize": 262144,
  "services": [
    {
      "fwmark": 9,
      "family": "ipv6",
      "scheduler": "mh",
      "schedulerFlags": [
        "mh-port",
        "flag-3"
      ],
      "onePacket": true,
      "counters": {
        "connections": 0,
        "inPackets": 0,
        "outPackets": 0,
        "inBytes": 0,
        "outBytes": 0,
        "connectionsPerSecond": 0,
        "inPacketsPerSecond": 0,
        "outPacketsPerSecond": 0,
        "inBytesPerSecond": 0,
        "outBytesPerSecond": 0
      },
      "realServers": []
    }
  ]
}
`,
	}
	for line, want := range tests {
		t.Run(line, func(t *testing.T) {
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(list(t, counted(t), line), "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestListOneByOne lists services whose real servers are read when their turn
// comes, in the same list: the bytes are those of a table that is all there.
func TestListOneByOne(t *testing.T) {
	for _, line := range []string{"-Ln", "-Ln --stats", "-Ln --nosort", "-L --json", "-L --json --nosort"} {
		whole := counted(t)
		slices.Reverse(whole.Services)
		want := list(t, whole, line)
		parts := Snapshot{Info: whole.Info, RealServers: func(services []*ipvs.ServiceStatistics) iter.Seq2[*ipvs.ServiceStatistics, error] {
			return func(yield func(*ipvs.ServiceStatistics, error) bool) {
				for _, s := range services {
					i := slices.IndexFunc(whole.Services, func(w ipvs.ServiceStatistics) bool { return w.Key == s.Key })
					if !yield(&whole.Services[i], nil) {
						return
					}
				}
			}
		}}
		for _, s := range whole.Services {
			s.RealServers = nil
			parts.Services = append(parts.Services, s)
		}
		if diff := cmp.Diff(want, list(t, parts, line)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

// TestListAsJSON is JSON, however many services there are.
func TestListAsJSON(t *testing.T) {
	for n := range 3 {
		s := counted(t)
		s.Services = s.Services[:n]
		var got struct {
			Version  string
			Services []struct{ Scheduler string }
		}
		if err := json.Unmarshal([]byte(list(t, s, "-L --json")), &got); err != nil || got.Version != "1.2.1" || got.Services == nil || len(got.Services) != n {
			t.Errorf("%d services: %v, %+v", n, err, got)
		}
	}
}

func list(t *testing.T, s Snapshot, line string) string {
	t.Helper()
	command, err := Parse(strings.Fields(line), nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := command.Listing.Print(&b, s, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestListOfNoSuchService(t *testing.T) {
	command, err := Parse([]string{"-Ln", "-u", "192.168.4.5:80"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	err = command.Listing.Print(&b, counted(t), nil)
	if statusOf(err) != StatusMissing || !strings.HasPrefix(err.Error(), "No such service") || b.Len() > 0 {
		t.Errorf("%v, printed %q", err, b.String())
	}
}

func TestConnections(t *testing.T) {
	endpoint := netip.MustParseAddrPort
	entries := []ipvs.Connection{
		{Protocol: ipvs.TCP, Client: endpoint("10.1.0.2:4001"), Virtual: endpoint("10.9.9.9:80"), Destination: endpoint("10.2.1.2:80"), State: "ESTABLISHED", Expires: 893},
		{Protocol: ipvs.UDP, Client: endpoint("10.1.0.2:0"), Virtual: endpoint("10.9.9.9:5060"), Destination: endpoint("10.2.1.2:5060"), State: "UDP", Expires: 6000, Engine: "sip", EngineData: "call@example.org"},
		{Protocol: 0, Client: endpoint("[2001:db8::2]:0"), Virtual: endpoint("[0:7::]:0"), Destination: endpoint("10.2.1.2:0"), State: "NONE", Expires: 5},
	}
	tests := map[string]string{
		"-Lcn": `IPVS connection entries
pro expire state       source             virtual            destination
TCP 14:53  ESTABLISHED 10.1.0.2:4001      10.9.9.9:80        10.2.1.2:80
UDP 100:00 UDP         10.1.0.2:0         10.9.9.9:5060      10.2.1.2:5060
IP  00:05  NONE        [2001:db8::2]:0    [0:7::]:0          10.2.1.2:0
`,
		"-Lcn --persistent-conn": `IPVS connection entries
pro expire state       source             virtual            destination        pe name          pe_data
TCP 14:53  ESTABLISHED 10.1.0.2:4001      10.9.9.9:80        10.2.1.2:80
UDP 100:00 UDP         10.1.0.2:0         10.9.9.9:5060      10.2.1.2:5060    sip                call@example.org
IP  00:05  NONE        [2001:db8::2]:0    [0:7::]:0          10.2.1.2:0
`,
		"-Lc --json": `[
  {"protocol":"TCP","client":"10.1.0.2:4001","virtual":"10.9.9.9:80","destination":"10.2.1.2:80","state":"ESTABLISHED","expires":893},
  {"protocol":"UDP","client":"10.1.0.2:0","virtual":"10.9.9.9:5060","destination":"10.2.1.2:5060","state":"UDP","expires":6000,"engine":"sip","engineData":"call@example.org"},
  {"protocol":"IP","client":"[2001:db8::2]:0","virtual":"[0:7::]:0","destination":"10.2.1.2:0","state":"NONE","expires":5}
]
`,
	}
	for line, want := range tests {
		command, err := Parse(strings.Fields(line), nil)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := command.Listing.PrintConnections(&b, each(slices.Values(entries)), nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(b.String(), "\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func each[E any](sequence iter.Seq[E]) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		for e := range sequence {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestConnectionsEndWithAnError(t *testing.T) {
	gone := errors.New("gone")
	failing := func(yield func(ipvs.Connection, error) bool) { yield(ipvs.Connection{}, gone) }
	if err := (Listing{}).PrintConnections(new(strings.Builder), failing, nil); !errors.Is(err, gone) {
		t.Error(err)
	}
}

// TestConnectionsNeedNoMemory lists a hundred thousand of them.
func TestConnectionsNeedNoMemory(t *testing.T) {
	const entries = 100_000
	many := func(yield func(ipvs.Connection, error) bool) {
		at := netip.MustParseAddrPort("10.1.0.2:4001")
		for range entries {
			if !yield(ipvs.Connection{Protocol: ipvs.TCP, Client: at, Virtual: at, Destination: at, State: "NONE"}, nil) {
				return
			}
		}
	}
	var written counter
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := (Listing{Numeric: true}).PrintConnections(&written, many, nil); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 || written < entries*50 {
		t.Errorf("%d bytes allocated for %d bytes of listing", allocated, written)
	}
}

type counter int

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

// TestSortedAsIpvsadmSorts holds what 32 bits with a sign make of addresses.
func TestSortedAsIpvsadmSorts(t *testing.T) {
	table := edited(t, State{}, "-A -t 10.0.0.1:80", "-A -t 192.168.4.5:80", "-A -t 10.0.0.1:443", "-A -u 10.0.0.1:53",
		"-A -t [2001:db8::1]:80", "-A -f 2", "-A -f 1 -6", "-A -t 172.16.0.1:80", "-A -f 1").Table
	var got []string
	var order sorter[ipvs.ServiceStatistics]
	for _, s := range order.sort(uncounted(table), compareServices) {
		got = append(got, s.Key.String())
	}
	want := []string{"-t 172.16.0.1:80", "-t 192.168.4.5:80", "-t 10.0.0.1:80", "-t 10.0.0.1:443", "-u 10.0.0.1:53", "-t [2001:db8::1]:80", "-f 1", "-f 1 -6", "-f 2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestSortedLosesNothing sorts what has no order.
func TestSortedLosesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var order sorter[ipvs.RealServerStatistics]
	for size := range 40 {
		var servers []ipvs.RealServerStatistics
		for i := range size {
			servers = append(servers, ipvs.RealServerStatistics{RealServer: ipvs.RealServer{Address: addr4(random.Uint32()), Port: uint16(i)}})
		}
		seen := map[uint16]bool{}
		for _, s := range order.sort(servers, compareServers) {
			seen[s.Port] = true
		}
		if len(seen) != size {
			t.Fatalf("%d of %d", len(seen), size)
		}
	}
}

func TestAddresses(t *testing.T) {
	tests := map[string]string{
		"::1": "::1", "::": "::", "::1:0": "::0.1.0.0", "::192.0.2.1": "::192.0.2.1", "::ffff:192.0.2.1": "::ffff:192.0.2.1",
		"2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1", "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1", "10.0.0.1": "10.0.0.1",
	}
	for address, want := range tests {
		if got := string(appendAddress(nil, netip.MustParseAddr(address))); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

func BenchmarkList(b *testing.B) {
	for _, services := range []int{1000, 10000} {
		e := NewEditor(State{})
		if err := e.Restore(strings.NewReader(largeRules(services)), nil); err != nil {
			b.Fatal(err)
		}
		s := Snapshot{Services: uncounted(e.State().Table)}
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var written counter
				if err := (Listing{Numeric: true}).Print(&written, s, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
