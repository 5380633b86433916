package network

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// fakeNetwork is a link with a DHCP server on it, in fake time. It writes down
// what happens and when.
type fakeNetwork struct {
	t      *testing.T
	start  time.Time
	up     chan bool
	mu     sync.Mutex
	lines  []string
	script func(*dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 // the server's answers; nil: it is silent
}

func newFakeNetwork(t *testing.T) *fakeNetwork {
	return &fakeNetwork{t: t, start: time.Now(), up: make(chan bool, 1)}
}

func (f *fakeNetwork) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := time.Since(f.start).Round(time.Second)
	f.lines = append(f.lines, fmt.Sprintf("%v ", at)+fmt.Sprintf(format, args...))
}

// serve sets how the server answers from now on.
func (f *fakeNetwork) serve(script func(*dhcpv4.DHCPv4) []*dhcpv4.DHCPv4) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = script
}

// log gives what happened since the last call.
func (f *fakeNetwork) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := f.lines
	f.lines = nil
	return lines
}

func (f *fakeNetwork) carrier(context.Context, string) (<-chan bool, error) { return f.up, nil }

func (f *fakeNetwork) hardwareAddress(string) (net.HardwareAddr, error) {
	return net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}, nil
}

func (f *fakeNetwork) unconfigured(string) (net.PacketConn, error) {
	return &fakeConn{network: f, replies: make(chan []byte, 8), closed: make(chan struct{})}, nil
}

func (f *fakeNetwork) configured(string, netip.Addr) (net.PacketConn, error) {
	return f.unconfigured("")
}

type fakeConn struct {
	net.PacketConn
	network *fakeNetwork
	replies chan []byte
	closed  chan struct{}
}

func (c *fakeConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case r := <-c.replies:
		return copy(b, r), nil, nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *fakeConn) WriteTo(b []byte, to net.Addr) (int, error) {
	m, err := dhcpv4.FromBytes(b)
	if err != nil {
		c.network.t.Errorf("client sent nonsense: %v", err)
		return 0, err
	}
	c.network.note("%s", summary(m, to))
	c.network.mu.Lock()
	script := c.network.script
	c.network.mu.Unlock()
	if script != nil {
		for _, r := range script(m) {
			c.replies <- r.ToBytes()
		}
	}
	return len(b), nil
}

func (c *fakeConn) Close() error { close(c.closed); return nil }

// summary is a message as one line: "REQUEST to 192.168.4.1 ciaddr 192.168.4.77".
func summary(m *dhcpv4.DHCPv4, to net.Addr) string {
	s := m.MessageType().String()
	if a := to.(*net.UDPAddr); !a.IP.Equal(net.IPv4bcast) {
		s += " to " + a.IP.String()
	}
	if !m.ClientIPAddr.IsUnspecified() {
		s += " ciaddr " + m.ClientIPAddr.String()
	}
	if ip := m.RequestedIPAddress(); ip != nil {
		s += " wants " + ip.String()
	}
	if id := m.ServerIdentifier(); id != nil {
		s += " of " + id.String()
	}
	return s
}

// server answers as a DHCP server with one address and a lease of an hour.
func server(t *testing.T, options ...dhcpv4.Modifier) func(*dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
	return func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		kind := dhcpv4.MessageTypeAck
		if m.MessageType() == dhcpv4.MessageTypeDiscover {
			kind = dhcpv4.MessageTypeOffer
		}
		return []*dhcpv4.DHCPv4{reply(t, m, kind, options...)}
	}
}

func reply(t *testing.T, m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, options ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	r, err := dhcpv4.NewReplyFromRequest(m, append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithYourIP(net.IPv4(192, 168, 4, 77)),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 168, 4, 1))),
		dhcpv4.WithLeaseTime(3600),
	}, options...)...)
	if err != nil {
		t.Error(err)
	}
	return r
}

