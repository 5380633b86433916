package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Printer is written a pcap stream (draft-ietf-opsawg-pcap) and writes a line
// for each packet.
type Printer struct {
	// Links are the names of links by the kernel's index, for captures of any;
	// others are numbers.
	Links map[int]string

	out      io.Writer
	part     []byte // of a header or packet that is not whole
	order    binary.ByteOrder
	nanos    bool
	linkType uint32
}

// NewPrinter makes a Printer.
func NewPrinter(out io.Writer) *Printer { return &Printer{out: out} }

// Lengths of pcap's headers, and a bound of what is believed, in bytes.
const (
	fileHeader   = 24
	packetHeader = 16
	maxPacket    = 1 << 18
)

var errNoPcap = errors.New("capture: this is no pcap stream")

// Write takes a part of the stream.
func (p *Printer) Write(stream []byte) (int, error) {
	p.part = append(p.part, stream...)
	if p.order == nil {
		if len(p.part) < fileHeader {
			return len(stream), nil
		}
		if err := p.begin(p.part[:fileHeader]); err != nil {
			return 0, err
		}
		p.part = p.part[fileHeader:]
	}
	for len(p.part) >= packetHeader {
		length := p.order.Uint32(p.part[8:])
		if length > maxPacket {
			return 0, fmt.Errorf("capture: a packet of %d bytes: %w", length, errNoPcap)
		}
		end := packetHeader + int(length)
		if len(p.part) < end {
			break
		}
		if err := p.packet(p.part[:packetHeader], p.part[packetHeader:end]); err != nil {
			return 0, err
		}
		p.part = p.part[end:]
	}
	return len(stream), nil
}

// begin reads the file's header: whose byte order, which clock, which link.
func (p *Printer) begin(header []byte) error {
	const micros, nanos = 0xa1b2c3d4, 0xa1b23c4d
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if magic := order.Uint32(header); magic == micros || magic == nanos {
			p.order, p.nanos = order, magic == nanos
			p.linkType = order.Uint32(header[20:]) & 0xffff
			return nil
		}
	}
	return errNoPcap
}

func (p *Printer) packet(header, data []byte) error {
	seconds, fraction := p.order.Uint32(header), int64(p.order.Uint32(header[4:]))
	if !p.nanos {
		fraction *= 1000
	}
	at := time.Unix(int64(seconds), fraction).UTC()
	_, err := fmt.Fprintf(p.out, "%s %s%s\n", at.Format("15:04:05.000000"), p.on(data), Describe(p.linkType, data))
	return err
}

// on is the name of the link that a packet of any was seen on.
func (p *Printer) on(data []byte) string {
	if p.linkType != linkCooked || len(data) < cookedHeader {
		return ""
	}
	if name, ok := p.Links[link(data)]; ok {
		return name + " "
	}
	return fmt.Sprintf("#%d ", link(data))
}
