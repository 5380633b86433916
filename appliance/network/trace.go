package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Hop is what came back of the probes that may pass so many routers.
type Hop struct {
	Limit  int
	Probes []Probe
}

// Probe is one of them.
type Probe struct {
	From    netip.Addr // who answered; zero: nobody did
	Took    time.Duration
	Arrived bool  // at its destination
	Refused error // why a router forwards it to nobody; nil: none said so
}

// TraceOptions bound a trace.
type TraceOptions struct {
	Hops int           // at most so many routers
	Wait time.Duration // for answers to the probes of one hop
}

// What traceroutes have always done, and firewalls let pass for it.
const (
	tracePort   = 33434
	traceProbes = 3 // of each hop, at once
)

// Trace finds the way to an address: it sends datagrams that may pass one
// router, then two, until one arrives or a router forwards them no further, and
// gives what came back of each. An error of each ends it.
//
// The sockets take the ICMP errors that belong to their own datagrams from
// their error queues (ip(7), IP_RECVERR), so that nobody reads those of others.
func Trace(ctx context.Context, to netip.Addr, o TraceOptions, each func(Hop) error) error {
	for limit := 1; limit <= o.Hops; limit++ {
		hop := Hop{Limit: limit, Probes: make([]Probe, traceProbes)}
		var g errgroup.Group
		for i := range hop.Probes {
			port := uint16(tracePort + (limit-1)*traceProbes + i)
			g.Go(func() (err error) {
				hop.Probes[i], err = probe(ctx, netip.AddrPortFrom(to, port), limit, o.Wait)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("trace %s: %w", to, err)
		}
		if err := each(hop); err != nil || hop.last() {
			return err
		}
	}
	return nil
}

// last tells whether no probe goes further.
func (h Hop) last() bool {
	for _, p := range h.Probes {
		if p.Arrived || p.Refused != nil {
			return true
		}
	}
	return false
}

// Arrived tells whether the destination answered.
func (h Hop) Arrived() bool {
	for _, p := range h.Probes {
		if p.Arrived {
			return true
		}
	}
	return false
}

// probe sends a datagram and waits for what comes back.
func probe(ctx context.Context, to netip.AddrPort, limit int, wait time.Duration) (p Probe, err error) {
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error { return limitHops(raw, to.Addr(), limit) }}
	conn, err := dialer.DialContext(ctx, "udp", to.String())
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return p, err
	}
	sent := time.Now()
	if err := conn.SetReadDeadline(sent.Add(wait)); err != nil {
		return p, err
	}
	defer context.AfterFunc(ctx, func() {
		_ = conn.SetReadDeadline(time.Unix(1, 0)) // the read then ends
	})()
	if _, err := conn.Write(make([]byte, 32)); err != nil {
		return p, err
	}
	p, err = awaitAnswer(raw, to.Addr())
	p.Took = time.Since(sent)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return Probe{}, ctx.Err()
	}
	return p, err
}

// limitHops has a socket's datagrams pass so many routers, and its errors wait
// in its error queue.
func limitHops(raw syscall.RawConn, to netip.Addr, limit int) error {
	level, hops, errs := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_RECVERR
	if to.Is6() {
		level, hops, errs = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_RECVERR
	}
	var err error
	failed := raw.Control(func(fd uintptr) {
		err = errors.Join(unix.SetsockoptInt(int(fd), level, hops, limit), unix.SetsockoptInt(int(fd), level, errs, 1))
	})
	return errors.Join(failed, err)
}

// awaitAnswer waits for an ICMP error of a socket's, or for a datagram.
func awaitAnswer(raw syscall.RawConn, to netip.Addr) (p Probe, err error) {
	control := make([]byte, 512)
	var n int
	failed := raw.Read(func(fd uintptr) bool {
		_, n, _, _, err = unix.Recvmsg(int(fd), nil, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if !errors.Is(err, unix.EAGAIN) {
			return true
		}
		_, _, _, _, err = unix.Recvmsg(int(fd), make([]byte, 1), nil, unix.MSG_DONTWAIT)
		n = 0
		return !errors.Is(err, unix.EAGAIN)
	})
	switch {
	case failed != nil:
		return p, failed
	case err != nil:
		return p, err
	case n == 0:
		return Probe{From: to, Arrived: true}, nil // somebody answered the datagram itself
	}
	return readError(control[:n], to)
}

// readError reads a struct sock_extended_err and the address behind it
// (linux/errqueue.h).
func readError(control []byte, to netip.Addr) (p Probe, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return p, err
	}
	const size = int(unsafe.Sizeof(unix.SockExtendedErr{}))
	for _, m := range messages {
		isError := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR ||
			m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if !isError || len(m.Data) < size {
			continue
		}
		errno := unix.Errno(binary.NativeEndian.Uint32(m.Data))
		origin, kind, code := m.Data[4], m.Data[5], m.Data[6]
		p.From = offender(m.Data[size:])
		switch {
		case origin == unix.SO_EE_ORIGIN_ICMP && kind == 11, origin == unix.SO_EE_ORIGIN_ICMP6 && kind == 3:
			// Time exceeded (RFC 792, RFC 4443 section 3.3): a router's answer.
		case p.From == to && (origin == unix.SO_EE_ORIGIN_ICMP && kind == 3 && code == 3 || origin == unix.SO_EE_ORIGIN_ICMP6 && kind == 1 && code == 4):
			p.Arrived = true // port unreachable: it is there, and nobody listens
		default:
			p.Refused = errno
		}
		return p, nil
	}
	return p, errors.New("an error without its cause")
}

// offender reads the struct sockaddr_in or sockaddr_in6 of who sent an error.
func offender(data []byte) netip.Addr {
	if len(data) < 2 {
		return netip.Addr{}
	}
	switch family := binary.NativeEndian.Uint16(data); {
	case family == unix.AF_INET && len(data) >= 8:
		return netip.AddrFrom4([4]byte(data[4:8]))
	case family == unix.AF_INET6 && len(data) >= 24:
		return netip.AddrFrom16([16]byte(data[8:24]))
	}
	return netip.Addr{}
}
