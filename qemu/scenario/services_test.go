package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"dipper/appliance/api"
	"dipper/qemu/lab"
)

// The VIPs of ruledDirector, to which its real servers answer.
const (
	ruledVIP  = "192.168.4.15"
	ruledVIP6 = "2001:db8:4::15"
)

// ruledDirector has a service for each rule by which the kernel keeps clients,
// calls, flows and packets at a real server, or does not.
const ruledDirector = `role: director
hostname: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24, "2001:db8:4::5/64"]}}}
services:
  networks:  {listen: "192.168.4.15:80", scheduler: rr, persistence: {netmask: 255.255.255.252}, forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}]}
  networks6: {listen: "[2001:db8:4::15]:80", scheduler: rr, persistence: {prefix-length: 124}, forward: dr, real-servers: [{address: "2001:db8:4::101"}, {address: "2001:db8:4::102"}]}
  flows6:    {listen: "[2001:db8:4::15]:7", protocol: udp, scheduler: rr, forward: dr, real-servers: [{address: "2001:db8:4::101"}, {address: "2001:db8:4::102"}]}
  flows:     {listen: "192.168.4.15:7", protocol: udp, scheduler: rr, forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}]}
  packets:   {listen: "192.168.4.15:8", protocol: udp, scheduler: rr, one-packet: true, forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}]}
  few:       {listen: "192.168.4.15:9", protocol: udp, scheduler: rr, forward: dr, real-servers: [{address: 192.168.4.101, upper-threshold: 2}, {address: 192.168.4.102}]}
  drained:   {listen: "192.168.4.15:11", on-down: drain, scheduler: rr, forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}]}
  reset:     {listen: "192.168.4.15:12", on-down: reset, scheduler: rr, forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}]}
  kept:      {listen: "192.168.4.15:13", on-down: keep, scheduler: rr, forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}]}
  calls:     {listen: "192.168.4.15:5060", protocol: udp, scheduler: rr, persistence: {engine: sip}, forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}]}
  keys:      {listen: ["192.168.4.15:500", "192.168.4.15:4500"], protocol: udp, scheduler: rr, persistence: {timeout: 8h}, forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}]}
  keys6:     {listen: "[2001:db8:4::15]:500", protocol: udp, scheduler: rr, forward: dr, real-servers: [{address: "2001:db8:4::101"}, {address: "2001:db8:4::102"}]}
`

// ruledServer answers all of them: HTTP with its name, the others with what they
// got.
func ruledServer(name string, address int) []byte {
	return fmt.Appendf(nil, `role: real-server
hostname: %s
network: {interfaces: {eth0: {addresses: [192.168.4.%d/24, "2001:db8:4::%[2]d/64"]}}}
virtual-addresses: [{address: 192.168.4.15, forward: dr}, {address: "2001:db8:4::15", forward: dr}]
serve:
  - {protocol: http, body: "%[1]s\n"}
  - {protocol: udp-echo, port: 7}
  - {protocol: udp-echo, port: 8}
  - {protocol: udp-echo, port: 9}
  - {protocol: udp-echo, port: 5060}
  - {protocol: tcp-echo, port: 11}
  - {protocol: tcp-echo, port: 12}
  - {protocol: tcp-echo, port: 13}
`, name, address)
}

// ruledClient has the addresses .201 to .216 and ::201 to ::216, and a program
// that sends one datagram and waits for its echo.
const ruledClient = `
ip link set eth0 up
for i in $(seq 201 216); do
	ip addr add 192.168.4.$i/24 dev eth0
	ip addr add 2001:db8:4::$i/64 dev eth0 nodad
done
cat > /bin/echoed <<'END'
#!/bin/sh
# echoed FROM:PORT TO-PORT TEXT
case $1 in
\[*) vip=UDP6:[2001:db8:4::15] ;;
*) vip=UDP4:192.168.4.15 ;;
esac
printf %s "$3" | socat -t 60 - "$vip:$2,bind=$1,readbytes=${#3}" > /tmp/echo
[ "$(cat /tmp/echo)" = "$3" ] || { echo "$1 got no echo from port $2"; exit 1; }
END
chmod +x /bin/echoed
`

