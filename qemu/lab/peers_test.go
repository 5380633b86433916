package lab

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dipper/qemu/ether"
	"dipper/qemu/peer"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// patience bounds a test that hangs; it asserts nothing.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func run(ctx context.Context, t *testing.T, p *peer.Peer, script string) string {
	t.Helper()
	out, err := p.Run(ctx, script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPeers checks the lab itself: two machines, one LAN, nothing of ours.
func TestPeers(t *testing.T) {
	t.Parallel()
	c := StartT(t, &Description{Name: "peers", Nodes: []*Node{
		{Name: "a", Peer: true, LANs: []string{"lan"}, Script: "ip link set eth0 up; ip addr add 192.0.2.1/24 dev eth0; ip addr add 2001:db8::1/64 dev eth0"},
		{Name: "b", Peer: true, LANs: []string{"lan"}, Script: "ip link set eth0 up; ip addr add 192.0.2.2/24 dev eth0; ip addr add 2001:db8::2/64 dev eth0"},
	}})
	ctx := patience(t)
	a := c.Peer("a")
	run(ctx, t, a, "ping -c 2 192.0.2.2")
	run(ctx, t, a, "ping -c 2 2001:db8::2")
	run(ctx, t, c.Peer("b"), "mkdir /www; head -c 10000000 /dev/urandom > /www/big; cd /www; md5sum big > sum; busybox httpd -p 80 -h /www")
	run(ctx, t, a, "cd /tmp; curl -sSO http://192.0.2.2/big; curl -sS http://192.0.2.2/sum | md5sum -c")

	c.Port("b", 0).Cut()
	if out, err := a.Run(ctx, "ping -c 1 -W 2 192.0.2.2"); err == nil {
		t.Errorf("ping over a cut wire: %s", out)
	}
	c.Port("b", 0).Restore()
	run(ctx, t, a, "ping -c 1 -w 20 192.0.2.2")

	if err := c.Machine("b").SetLink(ctx, 0, false); err != nil {
		t.Fatal(err)
	}
	run(ctx, t, c.Peer("b"), "while ip -br link show eth0 | grep -q LOWER_UP; do sleep 0.1; done")
}

// TestDirectRoutingByHand is S2 made of Debian's own programs by the steps of
// any tutorial, on our kernel. It is the reference for what the appliance does,
// and shows which part of a failure is the lab's or the kernel's.
func TestDirectRoutingByHand(t *testing.T) {
	t.Parallel()
	const realServer = `
sysctl -q net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.lo.arp_ignore=1
sysctl -q net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.lo.arp_announce=2
ip addr add 192.168.4.15/32 dev lo
ip link set eth0 up
ip addr add %[1]s/24 dev eth0
mkdir /www; echo %[1]s > /www/index.html; busybox httpd -p 80 -h /www`
	lan := []string{"lan"}
	c := StartT(t, &Description{Name: "dr-by-hand", Nodes: []*Node{
		{Name: "client", Peer: true, LANs: lan, Script: "ip link set eth0 up; ip addr add 192.168.4.10/24 dev eth0"},
		{Name: "director", Peer: true, LANs: lan, Script: `
ip link set eth0 up
ip addr add 192.168.4.5/24 dev eth0
ip addr add 192.168.4.15/32 dev eth0
ipvsadm -A -t 192.168.4.15:80 -s wrr
ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.100 -g -w 1
ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.200 -g -w 2`},
		{Name: "web1", Peer: true, LANs: lan, Script: fmt.Sprintf(realServer, "192.168.4.100")},
		{Name: "web2", Peer: true, LANs: lan, Script: fmt.Sprintf(realServer, "192.168.4.200")},
	}})
	ctx := patience(t)
	answers := run(ctx, t, c.Peer("client"), "for i in $(seq 12); do curl -sS http://192.168.4.15/; done")
	if got, want := strings.Count(answers, "192.168.4.100\n"), 4; got != want {
		t.Errorf("web1 answered %d of 12, want %d", got, want)
	}
	if got, want := strings.Count(answers, "192.168.4.200\n"), 8; got != want {
		t.Errorf("web2 answered %d of 12, want %d", got, want)
	}
	frames, err := c.Capture("lan").Frames()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tcpPaths(frames), "client>director director>web1 director>web2 web1>client web2>client"; got != want {
		t.Errorf("TCP went %s, want %s", got, want)
	}
}

// tcpPaths lists which machine sent TCP to which, by name.
func tcpPaths(frames []ether.Frame) string {
	names := make(map[string]string) // MAC address to machine
	packets := make([]gopacket.Packet, len(frames))
	for i, f := range frames {
		packets[i] = gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Lazy)
		name, _, _ := strings.Cut(f.Port, ".")
		names[packets[i].LinkLayer().LinkFlow().Src().String()] = name
	}
	paths := make(map[string]bool)
	for _, p := range packets {
		if p.Layer(layers.LayerTypeTCP) != nil {
			flow := p.LinkLayer().LinkFlow()
			paths[names[flow.Src().String()]+">"+names[flow.Dst().String()]] = true
		}
	}
	return strings.Join(sortedKeys(paths), " ")
}
