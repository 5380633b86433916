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
	buffer []byte // room for a tag, then the frame
	extra  []byte // control messages
}

// A VLAN's tag stands behind the two MAC addresses (IEEE 802.1Q, 9.3).
const (
	tagAt   = 12
	tagSize = 4
)

func newReceiver(conn *packet.Conn) (*receiver, error) {
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
	return &receiver{raw: raw, buffer: make([]byte, tagSize+everything), extra: make([]byte, 256)}, err
}

// next waits for a frame, which is valid until the call after it.
func (r *receiver) next() (frame, error) {
	var length, extra int
	var failed error
	err := r.raw.Read(func(fd uintptr) bool {
		length, extra, _, _, failed = unix.Recvmsg(int(fd), r.buffer[tagSize:], r.extra, 0)
		return failed != unix.EAGAIN
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return frame{}, err
	}
	f := frame{data: r.buffer[tagSize : tagSize+length], length: length}
	return r.whole(f, r.extra[:extra]), nil
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
		if status&unix.TP_STATUS_VLAN_VALID == 0 || len(f.data) < tagAt {
			continue
		}
		f.data = r.buffer[:tagSize+len(f.data)]
		f.length += tagSize
		copy(f.data, f.data[tagSize:tagSize+tagAt])
		binary.BigEndian.PutUint16(f.data[tagAt:], protocol)
		binary.BigEndian.PutUint16(f.data[tagAt+2:], tci)
	}
	return f
}
