package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoPort says that the hypervisor offers no port of the wanted name.
var ErrNoPort = errors.New("no such virtio port")

// hostPoll is how often a port without a host is looked at again. The kernel
// has no way to wait for the host: a read answers end of file at once
// (drivers/char/virtio_console.c, port_fops_read).
const hostPoll = 50 * time.Millisecond

// PortListener is a net.Listener on a virtio-serial port: it accepts one
// connection at a time, the next one when the last was closed.
type PortListener struct {
	path   string
	ctx    context.Context
	cancel context.CancelFunc
	free   chan struct{} // holds a token while no connection is open
}

// ListenPort finds the port called name below /sys/class/virtio-ports.
func ListenPort(name string) (*PortListener, error) {
	path, err := findPort("/sys/class/virtio-ports", name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &PortListener{path: path, ctx: ctx, cancel: cancel, free: make(chan struct{}, 1)}
	l.free <- struct{}{}
	return l, nil
}

func findPort(class, name string) (string, error) {
	ports, err := os.ReadDir(class)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("virtio port %q: %w", name, err)
	}
	for _, p := range ports {
		got, err := os.ReadFile(filepath.Join(class, p.Name(), "name"))
		if err == nil && string(bytes.TrimSpace(got)) == name {
			return filepath.Join("/dev", p.Name()), nil
		}
	}
	return "", fmt.Errorf("virtio port %q: %w", name, ErrNoPort)
}

// Accept waits for the host to connect.
func (l *PortListener) Accept() (net.Conn, error) {
	select {
	case <-l.free:
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("virtio port: %w", err)
	}
	if err := l.awaitHost(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &portConn{File: f, freed: func() { l.free <- struct{}{} }}, nil
}

func (l *PortListener) awaitHost(f *os.File) error {
	tick := time.NewTicker(hostPoll)
	defer tick.Stop()
	for {
		events, err := poll(f)
		if err != nil {
			return err
		}
		if events&unix.POLLHUP == 0 && events&unix.POLLIN != 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return net.ErrClosed
		}
	}
}

// poll answers the port's readiness at this moment. It does not use File.Fd,
// which would make the file blocking and its deadlines void.
func poll(f *os.File) (events int16, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("virtio port: %w", err)
	}
	fds := []unix.PollFd{{Events: unix.POLLIN}}
	var pollErr error
	err = raw.Control(func(fd uintptr) {
		fds[0].Fd = int32(fd)
		_, pollErr = unix.Poll(fds, 0)
	})
	if err := errors.Join(err, pollErr); err != nil && !errors.Is(err, unix.EINTR) {
		return 0, fmt.Errorf("virtio port: poll: %w", err)
	}
	return fds[0].Revents, nil
}

// Close ends Accept; an open connection lives on.
func (l *PortListener) Close() error {
	l.cancel()
	return nil
}

// Addr is the port's device.
func (l *PortListener) Addr() net.Addr { return portAddr(l.path) }

type portAddr string

func (portAddr) Network() string  { return "virtio-port" }
func (a portAddr) String() string { return string(a) }

// portConn is an open port as a net.Conn.
type portConn struct {
	*os.File
	freed func()
	gone  atomic.Bool // the host has gone away
}

// Read gives net/http the net.Error that it looks for when it calls a pending
// read back by a deadline after each answer. The *fs.PathError of a file is
// none: it would count as a broken connection, and cancel the context of every
// later request on it.
func (c *portConn) Read(b []byte) (int, error) {
	if c.gone.Load() {
		return 0, io.EOF
	}
	n, err := c.File.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = os.ErrDeadlineExceeded
	}
	// A port comes to life again when the host is back. net/http has ended the
	// contexts of this connection by then: the host gets another one.
	if errors.Is(err, io.EOF) {
		c.gone.Store(true)
	}
	return n, err
}

func (c *portConn) Close() error {
	err := c.File.Close()
	if !errors.Is(err, os.ErrClosed) {
		c.freed()
	}
	return err
}

func (c *portConn) LocalAddr() net.Addr  { return portAddr(c.Name()) }
func (c *portConn) RemoteAddr() net.Addr { return portAddr(c.Name()) }

var (
	_ net.Listener = (*PortListener)(nil)
	_ net.Conn     = (*portConn)(nil)
)
