package ipvsadm

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dipper/appliance/ipvs"
)

func TestParse(t *testing.T) {
	service := func(address string) ipvs.Key {
		a := netip.MustParseAddrPort(address)
		return ipvs.Key{Protocol: ipvs.TCP, Address: a.Addr(), Port: a.Port()}
	}
	direct := ipvs.RealServer{Weight: 1, Forward: ipvs.DR} // what is assumed of a real server
	tests := map[string]Command{
		"": {Kind: List},
		"-A -t 192.168.4.5:80 -s wrr": {Kind: AddService, ServiceGiven: true, RealServer: direct,
			Service: ipvs.Service{Key: service("192.168.4.5:80"), Scheduler: "wrr"}},
		"-At 192.168.4.5:80": {Kind: AddService, ServiceGiven: true, RealServer: direct,
			Service: ipvs.Service{Key: service("192.168.4.5:80"), Scheduler: "wlc"}},
		"-A -t 192.168.4.5:0 -p": {Kind: AddService, ServiceGiven: true, RealServer: direct,
			Service: ipvs.Service{Key: service("192.168.4.5:0"), Scheduler: "wlc", Flags: ipvs.Persistent, Timeout: 360, Netmask: 0xffffffff}},
		"-E -t [2001:db8::9]:80 -p 30 -M 64 -s sh -b sh-port": {Kind: EditService, ServiceGiven: true, RealServer: direct,
			Service: ipvs.Service{Key: service("[2001:db8::9]:80"), Scheduler: "sh", Flags: ipvs.Persistent | ipvs.SchedulerFlag2, Timeout: 30, Netmask: 64}},
		"-A -f 7 -6 -s fo": {Kind: AddService, ServiceGiven: true, RealServer: direct,
			Service: ipvs.Service{Key: ipvs.Key{FWMark: 7, Address: netip.IPv6Unspecified()}, Scheduler: "fo"}},
		"-a -t 192.168.4.5:80 -r 192.168.2.200 -m -w 2": {Kind: AddRealServer, ServiceGiven: true,
			Service:    ipvs.Service{Key: service("192.168.4.5:80")},
			RealServer: ipvs.RealServer{Address: netip.MustParseAddr("192.168.2.200"), Port: 80, Forward: ipvs.NAT, Weight: 2}},
		"-a -t 192.168.4.5:80 -r 192.168.2.200:8080": {Kind: AddRealServer, ServiceGiven: true,
			Service:    ipvs.Service{Key: service("192.168.4.5:80")},
			RealServer: ipvs.RealServer{Address: netip.MustParseAddr("192.168.2.200"), Port: 80, Forward: ipvs.DR, Weight: 1}},
		"-a -t 192.168.4.5:80 -r 2001:db8::1 -i --tun-type gue --tun-port 6080 --tun-csum -x 20 -y 10": {Kind: AddRealServer, ServiceGiven: true,
			Service: ipvs.Service{Key: service("192.168.4.5:80")},
			RealServer: ipvs.RealServer{Address: netip.MustParseAddr("2001:db8::1"), Port: 80, Forward: ipvs.TUN, Weight: 1,
				Tunnel: ipvs.Tunnel{Type: ipvs.GUE, Port: 6080, Checksum: true}, UpperThreshold: 20, LowerThreshold: 10}},
		"-d -t 192.168.4.5:80 -r 192.168.2.200:8080": {Kind: DeleteRealServer, ServiceGiven: true,
			Service:    ipvs.Service{Key: service("192.168.4.5:80")},
			RealServer: ipvs.RealServer{Address: netip.MustParseAddr("192.168.2.200"), Port: 8080}},
		"--set 900 120 300": {Kind: SetTimeouts, RealServer: direct, Timeouts: ipvs.Timeouts{TCP: 900, TCPFin: 120, UDP: 300}},
		"--start-daemon backup --syncid 5": {Kind: StartDaemon, RealServer: direct,
			Daemon: ipvs.Daemon{State: ipvs.Backup, Interface: "eth0", SyncID: 5}},
		"-ln --stats --exact": {Kind: List, RealServer: direct, Listing: Listing{Numeric: true, Statistics: true, Exact: true}},
		"-Lcn --json":         {Kind: List, RealServer: direct, Listing: Listing{Subject: ListConnections, Numeric: true, JSON: true}},
		"-S --all":            {Kind: Save, RealServer: direct, Listing: Listing{Complete: true}},
		"-h -A":               {Kind: Help, RealServer: direct},
	}
	for line, want := range tests {
		t.Run(line, func(t *testing.T) {
			got, err := Parse(strings.Fields(line), nil)
			if err != nil {
				t.Fatal(err)
			}
			got.Service.Key = knownKey(got)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Command{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// knownKey is the key of a command that has one.
func knownKey(c Command) ipvs.Key {
	if c.ServiceGiven {
		return c.Service.Key
	}
	return ipvs.Key{}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		line   string
		status int
		text   string
	}{
		{"-A -t 192.168.4.5:80 -p 5 -M 24", 2, "illegal virtual server persistent mask specified: 0.0.0.24 is no netmask; it is written as 255.255.255.0, and a prefix length for IPv6 stands after the service"},
		{"-a -t 192.168.4.5:80 -r 192.168.2.1 -w 2147483648", 2, `illegal weight specified: "2147483648"; it is a number from 0 to 2147483647`},
		{"-a -t 192.168.4.5:80 -r 2001:db8::1", 2, "Different address family is allowed only for tunneling servers: -t 192.168.4.5:80 is IPv4, 2001:db8::1 is IPv6: add -i, or take a real server of the service's family"},
		{"-a -t 192.168.4.5:80 -r 192.168.2.1 -i --tun-type gue", 2, "You need to supply the 'tun-port' option for the 'gue' tunnel type: such as --tun-port 6080"},
		{"-A -t 192.168.4.5:80 -s rr -b mh-port", 2, "incompatible scheduler flag `mh-port': the scheduler is rr"},
		{"-A -t 192.168.4.5:80 -b ,", 2, ""},
		{"-Lq", 255, "-Lq: unknown option"},
		{"-n -L", 255, "Try `ipvsadm -h' or 'ipvsadm --help' for more information. (a command, such as -L or -A, stands before every other option)"},
		{"-A -t web.example.org:80", 2, `illegal virtual server address[:port] specified: "web.example.org:80" has no address that is known: "web.example.org"`},
		{"--set 900 120", 2, "--set option requires 3 timeout values: tcp, tcpfin and udp in seconds, where 0 keeps what is set"},
	}
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			_, err := Parse(strings.Fields(test.line), nil)
			var refused *Error
			if test.text == "" && err == nil {
				return
			}
			if !errors.As(err, &refused) || refused.Status != test.status || err.Error() != test.text {
				t.Errorf("got  %v\nwant %d %s", err, test.status, test.text)
			}
		})
	}
}

func TestUsageNamesEveryOption(t *testing.T) {
	for _, o := range options {
		if !strings.Contains(usageText, "--"+o.long) {
			t.Errorf("the usage does not name --%s", o.long)
		}
		if o.short != 0 && !strings.ContainsAny(usageText, string(o.short)) {
			t.Errorf("the usage does not name -%c", o.short)
		}
	}
}

func TestRegisteredPortsAreWellFormed(t *testing.T) {
	for line := range strings.Lines(registeredPorts) {
		words := strings.Fields(line)
		if len(words) < 2 {
			t.Fatalf("%q", line)
		}
		number, protocol, _ := strings.Cut(words[1], "/")
		if _, ok := parseNumber(number, 1, 65535); !ok || ipvs.ProtocolByName(protocol) == 0 {
			t.Errorf("%q", line)
		}
	}
	var ports portNames
	if port, ok := ports.port("www", ipvs.TCP); !ok || port != 80 {
		t.Errorf("www is %d", port)
	}
	if name := ports.name(80, ipvs.TCP); name != "http" {
		t.Errorf("80 is %q", name)
	}
	if name := ports.name(80, 0); name != "" {
		t.Errorf("80 of no protocol is %q", name)
	}
}

// FuzzParse looks for command lines that break the parser, and holds it to
// this: a rule that was understood and saved is understood as the same again.
func FuzzParse(f *testing.F) {
	for _, line := range append(commandLines, listings...) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		command, err := Parse(strings.Fields(line), nil)
		var refused *Error
		if err != nil && (!errors.As(err, &refused) || refused.Status == 0 || refused.Message == "") {
			t.Fatalf("%v", err)
		}
		if err != nil || command.Kind != AddService && command.Kind != AddRealServer {
			return
		}
		again(t, command)
	})
}

