package scenario

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"dipper/qemu/lab"
)

// What examples/marks consists of: the VIPs of its services (of hosting, the one
// that its real servers have), and its real servers, whose pages are their
// addresses.
const (
	marksWeb     = "192.168.4.15"
	marksHosting = "192.168.5.7"
	marksEcho    = "192.168.4.16"
	marksWeb1    = "192.168.4.100"
	marksWeb2    = "192.168.4.200"
)

// TestMarks boots examples/marks, whose services the kernel finds by firewall
// marks, and asks all of them.
func TestMarks(t *testing.T) {
	t.Parallel()
	d := marksCluster(t)
	c := lab.StartT(t, d)
	b := &marksBench{ctx: patience(t), c: c}
	t.Run("several ports are one service to a persistent client", b.web)
	t.Run("a port beside the ranges is none of the service", b.besideTheRange)
	t.Run("every address of a network is the VIP, by DR and TUN", b.hosting)
	t.Run("both protocols of a port take turns as one service", b.echo)
	t.Run("all ports of a VIP are one service to a persistent client", b.allPorts)
	t.Run("the same mark of IPv6 is another service", b.six)
}

// moreMarks is what the example has not: all ports of a VIP, which needs no
// mark, and an IPv6 service with a mark that an IPv4 one has.
const moreMarks = `
  all:
    listen: 192.168.4.17
    scheduler: rr
    persistence: {timeout: 1m}
    forward: dr
    real-servers: [{address: 192.168.4.100}, {address: 192.168.4.200}]
  six:
    listen: "[2001:db8:4::15]:80-90"
    fwmark: 7
    scheduler: rr
    forward: dr
    real-servers: [{address: "2001:db8:4::100"}, {address: "2001:db8:4::200"}]
`

// marksCluster is the example with more to ask for: the ends of the range and
// the ports beside it, another VIP of the network, and moreMarks.
func marksCluster(t *testing.T) *lab.Description {
	t.Helper()
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	d, err := lab.Load(filepath.Join(root, "examples", "marks"))
	if err != nil {
		t.Fatal(err)
	}
	d.Node("client").Script += "ip addr add 2001:db8:4::10/64 dev eth0 nodad\n"
	director := d.Node("director")
	director.Config = replace(t, director.Config, "192.168.4.5/24", `192.168.4.5/24, "2001:db8:4::5/64"`)
	director.Config = replace(t, director.Config, "services:\n", "services:\n"+moreMarks)
	for name, hosting := range map[string]string{"web1": "dr", "web2": "tun"} {
		n := d.Node(name)
		rip := map[string]string{"web1": marksWeb1, "web2": marksWeb2}[name]
		n.Config = replace(t, n.Config, rip+"/24", rip+"/24, "+strings.Replace(rip, "192.168.4.", "2001:db8:4::", 1)+"/64")
		n.Config = replace(t, n.Config, "virtual-addresses:\n", fmt.Sprintf(`virtual-addresses:
  - {address: 192.168.4.17, forward: dr}
  - {address: "2001:db8:4::15", forward: dr}
  - {address: 192.168.5.250, forward: %s}
`, hosting))
		for _, port := range []int{7999, 8000, 8010, 8011} {
			n.Config = fmt.Appendf(n.Config, "  - {protocol: http, port: %d, body: \"%s\\n\"}\n", port, rip)
		}
	}
	return d
}

// marksBench asks the example's services.
type marksBench struct {
	ctx context.Context
	c   *lab.Cluster
}

