package bench

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"dipper/qemu/ether"
)

const response = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: close\r\n\r\n192.168.4.100\n"

// TestFirstAnswer lets the prober meet a director that comes up step by step:
// silence, ARP, a closed port, and service, in which replies come from a real
// server's card, after one that answers another SYN, in two segments of which
// the first comes twice.
func TestFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := ether.NewLAN("lan")
		defer lan.Close()
		station := lan.Port("prober").Station(64)
		director := &fakeDirector{station: lan.Port("director").Station(64), t: t, start: time.Now(),
			hasVIP: 300 * time.Millisecond, serves: 700 * time.Millisecond}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go director.run(ctx)

		p := newProber(client, netip.AddrPortFrom(vip.ip, 80))
		page, at, err := p.firstAnswer(ctx, station)
		if err != nil || page != "192.168.4.100" {
			t.Fatalf("%q, %v", page, err)
		}
		if after := at.Sub(director.start); after < director.serves || after > director.serves+2*probeInterval {
			t.Errorf("answer after %v, service after %v", after, director.serves)
		}
		if director.refused == 0 || !director.knowsClient {
			t.Errorf("%d refused, client known: %v", director.refused, director.knowsClient)
		}
	})
}

func TestFirstAnswerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := ether.NewLAN("lan")
		defer lan.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := newProber(client, netip.AddrPortFrom(vip.ip, 80)).firstAnswer(ctx, lan.Port("prober").Station(64))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// fakeDirector is a director and a real server of this package's own packets.
type fakeDirector struct {
	t              *testing.T
	station        *ether.Station
	start          time.Time
	hasVIP, serves time.Duration
	refused        int
	knowsClient    bool
}

func (d *fakeDirector) run(ctx context.Context) {
	for {
		frame, err := d.station.Receive(ctx)
		if err != nil {
			return
		}
		for _, reply := range d.answer(gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)) {
			d.station.Send(reply)
		}
	}
}

func (d *fakeDirector) answer(p gopacket.Packet) [][]byte {
	age := time.Since(d.start)
	if arp := arpHeard(p); arp != nil {
		return d.answerARP(arp, age)
	}
	tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	switch {
	case !ok || age < d.hasVIP:
		return nil
	case tcp.SYN && age < d.serves:
		d.refused++
		return [][]byte{d.segment(vip.mac, tcp, &layers.TCP{RST: true, ACK: true, Ack: tcp.Seq + 1}, "")}
	case tcp.SYN:
		whoHas := must[[]byte](d.t)(arpFrame(layers.ARPRequest, endpoint{web, stranger.ip}, endpoint{ip: client.ip}))
		stale := d.segment(web, tcp, &layers.TCP{SYN: true, ACK: true, Seq: 5000, Ack: tcp.Seq + 7}, "")
		return [][]byte{whoHas, stale, d.segment(web, tcp, &layers.TCP{SYN: true, ACK: true, Seq: 1000, Ack: tcp.Seq + 1}, "")}
	case len(tcp.Payload) > 0:
		ack := tcp.Seq + uint32(len(tcp.Payload))
		first := d.segment(web, tcp, &layers.TCP{ACK: true, Seq: 1001, Ack: ack}, response[:20])
		return [][]byte{first, first, d.segment(web, tcp, &layers.TCP{ACK: true, Seq: 1021, Ack: ack}, response[20:])}
	}
	return nil
}

func (d *fakeDirector) answerARP(arp *layers.ARP, age time.Duration) [][]byte {
	d.knowsClient = d.knowsClient || arp.Operation == layers.ARPReply
	if arp.Operation == layers.ARPRequest && is(arp.DstProtAddress, vip.ip) && age >= d.hasVIP {
		return [][]byte{must[[]byte](d.t)(arpFrame(layers.ARPReply, vip, client))}
	}
	return nil
}

func (d *fakeDirector) segment(from net.HardwareAddr, to, tcp *layers.TCP, data string) []byte {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: vip.ip.AsSlice(), DstIP: client.ip.AsSlice()}
	tcp.SrcPort, tcp.DstPort = 80, to.SrcPort
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		d.t.Error(err)
	}
	return must[[]byte](d.t)(serialize(
		&layers.Ethernet{SrcMAC: from, DstMAC: client.mac, EthernetType: layers.EthernetTypeIPv4},
		ip, tcp, gopacket.Payload([]byte(data))))
}

func TestBody(t *testing.T) {
	for response, want := range map[string]string{
		response:                   "192.168.4.100",
		response[:20]:              "",
		response[:len(response)-3]: "",
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nsorry": "",
	} {
		text, complete := body([]byte(response))
		if complete != (want != "") || complete && text != want {
			t.Errorf("%q: %q, %v", response, text, complete)
		}
	}
}
