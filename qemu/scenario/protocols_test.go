package scenario

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"dipper/qemu/lab"
)

// way is a VIP of every protocol, and where its clients and real servers are.
// Answers by NAT come back through the director, which is the router between
// the real servers and the client's second address.
type way struct {
	forward     Forward
	vip, client string
	servers     [2]string
}

// The ways of protocolDirector.
var ways = []way{
	{NAT, "192.168.4.17", "10.9.9.1", [2]string{"192.168.4.101", "192.168.4.102"}},
	{DR, "192.168.4.15", "192.168.4.10", [2]string{"192.168.4.101", "192.168.4.102"}},
	{TUN, "192.168.4.16", "192.168.4.10", [2]string{"192.168.4.101", "192.168.4.102"}},
	{NAT, "2001:db8:4::17", "2001:db8:9::1", [2]string{"2001:db8:4::101", "2001:db8:4::102"}},
	{DR, "2001:db8:4::15", "2001:db8:4::10", [2]string{"2001:db8:4::101", "2001:db8:4::102"}},
	{TUN, "2001:db8:4::16", "2001:db8:4::10", [2]string{"2001:db8:4::101", "2001:db8:4::102"}},
}

func (w way) six() bool      { return netip.MustParseAddr(w.vip).Is6() }
func (w way) String() string { return fmt.Sprintf("%s to %s", w.forward, w.vip) }

// socat is an address of socat(1) in this family: a word such as "UDP-LISTEN",
// what follows it, and the address that it is bound to.
func (w way) socat(word, parameters, from string) string {
	version := map[bool]string{false: "4", true: "6"}[w.six()]
	protocol, role, _ := strings.Cut(word, "-")
	if role != "" {
		version += "-"
	}
	return protocol + version + role + ":" + parameters + ",bind=" + bracketed(from, w.six())
}

// to is that of the VIP with a port, or with an IP protocol's number.
func (w way) to(word string, port int) string {
	return w.socat(word, fmt.Sprint(bracketed(w.vip, w.six()), ":", port), w.client)
}

// protocolDirector has services of UDP and SCTP for each way, at port 9; by nat
// also one for the key exchange of IPsec, and two with one-packet.
func protocolDirector() []byte {
	var b strings.Builder
	b.WriteString(`role: director
hostname: director
network:
  interfaces: {eth0: {addresses: [192.168.4.5/24, "2001:db8:4::5/64"]}}
  routes: [{to: 10.9.9.0/24, via: 192.168.4.10}, {to: "2001:db8:9::/64", via: "2001:db8:4::10"}]
services:
`)
	for i, w := range ways {
		service := func(name string, port int, more string) {
			fmt.Fprintf(&b, "  %s-%d: {listen: \"%s:%d\", protocol: %s, scheduler: rr, forward: %s, real-servers: [{address: \"%s\"}, {address: \"%s\"}]}\n",
				name, i, bracketed(w.vip, w.six()), port, more, w.forward, w.servers[0], w.servers[1])
		}
		service("udp", 9, "udp")
		service("sctp", 9, "sctp")
		if w.forward == NAT {
			service("keys", 500, "udp")
			service("packets", 8, "udp, one-packet: true")
			service("calls", 5060, "udp, one-packet: true, persistence: {engine: sip}")
			service("tcp-calls", 5060, "tcp, persistence: {engine: sip}")
		}
	}
	return []byte(b.String())
}

// protocolClient has an address on the LAN, and one behind the director. hello
// says something, and prints the line that comes back. Of a pipe that has ended,
// socat waits half a second: hence a program that reads.
const protocolClient = `
ip link set eth0 up
ip addr add 192.168.4.10/24 dev eth0
ip addr add 10.9.9.1/32 dev eth0
ip addr add 2001:db8:4::10/64 dev eth0 nodad
ip addr add 2001:db8:9::1/128 dev eth0 nodad
echo hello > /tmp/hello
printf 'OPTIONS sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP client\r\nFrom: <sip:alice@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: first@example.org\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n' > /tmp/call
cat > /bin/hello <<'END'
#!/bin/sh
# hello ADDRESS [FILE]
exec timeout 60 socat "$1" SYSTEM:"cat ${2:-/tmp/hello}; read line; echo \$line >&2" 2>&1
END
chmod +x /bin/hello
`

