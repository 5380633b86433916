package ether

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Capture is a pcapng file with one interface per port, named as the port is,
// and times in nanoseconds. Wireshark and tcpdump read it. Directions in it are
// the station's, as if tcpdump ran there.
type Capture struct {
	path string

	mu         sync.Mutex
	file       *os.File
	writer     *pcapgo.NgWriter
	interfaces map[string]int
	failed     error // the first write that failed: the rest is not recorded
}

// Frame is one frame of a capture.
type Frame struct {
	Time time.Time
	Port string
	Sent bool // by the station, not to it
	Data []byte
}

// NewCapture creates or truncates the file.
func NewCapture(path string) (*Capture, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &Capture{path: path, file: file, interfaces: make(map[string]int)}, nil
}

// Path is the file's name.
func (c *Capture) Path() string { return c.path }

// record never fails towards the switch; Flush and Close tell.
func (c *Capture) record(port string, d Direction, frame []byte, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil && c.file != nil {
		c.failed = c.write(port, d, frame, at)
	}
}

func (c *Capture) write(port string, d Direction, frame []byte, at time.Time) error {
	id, err := c.interfaceOf(port)
	if err != nil {
		return err
	}
	direction := pcapgo.NgEpbFlagDirectionInbound
	if d == FromStation {
		direction = pcapgo.NgEpbFlagDirectionOutbound
	}
	info := gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(frame), Length: len(frame), InterfaceIndex: id}
	return c.writer.WritePacketWithOptions(info, frame, pcapgo.NgPacketOptions{
		Flags: &pcapgo.NgEpbFlags{Direction: direction},
	})
}

// interfaceOf adds the port's interface block before its first frame.
func (c *Capture) interfaceOf(port string) (id int, err error) {
	if id, known := c.interfaces[port]; known {
		return id, nil
	}
	block := pcapgo.NgInterface{
		Name:                port,
		LinkType:            layers.LinkTypeEthernet,
		TimestampResolution: 9, // 10^-9 s
	}
	if c.writer == nil {
		c.writer, err = pcapgo.NewNgWriterInterface(c.file, block, pcapgo.DefaultNgWriterOptions)
	} else {
		id, err = c.writer.AddInterface(block)
	}
	if err != nil {
		return 0, err
	}
	c.interfaces[port] = id
	return id, nil
}

// Flush writes what was recorded to the file and tells whether all of it was.
func (c *Capture) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flush()
}

func (c *Capture) flush() error {
	if c.failed == nil && c.writer != nil {
		c.failed = c.writer.Flush()
	}
	if c.failed != nil {
		return fmt.Errorf("capture %s: %w", c.path, c.failed)
	}
	return nil
}

// Close ends the capture; what is recorded later is lost.
func (c *Capture) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	err := errors.Join(c.flush(), c.file.Close())
	c.file, c.writer = nil, nil
	return err
}

// Frames are all frames recorded until now.
func (c *Capture) Frames() ([]Frame, error) {
	size, err := c.size()
	if err != nil {
		return nil, err
	}
	return readCapture(c.path, size)
}

// size is where the last whole frame ends in the file: what is being written
// behind it would look like damage.
func (c *Capture) size() (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.flush(); err != nil {
		return 0, err
	}
	if c.file == nil {
		return math.MaxInt64, nil
	}
	return c.file.Seek(0, io.SeekCurrent)
}

func readCapture(path string, size int64) ([]Frame, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	frames, err := readFrames(bufio.NewReader(io.LimitReader(file, size)))
	if err != nil {
		return nil, fmt.Errorf("capture %s: %w", path, err)
	}
	return frames, nil
}

func readFrames(file *bufio.Reader) ([]Frame, error) {
	if _, err := file.Peek(1); errors.Is(err, io.EOF) {
		return nil, nil // not one frame yet, not even a header
	}
	r, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		return nil, err
	}
	var frames []Frame
	for {
		data, info, options, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return nil, err
		}
		port, err := r.Interface(info.InterfaceIndex)
		if err != nil {
			return nil, err
		}
		sent := options.Flags != nil && options.Flags.Direction == pcapgo.NgEpbFlagDirectionOutbound
		frames = append(frames, Frame{info.Timestamp, port.Name, sent, data})
	}
}
