package bench

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

var (
	client   = endpoint{net.HardwareAddr{0x52, 0x54, 0, 0xff, 0, 20}, netip.MustParseAddr("192.168.4.20")}
	vip      = endpoint{net.HardwareAddr{0x52, 0x54, 0, 0, 0xee, 0}, netip.MustParseAddr("192.168.4.15")}
	web      = net.HardwareAddr{0x52, 0x54, 0, 0, 2, 0}
	stranger = endpoint{net.HardwareAddr{0x52, 0x54, 0, 0, 9, 9}, netip.MustParseAddr("192.168.4.99")}
)

// must have no error.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// decoded is a frame as tcpdump would understand it: checksums are right.
func decoded(t *testing.T, frame []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if failure := p.ErrorLayer(); failure != nil {
		t.Fatal(failure.Error())
	}
	if tcp, ok := p.TransportLayer().(*layers.TCP); ok {
		if err := tcp.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
			t.Fatal(err)
		}
	}
	if err, wrong := p.VerifyChecksums(); err != nil || len(wrong) > 0 {
		t.Fatalf("checksums: %v %v", err, wrong)
	}
	return p
}

// TestARPFrame compares with the bytes of a who-has as they are on the wire.
func TestARPFrame(t *testing.T) {
	got := must[[]byte](t)(arpFrame(layers.ARPRequest, client, endpoint{ip: vip.ip}))
	want := []byte{
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0xff, 0, 20, 0x08, 0x06,
		0, 1, 0x08, 0, 6, 4, 0, 1,
		0x52, 0x54, 0, 0xff, 0, 20, 192, 168, 4, 20,
		0, 0, 0, 0, 0, 0, 192, 168, 4, 15,
	}
	if len(got) > len(want) { // padded to the shortest Ethernet frame
		got = got[:len(want)]
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTCPFrame(t *testing.T) {
	sent := segment{port: 20001, seq: 7, ack: 9, data: []byte("GET")}
	p := decoded(t, must[[]byte](t)(tcpFrame(client, vip, 80, sent)))
	tcp := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !tcp.ACK || !tcp.PSH || tcp.SYN || tcp.DstPort != 80 || string(tcp.Payload) != "GET" {
		t.Errorf("%+v", tcp)
	}
	syn := decoded(t, must[[]byte](t)(tcpFrame(client, vip, 80, segment{port: 20001, syn: true})))
	if tcp := syn.Layer(layers.LayerTypeTCP).(*layers.TCP); !tcp.SYN || tcp.ACK {
		t.Errorf("%+v", tcp)
	}
}

func TestSegmentHeard(t *testing.T) {
	service := netip.AddrPortFrom(vip.ip, 80)
	// answer is a frame to the client's port 20001.
	answer := func(from, to endpoint, port uint16) gopacket.Packet {
		stack := []gopacket.SerializableLayer{
			&layers.Ethernet{SrcMAC: from.mac, DstMAC: to.mac, EthernetType: layers.EthernetTypeIPv4},
			&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.ip.AsSlice(), DstIP: to.ip.AsSlice()},
			&layers.TCP{SrcPort: layers.TCPPort(port), DstPort: 20001, Seq: 5, Ack: 6, SYN: true, ACK: true},
		}
		_ = stack[2].(*layers.TCP).SetNetworkLayerForChecksum(stack[1].(*layers.IPv4))
		return decoded(t, must[[]byte](t)(serialize(stack...)))
	}
	for name, c := range map[string]struct {
		packet gopacket.Packet
		want   bool
	}{
		"from the VIP, by a real server's card": {answer(endpoint{web, vip.ip}, client, 80), true},
		"from another port":                     {answer(vip, client, 81), false},
		"from another address":                  {answer(stranger, client, 80), false},
		"to another card":                       {answer(vip, endpoint{stranger.mac, client.ip}, 80), false},
		"to another address":                    {answer(vip, endpoint{client.mac, stranger.ip}, 80), false},
		"not TCP":                               {decoded(t, must[[]byte](t)(arpFrame(layers.ARPReply, vip, client))), false},
	} {
		t.Run(name, func(t *testing.T) {
			s, got := segmentHeard(c.packet, service, client)
			if got != c.want {
				t.Fatal(got)
			}
			want := segment{port: 20001, seq: 5, ack: 6, syn: true, data: s.data}
			if got && (!cmp.Equal(s, want, cmp.AllowUnexported(segment{})) || len(s.data) > 0) {
				t.Errorf("%+v", s)
			}
		})
	}
}