// again saves what a command added, and restores it.
func again(t *testing.T, command Command) {
	t.Helper()
	e := NewEditor(State{})
	if command.Kind == AddRealServer {
		base := command
		base.Kind = AddService
		base.Service.Scheduler = "rr"
		if err := e.Do(base); err != nil {
			t.Fatal(err)
		}
	}
	if e.Do(command) != nil {
		return // the kernel would refuse it
	}
	table := e.State().Table
	saved := save(t, table)
	restored := NewEditor(State{})
	if command.Service.Port == 0 && command.Service.FWMark == 0 && command.Kind == AddRealServer {
		return // the base service above would need persistence
	}
	if err := restored.Restore(strings.NewReader(saved), nil); err != nil {
		t.Fatalf("%s%v", saved, err)
	}
	if diff := cmp.Diff(table, restored.State().Table, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Fatalf("saved as\n%s(-before +after):\n%s", saved, diff)
	}
}

func save(t *testing.T, table ipvs.Table) string {
	t.Helper()
	var b strings.Builder
	if err := (Listing{Numeric: true}).Save(&b, uncounted(table), ipvs.Timeouts{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// uncounted is a table of which nothing was counted.
func uncounted(table ipvs.Table) []ipvs.ServiceStatistics {
	var all []ipvs.ServiceStatistics
	for _, s := range table.Services {
		one := ipvs.ServiceStatistics{Service: s}
		for _, r := range s.RealServers {
			one.RealServers = append(one.RealServers, ipvs.RealServerStatistics{RealServer: r})
		}
		all = append(all, one)
	}
	return all
}
