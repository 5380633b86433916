// Package capture owns what passes an interface: filters in tcpdump's words,
// compiled for the kernel, and a stream of packets as pcap. It knows nothing of
// who wants to see them.
package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// everything is how many bytes of a packet are taken, unless somebody wants
// less: more than any has.
const everything = 256 << 10

// Filter compiles a filter for frames of a link type. The kernel then passes the
// first snap bytes of what matches; 0: all of it. The error is an *Error.
func Filter(text string, link LinkType, snap uint32) ([]bpf.Instruction, error) {
	root, err := read(text, link)
	if err != nil {
		return nil, err
	}
	return compile(root, snap), nil
}

// read reads a filter; of an empty one everything meets the condition.
func read(text string, link LinkType) (node, error) {
	p := &parser{words: split(text), build: builder{link}}
	if len(p.words) == 0 {
		return always{}, nil
	}
	if len(p.words) > maxWords {
		return nil, &Error{Word: maxWords, Problem: "it is too long"}
	}
	root, err := p.expression()
	if err != nil {
		return nil, err
	}
	if p.at < len(p.words) {
		return nil, p.fail("%q: expected and, or, or the end", p.peek())
	}
	return root, nil
}

// program compiles what is wanted: what the filter passes, without what is to
// be left out of it.
func (q Query) program(link LinkType) ([]bpf.Instruction, error) {
	root, err := read(q.Filter, link)
	if err != nil {
		return nil, err
	}
	if q.Without != "" {
		without, err := read(q.Without, link)
		if err != nil {
			return nil, fmt.Errorf("what is left out: %w", err)
		}
		root = both{root, not{without}}
	}
	if link == linkCooked {
		root = both{onNetworks(), root}
	}
	return compile(root, q.Snap), nil
}

// node is a condition that a packet meets or not.
type node interface {
	// code puts the condition in front of c and answers where it begins; it
	// goes on at one of two places.
	code(c *program, met, unmet int) int
}

type (
	both   struct{ a, b node }
	either struct{ a, b node }
	not    struct{ a node }
	never  struct{}
	always struct{}

	// test compares what load leaves in the register with a value.
	test struct {
		load  []bpf.Instruction
		cond  bpf.JumpTest
		value uint32
	}
)

// program is made from its end to its beginning, so that every jump knows how
// far it goes: places are counted from the end.
type program struct{ reversed []bpf.Instruction }

func (c *program) put(i bpf.Instruction) int {
	c.reversed = append(c.reversed, i)
	return len(c.reversed) - 1
}

func (c *program) jump(to int) int {
	return c.put(bpf.Jump{Skip: uint32(len(c.reversed) - to - 1)})
}

func (t test) code(c *program, met, unmet int) int {
	c.jump(unmet)
	c.jump(met)
	at := c.put(bpf.JumpIf{Cond: t.cond, Val: t.value, SkipFalse: 1})
	for i := len(t.load) - 1; i >= 0; i-- {
		at = c.put(t.load[i])
	}
	return at
}

func (n both) code(c *program, met, unmet int) int {
	return n.a.code(c, n.b.code(c, met, unmet), unmet)
}

func (n either) code(c *program, met, unmet int) int {
	return n.a.code(c, met, n.b.code(c, met, unmet))
}

func (n not) code(c *program, met, unmet int) int { return n.a.code(c, unmet, met) }

func (never) code(c *program, _, unmet int) int { return c.jump(unmet) }
func (always) code(c *program, met, _ int) int  { return c.jump(met) }

func compile(root node, snap uint32) []bpf.Instruction {
	if snap == 0 || snap > everything {
		snap = everything
	}
	c := &program{}
	drop := c.put(bpf.RetConstant{Val: 0})
	pass := c.put(bpf.RetConstant{Val: snap})
	c.jump(root.code(c, pass, drop))
	forward := make([]bpf.Instruction, 0, len(c.reversed))
	for i := len(c.reversed) - 1; i >= 0; i-- {
		forward = append(forward, c.reversed[i])
	}
	return forward
}

// direction is which of a packet's two ends is meant.
type direction int

const (
	anyDirection direction = iota
	source
	destination
)

// EtherTypes (IEEE 802 numbers).
const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherARP  = 0x0806
)

// builder makes conditions for one kind of frame.
type builder struct{ link LinkType }

// network is where the header of IP or ARP begins. The kernel looks at a cooked
// frame before it has its header.
func (b builder) network() uint32 {
	if b.link == linkEthernet {
		return 14
	}
	return 0
}

func at(offset uint32, size int) []bpf.Instruction {
	return []bpf.Instruction{bpf.LoadAbsolute{Off: offset, Size: size}}
}

