package lab

import (
	"bufio"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"dipper/qemu/ether"
	"dipper/qemu/peer"
)

// patience bounds a test that hangs; it asserts nothing.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
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

	remote(ctx, t, c)

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

// remote does from outside what another process does that found the cluster.
func remote(ctx context.Context, t *testing.T, c *Cluster) {
	t.Helper()
	if err := c.Offer(); err != nil {
		t.Fatal(err)
	}
	r, err := Find(c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := r.Run(ctx, "a", "hostname; echo why >&2; exit 3")
	if err != nil || answer.Exit != 3 || answer.Stderr != "why\n" {
		t.Errorf("a script in a peer: %+v, %v", answer, err)
	}
	const ping = "ping -c 1 -W 2 192.0.2.2"
	for _, step := range []struct {
		action string
		exit   int
	}{{"cut", 1}, {"restore", 0}} {
		if err := r.Do(ctx, "b/eth0", step.action); err != nil {
			t.Fatal(err)
		}
		if answer, err := r.Run(ctx, "a", ping); err != nil || answer.Exit != step.exit {
			t.Errorf("ping after %s: %+v, %v, want exit status %d", step.action, answer, err, step.exit)
		}
	}
	for _, wrong := range [][2]string{{"c", "reset"}, {"a", "explode"}, {"a/eth7", "cut"}} {
		if err := r.Do(ctx, wrong[0], wrong[1]); err == nil {
			t.Errorf("%q: no error", wrong)
		}
	}
	terminal, err := r.Terminal(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	defer context.AfterFunc(ctx, func() { terminal.Close() })()
	typeIn := func(text, expected string) {
		t.Helper()
		if _, err := terminal.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Machine("a").Console().Expect(ctx, regexp.MustCompile(expected)); err != nil {
			t.Fatal(err)
		}
	}
	typeIn("\r", `# `) // what is typed before the shell is there is lost
	typeIn("echo typed $((6*7))\r", `typed 42`)
	for lines := bufio.NewScanner(terminal); ; {
		if !lines.Scan() {
			t.Fatalf("the terminal ended: %v", lines.Err())
		}
		if strings.Contains(lines.Text(), "typed 42") {
			return
		}
	}
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