// protocolServer is a real server of Debian's programs for all ways. At port 9
// it says its name; the rest it sends back.
func protocolServer(name string, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
sysctl -q -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
ip addr add 192.168.4.10%[1]d/24 dev eth0
ip addr add 2001:db8:4::10%[1]d/64 dev eth0 nodad
for link in eth0 tunl0 ip6tnl0; do ip link set $link up; done
ip route add 10.9.9.0/24 via 192.168.4.5
ip route add 2001:db8:9::/64 via 2001:db8:4::5
serve() { socat "$1,fork" "SYSTEM:$2" > /dev/null 2>&1 & }
`, n)
	for _, w := range ways {
		at := w.vip
		if w.forward == NAT {
			at = w.servers[n-1]
			for _, port := range []int{8, 5060} {
				fmt.Fprintf(&b, "serve '%s' cat\n", w.socat("UDP-LISTEN", fmt.Sprint(port), at))
			}
			for _, protocol := range w.sealed() {
				fmt.Fprintf(&b, "serve '%s' cat\n", w.socat("IP-RECVFROM", fmt.Sprint(int(protocol)), at))
			}
		} else {
			fmt.Fprintf(&b, "ip addr add %s dev lo\n", at)
		}
		for _, protocol := range []string{"UDP", "SCTP"} {
			fmt.Fprintf(&b, "serve '%s' 'echo %s'\n", w.socat(protocol+"-LISTEN", "9", at), name)
		}
	}
	b.WriteString("until [ $(ss -Hlun | wc -l) = 10 ] && [ $(ss -Hln --sctp | wc -l) = 6 ] && [ $(ss -Hanw | wc -l) = 3 ]; do sleep 0.1; done\n")
	return b.String()
}

// sealed are the protocols of IPsec. AH of IPv6 is none to the kernel, which
// looks behind it.
func (w way) sealed() []layers.IPProtocol {
	if w.six() {
		return []layers.IPProtocol{layers.IPProtocolESP}
	}
	return []layers.IPProtocol{layers.IPProtocolESP, layers.IPProtocolAH}
}

// TestProtocols balances what is no TCP, between peers that nobody here wrote.
func TestProtocols(t *testing.T) {
	t.Parallel()
	lan := []string{"lan"}
	c := lab.StartT(t, &lab.Description{Name: "protocols", Nodes: []*lab.Node{
		{Name: "client", LANs: lan, Peer: true, Script: protocolClient},
		{Name: "director", LANs: lan, Config: protocolDirector()},
		{Name: "web1", LANs: lan, Peer: true, Script: protocolServer("web1", 1)},
		{Name: "web2", LANs: lan, Peer: true, Script: protocolServer("web2", 2)},
	}})
	b := &protocolBench{ctx: patience(t), c: c}
	for _, w := range ways {
		t.Run("UDP by "+w.String(), func(t *testing.T) { b.greeted(t, w, layers.IPProtocolUDP, "UDP") })
		t.Run("SCTP by "+w.String(), func(t *testing.T) { b.greeted(t, w, layers.IPProtocolSCTP, "SCTP") })
		if w.forward == NAT {
			for _, protocol := range w.sealed() {
				t.Run(fmt.Sprint(protocol, " by ", w), func(t *testing.T) { b.sealed(t, w, protocol) })
			}
			t.Run("one-packet by "+w.String(), func(t *testing.T) { b.onePacket(t, w) })
			t.Run("what is no SIP by "+w.String(), func(t *testing.T) { b.unread(t, w) })
		}
	}
}

// protocolBench asks the services of the cluster.
type protocolBench struct {
	ctx context.Context
	c   *lab.Cluster
}

// asked runs a script on the client. It returns what that printed, and the
// packets of a protocol that the director sent meanwhile.
func (b *protocolBench) asked(t *testing.T, protocol layers.IPProtocol, script string) (string, []Packet) {
	out, packets := b.watched(t, protocol, script)
	return out, slices.DeleteFunc(packets, func(p Packet) bool { return p.From != "director" })
}

// watched is asked with the packets that anybody sent.
func (b *protocolBench) watched(t *testing.T, protocol layers.IPProtocol, script string) (string, []Packet) {
	t.Helper()
	from, err := markAll(b.c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.c.Peer("client").Run(b.ctx, script)
	if err != nil {
		t.Fatal(err)
	}
	packets, err := packetsSince(b.c, from)
	if err != nil {
		t.Fatal(err)
	}
	return out, slices.DeleteFunc(packets, func(p Packet) bool {
		headers := p.headers()
		return len(headers) == 0 || layers.IPProtocol(last(headers[len(headers)-1].rest)) != protocol
	})
}

func last(b []byte) byte { return b[len(b)-1] }

// greeted asks four times, each time from another port. On an SCTP association
// nothing is sent, for the end of it would end the association (RFC 9260
// section 9: there is no half-closed state).
func (b *protocolBench) greeted(t *testing.T, w way, protocol layers.IPProtocol, name string) {
	t.Helper()
	ask := "hello '%s'"
	if name == "SCTP" {
		ask = "timeout 60 socat -u '%s' -"
	}
	answers, packets := b.asked(t, protocol, fmt.Sprintf("for _ in 1 2 3 4; do "+ask+"; done | sort | uniq -c", w.to(name, 9)))
	if got, want := counts(t, answers), map[string]int{"web1": 2, "web2": 2}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	b.wentBy(t, w, packets)
}

// wentBy: the director sent to both real servers, each packet in the way's form.
func (b *protocolBench) wentBy(t *testing.T, w way, packets []Packet) {
	t.Helper()
	reached := make(map[string]bool)
	for _, p := range packets {
		if p.To != "web1" && p.To != "web2" {
			continue
		}
		reached[p.To] = true
		server := w.servers[map[string]int{"web1": 0, "web2": 1}[p.To]]
		var to []string
		for _, h := range p.headers() {
			to = append(to, h.destination.String())
		}
		if want := map[Forward][]string{NAT: {server}, DR: {w.vip}, TUN: {server, w.vip}}[w.forward]; !slices.Equal(to, want) {
			t.Fatalf("%s got a packet to %v, want %v", p.To, to, want)
		}
	}
	if len(reached) != 2 {
		t.Errorf("packets from the director reached %v", reached)
	}
}

// sealed: what follows the key exchange has its addresses rewritten in both
// directions, and nothing but these.
func (b *protocolBench) sealed(t *testing.T, w way, protocol layers.IPProtocol) {
	t.Helper()
	answer, packets := b.asked(t, protocol, fmt.Sprintf("socat -u /tmp/hello '%s:500'; hello '%s'", w.to("UDP", 500), w.to("IP-SENDTO", int(protocol))))
	if answer != "hello\n" {
		t.Errorf("got %q back from the VIP", answer)
	}
	var went []string
	for _, p := range packets {
		h := p.headers()[0]
		went = append(went, fmt.Sprintf("%s > %s: %s", h.source, h.destination, h.payload))
	}
	if !slices.ContainsFunc(w.servers[:], func(server string) bool {
		return slices.Equal(went, []string{w.client + " > " + server + ": hello\n", w.vip + " > " + w.client + ": hello\n"})
	}) {
		t.Errorf("the director sent %q", went)
	}
}

// onePacket: the kernel forgets the packet at once, and so cannot tell whom an
// answer is of. What a real server of SIP says it takes for a call of that one's
// own, and rewrites it, if it reads a Call-ID there (ip_vs_core.c,
// ip_vs_new_conn_out).
func (b *protocolBench) onePacket(t *testing.T, w way) {
	t.Helper()
	for _, said := range []struct {
		port int
		file string
		from []string
	}{
		{8, "/tmp/hello", w.servers[:]},
		{5060, "/tmp/call", []string{w.vip}},
	} {
		// A datagram socket takes answers of anybody.
		answer, packets := b.asked(t, layers.IPProtocolUDP, fmt.Sprintf("hello '%s:4000' %s", w.to("UDP-DATAGRAM", said.port), said.file))
		if answer == "" {
			t.Errorf("%s to port %d: no answer", said.file, said.port)
		}
		packets = slices.DeleteFunc(packets, func(p Packet) bool { return p.To != "client" })
		if len(packets) != 1 || !slices.Contains(said.from, packets[0].headers()[0].source.String()) {
			t.Errorf("%s to port %d: the client got %v, want one packet from one of %v", said.file, said.port, packets, said.from)
		}
	}
}

// unread: what the engine of SIP cannot read is dropped, which a call that comes
// after it shows. The call before it has the client find the director's card, or
// the first packet of TCP would not have left when socat gives up.
func (b *protocolBench) unread(t *testing.T, w way) {
	t.Helper()
	for _, unread := range []struct {
		protocol layers.IPProtocol
		send     string
		sent     int // packets of that protocol to real servers, with the calls
	}{
		{layers.IPProtocolTCP, w.to("TCP", 5060) + ",connect-timeout=0.1", 0},
		{layers.IPProtocolUDP, w.to("UDP", 5060), 2},
	} {
		_, packets := b.watched(t, unread.protocol, fmt.Sprintf("hello '%[2]s' /tmp/call; socat -u /tmp/hello '%[1]s' || true; hello '%[2]s' /tmp/call", unread.send, w.to("UDP", 5060)))
		between := func(from, to string) (n int) {
			for _, p := range packets {
				if p.From == from && strings.HasPrefix(p.To, to) {
					n++
				}
			}
			return n
		}
		if got, sent := between("client", "director"), between("director", "web"); got <= unread.sent || sent != unread.sent {
			t.Errorf("%s: the director got %d packets and sent %d, want it to send %d of more", unread.protocol, got, sent, unread.sent)
		}
	}
}

func bracketed(address string, six bool) string {
	if six {
		return "[" + address + "]"
	}
	return address
}

func prefix(six bool) string {
	if six {
		return "/64"
	}
	return "/24"
}
