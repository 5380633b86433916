package bench

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// endpoint is a station on the LAN.
type endpoint struct {
	mac net.HardwareAddr
	ip  netip.Addr // IPv4
}

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// arpFrame asks (RFC 826, operation 1) for, or answers (2) to, the station to.
func arpFrame(operation uint16, from, to endpoint) ([]byte, error) {
	destination, target := to.mac, to.mac
	if destination == nil {
		destination, target = broadcast, make(net.HardwareAddr, 6)
	}
	return serialize(
		&layers.Ethernet{SrcMAC: from.mac, DstMAC: destination, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
			HwAddressSize: 6, ProtAddressSize: 4, Operation: operation,
			SourceHwAddress: from.mac, SourceProtAddress: from.ip.AsSlice(),
			DstHwAddress: target, DstProtAddress: to.ip.AsSlice(),
		})
}

// segment is what this client needs of a TCP segment.
type segment struct {
	port          uint16 // ours
	seq, ack      uint32
	syn, rst, fin bool
	data          []byte
}

// receiveWindow is what we offer, in bytes: many times the page's size.
const receiveWindow = 32768

// tcpFrame wraps a segment to the service behind the station to.
func tcpFrame(from, to endpoint, port uint16, s segment) ([]byte, error) {
	ip := &layers.IPv4{Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolTCP,
		SrcIP: from.ip.AsSlice(), DstIP: to.ip.AsSlice()}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(s.port), DstPort: layers.TCPPort(port),
		Seq: s.seq, Ack: s.ack, SYN: s.syn, RST: s.rst, FIN: s.fin,
		ACK: !s.syn, PSH: len(s.data) > 0, Window: receiveWindow}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	return serialize(
		&layers.Ethernet{SrcMAC: from.mac, DstMAC: to.mac, EthernetType: layers.EthernetTypeIPv4},
		ip, tcp, gopacket.Payload(s.data))
}

func serialize(stack ...gopacket.SerializableLayer) ([]byte, error) {
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, stack...); err != nil {
		return nil, fmt.Errorf("making a frame: %w", err)
	}
	return buffer.Bytes(), nil
}

// arpHeard is a frame's ARP message, nil if it has none that makes sense.
func arpHeard(p gopacket.Packet) *layers.ARP {
	arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
	if !ok || arp.HwAddressSize != 6 || arp.ProtAddressSize != 4 {
		return nil
	}
	return arp
}

// segmentHeard is the segment in a frame from the service to us.
func segmentHeard(p gopacket.Packet, from netip.AddrPort, to endpoint) (segment, bool) {
	link, _ := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	tcp, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if link == nil || ip == nil || tcp == nil || !bytes.Equal(link.DstMAC, to.mac) ||
		!is(ip.SrcIP, from.Addr()) || !is(ip.DstIP, to.ip) || uint16(tcp.SrcPort) != from.Port() {
		return segment{}, false
	}
	return segment{port: uint16(tcp.DstPort), seq: tcp.Seq, ack: tcp.Ack,
		syn: tcp.SYN, rst: tcp.RST, fin: tcp.FIN, data: tcp.Payload}, true
}

func is(b []byte, address netip.Addr) bool { return bytes.Equal(b, address.AsSlice()) }
