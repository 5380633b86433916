// Package packet writes captured packets as text, one line each, for somebody
// who looks on: time, addresses, ports and what the packet is. It knows the
// protocols that an LVS cluster is made of, tunnels included; for all others
// the pcap file is there. It is pure.
package packet

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Link types of pcap (draft-ietf-opsawg-pcaplinktype).
const (
	linkEthernet = 1
	linkRaw      = 101
	linkCooked   = 276 // LINKTYPE_LINUX_SLL2: of any link, which its header names
)

// Protocol numbers (IANA).
const (
	protoICMP   = 1
	protoIPIP   = 4
	protoTCP    = 6
	protoUDP    = 17
	protoIPv6   = 41
	protoGRE    = 47
	protoICMPv6 = 58
	protoVRRP   = 112
	protoSCTP   = 132
)

// EtherTypes (IANA).
const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherVLAN = 0x8100
	etherIPv6 = 0x86dd
)

// maxTunnels bounds how many headers within headers are looked into.
const maxTunnels = 4

// Describe writes one packet of a link type as text.
func Describe(linkType uint32, p []byte) string {
	switch linkType {
	case linkEthernet:
		return ethernet(p)
	case linkRaw:
		return ip(p, 0)
	case linkCooked:
		return cooked(p)
	}
	return fmt.Sprintf("link type %d, %d bytes", linkType, len(p))
}

const short = "cut short"

func ethernet(p []byte) string {
	if len(p) < 14 {
		return short
	}
	kind, rest := binary.BigEndian.Uint16(p[12:]), p[14:]
	vlan := ""
	if kind == etherVLAN && len(rest) >= 4 {
		vlan = fmt.Sprintf("vlan %d ", binary.BigEndian.Uint16(rest)&0xfff)
		kind, rest = binary.BigEndian.Uint16(rest[2:]), rest[4:]
	}
	switch kind {
	case etherIPv4, etherIPv6:
		return vlan + ip(rest, 0)
	case etherARP:
		return vlan + arp(rest)
	}
	return fmt.Sprintf("%s%s > %s ethertype 0x%04x, %d bytes", vlan, net.HardwareAddr(p[6:12]), net.HardwareAddr(p[0:6]), kind, len(rest))
}

// cookedHeader is the length of what stands before a packet of any link, in bytes
// (www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html).
const cookedHeader = 20

func cooked(p []byte) string {
	if len(p) < cookedHeader {
		return short
	}
	way := "in "
	if p[10] == 4 { // PACKET_OUTGOING of uapi/linux/if_packet.h
		way = "out "
	}
	kind, rest := binary.BigEndian.Uint16(p), p[cookedHeader:]
	switch kind {
	case etherIPv4, etherIPv6:
		return way + ip(rest, 0)
	case etherARP:
		return way + arp(rest)
	}
	return fmt.Sprintf("%sethertype 0x%04x, %d bytes", way, kind, len(rest))
}

// link is the index of the link that a cooked packet was seen on.
func link(p []byte) int { return int(binary.BigEndian.Uint32(p[4:])) }

// arp writes RFC 826 packets for IPv4 over Ethernet.
func arp(p []byte) string {
	if len(p) < 28 {
		return "ARP, " + short
	}
	sender, target := netip.AddrFrom4([4]byte(p[14:18])), netip.AddrFrom4([4]byte(p[24:28]))
	mac := net.HardwareAddr(p[8:14])
	switch op := binary.BigEndian.Uint16(p[6:]); {
	case sender == target:
		return fmt.Sprintf("ARP announcement: %s is at %s", sender, mac)
	case op == 1:
		return fmt.Sprintf("ARP who has %s? tell %s", target, sender)
	case op == 2:
		return fmt.Sprintf("ARP %s is at %s", sender, mac)
	default:
		return fmt.Sprintf("ARP operation %d", op)
	}
}

// ip writes a packet of either version; depth counts the tunnels around it.
func ip(p []byte, depth int) string {
	switch {
	case depth > maxTunnels:
		return "more tunnels"
	case len(p) > 0 && p[0]>>4 == 4:
		return ipv4(p, depth)
	case len(p) > 0 && p[0]>>4 == 6:
		return ipv6(p, depth)
	}
	return "no IP"
}

func ipv4(p []byte, depth int) string {
	if len(p) < 20 {
		return "IPv4, " + short
	}
	header := int(p[0]&0xf) * 4
	if header < 20 || len(p) < header {
		return "IPv4, " + short
	}
	if total := int(binary.BigEndian.Uint16(p[2:])); total >= header && total < len(p) {
		p = p[:total] // Ethernet pads short packets
	}
	src, dst := netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	if offset := binary.BigEndian.Uint16(p[6:]) & 0x1fff; offset > 0 {
		return fmt.Sprintf("%s > %s fragment at %d, %d bytes", src, dst, int(offset)*8, len(p)-header)
	}
	return payload(src, dst, p[9], p[header:], depth)
}

