package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
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
