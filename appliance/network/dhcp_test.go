package network

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

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
	ctx, stop := context.WithTimeout(t.Context(), patience)
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
