package realserver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dipper/appliance/api"
	"dipper/qemu/lab"
)

const labDirector = `
role: director
network:
  interfaces:
    eth0: {addresses: [192.0.2.5/24, "2001:db8::5/64"]}
services:
  web4: {listen: "192.0.2.15:80", protocol: tcp, forward: dr, real-servers: [{address: 192.0.2.100}]}
  web6: {listen: "[2001:db8::15]:80", protocol: tcp, forward: dr, real-servers: [{address: "2001:db8::100"}]}
  tcp4: {listen: "192.0.2.15:7", protocol: tcp, forward: dr, real-servers: [{address: 192.0.2.100}]}
  tcp6: {listen: "[2001:db8::15]:7", protocol: tcp, forward: dr, real-servers: [{address: "2001:db8::100"}]}
  udp4: {listen: "192.0.2.15:7", protocol: udp, forward: dr, real-servers: [{address: 192.0.2.100}]}
  udp6: {listen: "[2001:db8::15]:7", protocol: udp, forward: dr, real-servers: [{address: "2001:db8::100"}]}
  ipip4: {listen: "192.0.2.16:80", protocol: tcp, forward: tun, real-servers: [{address: 192.0.2.100}]}
  ipip6: {listen: "[2001:db8::16]:80", protocol: tcp, forward: tun, real-servers: [{address: "2001:db8::100"}]}
  gre4: {listen: "192.0.2.17:80", protocol: tcp, forward: tun, tunnel: {type: gre}, real-servers: [{address: 192.0.2.100}]}
  gre6: {listen: "[2001:db8::17]:80", protocol: tcp, forward: tun, tunnel: {type: gre}, real-servers: [{address: "2001:db8::100"}]}
  gue4: {listen: "192.0.2.18:80", protocol: tcp, forward: tun, tunnel: {type: gue, port: 6080, checksum: true}, real-servers: [{address: 192.0.2.100}]}
  gue6: {listen: "[2001:db8::18]:80", protocol: tcp, forward: tun, tunnel: {type: gue, port: 6080, checksum: true}, real-servers: [{address: "2001:db8::100"}]}
  udptun4: {listen: "192.0.2.16:7", protocol: udp, forward: tun, real-servers: [{address: 192.0.2.100}]}
  remote4: {listen: "192.0.2.19:80", protocol: tcp, forward: tun, tunnel: {type: gue, port: 6080, remote-checksum: true}, real-servers: [{address: 192.0.2.100}]}
  remote6: {listen: "[2001:db8::19]:80", protocol: tcp, forward: tun, tunnel: {type: gue, port: 6080, remote-checksum: true}, real-servers: [{address: "2001:db8::100"}]}
  ipip64: {listen: "192.0.2.26:80", protocol: tcp, forward: tun, real-servers: [{address: "2001:db8::100"}]}
  ipip46: {listen: "[2001:db8::26]:80", protocol: tcp, forward: tun, real-servers: [{address: 192.0.2.100}]}
  gre64: {listen: "192.0.2.27:80", protocol: tcp, forward: tun, tunnel: {type: gre}, real-servers: [{address: "2001:db8::100"}]}
  gre46: {listen: "[2001:db8::27]:80", protocol: tcp, forward: tun, tunnel: {type: gre}, real-servers: [{address: 192.0.2.100}]}
  gue64: {listen: "192.0.2.28:80", protocol: tcp, forward: tun, tunnel: {type: gue, port: 6080, checksum: true}, real-servers: [{address: "2001:db8::100"}]}
  gue46: {listen: "[2001:db8::28]:80", protocol: tcp, forward: tun, tunnel: {type: gue, port: 6080, checksum: true}, real-servers: [{address: 192.0.2.100}]}
  udptun6: {listen: "[2001:db8::16]:7", protocol: udp, forward: tun, real-servers: [{address: "2001:db8::100"}]}
`

const labRealServer = `
role: real-server
network:
  interfaces:
    eth0: {addresses: [192.0.2.100/24, "2001:db8::100/64"]}
virtual-addresses:
  - {address: 192.0.2.15, forward: dr}
  - {address: "2001:db8::15", forward: dr}
  - {address: 192.0.2.16, forward: tun}
  - {address: "2001:db8::16", forward: tun}
  - {address: 192.0.2.17, forward: tun, tunnel: {type: gre}}
  - {address: "2001:db8::17", forward: tun, tunnel: {type: gre}}
  - {address: 192.0.2.18, forward: tun, tunnel: {type: gue, port: 6080, checksum: true}}
  - {address: "2001:db8::18", forward: tun, tunnel: {type: gue, port: 6080, checksum: true}}
  - {address: 192.0.2.19, forward: tun, tunnel: {type: gue, port: 6080, remote-checksum: true}}
  - {address: "2001:db8::19", forward: tun, tunnel: {type: gue, port: 6080, remote-checksum: true}}
  - {address: 192.0.2.26, forward: tun, through: ipv6}
  - {address: "2001:db8::26", forward: tun, through: ipv4}
  - {address: 192.0.2.27, forward: tun, tunnel: {type: gre}, through: ipv6}
  - {address: "2001:db8::27", forward: tun, tunnel: {type: gre}, through: ipv4}
  - {address: 192.0.2.28, forward: tun, tunnel: {type: gue, port: 6080, checksum: true}, through: ipv6}
  - {address: "2001:db8::28", forward: tun, tunnel: {type: gue, port: 6080, checksum: true}, through: ipv4}
serve:
  - {protocol: http, port: 80, size: 2000000}
  - {protocol: tcp-echo, port: 7}
  - {protocol: udp-echo, port: 7}
`

