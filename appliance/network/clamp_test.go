package network

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// TestClampOnTheWireInNamespace reads the MSS of real handshakes at the
// neighbour.
func TestClampOnTheWireInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	n := newNeighbour(t, "eth0")
	n.run("ip addr add 192.168.4.10/24 dev peer")
	n.run("ip -6 addr add 2001:db8:4::10/64 dev peer nodad")
	k := open(t)
	state := func(clamps ...MSSClamp) State {
		s := State{Links: []Link{{Name: "eth0", Kind: Physical}, {Name: "lo", Kind: Fallback}}, MSSClamps: clamps}
		for _, own := range []string{"192.168.4.5/24", "2001:db8:4::5/64"} {
			s.Addresses = append(s.Addresses, Address{Link: "eth0", Prefix: netip.MustParsePrefix(own)})
		}
		for _, vip := range []string{"192.168.4.15/32", "192.168.4.16/32", "2001:db8:4::15/128"} {
			s.Addresses = append(s.Addresses, Address{Link: "eth0", Prefix: netip.MustParsePrefix(vip), VIP: true})
		}
		return s
	}
	lower := MSSClamp{netip.MustParseAddr("192.168.4.15"), 1400}
	higher := MSSClamp{netip.MustParseAddr("192.168.4.16"), 9000}
	ipv6 := MSSClamp{netip.MustParseAddr("2001:db8:4::15"), 1300}
	reach(t, k, state(lower, higher, ipv6))
	settled(t, k, state(lower, higher, ipv6))

	server, err := net.Listen("tcp", ":8080")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }() // the process ends
	answered := func(address string) string {
		t.Helper()
		synAck := n.capture(1, "src "+address+" and src port 8080")
		n.connect(address)
		return synAck()
	}
	for address, want := range map[string]string{
		"192.168.4.15": "mss 1400,", "192.168.4.16": "mss 1460,", "192.168.4.5": "mss 1460,",
		"2001:db8:4::15": "mss 1300,", "2001:db8:4::5": "mss 1440,",
	} {
		if got := answered(address); !strings.Contains(got, want) || !strings.Contains(got, "Flags [S.]") {
			t.Errorf("%s answers without %q: %s", address, want, got)
		}
	}

	want := []string{"nft add rule inet dipper mss ip saddr 192.168.4.15 tcp flags syn tcp option maxseg size set 1200",
		"nft delete rule inet dipper mss  # 192.168.4.15 1400", "nft delete rule inet dipper mss  # 192.168.4.16 9000",
		"nft delete rule inet dipper mss  # 2001:db8:4::15 1300"}
	lower.MSS = 1200
	if got := strings.Join(reach(t, k, state(lower)), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("plan:\n%s", got)
	}
	if got := answered("192.168.4.15"); !strings.Contains(got, "mss 1200,") {
		t.Errorf("after the change: %s", got)
	}
	reach(t, k, state())
	settled(t, k, state())
	if got := run(t, "nft list ruleset"); got != "" {
		t.Errorf("left over: %s", got)
	}
	if got := answered("192.168.4.15"); !strings.Contains(got, "mss 1460,") {
		t.Errorf("after the end: %s", got)
	}
}

// connect opens and closes a TCP connection to port 8080, by this program run
// at the neighbour.
func (n neighbour) connect(address string) {
	n.t.Helper()
	n.send("tcp", net.JoinHostPort(address, "8080"))
}

// send opens a connection of a network as package net names it, writes a
// line, and closes it, by this program run at the neighbour.
func (n neighbour) send(network, address string) {
	n.t.Helper()
	cmd := n.command(os.Args[0] + " -test.run=^TestConnectHelper$ -test.v")
	cmd.Env = append(os.Environ(), connectTo+"="+network+" "+address)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("connect to %s: %v: %s", address, err, out)
	}
}

const connectTo = "DIPPER_TEST_CONNECT"

// TestConnectHelper is no test, but the neighbour's side of one.
func TestConnectHelper(t *testing.T) {
	network, address, asked := strings.Cut(os.Getenv(connectTo), " ")
	if !asked {
		return
	}
	conn, err := net.DialTimeout(network, address, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}
