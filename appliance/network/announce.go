package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// How often an address is announced, and how far apart. RFC 5227 2.3 asks for
// two ARP announcements 2 s apart; RFC 4861 7.2.6 allows three advertisements
// at least 1 s apart.
const (
	announceRounds   = 3
	announceInterval = 2 * time.Second
)

// announceAddress is the Op that tells the neighbours of a link where an
// address is now. It begins to, in the background, and waits for the link's
// carrier if it must.
type announceAddress struct {
	link    string
	address netip.Addr
}

func (o announceAddress) String() string {
	if o.address.Is4() {
		return fmt.Sprintf("arping -U -I %s %s", o.link, o.address)
	}
	return fmt.Sprintf("ndsend %s %s", o.address, o.link)
}

func (o announceAddress) subject() string { return o.link }

func (o announceAddress) apply(k *Kernel) error {
	link, err := k.link(o.link)
	if err != nil {
		return err
	}
	mac := link.Attrs().HardwareAddr
	if len(mac) != 6 {
		return fmt.Errorf("link %s has no Ethernet address to announce", o.link)
	}
	k.announcer.begin(o.link, o.address, announcements(mac, o.address, k.isRouter(o.link)))
	return nil
}

// isRouter says whether the kernel calls itself an IPv6 router on a link, as
// its own advertisements do.
func (k *Kernel) isRouter(link string) bool {
	value, err := k.sysctls.read("net/ipv6/conf/" + link + "/forwarding")
	return err == nil && value != "0" // no IPv6, no router
}

// frameWire sends frames on links.
type frameWire interface {
	// carrier tells whether the link can send: at once and at changes.
	carrier(ctx context.Context, link string) (<-chan bool, error)
	send(link string, frame []byte) error
}

// announcer repeats announcements in the background.
type announcer struct {
	wire  frameWire
	group sync.WaitGroup
	stop  context.CancelFunc
	ctx   context.Context

	mu      sync.Mutex
	pending map[announcement]*announcing
}

// announcing is one run of announcements.
type announcing struct{ stop context.CancelFunc }

type announcement struct {
	link    string
	address netip.Addr
}

func newAnnouncer(wire frameWire) *announcer {
	ctx, stop := context.WithCancel(context.Background())
	return &announcer{wire: wire, ctx: ctx, stop: stop, pending: make(map[announcement]*announcing)}
}

// begin announces an address, from the start if it is under way already.
func (a *announcer) begin(link string, address netip.Addr, frames [][]byte) {
	a.forget(link, address)
	ctx, stop := context.WithCancel(a.ctx)
	key, run := announcement{link, address}, &announcing{stop}
	a.mu.Lock()
	a.pending[key] = run
	a.mu.Unlock()
	a.group.Go(func() {
		defer stop()
		a.announce(ctx, link, frames)
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.pending[key] == run { // and no later one
			delete(a.pending, key)
		}
	})
}

// forget ends the announcements of an address: it must not be claimed any
// longer once it is withdrawn.
func (a *announcer) forget(link string, address netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := announcement{link, address}
	if run, found := a.pending[key]; found {
		run.stop()
		delete(a.pending, key)
	}
}

func (a *announcer) close() {
	a.stop()
	a.group.Wait()
}

// announce sends all rounds once the link has a carrier, and begins again when
// that was lost in between.
func (a *announcer) announce(ctx context.Context, link string, frames [][]byte) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	up, err := a.wire.carrier(ctx, link)
	if err != nil {
		return // without netlink there is nobody left to tell
	}
	var next <-chan time.Time // nil without a carrier
	for round := 0; round < announceRounds; {
		select {
		case <-ctx.Done():
			return
		case has, open := <-up:
			if !open {
				return
			}
			round, next = 0, nil
			if has {
				next = time.After(0)
			}
		case <-next:
			for _, frame := range frames {
				// Lost is as good as refused: the next round comes, and who
				// needs the address asks for it.
				_ = a.wire.send(link, frame)
			}
			round++
			next = time.After(announceInterval)
		}
	}
}