func ipv6(p []byte, depth int) string {
	const header = 40
	if len(p) < header {
		return "IPv6, " + short
	}
	src, dst := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	next, rest := p[6], p[header:]
	for extension(next) && len(rest) >= 8 {
		length := int(rest[1])*8 + 8
		if next == 44 { // fragment: 8 bytes (RFC 8200, 4.5)
			if offset := binary.BigEndian.Uint16(rest[2:]) >> 3; offset > 0 {
				return fmt.Sprintf("%s > %s fragment at %d", src, dst, int(offset)*8)
			}
			length = 8
		}
		if len(rest) < length {
			break
		}
		next, rest = rest[0], rest[length:]
	}
	return payload(src, dst, next, rest, depth)
}

// extension reports whether a next header is an extension (RFC 8200, 4).
func extension(next byte) bool { return next == 0 || next == 43 || next == 44 || next == 60 }

func payload(src, dst netip.Addr, proto byte, p []byte, depth int) string {
	pair := fmt.Sprintf("%s > %s", src, dst)
	switch proto {
	case protoTCP:
		return tcp(src, dst, p)
	case protoUDP:
		return udp(src, dst, p, depth)
	case protoSCTP:
		return ports(src, dst, p, "SCTP")
	case protoICMP, protoICMPv6:
		return pair + " " + icmp(proto, p, depth)
	case protoIPIP, protoIPv6:
		return pair + " IPIP: " + ip(p, depth+1)
	case protoGRE:
		return pair + " GRE: " + gre(p, depth)
	case protoVRRP:
		return pair + " VRRP" + vrrp(p)
	}
	return fmt.Sprintf("%s protocol %d, %d bytes", pair, proto, len(p))
}

func ports(src, dst netip.Addr, p []byte, name string) string {
	if len(p) < 4 {
		return fmt.Sprintf("%s > %s %s, %s", src, dst, name, short)
	}
	from := netip.AddrPortFrom(src, binary.BigEndian.Uint16(p))
	to := netip.AddrPortFrom(dst, binary.BigEndian.Uint16(p[2:]))
	return fmt.Sprintf("%s > %s %s", from, to, name)
}

// tcp writes the header of RFC 9293, 3.1.
func tcp(src, dst netip.Addr, p []byte) string {
	text := ports(src, dst, p, "TCP")
	if len(p) < 20 {
		return text
	}
	var flags []string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"} {
		if p[13]&(1<<i) != 0 {
			flags = append(flags, name)
		}
	}
	seq, ack, window := binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[8:]), binary.BigEndian.Uint16(p[14:])
	data := max(0, len(p)-int(p[12]>>4)*4)
	return fmt.Sprintf("%s %s seq %d ack %d win %d, %d bytes", text, strings.Join(flags, ","), seq, ack, window, data)
}

// guePort is where GUE is received unless configured otherwise.
const guePort = 6080

func udp(src, dst netip.Addr, p []byte, depth int) string {
	text := ports(src, dst, p, "UDP")
	if len(p) < 8 {
		return text
	}
	data := p[8:]
	if binary.BigEndian.Uint16(p[2:]) == guePort && len(data) > 4 && data[0]>>5 == 0 {
		// GUE version 0: the low five bits are the length of what follows
		// the first four bytes, in words (draft-ietf-intarea-gue, 3.1).
		if header := 4 + int(data[0]&0x1f)*4; len(data) > header {
			return text + " GUE: " + ip(data[header:], depth+1)
		}
	}
	return fmt.Sprintf("%s, %d bytes", text, len(data))
}

// gre skips the header of RFC 2784 and 2890.
func gre(p []byte, depth int) string {
	if len(p) < 4 {
		return short
	}
	header := 4
	for _, flag := range []byte{0x80, 0x20, 0x10} { // checksum, key, sequence
		if p[0]&flag != 0 {
			header += 4
		}
	}
	if len(p) < header {
		return short
	}
	return ip(p[header:], depth+1)
}

func icmp(proto byte, p []byte, depth int) string {
	if len(p) < 8 {
		return "ICMP, " + short
	}
	names := map[byte]string{0: "echo reply", 3: "unreachable", 5: "redirect", 8: "echo request", 11: "time exceeded"}
	errors := map[byte]bool{3: true, 5: true, 11: true}
	if proto == protoICMPv6 {
		names = map[byte]string{
			1: "unreachable", 2: "packet too big", 3: "time exceeded", 128: "echo request", 129: "echo reply",
			133: "router solicitation", 134: "router advertisement", 135: "neighbour solicitation", 136: "neighbour advertisement",
		}
		errors = map[byte]bool{1: true, 2: true, 3: true}
	}
	name := names[p[0]]
	switch {
	case name == "":
		name = fmt.Sprintf("type %d", p[0])
	case strings.HasPrefix(name, "neighbour") && len(p) >= 24:
		name += " of " + netip.AddrFrom16([16]byte(p[8:24])).String()
	case strings.HasPrefix(name, "echo"):
		name += fmt.Sprintf(" %d.%d, %d bytes", binary.BigEndian.Uint16(p[4:]), binary.BigEndian.Uint16(p[6:]), len(p)-8)
	case errors[p[0]]:
		name += fmt.Sprintf(" code %d about (%s)", p[1], ip(p[8:], depth+1))
	}
	return "ICMP " + name
}

// vrrp writes what VRRP 2 (RFC 3768) and 3 (RFC 9568) have in common.
func vrrp(p []byte) string {
	if len(p) < 8 {
		return ", " + short
	}
	return fmt.Sprintf("v%d router %d priority %d", p[0]>>4, p[1], p[2])
}
