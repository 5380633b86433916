package responder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dipper/appliance/config"
)

// listenTCP opens a listener on all addresses of both families, or on the one
// that r names, with the limits of this package.
func listenTCP(ctx context.Context, r config.Responder) (net.Listener, error) {
	l, err := listenConfig(r.Address).Listen(ctx, "tcp", hostPort(r.Address, r.Port))
	if err != nil {
		return nil, err
	}
	return limit(l, maxConnections), nil
}

// listenConfig lets a socket bind an address that the machine does not have:
// a VIP comes after the listener, so that nobody is refused in between.
func listenConfig(address netip.Addr) *net.ListenConfig {
	var c net.ListenConfig
	if address.IsValid() {
		c.Control = func(_, _ string, raw syscall.RawConn) error { return freeBind(raw, address) }
	}
	return &c
}

func freeBind(raw syscall.RawConn, address netip.Addr) error {
	level, option := unix.IPPROTO_IP, unix.IP_FREEBIND
	if address.Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), level, option, 1)
	}); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("let the socket bind an address in advance: %w", failed)
	}
	return nil
}

// hostPort is what package net listens on; no host means all addresses.
func hostPort(address netip.Addr, port uint16) string {
	host := ""
	if address.IsValid() {
		host = address.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// limitedListener accepts no more connections at a time than it has slots;
// further clients wait in the kernel's backlog.
type limitedListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	close  sync.Once
}

func limit(l net.Listener, connections int) *limitedListener {
	return &limitedListener{Listener: l, slots: make(chan struct{}, connections), closed: make(chan struct{})}
}

// Accept waits for a slot and then for a client.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close ends a waiting Accept, whatever it waits for.
func (l *limitedListener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn gives its slot back when it is closed, and fails a write that
// makes no progress for stallPatience. Reads are left to their users, who know
// what they wait for.
type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(stallPatience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// CloseWrite ends the sending side only. net/http wants it, so that a client
// that is refused while it still sends reads why, before it meets a reset.
func (c *limitedConn) CloseWrite() error {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return errors.ErrUnsupported
	}
	return tcp.CloseWrite()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