// TestWhoStays shows by traffic what stays together at one real server, by
// client network, call, flow or security association, and what does not.
func TestWhoStays(t *testing.T) {
	t.Parallel()
	lan := []string{"lan"}
	c := lab.StartT(t, &lab.Description{Name: "who-stays", Nodes: []*lab.Node{
		{Name: "client", LANs: lan, Peer: true, Script: ruledClient},
		{Name: "director", LANs: lan, Config: []byte(ruledDirector)},
		{Name: "web1", LANs: lan, Config: ruledServer("web1", 101)},
		{Name: "web2", LANs: lan, Config: ruledServer("web2", 102)},
	}})
	b := &ruledBench{ctx: patience(t), c: c}
	t.Run("persistence takes the clients of a netmask for one", b.networks)
	t.Run("persistence takes the clients of a prefix for one", b.networks6)
	t.Run("one-packet schedules every datagram of a flow", b.packets)
	t.Run("an upper threshold sends what is above it elsewhere", b.few)
	t.Run("sip keeps a call together, and not a client", b.calls)
	t.Run("ESP and AH go where the key exchange went", b.associations)
	t.Run("ESP of IPv6, too", b.associations6)
	t.Run("a UDP flow leaves a real server that is taken out", b.flows)
	t.Run("a connection stays at a real server that is down, ends, or is not alone", b.connections)
}

// ruledBench asks the services of the cluster.
type ruledBench struct {
	ctx   context.Context
	c     *lab.Cluster
	waits int // how often it waited for what was sent
}

