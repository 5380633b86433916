package network

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

func TestAnnouncementFrames(t *testing.T) {
	mac := net.HardwareAddr{0x52, 0x54, 0x00, 0x00, 0x00, 0x05}
	tests := []struct {
		address string
		router  bool
		want    []string
	}{
		{"192.168.4.15", false, []string{
			"ffffffffffff525400000005 0806 0001 0800 0604 0001 525400000005 c0a8040f 000000000000 c0a8040f",
			"ffffffffffff525400000005 0806 0001 0800 0604 0002 525400000005 c0a8040f 525400000005 c0a8040f",
		}},
		{"2001:db8:4::15", false, []string{
			"333300000001525400000005 86dd 60000000 0020 3a ff 20010db8000400000000000000000015 ff020000000000000000000000000001" +
				" 88 00 a8a2 20000000 20010db8000400000000000000000015 0201 525400000005",
		}},
		{"2001:db8:4::15", true, []string{
			"333300000001525400000005 86dd 60000000 0020 3a ff 20010db8000400000000000000000015 ff020000000000000000000000000001" +
				" 88 00 28a2 a0000000 20010db8000400000000000000000015 0201 525400000005",
		}},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s router %v", test.address, test.router), func(t *testing.T) {
			var got []string
			for _, frame := range announcements(mac, netip.MustParseAddr(test.address), test.router) {
				got = append(got, hex.EncodeToString(frame))
				verify(t, frame)
			}
			var want []string
			for _, w := range test.want {
				want = append(want, strings.ReplaceAll(w, " ", ""))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
		})
	}
}

// verify lets a decoder that is not ours read a frame and write it again, with
// lengths and checksums of its own.
func verify(t *testing.T, frame []byte) {
	t.Helper()
	decoded := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if fault := decoded.ErrorLayer(); fault != nil {
		t.Fatalf("decoder: %v", fault.Error())
	}
	icmp, ok := decoded.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	if !ok {
		return // ARP has no checksum
	}
	ip := decoded.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	have := icmp.Checksum
	buffer := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{ComputeChecksums: true}, icmp, gopacket.Payload(icmp.Payload))
	if err != nil {
		t.Fatal(err)
	}
	if icmp.Checksum != have {
		t.Errorf("checksum %#04x, the decoder says %#04x", have, icmp.Checksum)
	}
}

// fakeFrames is a link that writes down what is sent on it and when.
type fakeFrames struct {
	start time.Time
	up    chan bool
	mu    sync.Mutex
	sent  []string
}

func (f *fakeFrames) carrier(context.Context, string) (<-chan bool, error) { return f.up, nil }

func (f *fakeFrames) send(link string, frame []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, fmt.Sprintf("%v %s %s", time.Since(f.start), link, frame))
	return nil
}