func silent(*dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 { return nil }

// client runs a client on the network until the test ends.
func (f *fakeNetwork) client(known *Lease) {
	ctx, stop := context.WithCancel(f.t.Context())
	c := &DHCPClient{
		Link: "eth0", Hostname: "lb1", Known: known,
		OnLease:  func(l Lease) { f.note("lease %s", l.Address) },
		OnExpiry: func(string) { f.note("expiry") },
		wire:     f, jitter: func(time.Duration) time.Duration { return 0 },
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	f.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
}

// pass lets time pass and gives what happened.
func (f *fakeNetwork) pass(d time.Duration) []string {
	time.Sleep(d)
	synctest.Wait()
	return f.log()
}

func check(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestDHCPLeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNetwork(t)
		f.serve(server(t))
		f.client(nil)
		check(t, "before the link is up", f.pass(time.Minute))
		f.up <- true
		check(t, "link up", f.pass(time.Second),
			"1m0s DISCOVER", "1m0s REQUEST wants 192.168.4.77 of 192.168.4.1", "1m0s lease 192.168.4.77/24")
		check(t, "until T1", f.pass(29*time.Minute))
		check(t, "at T1, and T1 after that", f.pass(31*time.Minute),
			"31m0s REQUEST to 192.168.4.1 ciaddr 192.168.4.77", "31m0s lease 192.168.4.77/24",
			"1h1m0s REQUEST to 192.168.4.1 ciaddr 192.168.4.77", "1h1m0s lease 192.168.4.77/24")
	})
}

func TestDHCPServerThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNetwork(t)
		f.serve(server(t))
		f.client(nil)
		f.up <- true
		f.pass(time.Second)
		f.serve(silent)
		// RFC 2131 4.4.5: at T1 (30 m) and then at half of what remains until
		// T2 (52.5 m) to the server, then until the end to everybody.
		check(t, "no server", f.pass(time.Hour+10*time.Second),
			"30m0s REQUEST to 192.168.4.1 ciaddr 192.168.4.77",
			"41m15s REQUEST to 192.168.4.1 ciaddr 192.168.4.77",
			"46m53s REQUEST to 192.168.4.1 ciaddr 192.168.4.77",
			"49m41s REQUEST to 192.168.4.1 ciaddr 192.168.4.77",
			"51m6s REQUEST to 192.168.4.1 ciaddr 192.168.4.77",
			"52m6s REQUEST to 192.168.4.1 ciaddr 192.168.4.77",
			"52m30s REQUEST ciaddr 192.168.4.77",
			"56m15s REQUEST ciaddr 192.168.4.77",
			"58m8s REQUEST ciaddr 192.168.4.77",
			"59m8s REQUEST ciaddr 192.168.4.77",
			"1h0m0s expiry",
			"1h0m0s DISCOVER", "1h0m1s DISCOVER", "1h0m3s DISCOVER", "1h0m7s DISCOVER",
		)
		f.serve(server(t))
		check(t, "back", f.pass(10*time.Second), "1h0m15s DISCOVER",
			"1h0m15s REQUEST wants 192.168.4.77 of 192.168.4.1", "1h0m15s lease 192.168.4.77/24")
	})
}

func TestDHCPBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNetwork(t)
		f.client(nil)
		f.up <- true
		check(t, "nobody there", f.pass(200*time.Second),
			"0s DISCOVER", "1s DISCOVER", "3s DISCOVER", "7s DISCOVER", "15s DISCOVER", "31s DISCOVER",
			"1m3s DISCOVER", "2m7s DISCOVER", "3m11s DISCOVER")
	})
}

func TestDHCPRefusal(t *testing.T) {
	nak := func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		if m.MessageType() == dhcpv4.MessageTypeDiscover {
			return []*dhcpv4.DHCPv4{reply(t, m, dhcpv4.MessageTypeOffer)}
		}
		return []*dhcpv4.DHCPv4{reply(t, m, dhcpv4.MessageTypeNak)}
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNetwork(t)
		f.serve(server(t))
		f.client(nil)
		f.up <- true
		f.pass(time.Second)
		f.serve(nak)
		const request = "REQUEST wants 192.168.4.77 of 192.168.4.1"
		check(t, "refused", f.pass(30*time.Minute+5*time.Second),
			"30m0s REQUEST to 192.168.4.1 ciaddr 192.168.4.77", "30m0s expiry",
			"30m1s DISCOVER", "30m1s "+request, "30m3s DISCOVER", "30m3s "+request)
		f.serve(server(t))
		check(t, "granted again", f.pass(3*time.Second),
			"30m7s DISCOVER", "30m7s "+request, "30m7s lease 192.168.4.77/24")
	})
}

func TestDHCPOfferThatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNetwork(t)
		f.serve(func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
			if m.MessageType() == dhcpv4.MessageTypeDiscover {
				return []*dhcpv4.DHCPv4{reply(t, m, dhcpv4.MessageTypeOffer)}
			}
			return nil
		})
		f.client(nil)
		f.up <- true
		const request = "REQUEST wants 192.168.4.77 of 192.168.4.1"
		check(t, "server does not acknowledge", f.pass(15*time.Second),
			"0s DISCOVER", "0s "+request, "1s "+request, "3s "+request, "7s "+request, "15s DISCOVER", "15s "+request)
	})
}

func TestDHCPStrangersAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNetwork(t)
		f.serve(func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
			otherTransaction := reply(t, m, dhcpv4.MessageTypeAck, dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4}))
			otherClient := reply(t, m, dhcpv4.MessageTypeAck, dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 9}))
			otherServer := reply(t, m, dhcpv4.MessageTypeAck, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 168, 4, 2))))
			if m.MessageType() == dhcpv4.MessageTypeDiscover {
				return []*dhcpv4.DHCPv4{otherTransaction, otherClient, reply(t, m, dhcpv4.MessageTypeOffer)}
			}
			return []*dhcpv4.DHCPv4{otherTransaction, otherClient, otherServer}
		})
		f.client(nil)
		f.up <- true
		for _, line := range f.pass(10 * time.Second) {
			if strings.Contains(line, "lease") {
				t.Errorf("took a stranger's answer: %s", line)
			}
		}
	})
}

func TestDHCPKnownLeaseIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNetwork(t)
		f.serve(server(t))
		f.client(&Lease{
			Link: "eth0", Address: netip.MustParsePrefix("192.168.4.77/24"), Acquired: time.Now(),
			T1: 30 * time.Minute, T2: 50 * time.Minute, ExpiresAfter: time.Hour,
		})
		f.up <- true
		check(t, "start", f.pass(time.Second), "0s REQUEST wants 192.168.4.77", "0s lease 192.168.4.77/24")

		f.serve(silent)
		f.up <- false
		check(t, "link down", f.pass(time.Minute))
		f.up <- true
		check(t, "link up, no answer: used on", f.pass(time.Minute),
			"1m1s REQUEST wants 192.168.4.77", "1m2s REQUEST wants 192.168.4.77", "1m4s REQUEST wants 192.168.4.77")

		f.up <- false
		check(t, "link down past the end", f.pass(time.Hour), "1h0m0s expiry")
		f.serve(server(t))
		f.up <- true
		check(t, "link up again", f.pass(time.Second),
			"1h2m1s DISCOVER", "1h2m1s REQUEST wants 192.168.4.77 of 192.168.4.1", "1h2m1s lease 192.168.4.77/24")
	})
}

