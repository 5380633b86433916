package scenario

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"dipper/appliance/api"
	"dipper/qemu/lab"
)

// The services that extend adds to an example: an echo, and a file of 10 MB,
// which every appliance has: its own executable.
const (
	echoPort = 7
	filePort = 81
	file     = "/init"
)

var (
	webPort = regexp.MustCompile(`(?m)^(    listen: .*):80\b`)
	webName = regexp.MustCompile(`(?m)^  web:`)
)

// extend adds echo and file to the boot configs of an example: to the director
// as copies of its web service, to the real servers as responders.
func extend(t *testing.T, d *lab.Description) {
	t.Helper()
	for _, n := range d.Nodes {
		switch {
		case n.Peer:
		case bytes.Contains(n.Config, []byte("\nservices:\n")):
			_, web, _ := bytes.Cut(n.Config, []byte("\nservices:\n"))
			n.Config = append(n.Config, service(web, "echo", echoPort)...)
			n.Config = append(n.Config, service(web, "file", filePort)...)
		case bytes.Contains(n.Config, []byte("\nserve:\n")):
			n.Config = fmt.Appendf(n.Config, "  - {protocol: tcp-echo, port: %d}\n  - {protocol: http, port: %d, file: %s}\n",
				echoPort, filePort, file)
		default:
			t.Fatalf("%s is neither a director nor a real server", n.Name)
		}
	}
}

func service(web []byte, name string, port int) []byte {
	copied := webName.ReplaceAll(web, []byte("  "+name+":"))
	return webPort.ReplaceAll(copied, fmt.Appendf(nil, "${1}:%d", port))
}

// transfer sends 10 MB through the service in each direction, as large segments
// as the path carries, and wants them back unharmed.
func (s Scenario) transfer(ctx context.Context, t *testing.T, c *lab.Cluster) {
	t.Helper()
	client := c.Peer("client")
	sums := make(map[string]string)
	for _, server := range s.Servers {
		sum, err := c.Appliance(server.Name).Run(ctx, "shasum", "-a", "256", file)
		if err != nil {
			t.Fatal(err)
		}
		sums[firstWord(sum.Stdout)] = server.Name
	}
	for range s.Servers { // each of them in turn
		got, err := client.Run(ctx, fmt.Sprintf("curl -sS --max-time 600 http://%s/ | sha256sum", netip.AddrPortFrom(s.VIP, filePort)))
		if err != nil {
			t.Fatal(err)
		}
		if sums[firstWord(got)] == "" {
			t.Errorf("downloaded a file with the sum %s, want one of %v", firstWord(got), sums)
		}
	}
	echo := netip.AddrPortFrom(s.VIP, echoPort)
	if _, err := client.Run(ctx, fmt.Sprintf(`
head -c 10000000 /dev/urandom > /tmp/sent
timeout 600 socat -t 600 - TCP:%s < /tmp/sent > /tmp/received
cmp /tmp/sent /tmp/received`, echo)); err != nil {
		t.Fatal(err)
	}
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	return word
}

// mtu is what a frame of the lab carries.
const mtu = 1500

// checkSizes reads the transfer's frames: the way to the real server was filled
// up to the MTU, by whole packets.
func (s Scenario) checkSizes(t *testing.T, packets []Packet) {
	t.Helper()
	largest := 0
	for _, p := range packets {
		if isFragment(p) {
			t.Errorf("a fragment: %v", p)
			return
		}
		if p.From == "director" && p.To != "client" && p.tcp() != nil {
			largest = max(largest, len(p.LinkLayer().LayerPayload()))
		}
	}
	// Options of TCP are a multiple of 4 bytes; GRE and GUE leave less.
	if largest > mtu || largest < mtu-8 {
		t.Errorf("largest packet to a real server has %d bytes, want nearly %d", largest, mtu)
	}
}

func isFragment(p Packet) bool {
	for _, layer := range p.Layers() {
		switch ip := layer.(type) {
		case *layers.IPv4:
			if ip.Flags&layers.IPv4MoreFragments != 0 || ip.FragOffset != 0 {
				return true
			}
		case *layers.IPv6Fragment:
			return true
		}
	}
	return false
}

// reconfigure makes what Description says now the running configuration of
// every appliance of a cluster, without a boot.
func reconfigure(ctx context.Context, t *testing.T, c *lab.Cluster, d *lab.Description) {
	t.Helper()
	for _, n := range d.Nodes {
		if n.Peer {
			continue
		}
		if applied, err := c.Appliance(n.Name).Apply(ctx, n.Config); err != nil || len(applied.Failed) > 0 {
			t.Fatalf("%s: %v, %q", n.Name, err, applied.Failed)
		}
		if _, err := c.AwaitState(ctx, n.Name, api.Serving); err != nil {
			t.Fatal(err)
		}
	}
}