func (b *marksBench) run(t *testing.T, script string, arguments ...any) string {
	t.Helper()
	out, err := b.c.Peer("client").Run(b.ctx, fmt.Sprintf(script, arguments...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ask fetches the page n times, and counts the real servers that answered.
func (b *marksBench) ask(t *testing.T, n int, at string) map[string]int {
	t.Helper()
	return counts(t, b.run(t, "for _ in $(seq %d); do curl -sS --max-time 60 'http://%s/'; done | sort | uniq -c", n, at))
}

// watch returns the packets that do puts on the wire.
func (b *marksBench) watch(t *testing.T, do func()) []Packet {
	t.Helper()
	from, err := markAll(b.c)
	if err != nil {
		t.Fatal(err)
	}
	do()
	packets, err := packetsSince(b.c, from)
	if err != nil {
		t.Fatal(err)
	}
	return packets
}

// web and allPorts: a client takes its turn with its first connection, and is
// then at one real server with each of the ports. Connections that know nothing
// of each other would take turns, too.
func (b *marksBench) web(t *testing.T) { b.together(t, marksWeb, 80, 8000, 8005, 8010, 80) }

func (b *marksBench) allPorts(t *testing.T) { b.together(t, "192.168.4.17", 8011, 80, 7999, 8005, 80) }

// together asks from four clients, each at all of the ports.
func (b *marksBench) together(t *testing.T, vip string, ports ...int) {
	t.Helper()
	at := make(map[string]int)
	for client := 201; client <= 204; client++ {
		servers := strings.Fields(b.run(t, `
ip addr replace 192.168.4.%[1]d/24 dev eth0
for port in %[2]s; do curl -sS --max-time 60 --interface 192.168.4.%[1]d http://%[3]s:$port/; done`,
			client, strings.Trim(fmt.Sprint(ports), "[]"), vip))
		if len(servers) != len(ports) || len(slices.Compact(slices.Clone(servers))) != 1 {
			t.Fatalf("client 192.168.4.%d was answered by %v, want one real server at each of the ports %v", client, servers, ports)
		}
		at[servers[0]]++
	}
	if want := map[string]int{marksWeb1: 2, marksWeb2: 2}; !maps.Equal(at, want) {
		t.Errorf("four clients are at %v, want %v", at, want)
	}
}

// besideTheRange: the director has the VIP and nothing at these ports, where
// real servers would answer.
func (b *marksBench) besideTheRange(t *testing.T) {
	for _, port := range []int{7999, 8011} {
		if got := b.run(t, "curl -sS --max-time 60 http://%s:%d/ 2> /dev/null || echo $?", marksWeb, port); strings.TrimSpace(got) != refused {
			t.Errorf("port %d: %q, want curl's status %s", port, got, refused)
		}
	}
}

func (b *marksBench) hosting(t *testing.T) {
	for _, vip := range []string{marksHosting, "192.168.5.250"} {
		packets := b.watch(t, func() {
			if got, want := b.ask(t, 4, vip), map[string]int{marksWeb1: 2, marksWeb2: 2}; !maps.Equal(got, want) {
				t.Errorf("%s: answered by %v, want %v", vip, got, want)
			}
		})
		if err := mixedForwarding(packets, vip); err != nil {
			t.Errorf("%s: %v", vip, err)
		}
	}
}

// mixedForwarding: web1 gets the client's packets as they are, web2 inside
// others from the director.
func mixedForwarding(packets []Packet, vip string) error {
	want := map[string][]netip.Addr{
		"web1": {netip.MustParseAddr(vip)},
		"web2": {netip.MustParseAddr(marksWeb2), netip.MustParseAddr(vip)},
	}
	seen := make(map[string]int)
	for _, p := range packets {
		if p.From != "director" || want[p.To] == nil || p.tcp() == nil {
			continue
		}
		seen[p.To]++
		var got []netip.Addr
		for _, h := range p.headers() {
			got = append(got, h.destination)
		}
		if !slices.Equal(got, want[p.To]) {
			return fmt.Errorf("%s got a packet to %v, want %v", p.To, got, want[p.To])
		}
	}
	if seen["web1"] == 0 || seen["web2"] == 0 {
		return fmt.Errorf("packets from the director: %v", seen)
	}
	return nil
}

// echo: datagrams and connections in turn, all of which get their answer. That
// they are one service shows in who gets what: of two services, each would give
// its second connection to the other real server.
func (b *marksBench) echo(t *testing.T) {
	packets := b.watch(t, func() {
		for _, protocol := range []string{"TCP4", "UDP4", "TCP4", "UDP4"} {
			got := b.run(t, "timeout 60 socat %s:%s:7 SYSTEM:'echo hello; read line; echo $line >&2' 2>&1", protocol, marksEcho)
			if got != "hello\n" {
				t.Errorf("%s answered %q", protocol, got)
			}
		}
	})
	got := make(map[string]map[string]bool)
	for _, p := range packets {
		headers := p.headers()
		if p.To != "client" || len(headers) == 0 || headers[0].source.String() != marksEcho {
			continue
		}
		protocol := "udp"
		if p.Layer(layers.LayerTypeTCP) != nil {
			protocol = "tcp"
		}
		if got[protocol] == nil {
			got[protocol] = make(map[string]bool)
		}
		got[protocol][p.From] = true
	}
	tcp, udp := slices.Sorted(maps.Keys(got["tcp"])), slices.Sorted(maps.Keys(got["udp"]))
	if len(tcp) != 1 || len(udp) != 1 || tcp[0] == udp[0] {
		t.Errorf("in turn, TCP was answered by %v and UDP by %v; want one real server each", tcp, udp)
	}
}

func (b *marksBench) six(t *testing.T) {
	if got, want := b.ask(t, 4, "[2001:db8:4::15]"), map[string]int{marksWeb1: 2, marksWeb2: 2}; !maps.Equal(got, want) {
		t.Errorf("answered by %v, want %v", got, want)
	}
}
