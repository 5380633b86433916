package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

type callerKey struct{}

// WithCaller makes everything that is asked with the context asked by a process
// of this machine.
func WithCaller(ctx context.Context, pid int) context.Context {
	return context.WithValue(ctx, callerKey{}, pid)
}

// CallerOf answers the process that asked; 0: it is none of this machine, but
// at the hypervisor's port.
func CallerOf(ctx context.Context) int {
	pid, _ := ctx.Value(callerKey{}).(int)
	return pid
}

// withPeer puts the process at the other end of a connection into its context.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	peer, err := peerOf(conn)
	if err != nil || peer == nil {
		return ctx // closed already: nothing will be asked; or a port
	}
	return WithCaller(ctx, int(peer.Pid))
}

// peerOf answers the process at the other end of a connection, as the kernel
// knows it since it connected (unix(7), SO_PEERCRED). nil: it is none of this
// machine.
func peerOf(conn net.Conn) (*unix.Ucred, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	inner := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return peer, errors.Join(err, inner)
}

// guarded is a listener that lets in root, and whom this process belongs to.
// The socket's mode says the same, to everybody who has to come by its name.
type guarded struct {
	net.Listener
	log  *slog.Logger
	told map[uint32]bool // users that were refused: each is told of once
}

// Accept waits for one who is let in.
func (g *guarded) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, err := peerOf(conn)
		if err == nil && (peer == nil || peer.Uid == 0 || int(peer.Uid) == os.Geteuid()) {
			return conn, nil
		}
		_ = conn.Close() // nothing was sent that could be lost
		if err == nil && !g.told[peer.Uid] {
			g.told[peer.Uid] = true
			g.log.Warn("control socket: refused, and from now on silently", "uid", peer.Uid, "pid", peer.Pid)
		}
	}
}
