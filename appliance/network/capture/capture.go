package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Query says what to capture.
type Query struct {
	Interface string // Any: all of them
	Filter    string
	Without   string // a filter of what is left out
	Count     int    // packets; 0: until ctx ends
	Snap      uint32 // bytes of each; 0: all
}

// Any stands for all interfaces, those to come included.
const Any = "any"

// LinkType is what frames begin with (www.tcpdump.org/linktypes.html).
type LinkType uint32

// The link types.
const (
	linkEthernet LinkType = 1
	linkRaw      LinkType = 101 // begins with the IP header
	linkCooked   LinkType = 276 // LINKTYPE_LINUX_SLL2: of any link, with its index
)

// Run writes a pcap stream of what passes an interface until ctx ends, the
// count is reached or nobody reads any more. What the reader is too slow for,
// the kernel drops.
func Run(ctx context.Context, q Query, out io.Writer) error {
	link, kind, err := find(q.Interface)
	if err != nil {
		return fmt.Errorf("capture: %q: %w", q.Interface, err)
	}
	program, err := q.program(kind)
	if err != nil {
		return err
	}
	raw, err := bpf.Assemble(program)
	if err != nil {
		return fmt.Errorf("capture: filter: %w", err)
	}
	socket := packet.Raw
	if kind == linkCooked {
		socket = packet.Datagram // without the links' headers, which differ
	}
	conn, err := packet.Listen(link, socket, unix.ETH_P_ALL, &packet.Config{Filter: raw})
	if err != nil {
		return fmt.Errorf("capture: %s: %w", q.Interface, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // ends the read
	defer stop()
	err = copyPackets(ctx, conn, q.Count, newWriter(out, kind))
	return errors.Join(err, conn.Close())
}

// errNoInterface says more than package net does, which names its system call.
var errNoInterface = errors.New("there is no such interface; any stands for all")

// find answers an interface and what its frames begin with.
func find(name string) (*net.Interface, LinkType, error) {
	if name == Any {
		return &net.Interface{Name: Any}, linkCooked, nil // index 0: packet(7), "sll_ifindex"
	}
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, 0, errNoInterface
	}
	ethernet, err := hasEthernet(name)
	if ethernet {
		return link, linkEthernet, err
	}
	return link, linkRaw, err
}

// hasEthernet tells whether frames of a link begin with an Ethernet header
// (uapi/linux/if_arp.h); the loopback link's do.
func hasEthernet(link string) (bool, error) {
	request, err := unix.NewIfreq(link)
	if err != nil {
		return false, err
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	err = errors.Join(unix.IoctlIfreq(socket, unix.SIOCGIFHWADDR, request), unix.Close(socket))
	kind := request.Uint16() // the address's family (netdevice(7))
	return kind == unix.ARPHRD_ETHER || kind == unix.ARPHRD_LOOPBACK, err
}

func copyPackets(ctx context.Context, conn *packet.Conn, count int, w *writer) error {
	in, err := newReceiver(conn, w.link == linkCooked)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	if err := w.header(); err != nil {
		return err
	}
	for n := 0; count == 0 || n < count; n++ {
		f, err := in.next()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		if err := w.packet(time.Now(), f); err != nil {
			return err
		}
	}
	return nil
}

// writer writes pcap with nanoseconds (draft-ietf-opsawg-pcap).
type writer struct {
	out  io.Writer
	link LinkType
}

func newWriter(out io.Writer, link LinkType) *writer { return &writer{out, link} }

func (w *writer) header() error {
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b23c4d)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, everything)
	b = binary.LittleEndian.AppendUint32(b, uint32(w.link))
	_, err := w.out.Write(b)
	return err
}

// packet writes one.
func (w *writer) packet(at time.Time, f frame) error {
	b := make([]byte, 0, 16+len(f.data))
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Nanosecond()))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.data)))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.length))
	_, err := w.out.Write(append(b, f.data...))
	return err
}