func TestParseLease(t *testing.T) {
	request, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		options []dhcpv4.Modifier
		want    func(*Lease) // changes to the plain lease; nil: an error
	}{
		{"plain", nil, func(*Lease) {}},
		{"router and name servers", []dhcpv4.Modifier{
			dhcpv4.WithRouter(net.IPv4(192, 168, 4, 254)), dhcpv4.WithDNS(net.IPv4(192, 168, 4, 53), net.IPv4zero),
		}, func(l *Lease) {
			l.Gateway = netip.MustParseAddr("192.168.4.254")
			l.NameServers = []netip.Addr{netip.MustParseAddr("192.168.4.53")}
		}},
		{"classless routes replace the router", []dhcpv4.Modifier{
			dhcpv4.WithRouter(net.IPv4(192, 168, 4, 254)),
			dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{0, 192, 168, 4, 1, 24, 198, 51, 100, 0, 0, 0, 0}),
		}, func(l *Lease) {
			l.Routes = []Route{
				{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.4.1"), Link: "eth0"},
				{To: netip.MustParsePrefix("198.51.100.0/24"), Link: "eth0"},
			}
		}},
		{"for ever", []dhcpv4.Modifier{dhcpv4.WithLeaseTime(0xffffffff)}, func(l *Lease) { l.T1, l.T2, l.ExpiresAfter = 0, 0, 0 }},
		{"times of the server", []dhcpv4.Modifier{
			dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(time.Minute)), dhcpv4.WithOption(dhcpv4.OptRebindingTimeValue(2 * time.Minute)),
		}, func(l *Lease) { l.T1, l.T2 = time.Minute, 2*time.Minute }},
		{"times in the wrong order", []dhcpv4.Modifier{
			dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(2 * time.Hour)), dhcpv4.WithOption(dhcpv4.OptRebindingTimeValue(3 * time.Hour)),
		}, func(*Lease) {}},
		{"no mask", []dhcpv4.Modifier{dhcpv4.WithoutOption(dhcpv4.OptionSubnetMask)}, func(*Lease) {}},
		{"option 224", []dhcpv4.Modifier{
			dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(224), []byte("http://192.168.4.1/lb1")), dhcpv4.WithOption(dhcpv4.OptBootFileName("http://other/x.yaml")),
		}, func(l *Lease) { l.ConfigURL = "http://192.168.4.1/lb1" }},
		{"bootfile is a URL", []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptBootFileName("https://boot.example/lb1.yml"))},
			func(l *Lease) { l.ConfigURL = "https://boot.example/lb1.yml" }},
		{"bootfile on a TFTP server", []dhcpv4.Modifier{
			dhcpv4.WithOption(dhcpv4.OptBootFileName("/dipper/lb1.yaml")), dhcpv4.WithOption(dhcpv4.OptTFTPServerName("192.168.4.2")),
		}, func(l *Lease) { l.ConfigURL = "tftp://192.168.4.2/dipper/lb1.yaml" }},
		{"bootfile of a loader", []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptBootFileName("pxelinux.0"))}, func(*Lease) {}},
		{"bootfile with another scheme", []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptBootFileName("file:///etc/x.yaml"))}, func(*Lease) {}},
		{"no address", []dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4zero)}, nil},
		{"multicast address", []dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4(224, 0, 0, 1))}, nil},
		{"mask with holes", []dhcpv4.Modifier{dhcpv4.WithNetmask(net.IPv4Mask(255, 0, 255, 0))}, nil},
		{"no lease time", []dhcpv4.Modifier{dhcpv4.WithoutOption(dhcpv4.OptionIPAddressLeaseTime)}, nil},
		{"lease time of a second", []dhcpv4.Modifier{dhcpv4.WithLeaseTime(1)}, nil},
	}
	sent := time.Unix(1000, 0)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseLease("eth0", reply(t, request, dhcpv4.MessageTypeAck, test.options...), sent)
			if test.want == nil {
				if err == nil {
					t.Errorf("no error for %+v", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := Lease{
				Link: "eth0", Address: netip.MustParsePrefix("192.168.4.77/24"), Server: netip.MustParseAddr("192.168.4.1"),
				Acquired: sent, T1: 30 * time.Minute, T2: 52*time.Minute + 30*time.Second, ExpiresAfter: time.Hour,
			}
			test.want(&want)
			if diff := cmp.Diff(want, got, netipByValue); diff != "" {
				t.Errorf("lease (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzLease feeds the client's parser what any machine on the link can send.
func FuzzLease(f *testing.F) {
	request, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest))
	if err != nil {
		f.Fatal(err)
	}
	ack, err := dhcpv4.NewReplyFromRequest(request, dhcpv4.WithMessageType(dhcpv4.MessageTypeAck),
		dhcpv4.WithYourIP(net.IPv4(192, 168, 4, 77)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{33, 10, 0, 0, 0, 1}),
		dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{5}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ack.ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		message, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		lease, err := parseLease("eth0", message, time.Unix(0, 0))
		if err != nil {
			return
		}
		if !lease.Address.IsValid() || !lease.Address.Addr().Is4() {
			t.Errorf("address %v", lease.Address)
		}
		if lease.ExpiresAfter != 0 && !(0 < lease.T1 && lease.T1 <= lease.T2 && lease.T2 < lease.ExpiresAfter) {
			t.Errorf("times %v %v %v", lease.T1, lease.T2, lease.ExpiresAfter)
		}
		for _, r := range lease.Routes {
			if !r.To.IsValid() {
				t.Errorf("route %+v", r)
			}
		}
	})
}

// TestDHCPWithDnsmasqInNamespace gets, renews, rebinds and re-confirms a lease
// of a server that nobody here wrote.
func TestDHCPWithDnsmasqInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	n := newNeighbour(t, "eth0")
	n.run("ip addr add 192.168.4.1/24 dev peer")
	startDnsmasq(t, n, "--dhcp-authoritative --no-ping --dhcp-range=192.168.4.77,192.168.4.77,2m"+
		" --dhcp-option=option:router,192.168.4.254 --dhcp-option=option:dns-server,192.168.4.53"+
		" --dhcp-option=option:mtu,1400 --dhcp-option=224,http://192.168.4.1/lb1.yaml")
	k := open(t)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	got := make(chan Lease, 8)
	take := func(what string) Lease {
		t.Helper()
		select {
		case l := <-got:
			return l
		case <-ctx.Done():
			t.Fatalf("%s: no lease", what)
			return Lease{}
		}
	}

	// The client starts on a link that is down, and brings none up.
	done := make(chan error, 1)
	clientCtx, stopClient := context.WithCancel(ctx)
	client := &DHCPClient{Link: "eth0", Hostname: "lb1", OnLease: func(l Lease) { got <- l }}
	go func() { done <- client.Run(clientCtx) }()
	reach(t, k, State{Links: []Link{{Name: "eth0", Kind: Physical}}})
	lease := take("first")
	stopClient()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	want := Lease{
		Link: "eth0", Address: netip.MustParsePrefix("192.168.4.77/24"), Gateway: netip.MustParseAddr("192.168.4.254"),
		NameServers: []netip.Addr{netip.MustParseAddr("192.168.4.53")}, Hostname: "lb1", ConfigURL: "http://192.168.4.1/lb1.yaml",
		MTU: 1400, Server: netip.MustParseAddr("192.168.4.1"),
		Acquired: lease.Acquired, T1: time.Minute, T2: 105 * time.Second, ExpiresAfter: 2 * time.Minute,
	}
	if diff := cmp.Diff(want, lease, netipByValue); diff != "" {
		t.Errorf("lease (-want +got):\n%s", diff)
	}
	desired := State{
		Links:     []Link{{Name: "eth0", Kind: Physical}},
		Addresses: []Address{{Link: "eth0", Prefix: lease.Address, ValidUntil: lease.Expires()}},
		Routes:    []Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: lease.Gateway}},
	}
	reach(t, k, desired)
	settled(t, k, desired)

	// Later states of the client, entered without waiting for their time.
	later := &DHCPClient{Link: "eth0", OnLease: func(l Lease) { got <- l }, lease: &lease}
	later.prepare()
	for name, state := range map[string]dhcpState{"renewed": later.renewing, "rebound": later.rebinding, "confirmed": later.rebooting} {
		state(ctx)
		if again := take(name); again.Address != lease.Address || !again.Acquired.After(lease.Acquired) {
			t.Errorf("%s: %+v", name, again)
		}
	}
}

// netipByValue compares values of netip by ==.
var netipByValue = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// startDnsmasq runs dnsmasq at the neighbour. What it says is shown when the
// test fails.
func startDnsmasq(t *testing.T, n neighbour, options string) {
	t.Helper()
	cmd := n.command(tool(t, "dnsmasq", "dnsmasq-base") +
		" --no-daemon --conf-file=/dev/null --port=0 --user=root --interface=peer --bind-interfaces" +
		" --dhcp-leasefile=" + t.TempDir() + "/leases --log-dhcp " + options)
	log := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // killed
		if t.Failed() {
			t.Logf("dnsmasq:\n%s", log)
		}
	})
}
