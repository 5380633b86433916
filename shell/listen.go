package shell

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listeners are the sockets of a server.
type listeners struct {
	ctx     context.Context
	log     *slog.Logger
	retry   time.Duration
	arrived func(context.Context, net.Conn)

	mu     sync.Mutex
	open   map[string]context.CancelFunc
	served sync.WaitGroup
}

func newListeners(ctx context.Context, log *slog.Logger, retry time.Duration, arrived func(context.Context, net.Conn)) *listeners {
	return &listeners{ctx: ctx, log: log, retry: retry, arrived: arrived, open: map[string]context.CancelFunc{}}
}

// set listens on addresses and on no others. Connections that are there stay.
func (l *listeners) set(addresses []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for address, stop := range l.open {
		if !slices.Contains(addresses, address) {
			stop()
			delete(l.open, address)
		}
	}
	for _, address := range addresses {
		if l.open[address] == nil {
			ctx, stop := context.WithCancel(l.ctx)
			l.open[address] = stop
			l.served.Go(func() { l.listen(ctx, address) })
		}
	}
}

func (l *listeners) close() {
	l.set(nil)
	l.served.Wait()
}

// listen takes connections on an address until ctx ends. When it cannot, it
// tries again: what is in the way may go.
func (l *listeners) listen(ctx context.Context, address string) {
	told := ""
	for ctx.Err() == nil {
		err := l.accept(ctx, address)
		if ctx.Err() != nil {
			return
		}
		if text := err.Error(); text != told {
			l.log.Error("ssh: not listening", "address", address, "error", err)
			told = text
		}
		pause(ctx, l.retry)
	}
}

// accept always answers an error.
func (l *listeners) accept(ctx context.Context, address string) error {
	config := net.ListenConfig{Control: freebind}
	socket, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() }) // as below
	defer func() {
		stop()
		_ = socket.Close() // nothing is written to it
	}()
	l.log.Info("ssh: listening", "address", address)
	for {
		conn, err := socket.Accept()
		var net net.Error
		switch {
		case err == nil:
			l.arrived(l.ctx, conn) // stays when the address goes
		case errors.As(err, &net) && net.Timeout():
			pause(ctx, l.retry)
		default:
			return err
		}
	}
}

// freebind lets a socket listen on an address that is not there yet (ip(7),
// IP_FREEBIND): it may come with a DHCP lease or with a carrier.
func freebind(network, _ string, c syscall.RawConn) error {
	level, option := unix.SOL_IP, unix.IP_FREEBIND
	if strings.HasSuffix(network, "6") {
		level, option = unix.SOL_IPV6, unix.IPV6_FREEBIND
	}
	var failed error
	if err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, 1) }); err != nil {
		return err
	}
	return failed
}

// addressOf is where a connection comes from.
func addressOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func closeQuietly(c net.Conn) {
	// It is of no use any more, whatever is wrong with it.
	_ = c.Close()
}