// announcements are the frames of one round. For IPv4 both forms of gratuitous
// ARP: some neighbours learn only from requests, some only from replies
// (RFC 5944 4.6).
func announcements(mac net.HardwareAddr, address netip.Addr, router bool) [][]byte {
	if address.Is4() {
		return [][]byte{arpFrame(mac, address, arpRequest), arpFrame(mac, address, arpReply)}
	}
	return [][]byte{advertisement(mac, address, router)}
}

// Operations of ARP (RFC 826).
const (
	arpRequest = 1
	arpReply   = 2
)

// arpFrame is an Ethernet frame in which mac claims an IPv4 address
// (RFC 5227 2.3: sender and target address alike).
func arpFrame(mac net.HardwareAddr, address netip.Addr, operation byte) []byte {
	frame := ethernet(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, unix.ETH_P_ARP)
	frame = append(frame,
		0, 1, // Ethernet
		unix.ETH_P_IP>>8, unix.ETH_P_IP&0xff,
		6, 4, // lengths of the addresses
		0, operation)
	frame = append(frame, mac...)
	frame = append(frame, address.AsSlice()...)
	if operation == arpReply {
		frame = append(frame, mac...)
	} else {
		frame = append(frame, 0, 0, 0, 0, 0, 0)
	}
	return append(frame, address.AsSlice()...)
}

// ICMPv6 neighbour advertisements (RFC 4861 4.4).
const (
	icmpAdvertisement   = 136
	advertisementLength = 32 // with the target link-layer address option
	flagRouter          = 0x80
	flagOverride        = 0x20
	optionTargetAddress = 2
)

// advertisement is an Ethernet frame in which mac claims an IPv6 address, to
// all nodes of the link (RFC 4861 7.2.6: unsolicited, with the override flag).
func advertisement(mac net.HardwareAddr, address netip.Addr, router bool) []byte {
	allNodes := netip.MustParseAddr("ff02::1")
	flags := byte(flagOverride)
	if router {
		flags |= flagRouter
	}
	icmp := []byte{icmpAdvertisement, 0, 0, 0, flags, 0, 0, 0}
	icmp = append(icmp, address.AsSlice()...)
	icmp = append(icmp, optionTargetAddress, 1) // length in units of 8 bytes
	icmp = append(icmp, mac...)
	sum := icmpChecksum(address, allNodes, icmp)
	icmp[2], icmp[3] = byte(sum>>8), byte(sum)

	frame := ethernet(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, mac, unix.ETH_P_IPV6) // RFC 2464 7
	frame = append(frame, 0x60, 0, 0, 0, 0, advertisementLength, unix.IPPROTO_ICMPV6, 255)
	frame = append(frame, address.AsSlice()...)
	frame = append(frame, allNodes.AsSlice()...)
	return append(frame, icmp...)
}

func ethernet(to, from net.HardwareAddr, protocol uint16) []byte {
	frame := append(append([]byte{}, to...), from...)
	return append(frame, byte(protocol>>8), byte(protocol))
}

// icmpChecksum is the Internet checksum over the IPv6 pseudo-header and an
// ICMPv6 message of even length whose checksum is zero (RFC 8200 8.1).
func icmpChecksum(source, destination netip.Addr, icmp []byte) uint16 {
	data := append(append([]byte{}, source.AsSlice()...), destination.AsSlice()...)
	data = append(data, 0, 0, 0, byte(len(icmp)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	data = append(data, icmp...)
	var sum uint32
	for i := 0; i < len(data); i += 2 {
		sum += uint32(data[i])<<8 | uint32(data[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// packetWire is the frameWire of the running kernel.
type packetWire struct{}

var _ frameWire = packetWire{}

func (packetWire) carrier(ctx context.Context, link string) (<-chan bool, error) {
	return watchCarrier(ctx, link)
}

func (packetWire) send(link string, frame []byte) error {
	found, err := net.InterfaceByName(link)
	if err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	// Protocol 0 receives nothing.
	conn, err := packet.Listen(found, packet.Raw, 0, nil)
	if err != nil {
		return fmt.Errorf("link %s: packet socket: %w", link, err)
	}
	defer func() {
		_ = conn.Close() // the frame is sent
	}()
	_, err = conn.WriteTo(frame, &packet.Addr{HardwareAddr: net.HardwareAddr(frame[:6])})
	if err != nil {
		return fmt.Errorf("link %s: send: %w", link, err)
	}
	return nil
}