func TestAnnouncementsRepeat(t *testing.T) {
	vip := netip.MustParseAddr("192.168.4.15")
	tests := []struct {
		name   string
		during func(a *announcer, f *fakeFrames)
		want   []string
	}{
		{"three rounds", func(_ *announcer, f *fakeFrames) { f.up <- true },
			[]string{"0s eth0 a", "0s eth0 b", "2s eth0 a", "2s eth0 b", "4s eth0 a", "4s eth0 b"}},
		{"no carrier", func(_ *announcer, f *fakeFrames) { f.up <- false }, nil},
		{"late carrier that is lost again", func(_ *announcer, f *fakeFrames) {
			f.up <- false
			time.Sleep(time.Minute)
			f.up <- true
			time.Sleep(3 * time.Second)
			f.up <- false
			time.Sleep(time.Minute)
			f.up <- true
		}, []string{"1m0s eth0 a", "1m0s eth0 b", "1m2s eth0 a", "1m2s eth0 b",
			"2m3s eth0 a", "2m3s eth0 b", "2m5s eth0 a", "2m5s eth0 b", "2m7s eth0 a", "2m7s eth0 b"}},
		{"withdrawn", func(a *announcer, f *fakeFrames) {
			f.up <- true
			time.Sleep(time.Second)
			a.forget("eth0", vip)
		}, []string{"0s eth0 a", "0s eth0 b"}},
		{"closed", func(a *announcer, f *fakeFrames) {
			f.up <- true
			time.Sleep(3 * time.Second)
			a.close()
		}, []string{"0s eth0 a", "0s eth0 b", "2s eth0 a", "2s eth0 b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeFrames{start: time.Now(), up: make(chan bool)}
				a := newAnnouncer(f)
				defer a.close()
				a.begin("eth0", vip, [][]byte{[]byte("a"), []byte("b")})
				test.during(a, f)
				time.Sleep(time.Hour)
				synctest.Wait()
				f.mu.Lock()
				defer f.mu.Unlock()
				if diff := cmp.Diff(test.want, f.sent); diff != "" {
					t.Errorf("sent (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestNeighbourHearsVIPInNamespace lets tcpdump and another kernel see them.
func TestNeighbourHearsVIPInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	n := newNeighbour(t, "eth0")
	n.run("ip addr add 192.168.4.10/24 dev peer")
	n.run("ip -6 addr add 2001:db8:4::10/64 dev peer nodad")
	// What the neighbour believes before: another machine has the VIPs.
	n.run("ip neigh replace 192.168.4.15 lladdr 02:00:00:00:00:99 dev peer nud reachable")
	n.run("ip neigh replace 2001:db8:4::15 lladdr 02:00:00:00:00:99 dev peer nud reachable")
	k := open(t)
	desired := State{
		Links: []Link{{Name: "eth0", Kind: Physical}},
		Addresses: []Address{
			{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.5/24")},
			{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.15/32"), VIP: true, Announce: true},
			{Link: "eth0", Prefix: netip.MustParsePrefix("2001:db8:4::15/128"), VIP: true, Announce: true},
			{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.16/32"), VIP: true}, // a real server's: silent
		},
	}
	heard := n.capture(6, "host 192.168.4.15 or (icmp6 and ip6[40] == 136 and src 2001:db8:4::15)")
	reach(t, k, desired)
	mac := hardware(t, "eth0")
	text := heard()
	for _, want := range []string{
		mac + " > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Ethernet (len 6), IPv4 (len 4), Request who-has 192.168.4.15 tell 192.168.4.15",
		mac + " > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Ethernet (len 6), IPv4 (len 4), Reply 192.168.4.15 is-at " + mac,
		mac + " > 33:33:00:00:00:01",
		"2001:db8:4::15 > ff02::1: [icmp6 sum ok] ICMP6, neighbor advertisement, length 32, tgt is 2001:db8:4::15, Flags [override]",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the neighbour did not hear %q; it heard:\n%s", want, text)
		}
	}
	if strings.Contains(text, "192.168.4.16") {
		t.Errorf("an address was announced that must not be:\n%s", text)
	}
	for _, vip := range []string{"192.168.4.15", "2001:db8:4::15"} {
		if got := n.run("ip neigh show " + vip); !strings.Contains(got, mac) {
			t.Errorf("the neighbour still believes in %s", got)
		}
	}

	// A VIP that is withdrawn while it is announced is claimed no longer.
	desired.Addresses = append(desired.Addresses, Address{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.17/32"), VIP: true, Announce: true})
	reach(t, k, desired)
	desired.Addresses = desired.Addresses[:1]
	reach(t, k, desired)
	k.announcer.mu.Lock()
	defer k.announcer.mu.Unlock()
	if len(k.announcer.pending) != 0 {
		t.Errorf("still announced: %v", k.announcer.pending)
	}
}

func hardware(t *testing.T, link string) string {
	t.Helper()
	found, err := net.InterfaceByName(link)
	if err != nil {
		t.Fatal(err)
	}
	return found.HardwareAddr.String()
}

// capture lets tcpdump at the neighbour take count frames, and returns a
// function that waits for them and gives tcpdump's text.
func (n neighbour) capture(count int, filter string) func() string {
	n.t.Helper()
	program := tool(n.t, "tcpdump", "tcpdump")
	cmd := n.command(fmt.Sprintf("timeout 300 %s -i peer -nn -e -v -l --immediate-mode -c %d", program, count))
	cmd.Args = append(cmd.Args, filter)
	var out bytes.Buffer
	cmd.Stdout = &out
	said, err := cmd.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	// It says "listening on" once it does.
	buffer := make([]byte, 4096)
	for text := ""; !strings.Contains(text, "listening on"); {
		read, err := said.Read(buffer)
		if err != nil {
			n.t.Fatalf("tcpdump: %v: %s", err, text)
		}
		text += string(buffer[:read])
	}
	return func() string {
		n.t.Helper()
		if err := cmd.Wait(); err != nil {
			n.t.Fatalf("tcpdump: %v: %s", err, out.String())
		}
		return out.String()
	}
}
