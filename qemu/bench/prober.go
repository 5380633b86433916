package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"dipper/qemu/ether"
)

// probeInterval is how often the prober asks: the resolution of the benchmark,
// and little enough to be no load.
const probeInterval = 10 * time.Millisecond

// firstProbePort is where the prober's ports start. At one per probeInterval
// they last for seven minutes.
const firstProbePort = 20000

// prober is a client made of frames. It asks for the VIP's MAC address until
// somebody answers, then opens a connection in every interval until one brings
// a page: no retransmission timer of a real client blurs the moment.
type prober struct {
	self     endpoint
	service  netip.AddrPort
	director net.HardwareAddr // of the VIP; nil until ARP is answered
	port     uint16
	attempts map[uint16]*attempt
}

// attempt is a connection, by our port.
type attempt struct {
	seq, ack uint32 // the next of ours, and of theirs
	answered bool   // the handshake is done
	data     []byte
}

func newProber(self endpoint, service netip.AddrPort) *prober {
	return &prober{self: self, service: service, port: firstProbePort, attempts: make(map[uint16]*attempt)}
}

// ask is the frame of an interval.
func (p *prober) ask() ([]byte, error) {
	if p.director == nil {
		return arpFrame(layers.ARPRequest, p.self, endpoint{ip: p.service.Addr()})
	}
	port := p.port
	p.port++
	a := &attempt{seq: uint32(port) << 16} // unlike any other's, if not secret
	p.attempts[port] = a
	return p.send(port, a, segment{syn: true})
}

// send completes a segment and counts what it takes of the sequence.
func (p *prober) send(port uint16, a *attempt, s segment) ([]byte, error) {
	s.port, s.seq, s.ack = port, a.seq, a.ack
	a.seq += uint32(len(s.data))
	if s.syn {
		a.seq++
	}
	return tcpFrame(p.self, endpoint{p.director, p.service.Addr()}, p.service.Port(), s)
}

// hear takes a frame. It returns a frame to be sent, if any, and the page, if
// this was its last byte.
func (p *prober) hear(frame []byte) (reply []byte, page string, err error) {
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if arp := arpHeard(packet); arp != nil {
		reply, err = p.hearARP(arp)
		return reply, "", err
	}
	s, ok := segmentHeard(packet, p.service, p.self)
	a := p.attempts[s.port]
	if !ok || a == nil {
		return nil, "", nil
	}
	return p.hearSegment(a, s)
}

func (p *prober) hearARP(arp *layers.ARP) ([]byte, error) {
	from := endpoint{slices.Clone(net.HardwareAddr(arp.SourceHwAddress)), netip.AddrFrom4([4]byte(arp.SourceProtAddress))}
	switch {
	case arp.Operation == layers.ARPReply && from.ip == p.service.Addr():
		p.director = from.mac
	case arp.Operation == layers.ARPRequest && is(arp.DstProtAddress, p.self.ip):
		return arpFrame(layers.ARPReply, p.self, from)
	}
	return nil, nil
}

func (p *prober) hearSegment(a *attempt, s segment) (reply []byte, page string, err error) {
	switch {
	case s.rst: // nobody serves there yet
		delete(p.attempts, s.port)
		return nil, "", nil
	case s.syn && !a.answered && s.ack == a.seq:
		a.answered, a.ack = true, s.seq+1
		reply, err = p.send(s.port, a, segment{data: p.request()})
		return reply, "", err
	case !a.answered || s.syn || s.seq != a.ack || len(s.data) == 0:
		return nil, "", nil
	}
	a.ack += uint32(len(s.data))
	a.data = append(a.data, s.data...)
	page, complete := body(a.data)
	if !complete {
		reply, err = p.send(s.port, a, segment{})
		return reply, "", err
	}
	reply, err = p.send(s.port, a, segment{rst: true})
	return reply, page, err
}

func (p *prober) request() []byte {
	return fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", p.service.Addr())
}

// body is the text of a response of status 200, once all of it is there.
func body(response []byte) (text string, complete bool) {
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(response)), nil)
	if err != nil || r.ContentLength < 0 {
		return "", false
	}
	defer r.Body.Close()
	content, err := io.ReadAll(r.Body)
	return strings.TrimSpace(string(content)), err == nil && r.StatusCode == http.StatusOK
}

// firstAnswer probes until there is a page, and returns it with its moment.
func (p *prober) firstAnswer(ctx context.Context, station *ether.Station) (page string, at time.Time, err error) {
	next := time.Now()
	for page == "" {
		if !time.Now().Before(next) {
			frame, err := p.ask()
			if err != nil {
				return "", at, err
			}
			station.Send(frame)
			next = time.Now().Add(probeInterval)
		}
		frame, err := receiveUntil(ctx, station, next)
		if err != nil {
			return "", at, fmt.Errorf("no answer through %s (the VIP's MAC address: %v): %w", p.service, p.director, err)
		}
		if frame == nil {
			continue
		}
		at = time.Now()
		var reply []byte
		if reply, page, err = p.hear(frame); err != nil {
			return "", at, err
		}
		if reply != nil {
			station.Send(reply)
		}
	}
	return page, at, nil
}

// receiveUntil returns nil when there was no frame until then.
func receiveUntil(ctx context.Context, station *ether.Station, then time.Time) ([]byte, error) {
	wait, cancel := context.WithDeadline(ctx, then)
	defer cancel()
	frame, err := station.Receive(wait)
	if err != nil && wait.Err() != nil && ctx.Err() == nil {
		return nil, nil // the wait is over, not the benchmark
	}
	return frame, err
}