func (b *ruledBench) run(t *testing.T, script string, arguments ...any) string {
	t.Helper()
	out, err := b.c.Peer("client").Run(b.ctx, fmt.Sprintf(script, arguments...))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// passed are the real servers that the director sent packets of an IP protocol
// to while a script ran, in order, by the packets' sources.
func (b *ruledBench) passed(t *testing.T, protocol layers.IPProtocol, script string, arguments ...any) map[string][]string {
	t.Helper()
	from, err := markAll(b.c)
	if err != nil {
		t.Fatal(err)
	}
	b.run(t, script, arguments...)
	b.arrive(t)
	packets, err := packetsSince(b.c, from)
	if err != nil {
		t.Fatal(err)
	}
	to := make(map[string][]string)
	for _, p := range packets {
		headers := p.headers()
		if p.From != "director" || !strings.HasPrefix(p.To, "web") || len(headers) == 0 {
			continue
		}
		if h := headers[0]; !slices.Contains([]string{lastClient, lastClient6}, h.source.String()) && layers.IPProtocol(h.rest[len(h.rest)-1]) == protocol && slices.Contains([]string{ruledVIP, ruledVIP6}, h.destination.String()) {
			to[h.source.String()] = append(to[h.source.String()], p.To)
		}
	}
	return to
}

// The client's addresses by which arrive sends.
const (
	lastClient  = "192.168.4.216"
	lastClient6 = "2001:db8:4::216"
)

// arrive waits until all that was sent has passed the director, which forwards
// in order to each real server: each is given a datagram that it echoes, by
// either family.
func (b *ruledBench) arrive(t *testing.T) {
	t.Helper()
	for _, from := range []string{lastClient, "[" + lastClient6 + "]"} {
		for range 2 {
			b.waits++
			b.run(t, "echoed %s:%d 7 done", from, 5000+b.waits)
		}
	}
}

// wantPattern compares who served with a pattern, whichever real server begins:
// a is the first one, b the other.
func wantPattern(t *testing.T, what string, servers []string, pattern string) {
	t.Helper()
	got := make([]byte, len(servers))
	for i, server := range servers {
		if got[i] = 'a'; server != servers[0] {
			got[i] = 'b'
		}
	}
	if string(got) != pattern {
		t.Errorf("%s: served by %v, want the pattern %s", what, servers, pattern)
	}
}

func (b *ruledBench) networks(t *testing.T) {
	servers := strings.Fields(b.run(t, "for i in 201 202 203 204 205 206 201 204; do curl -sS --max-time 60 --interface 192.168.4.$i http://%s/; done", ruledVIP))
	wantPattern(t, "clients of 192.168.4.200/30 and 192.168.4.204/30", servers, "aaabbbab")
}

func (b *ruledBench) networks6(t *testing.T) {
	servers := strings.Fields(b.run(t, "for i in 201 202 203 211 212 213 201 211; do curl -sS --max-time 60 --interface 2001:db8:4::$i 'http://[%s]/'; done", ruledVIP6))
	wantPattern(t, "clients of 2001:db8:4::200/124 and 2001:db8:4::210/124", servers, "aaabbbab")
}

// packets: six datagrams of one flow, and six of one to a service like it.
func (b *ruledBench) packets(t *testing.T) {
	for port, pattern := range map[int]string{8: "ababab", 7: "aaaaaa"} {
		to := b.passed(t, layers.IPProtocolUDP, "for _ in 1 2 3 4 5 6; do echoed 192.168.4.201:4000 %d hello; done", port)
		wantPattern(t, fmt.Sprintf("six datagrams of one flow to port %d", port), to["192.168.4.201"], pattern)
	}
}

func (b *ruledBench) few(t *testing.T) {
	to := b.passed(t, layers.IPProtocolUDP, "for i in 1 2 3 4 5 6; do echoed 192.168.4.201:410$i 9 hello; done")
	wantTally(t, "six flows, two of which web1 may have", to["192.168.4.201"], 2, 4, 0)
}

// calls: in turn, the second call would be at a real server of its own each
// time it is named; by the client's address, both would be at one.
func (b *ruledBench) calls(t *testing.T) {
	to := b.passed(t, layers.IPProtocolUDP, `
call() { echoed $1 5060 "$(printf 'OPTIONS sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP client\r\nFrom: <sip:alice@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: %%s@example.org\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n' $2)"; }
call 192.168.4.201:4201 first
call 192.168.4.201:4202 second
call 192.168.4.201:4203 second
call 192.168.4.201:4204 first
call 192.168.4.202:4205 first
call 192.168.4.202:4206 second
`)
	wantPattern(t, "two calls of two clients", slices.Concat(to["192.168.4.201"], to["192.168.4.202"]), "abbaab")
}

// associations: the kernel sends ESP and AH where UDP from the same client's
// port 500 to port 500 went (ip_vs_proto_ah_esp.c), and nowhere else. What a
// client sends in UDP to port 4500 persistence keeps together with its keys.
func (b *ruledBench) associations(t *testing.T) {
	clients := []string{"192.168.4.201", "192.168.4.202", "192.168.4.203", "192.168.4.204"}
	keys := b.passed(t, layers.IPProtocolUDP, `
for i in 201 202 203 204; do echo key | socat -u - UDP4-SENDTO:192.168.4.15:500,bind=192.168.4.$i:500; done
echo key | socat -u - UDP4-SENDTO:192.168.4.15:500,bind=192.168.4.206:4500
`)
	for name, protocol := range map[string]layers.IPProtocol{"ESP": layers.IPProtocolESP, "AH": layers.IPProtocolAH} {
		to := b.passed(t, protocol, `for i in 204 201 205 203 202 206; do echo sealed | socat -u - IP4-SENDTO:192.168.4.15:%d,bind=192.168.4.$i; done`, protocol)
		checkAssociations(t, name, keys, to, clients)
	}
	wrapped := b.passed(t, layers.IPProtocolUDP, `for i in 201 202 203 204; do echo sealed | socat -u - UDP4-SENDTO:192.168.4.15:4500,bind=192.168.4.$i:4500; done`)
	for _, client := range clients {
		if !slices.Equal(wrapped[client], keys[client]) {
			t.Errorf("key exchange of %s went to %v, what it sent to port 4500 to %v", client, keys[client], wrapped[client])
		}
	}
}

func (b *ruledBench) associations6(t *testing.T) {
	clients := []string{"2001:db8:4::201", "2001:db8:4::202", "2001:db8:4::203", "2001:db8:4::204"}
	keys := b.passed(t, layers.IPProtocolUDP, `
for i in 201 202 203 204; do echo key | socat -u - "UDP6-SENDTO:[2001:db8:4::15]:500,bind=[2001:db8:4::$i]:500"; done
echo key | socat -u - "UDP6-SENDTO:[2001:db8:4::15]:500,bind=[2001:db8:4::206]:4500"
`)
	to := b.passed(t, layers.IPProtocolESP, `for i in 204 201 205 203 202 206; do echo sealed | socat -u - "IP6-SENDTO:[2001:db8:4::15]:%d,bind=[2001:db8:4::$i]"; done`, layers.IPProtocolESP)
	checkAssociations(t, "ESP", keys, to, clients)
}

// checkAssociations wants the packets of each client at the real server that
// its key exchange went to, and those of no one else anywhere.
func checkAssociations(t *testing.T, name string, keys, to map[string][]string, clients []string) {
	t.Helper()
	served := make(map[string]bool)
	for _, client := range clients {
		if len(keys[client]) != 1 || !slices.Equal(keys[client], to[client]) {
			t.Errorf("%s: key exchange of %s went to %v, %s to %v", name, client, keys[client], name, to[client])
			continue
		}
		served[keys[client][0]] = true
	}
	if len(served) != 2 {
		t.Errorf("the key exchanges of %v all went to %v", clients, served)
	}
	if len(to) != len(clients) {
		t.Errorf("%s of clients without a key exchange from port 500 was forwarded: %v", name, to)
	}
}

// flows: a client that goes on sending from one port is at a drained real
// server for ever, and leaves one that is down with its next datagram: on-down
// of UDP services is reset.
func (b *ruledBench) flows(t *testing.T) {
	server := func() string {
		t.Helper()
		to := b.passed(t, layers.IPProtocolUDP, "for _ in 1 2; do echoed 192.168.4.210:4000 7 hello; done")["192.168.4.210"]
		if len(to) != 2 || to[0] != to[1] {
			t.Fatalf("two datagrams of a flow went to %v", to)
		}
		return to[0]
	}
	first := server()
	b.set(t, "flows", first, api.Drain)
	if now := server(); now != first {
		t.Errorf("the flow left the drained %s for %s", first, now)
	}
	b.set(t, "flows", first, api.Down)
	second := server()
	if second == first {
		t.Errorf("the flow is still at %s, which is down", first)
	}
	b.set(t, "flows", first, api.Enable)
	if now := server(); now != second {
		t.Errorf("the flow moved back to %s", now)
	}
}

// set has an operator say what is with a real server.
func (b *ruledBench) set(t *testing.T, service, name string, verb api.Verb) {
	t.Helper()
	rip := map[string]string{"web1": "192.168.4.101", "web2": "192.168.4.102"}[name]
	if _, err := b.c.Appliance("director").SetServer(b.ctx, api.ServerVerb{Service: service, Server: rip, Verb: verb}); err != nil {
		t.Fatal(err)
	}
}

// connections: what the words of on-down do to a TCP connection at a real server
// that is down, and to those that come after it.
func (b *ruledBench) connections(t *testing.T) {
	for i, tt := range []struct {
		service string
		port    int
		stays   bool // the connection
		chosen  bool // for new ones
	}{
		{"drained", 11, true, false},
		{"reset", 12, false, false},
		{"kept", 13, true, true},
	} {
		client := fmt.Sprintf("192.168.4.%d", 211+i)
		at := b.passed(t, layers.IPProtocolTCP, `
mkfifo /tmp/said.%[1]d
(while sleep 5; do echo still; done) > /tmp/said.%[1]d & # the server ends what stands still
(socat -d - TCP4:192.168.4.15:%[1]d,bind=%[2]s < /tmp/said.%[1]d > /tmp/heard.%[1]d 2> /tmp/why.%[1]d; touch /tmp/over.%[1]d) &
echo one > /tmp/said.%[1]d
until grep -q one /tmp/heard.%[1]d; do sleep 0.1; done`, tt.port, client)[client]
		if len(at) == 0 {
			t.Fatalf("%s: no packet of the connection was seen", tt.service)
		}
		b.set(t, tt.service, at[0], api.Down)
		said := strings.TrimSpace(b.run(t, `
echo two > /tmp/said.%[1]d
until grep -s two /tmp/heard.%[1]d; do [ ! -e /tmp/over.%[1]d ] || { cat /tmp/why.%[1]d; break; }; sleep 0.1; done`, tt.port))
		if stays := said == "two"; stays != tt.stays || !stays && !strings.Contains(said, "reset by peer") {
			t.Errorf("%s: a connection at %s, which is down, answered %q", tt.service, at[0], said)
		}
		client = fmt.Sprintf("192.168.4.%d", 207+i) // so that nothing of the old connection is counted
		next := b.passed(t, layers.IPProtocolTCP, `
for i in 1 2 3 4; do printf x | socat -t 60 - TCP4:192.168.4.15:%d,bind=%s,readbytes=1; done`, tt.port, client)[client]
		if got := slices.Contains(next, at[0]); len(next) == 0 || got != tt.chosen {
			t.Errorf("%s: new connections went to %v while %s is down", tt.service, next, at[0])
		}
	}
}
