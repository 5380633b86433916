package api

import (
	"context"
	"net"

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

// withPeer puts the process at the other end of a connection into its context,
// as the kernel knows it (unix(7), SO_PEERCRED).
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return ctx // closed already: nothing will be asked
	}
	var peer *unix.Ucred
	inner := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil || inner != nil {
		return ctx // as above
	}
	return WithCaller(ctx, int(peer.Pid))
}
