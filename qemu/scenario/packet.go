package scenario

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"dipper/qemu/ether"
)

// Packet is one frame that a machine put on a LAN.
type Packet struct {
	gopacket.Packet
	LAN  string
	From string // machine; of the switch's port, not of the frame
	To   string // machine that the frame is addressed to, "" for all
}

// decode knows machines by the addresses of their cards.
func decode(names map[string]string, lan string, frames []ether.Frame) []Packet {
	packets := make([]Packet, 0, len(frames))
	for _, f := range frames {
		p := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Default)
		from, _, _ := strings.Cut(f.Port, ".")
		packet := Packet{Packet: p, LAN: lan, From: from}
		if link := p.LinkLayer(); link != nil {
			packet.To = names[link.LinkFlow().Dst().String()]
		}
		packets = append(packets, packet)
	}
	return packets
}

// header is one IP header of a packet, either version.
type header struct {
	source, destination netip.Addr
	hops                uint8 // TTL
	payload             []byte
	rest                []byte // identification and flags, or flow label: what forwarding leaves alone
}

// headers are a packet's IP headers, from outside to inside.
func (p Packet) headers() []header {
	var headers []header
	for _, layer := range p.innerLayers() {
		switch ip := layer.(type) {
		case *layers.IPv4:
			headers = append(headers, header{address(ip.SrcIP), address(ip.DstIP), ip.TTL, ip.Payload,
				[]byte{ip.TOS, byte(ip.Id >> 8), byte(ip.Id), byte(ip.Flags), byte(ip.Protocol)}})
		case *layers.IPv6:
			headers = append(headers, header{address(ip.SrcIP), address(ip.DstIP), ip.HopLimit, ip.Payload,
				[]byte{ip.TrafficClass, byte(ip.FlowLabel >> 16), byte(ip.FlowLabel >> 8), byte(ip.FlowLabel), byte(ip.NextHeader)}})
		}
	}
	return headers
}

// guePort is the examples' UDP port for GUE.
const guePort = 6080

// innerLayers are a packet's layers with those inside GUE, which gopacket does
// not know: a header of 4 bytes and as many 32-bit words as the low 5 bits of
// its first byte say, the second byte being the inner protocol
// (draft-ietf-intarea-gue, 3.1; Linux include/net/gue.h).
func (p Packet) innerLayers() []gopacket.Layer {
	udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok || udp.DstPort != guePort || len(udp.Payload) < 4 {
		return p.Layers()
	}
	size := 4 + 4*int(udp.Payload[0]&0x1f)
	if len(udp.Payload) < size {
		return p.Layers()
	}
	inner := map[byte]gopacket.LayerType{4: layers.LayerTypeIPv4, 41: layers.LayerTypeIPv6}[udp.Payload[1]]
	var outer []gopacket.Layer
	for _, layer := range p.Layers() {
		outer = append(outer, layer)
		if layer.LayerType() == layers.LayerTypeUDP {
			break
		}
	}
	return append(outer, gopacket.NewPacket(udp.Payload[size:], inner, gopacket.Default).Layers()...)
}

// tcp is the packet's innermost TCP header, nil if it has none.
func (p Packet) tcp() *layers.TCP {
	all := p.innerLayers()
	for i := len(all) - 1; i >= 0; i-- {
		if tcp, ok := all[i].(*layers.TCP); ok {
			return tcp
		}
	}
	return nil
}

// sameOnTheWay tells whether b is a after one more machine has forwarded it:
// the same but for the hops left.
func sameOnTheWay(a, b header) bool {
	return a.source == b.source && a.destination == b.destination && a.hops == b.hops+1 &&
		bytes.Equal(a.rest, b.rest) && bytes.Equal(a.payload, b.payload)
}

// announced are the addresses that a packet says are the sender's, by ARP or
// neighbour advertisement (RFC 826, RFC 4861 section 4.4).
func (p Packet) announced() (netip.Addr, bool) {
	if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
		return address(arp.SourceProtAddress), true
	}
	if na, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement); ok {
		return address(na.TargetAddress), true
	}
	return netip.Addr{}, false
}

// asked is the address that a packet asks for.
func (p Packet) asked() (netip.Addr, bool) {
	if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok && arp.Operation == layers.ARPRequest {
		return address(arp.DstProtAddress), true
	}
	if ns, ok := p.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation); ok {
		return address(ns.TargetAddress), true
	}
	return netip.Addr{}, false
}

func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b) // the zero Addr equals none that is looked for
	return a.Unmap()
}

func ipLayer(a netip.Addr) gopacket.LayerType {
	if a.Is4() {
		return layers.LayerTypeIPv4
	}
	return layers.LayerTypeIPv6
}
