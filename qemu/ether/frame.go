package ether

import "encoding/binary"

// mac is an Ethernet address.
type mac [6]byte

// isGroup tells multicast and broadcast addresses (IEEE 802, I/G bit).
func (m mac) isGroup() bool { return m[0]&1 != 0 }

// isLinkLocal tells the addresses that no bridge forwards, 01-80-C2-00-00-00 to
// -0F (IEEE 802.1D, 7.12.6): spanning tree, LACP, LLDP, pause frames.
func (m mac) isLinkLocal() bool {
	return m[0] == 0x01 && m[1] == 0x80 && m[2] == 0xc2 && m[3] == 0 && m[4] == 0 && m[5]&0xf0 == 0
}

const (
	headerSize  = 14     // destination, source, type
	typeVLAN    = 0x8100 // IEEE 802.1Q
	vlanIDMask  = 0x0fff
	taggedSize  = headerSize + 4
	maxFrameLen = 4096 + 65536 // QEMU's NET_BUFSIZE (include/net/net.h)
)

// header is what a switch reads of a frame.
type header struct {
	destination, source mac
	vlan                uint16 // 0: untagged
}

// parseHeader reports false for what is no frame.
func parseHeader(frame []byte) (header, bool) {
	if len(frame) < headerSize {
		return header{}, false
	}
	h := header{destination: mac(frame[0:6]), source: mac(frame[6:12])}
	if binary.BigEndian.Uint16(frame[12:]) == typeVLAN {
		if len(frame) < taggedSize {
			return header{}, false
		}
		h.vlan = binary.BigEndian.Uint16(frame[14:]) & vlanIDMask
	}
	return h, true
}
