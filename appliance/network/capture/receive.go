package capture

import (
	"encoding/binary"
	"syscall"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// frame is a packet as it was on the wire.
type frame struct {
	data   []byte // all of it, or the first bytes
	length int    // on the wire, in bytes
}

// receiver reads a packet socket together with what the kernel took from a
// frame before it handed it over: a VLAN's tag, and what the filter cut.
type receiver struct {
	raw    syscall.RawConn
	cooked bool
	buffer []byte // room for a tag or a cooked header, then the frame
	extra  []byte // control messages
}

// cookedSize is the length of the header that a cooked frame gets here, in bytes
// (www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html).
const cookedSize = 20

// A VLAN's tag stands behind the two MAC addresses (IEEE 802.1Q, 9.3).
const (
	tagAt   = 12
	tagSize = 4
)

func newReceiver(conn *packet.Conn, cooked bool) (*receiver, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_AUXDATA, 1)
	})
	if err == nil {
		err = failed
	}
	return &receiver{raw: raw, cooked: cooked, buffer: make([]byte, cookedSize+everything), extra: make([]byte, 256)}, err
}

// next waits for a frame, which is valid until the call after it.
func (r *receiver) next() (frame, error) {
	var length, extra int
	var from unix.Sockaddr
	var failed error
	err := r.raw.Read(func(fd uintptr) bool {
		length, extra, _, from, failed = unix.Recvmsg(int(fd), r.buffer[cookedSize:], r.extra, 0)
		return failed != unix.EAGAIN
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return frame{}, err
	}
	f := r.whole(frame{data: r.buffer[cookedSize : cookedSize+length], length: length}, r.extra[:extra])
	if link, ok := from.(*unix.SockaddrLinklayer); ok && r.cooked {
		f.data, f.length = r.cook(link, len(f.data)), f.length+cookedSize
	}
	return f, nil
}

// cook puts the header of a cooked frame before what is in the buffer: what the
// kernel says of where it came from.
func (r *receiver) cook(from *unix.SockaddrLinklayer, length int) []byte {
	h := r.buffer[:cookedSize]
	binary.NativeEndian.PutUint16(h, from.Protocol) // is in the network's order already
	binary.BigEndian.PutUint16(h[2:], 0)
	binary.BigEndian.PutUint32(h[4:], uint32(from.Ifindex))
	binary.BigEndian.PutUint16(h[8:], from.Hatype)
	h[10], h[11] = from.Pkttype, from.Halen
	copy(h[12:], from.Addr[:])
	return r.buffer[:cookedSize+length]
}

// whole gives a frame back what the kernel took from it (packet(7), "struct
// tpacket_auxdata" of uapi/linux/if_packet.h).
func (r *receiver) whole(f frame, extra []byte) frame {
	messages, err := unix.ParseSocketControlMessage(extra)
	if err != nil {
		return f
	}
	for _, m := range messages {
		const size = 20
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < size {
			continue
		}
		status, tci, protocol := binary.NativeEndian.Uint32(m.Data), binary.NativeEndian.Uint16(m.Data[16:]), binary.NativeEndian.Uint16(m.Data[18:])
		f.length = int(binary.NativeEndian.Uint32(m.Data[4:]))
		if status&unix.TP_STATUS_VLAN_VALID == 0 || len(f.data) < tagAt || r.cooked {
			continue // of a cooked frame the tag went with its header
		}
		f.data = r.buffer[cookedSize-tagSize : cookedSize+len(f.data)]
		f.length += tagSize
		copy(f.data, f.data[tagSize:tagSize+tagAt])
		binary.BigEndian.PutUint16(f.data[tagAt:], protocol)
		binary.BigEndian.PutUint16(f.data[tagAt+2:], tci)
	}
	return f
}
