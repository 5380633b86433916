package ipvs

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/genetlink/genltest"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const testFamily = 33

// socket is a generic netlink connection to a kernel that answers by a
// function.
type socket struct {
	*genetlink.Conn
	onDeadline func(time.Time)
	closed     func()
}

func (s socket) SetDeadline(t time.Time) error { s.onDeadline(t); return nil }
func (s socket) Close() error                  { s.closed(); return s.Conn.Close() }

// kernelAnswering returns a Kernel whose every message answer gets, and a
// count of the sockets that were opened and closed.
func kernelAnswering(answer genltest.Func) (*Kernel, *sockets) {
	count := &sockets{}
	return &Kernel{dial: func() (connection, uint16, error) {
		count.opened++
		return socket{
			Conn:       genltest.Dial(answer),
			onDeadline: func(time.Time) {},
			closed:     func() { count.closed++ },
		}, testFamily, nil
	}}, count
}

type sockets struct{ opened, closed int }

func TestApplyTriesEverything(t *testing.T) {
	var commands []uint8
	k, _ := kernelAnswering(func(g genetlink.Message, n netlink.Message) ([]genetlink.Message, error) {
		if n.Header.Flags&netlink.Acknowledge == 0 {
			t.Errorf("command %d asks for no acknowledgement", g.Header.Command)
		}
		commands = append(commands, g.Header.Command)
		if g.Header.Command == cmdNewService {
			return nil, genltest.Error(int(unix.ENOENT))
		}
		if g.Header.Command == cmdDelDest {
			return nil, genltest.Error(int(unix.ESRCH))
		}
		return []genetlink.Message{{}}, nil // genltest's stand-in for an acknowledgement
	})
	ops := []Op{
		{Kind: AddService, Service: web("lcss")},
		{Kind: EditRealServer, Service: web("rr"), RealServer: rs("192.168.4.100:80", 1)},
		{Kind: DeleteRealServer, Service: web("rr"), RealServer: rs("192.168.4.200:80", 1)},
	}
	err := k.Apply(t.Context(), ops)
	want := `ipvsadm -A -t 192.168.4.15:80 -s lcss: the kernel has no scheduler "lcss"
ipvsadm -d -t 192.168.4.15:80 -r 192.168.4.200:80: no such virtual service`
	if err == nil || err.Error() != want {
		t.Errorf("error:\ngot  %v\nwant %v", err, want)
	}
	if got, want := len(commands), len(ops); got != want {
		t.Errorf("messages: got %d, want %d", got, want)
	}
	if !errors.Is(err, unix.ESRCH) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v: does not wrap the errnos", err)
	}
}

func TestSocketOutlivesRefusals(t *testing.T) {
	k, count := kernelAnswering(func(genetlink.Message, netlink.Message) ([]genetlink.Message, error) {
		return nil, genltest.Error(int(unix.EEXIST))
	})
	for range 3 {
		if err := k.Apply(t.Context(), []Op{{Kind: AddService, Service: web("rr")}}); !errors.Is(err, unix.EEXIST) {
			t.Fatalf("got %v, want EEXIST", err)
		}
	}
	if *count != (sockets{opened: 1}) {
		t.Errorf("sockets: got %+v, want one, open", *count)
	}
}

func TestSocketIsRenewedAfterItsOwnFailure(t *testing.T) {
	failures := []error{
		os.NewSyscallError("recvmsg", unix.ENOBUFS), // with an errno, but not the kernel's answer
		os.ErrDeadlineExceeded,
	}
	for _, failure := range failures {
		fail := true
		k, count := kernelAnswering(func(g genetlink.Message, _ netlink.Message) ([]genetlink.Message, error) {
			if fail {
				return nil, failure
			}
			return nil, nil
		})
		if _, err := k.Observe(t.Context()); !errors.Is(err, failure) {
			t.Errorf("got %v, want %v", err, failure)
		}
		fail = false
		if _, err := k.Observe(t.Context()); err != nil {
			t.Errorf("after %v: %v", failure, err)
		}
		if *count != (sockets{opened: 2, closed: 1}) {
			t.Errorf("after %v: got %+v, want the first closed and a second opened", failure, *count)
		}
	}
}

func TestContextEndsCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	interrupted := make(chan struct{})
	k := &Kernel{dial: func() (connection, uint16, error) {
		conn := genltest.Dial(func(genetlink.Message, netlink.Message) ([]genetlink.Message, error) {
			cancel()
			<-interrupted // a kernel that never answers: only the deadline ends it
			return nil, os.ErrDeadlineExceeded
		})
		interrupt := sync.OnceFunc(func() { close(interrupted) })
		return socket{conn, func(deadline time.Time) {
			if deadline.Before(time.Now()) {
				interrupt()
			}
		}, func() {}}, testFamily, nil
	}}
	ops := []Op{{Kind: AddService, Service: web("rr")}, {Kind: DeleteService, Service: web("rr")}}
	err := k.Apply(ctx, ops)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != len(ops) {
		t.Fatalf("got %v, want an error for each operation", err)
	}
	for _, e := range joined.Unwrap() {
		if !errors.Is(e, context.Canceled) {
			t.Errorf("got %v, want %v", e, context.Canceled)
		}
	}
	if k.conn != nil {
		t.Error("the socket is kept, though an answer may still come in on it")
	}
}

// TestObserveCountsEveryServiceOnce gives a dump as it looks while another
// program edits the table: with a service twice.
func TestObserveCountsEveryServiceOnce(t *testing.T) {
	k, _ := kernelAnswering(func(g genetlink.Message, _ netlink.Message) ([]genetlink.Message, error) {
		var op Op
		switch g.Header.Command {
		case cmdGetService:
			op = Op{Kind: AddService, Service: web("rr")}
		case cmdGetDest:
			op = Op{Kind: AddRealServer, Service: web("rr"), RealServer: rs("192.168.4.100:80", 1)}
		}
		_, data, err := op.request()
		if err != nil {
			return nil, err
		}
		if g.Header.Command == cmdGetDest {
			return []genetlink.Message{{Data: data}}, nil
		}
		return []genetlink.Message{{Data: data}, {Data: data}}, nil
	})
	got, err := k.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := "-A -t 192.168.4.15:80 -s rr\n-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1\n"
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestOpenWithoutIPVS(t *testing.T) {
	if err := lookupError(&netlink.OpError{Op: "receive", Err: unix.ENOENT}); !errors.Is(err, ErrNoIPVS) {
		t.Errorf("got %v, want %v", err, ErrNoIPVS)
	}
	if err := lookupError(&netlink.OpError{Op: "receive", Err: unix.EPERM}); errors.Is(err, ErrNoIPVS) {
		t.Errorf("%v: taken for a kernel without IPVS", err)
	}
}

func TestReasons(t *testing.T) {
	other := with(rs("[2001:db8::1]:80", 1), func(r *RealServer) {})
	tests := []struct {
		op    Op
		errno unix.Errno
		want  string
	}{
		{Op{Kind: AddService, Service: web("lcss")}, unix.ENOENT,
			`ipvsadm -A -t 192.168.4.15:80 -s lcss: the kernel has no scheduler "lcss"`},
		{Op{Kind: AddService, Service: web("rr")}, unix.EEXIST,
			"ipvsadm -A -t 192.168.4.15:80 -s rr: exists already"},
		{Op{Kind: DeleteRealServer, Service: web("rr"), RealServer: rs("10.0.0.1:80", 1)}, unix.ENOENT,
			"ipvsadm -d -t 192.168.4.15:80 -r 10.0.0.1:80: no such real server"},
		{Op{Kind: AddRealServer, Service: web("rr"), RealServer: other}, unix.EINVAL,
			"ipvsadm -a -t 192.168.4.15:80 -r [2001:db8::1]:80 -g -w 1: a real server of the other address family takes forwarding by tunnel, and no connection synchronisation"},
		{Op{Kind: AddRealServer, Service: web("rr"), RealServer: with(rs("10.0.0.1:80", 1), func(r *RealServer) {
			r.Forward, r.Tunnel = TUN, Tunnel{Type: GUE}
		})}, unix.EINVAL,
			"ipvsadm -a -t 192.168.4.15:80 -r 10.0.0.1:80 -i -w 1 --tun-type gue --tun-port 0 --tun-nocsum: a GUE tunnel needs a port"},
		{Op{Kind: DeleteService, Service: web("rr")}, unix.EPERM,
			"ipvsadm -D -t 192.168.4.15:80: not permitted: it takes CAP_NET_ADMIN"},
	}
	for _, tt := range tests {
		err := &OpError{Op: tt.op, Err: &netlink.OpError{Op: "receive", Err: tt.errno}}
		if got := err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
	said := &OpError{
		Op:  Op{Kind: DeleteService, Service: web("rr")},
		Err: &netlink.OpError{Op: "receive", Err: unix.EINVAL, Message: "Attribute failed policy validation"},
	}
	want := "ipvsadm -D -t 192.168.4.15:80: the kernel takes no such virtual service (Attribute failed policy validation)"
	if got := said.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