func masked(load []bpf.Instruction, mask uint32) []bpf.Instruction {
	return append(load, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask})
}

func equal(load []bpf.Instruction, value uint32) node { return test{load, bpf.JumpEqual, value} }

// extension loads what only the kernel knows of a frame.
func extension(e bpf.Extension) []bpf.Instruction {
	return []bpf.Instruction{bpf.LoadExtension{Num: e}}
}

// onNetworks holds for what networks carry: not for the kernel's messages on a
// link that shows those, and on the loopback link once, when it arrives.
func onNetworks() node {
	leaves := equal(extension(bpf.ExtType), unix.PACKET_OUTGOING)
	return not{either{
		equal(extension(bpf.ExtLinkLayerType), unix.ARPHRD_NETLINK),
		both{equal(extension(bpf.ExtLinkLayerType), unix.ARPHRD_LOOPBACK), leaves},
	}}
}

// carries tells what is in the frame. Without an Ethernet header, IP says its
// version itself.
func (b builder) carries(ether uint32) node {
	switch {
	case b.link == linkEthernet:
		return equal(at(12, 2), ether)
	case b.link == linkCooked:
		return equal(extension(bpf.ExtProto), ether)
	case ether == etherIPv4:
		return equal(masked(at(0, 1), 0xf0), 0x40)
	case ether == etherIPv6:
		return equal(masked(at(0, 1), 0xf0), 0x60)
	}
	return never{}
}

// qualified is a protocol's name as a condition.
func (b builder) qualified(word string) node {
	switch word {
	case "ip":
		return b.carries(etherIPv4)
	case "ip6":
		return b.carries(etherIPv6)
	case "arp":
		return b.carries(etherARP)
	case "icmp", "igmp":
		return b.protocol4(protocolOf(word))
	case "icmp6":
		return b.protocol6(protocolOf(word))
	}
	return b.protocol(protocolOf(word))
}

func (b builder) protocol(n uint32) node { return either{b.protocol4(n), b.protocol6(n)} }

func (b builder) protocol4(n uint32) node {
	return both{b.carries(etherIPv4), equal(at(b.network()+9, 1), n)}
}

func (b builder) protocol6(n uint32) node {
	return both{b.carries(etherIPv6), equal(at(b.network()+6, 1), n)}
}

// address holds for packets from or to a network; ARP that speaks of it too.
func (b builder) address(d direction, p netip.Prefix) node {
	side := func(ether, offset uint32) node { return both{b.carries(ether), b.prefix(offset, p)} }
	if p.Addr().Is6() {
		return ends(d, side(etherIPv6, 8), side(etherIPv6, 24))
	}
	return either{
		ends(d, side(etherIPv4, 12), side(etherIPv4, 16)),
		ends(d, side(etherARP, 14), side(etherARP, 24)),
	}
}

func ends(d direction, from, to node) node {
	switch d {
	case source:
		return from
	case destination:
		return to
	}
	return either{from, to}
}

// prefix compares the address at an offset of the network header, four bytes
// at a time.
func (b builder) prefix(offset uint32, p netip.Prefix) node {
	bytes := p.Addr().AsSlice()
	var all node
	for i := 0; i < len(bytes); i += 4 {
		bits := max(0, min(32, p.Bits()-8*i))
		mask := uint32(uint64(0xffffffff) << (32 - bits))
		word := equal(masked(at(b.network()+offset+uint32(i), 4), mask), binary.BigEndian.Uint32(bytes[i:])&mask)
		if all == nil {
			all = word
		} else if bits > 0 {
			all = both{all, word}
		}
	}
	return all
}

// port holds for TCP, UDP and SCTP. Of a packet in fragments only the first
// has ports.
func (b builder) port(d direction, first, last uint32) node {
	l := b.network()
	first4 := test{masked(at(l+6, 2), 0x1fff), bpf.JumpEqual, 0}
	port4 := func(offset uint32) node {
		return within([]bpf.Instruction{bpf.LoadMemShift{Off: l}, bpf.LoadIndirect{Off: l + offset, Size: 2}}, first, last)
	}
	port6 := func(offset uint32) node { return within(at(l+40+offset, 2), first, last) }
	of := func(protocol func(uint32) node) node {
		return either{either{protocol(protocolOf("tcp")), protocol(protocolOf("udp"))}, protocol(protocolOf("sctp"))}
	}
	return either{
		both{of(b.protocol4), both{first4, ends(d, port4(0), port4(2))}},
		both{of(b.protocol6), ends(d, port6(0), port6(2))},
	}
}

func within(load []bpf.Instruction, first, last uint32) node {
	return both{test{load, bpf.JumpGreaterOrEqual, first}, test{load, bpf.JumpLessOrEqual, last}}
}