// TestThroughTheVIPs sends what the responder serves through VIPs of every
// kind, on a machine that has them all at once: downloads, uploads of full-size
// segments, for which the tunnels have no room unless the MSS is lowered, and
// datagrams, which must be answered from the VIP.
func TestThroughTheVIPs(t *testing.T) {
	lan := []string{"lan"}
	c := lab.StartT(t, &lab.Description{Name: "vips", Nodes: []*lab.Node{
		{Name: "client", Peer: true, LANs: lan, Script: `
ip link set eth0 up
ip addr add 192.0.2.10/24 dev eth0
ip addr add 2001:db8::10/64 dev eth0 nodad
head -c 1000000 /dev/urandom >/tmp/upload`},
		{Name: "director", LANs: lan, Config: []byte(labDirector)},
		{Name: "rs1", LANs: lan, Config: []byte(labRealServer)},
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	client := c.Peer("client")
	run := func(t *testing.T, script string) string {
		t.Helper()
		out, err := client.Run(ctx, script)
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(out)
	}
	digest, _, _ := strings.Cut(run(t, "sha256sum /tmp/upload"), " ")
	for name, vip := range map[string]string{
		"dr": "192.0.2.15", "dr, IPv6": "[2001:db8::15]",
		"ipip": "192.0.2.16", "ipip, IPv6": "[2001:db8::16]",
		"gre": "192.0.2.17", "gre, IPv6": "[2001:db8::17]",
		"gue": "192.0.2.18", "gue, IPv6": "[2001:db8::18]",
		"gue, remote checksum": "192.0.2.19", "gue, remote checksum, IPv6": "[2001:db8::19]",
		"ipip through IPv6": "192.0.2.26", "ipip, IPv6 through IPv4": "[2001:db8::26]",
		"gre through IPv6": "192.0.2.27", "gre, IPv6 through IPv4": "[2001:db8::27]",
		"gue through IPv6": "192.0.2.28", "gue, IPv6 through IPv4": "[2001:db8::28]",
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := run(t, "curl -sS -m 60 http://"+vip+"/ | tail -c 16"), "000000001999984"; got != want {
				t.Errorf("download: the last line is %q, want %q", got, want)
			}
			got := run(t, "curl -sS -m 60 --data-binary @/tmp/upload http://"+vip+"/")
			if want := fmt.Sprintf("1000000 bytes, sha256 %s", digest); got != want {
				t.Errorf("upload: got %q, want %q", got, want)
			}
		})
	}
	t.Run("what the director counted", func(t *testing.T) {
		// The kernel sums its counters up every two seconds.
		const services = 16
		for {
			counted, wrong := countedOnce(ctx, t, c.Appliance("director"))
			if counted == services && len(wrong) == 0 {
				return
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%d services, want %d; %s", counted, services, strings.Join(wrong, "; "))
			case <-time.After(time.Second):
			}
		}
	})
	for name, socket := range map[string]string{
		"udp": "UDP4:192.0.2.15:7", "udp, IPv6": "UDP6:[2001:db8::15]:7",
		"udp, ipip": "UDP4:192.0.2.16:7", "udp, ipip, IPv6": "UDP6:[2001:db8::16]:7",
		"tcp": "TCP4:192.0.2.15:7", "tcp, IPv6": "TCP6:[2001:db8::15]:7",
	} {
		t.Run("echo, "+name, func(t *testing.T) {
			// The socket is connected: it takes answers from the VIP only.
			if got := run(t, "timeout 60 socat "+socket+" SYSTEM:'echo ping; read line; echo $line >&2' 2>&1"); got != "ping" {
				t.Errorf("got %q, want the ping", got)
			}
		})
	}
}

// countedOnce asks how many services of port 80 there are, and says which have
// not counted what they must: one download and one upload of 1,000,000 bytes,
// whose replies went another way.
func countedOnce(ctx context.Context, t *testing.T, director *api.Client) (counted int, wrong []string) {
	t.Helper()
	services, err := director.Services(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		if !strings.HasSuffix(s.Listen, ":80") {
			continue
		}
		counted++
		got, rs := s.Statistics, s.RealServers[0]
		if got.Connections != 2 || got.InBytes < 1000000 || got.OutPackets != 0 ||
			rs.Statistics != got || rs.ActiveConnections+rs.InactiveConnections != 2 {
			wrong = append(wrong, fmt.Sprintf("%s has %+v and its real server %+v", s.Name, got, rs))
		}
	}
	return counted, wrong
}
