package ipvs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const testFamily = 33

// request is one message to a kernel of a test.
type request struct {
	command    uint8
	flags      uint16
	attributes []byte
}

// reply is what the kernel of a test says to a request: the attributes of each
// answer, or a refusal. An err is the socket's.
type reply struct {
	answers [][]byte
	errno   unix.Errno
	text    string
	err     error
}

// kernelSocket is a socket to a kernel that answers by a function, in the
// messages of Linux.
type kernelSocket struct {
	answer     func(request) reply
	onDeadline func(time.Time)
	closed     func()
	datagrams  [][]byte // not read yet
	err        error
}

func (s *kernelSocket) SetDeadline(t time.Time) error { s.onDeadline(t); return nil }
func (s *kernelSocket) Close() error                  { s.closed(); return nil }

func (s *kernelSocket) Read(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if len(s.datagrams) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, s.datagrams[0])
	s.datagrams = s.datagrams[1:]
	return n, nil
}

func (s *kernelSocket) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		length := int(binary.NativeEndian.Uint32(rest))
		s.take(rest[:length])
		rest = rest[align(length):]
	}
	return len(b), s.err
}

func (s *kernelSocket) take(m []byte) {
	flags := binary.NativeEndian.Uint16(m[6:])
	var r reply
	if kind := binary.NativeEndian.Uint16(m[4:]); kind >= unix.NLMSG_MIN_TYPE {
		r = s.answer(request{m[messageHeader], flags, m[messageHeader+genericHeader:]})
	}
	if r.err != nil {
		s.err = r.err
		return
	}
	message := func(kind uint16, body []byte) []byte {
		b := binary.NativeEndian.AppendUint32(nil, uint32(messageHeader+len(body)))
		b = binary.NativeEndian.AppendUint16(b, kind)
		b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_CAPPED|unix.NLM_F_ACK_TLVS)
		b = append(b, m[8:12]...) // the sequence number
		b = append(b, 0, 0, 0, 0)
		return appendPadding(append(b, body...), len(body))
	}
	var dump []byte
	for _, attributes := range r.answers {
		dump = append(dump, message(testFamily, append([]byte{1, 1, 0, 0}, attributes...))...)
	}
	end := binary.NativeEndian.AppendUint32(nil, uint32(-int32(r.errno)))
	switch {
	case r.errno == unix.EINTR: // Linux then says nothing
	case flags&unix.NLM_F_DUMP != 0 && r.errno == 0:
		s.datagrams = append(s.datagrams, append(dump, message(unix.NLMSG_DONE, end)...))
	case r.errno != 0 || flags&unix.NLM_F_ACK != 0:
		if dump != nil {
			s.datagrams = append(s.datagrams, dump)
		}
		end = append(end, m[:messageHeader]...)
		if r.text != "" {
			end = appendString(end, unix.NLMSGERR_ATTR_MSG, r.text)
		}
		s.datagrams = append(s.datagrams, message(unix.NLMSG_ERROR, end))
	}
}

// kernelAnswering returns a Kernel whose every message answer gets, and a
// count of the sockets that were opened and closed.
func kernelAnswering(answer func(request) reply) (*Kernel, *sockets) {
	count := &sockets{}
	return &Kernel{dial: func() (*conversation, error) {
		count.opened++
		return &conversation{family: testFamily, version: familyVersion, connection: &kernelSocket{
			answer:     answer,
			onDeadline: func(time.Time) {},
			closed:     func() { count.closed++ },
		}}, nil
	}}, count
}

type sockets struct{ opened, closed int }

func TestApplyTriesEverything(t *testing.T) {
	var requests []request
	k, _ := kernelAnswering(func(r request) reply {
		requests = append(requests, r)
		switch r.command {
		case cmdNewService:
			return reply{errno: unix.ENOENT}
		case cmdDelDest:
			return reply{errno: unix.ESRCH, text: "in its own words"}
		}
		return reply{}
	})
	ops := []Op{
		{Kind: AddService, Service: web("lcss")},
		{Kind: EditRealServer, Service: web("rr"), RealServer: rs("192.168.4.100:80", 1)},
		{Kind: DeleteRealServer, Service: web("rr"), RealServer: rs("192.168.4.200:80", 1)},
		{Kind: DeleteService, Service: web("rr")},
	}
	err := k.Apply(t.Context(), ops)
	want := `ipvsadm -A -t 192.168.4.15:80 -s lcss: the kernel has no scheduler "lcss"
ipvsadm -d -t 192.168.4.15:80 -r 192.168.4.200:80: no such virtual service (in its own words)`
	if err == nil || err.Error() != want {
		t.Errorf("error:\ngot  %v\nwant %v", err, want)
	}
	var places []int
	for _, e := range opErrors(err) {
		places = append(places, e.Index)
	}
	if !slices.Equal(places, []int{0, 2}) {
		t.Errorf("places of the refused: got %v, want 0 and 2", places)
	}
	if !errors.Is(err, unix.ESRCH) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v: does not wrap the errnos", err)
	}
	if got, want := len(requests), len(ops); got != want {
		t.Errorf("messages: got %d, want %d", got, want)
	}
}

// TestApplyAttributesAnswers has every way in which the operations of several
// batches can be refused at random, among them some that cannot be sent.
func TestApplyAttributesAnswers(t *testing.T) {
	const count = 3*batch + 7
	unsendable := rs("[2001:db8::1]:80", 1)
	unsendable.Address = unsendable.Address.WithZone("eth0")
	for _, every := range []int{1, 2, 3, 5, batch, count + 1} {
		var ops []Op
		var want []int
		for i := range count {
			op := Op{Kind: AddRealServer, Service: web("rr"), RealServer: rs("192.168.4.100:80", uint32(i))}
			if i%7 == 6 {
				op.RealServer = unsendable
			}
			if i%7 == 6 || i%every == every-1 {
				want = append(want, i)
			}
			ops = append(ops, op)
		}
		k, _ := kernelAnswering(func(r request) reply {
			var server RealServerStatistics
			if err := server.decode(r.attributes); err != nil {
				t.Fatal(err)
			}
			if int(server.Weight)%every == every-1 {
				return reply{errno: unix.EEXIST}
			}
			return reply{}
		})
		var got []int
		for _, e := range opErrors(k.Apply(t.Context(), ops)) {
			got = append(got, e.Index)
			if e.Op.String() != ops[e.Index].String() {
				t.Fatalf("place %d: got %s, want %s", e.Index, e.Op, ops[e.Index])
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("one in %d refused: got %v, want %v", every, got, want)
		}
	}
}

// TestApplyAfterLostAnswer loses the answer to the second of three batches.
func TestApplyAfterLostAnswer(t *testing.T) {
	seen := 0
	k, count := kernelAnswering(func(r request) reply {
		seen++
		if seen == batch+1 {
			return reply{err: os.NewSyscallError("recvmsg", unix.ENOBUFS)}
		}
		return reply{}
	})
	ops := slices.Repeat([]Op{{Kind: DeleteService, Service: web("rr")}}, 3*batch)
	failed := opErrors(k.Apply(t.Context(), ops))
	for i, e := range failed {
		if e.Index != batch+i || !errors.Is(e, ErrNotTried) || !errors.Is(e, unix.ENOBUFS) || e.Raced() {
			t.Fatalf("got %v of place %d", e, e.Index)
		}
	}
	if len(failed) != batch {
		t.Errorf("got %d failed, want the %d of one batch", len(failed), batch)
	}
	if *count != (sockets{opened: 2, closed: 1}) {
		t.Errorf("got %+v, want the first closed and a second opened", *count)
	}
}

// TestUnansweredMessage stops a daemon that has not run yet.
func TestUnansweredMessage(t *testing.T) {
	k, count := kernelAnswering(func(r request) reply {
		if r.command == cmdDelDaemon {
			return reply{errno: unix.EINTR}
		}
		return reply{}
	})
	if err := k.StopDaemon(t.Context(), Master); err != nil {
		t.Error(err)
	}
	if _, err := k.Observe(t.Context()); err != nil || count.opened != 1 {
		t.Errorf("got %v and %d sockets, want the same one to go on", err, count.opened)
	}
}

func TestSocketOutlivesRefusals(t *testing.T) {
	k, count := kernelAnswering(func(request) reply { return reply{errno: unix.EEXIST} })
	for range 3 {
		if err := k.Apply(t.Context(), []Op{{Kind: AddService, Service: web("rr")}}); !errors.Is(err, unix.EEXIST) {
			t.Fatalf("got %v, want EEXIST", err)
		}
		if _, err := k.Observe(t.Context()); !errors.Is(err, unix.EEXIST) {
			t.Fatalf("got %v, want EEXIST", err)
		}
	}
	if *count != (sockets{opened: 1}) {
		t.Errorf("sockets: got %+v, want one, open", *count)
	}
}

func TestSocketIsRenewedAfterItsOwnFailure(t *testing.T) {
	failures := []reply{
		{err: os.NewSyscallError("recvmsg", unix.ENOBUFS)}, // with an errno, but not the kernel's answer
		{err: os.ErrDeadlineExceeded},
		{answers: [][]byte{[]byte("no attributes")}},
	}
	for _, failure := range failures {
		next := failure
		k, count := kernelAnswering(func(request) reply { return next })
		if _, err := k.Observe(t.Context()); err == nil || !errors.Is(err, failure.err) && failure.err != nil {
			t.Errorf("got %v, want %v", err, failure.err)
		}
		next = reply{}
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
	interrupt := sync.OnceFunc(func() { close(interrupted) })
	k := &Kernel{dial: func() (*conversation, error) {
		return &conversation{family: testFamily, connection: &kernelSocket{
			answer: func(request) reply {
				cancel()
				<-interrupted // a kernel that never answers: only the deadline ends it
				return reply{err: os.ErrDeadlineExceeded}
			},
			onDeadline: func(deadline time.Time) {
				if deadline.Before(time.Now()) {
					interrupt()
				}
			},
			closed: func() {},
		}}, nil
	}}
	ops := slices.Repeat([]Op{{Kind: AddService, Service: web("rr")}}, batch+1)
	failed := opErrors(k.Apply(ctx, ops))
	if len(failed) != len(ops) {
		t.Fatalf("got %d errors, want one for each of %d operations", len(failed), len(ops))
	}
	for _, e := range failed {
		if !errors.Is(e, context.Canceled) || !errors.Is(e, ErrNotTried) {
			t.Errorf("got %v, want %v", e, context.Canceled)
		}
	}
	if want := "ipvsadm -A -t 192.168.4.15:80 -s rr: not tried: context canceled"; !strings.HasPrefix(failed[batch].Error(), want) {
		t.Errorf("got %v, want %s", failed[batch], want)
	}
	if k.open != nil {
		t.Error("the socket is kept, though an answer may still come in on it")
	}
}

// TestObserveCountsEveryEntryOnce gives dumps as they look while another
// program edits the table: with entries twice.
func TestObserveCountsEveryEntryOnce(t *testing.T) {
	k, _ := kernelAnswering(func(r request) reply {
		op := Op{Kind: AddService, Service: web("rr")}
		if r.command == cmdGetDest {
			op = Op{Kind: AddRealServer, Service: web("rr"), RealServer: rs("192.168.4.100:80", 1)}
		}
		data, err := op.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return reply{answers: [][]byte{data, data}}
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

// TestRealServersAreReadWhenTheirTurnComes asks for those of the next service when
// it is wanted, and for no more after the first refusal.
func TestRealServersAreReadWhenTheirTurnComes(t *testing.T) {
	asked := 0
	refuse := false
	k, _ := kernelAnswering(func(request) reply {
		asked++
		if refuse {
			return reply{errno: unix.EPERM}
		}
		op := Op{Kind: AddRealServer, Service: web("rr"), RealServer: rs(fmt.Sprintf("192.168.4.%d:80", asked), 1)}
		data, err := op.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return reply{answers: [][]byte{data}}
	})
	one := ServiceStatistics{Service: web("rr")}
	var got []string
	for s, err := range k.RealServers(t.Context(), []*ServiceStatistics{&one, &one, &one, &one}) {
		if err != nil {
			got = append(got, errors.Unwrap(errors.Unwrap(err)).Error())
			continue
		}
		got = append(got, fmt.Sprintf("%d: %v", asked, s.RealServers[0].Address))
		refuse = asked == 2
	}
	want := []string{"1: 192.168.4.1", "2: 192.168.4.2", unix.EPERM.Error()}
	if !slices.Equal(got, want) || asked != 3 {
		t.Errorf("asked %d times, got %q, want %q", asked, got, want)
	}
	if one.RealServers != nil {
		t.Errorf("the list of services was changed: %v", one.RealServers)
	}
}

// TestStatisticsOfOne asks for one service, by its name, and for no other.
func TestStatisticsOfOne(t *testing.T) {
	var commands []uint8
	service := web("rr")
	k, _ := kernelAnswering(func(r request) reply {
		commands = append(commands, r.command)
		op := Op{Kind: AddService, Service: service}
		if r.command == cmdGetDest {
			op = Op{Kind: AddRealServer, Service: service, RealServer: rs("192.168.4.100:80", 1)}
		}
		data, err := op.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return reply{answers: [][]byte{data}}
	})
	got, found, err := k.StatisticsOf(t.Context(), service.Key)
	if err != nil || !found || got.Key != service.Key || len(got.RealServers) != 1 {
		t.Errorf("got %+v, %v, %v", got, found, err)
	}
	if !slices.Equal(commands, []uint8{cmdGetService, cmdGetDest}) {
		t.Errorf("asked %d", commands)
	}
	none, _ := kernelAnswering(func(request) reply { return reply{errno: unix.ESRCH} })
	if got, found, err := none.StatisticsOf(t.Context(), service.Key); found || err != nil {
		t.Errorf("of none: %+v, %v", got, err)
	}
	forbidden, _ := kernelAnswering(func(request) reply { return reply{errno: unix.EPERM} })
	if _, _, err := forbidden.StatisticsOf(t.Context(), service.Key); !errors.Is(err, unix.EPERM) {
		t.Errorf("refused: %v", err)
	}
}

func TestOpenWithoutIPVS(t *testing.T) {
	if err := lookupError(&refusal{errno: unix.ENOENT}); !errors.Is(err, ErrNoIPVS) {
		t.Errorf("got %v, want %v", err, ErrNoIPVS)
	}
	if err := lookupError(&refusal{errno: unix.EPERM}); errors.Is(err, ErrNoIPVS) {
		t.Errorf("%v: taken for a kernel without IPVS", err)
	}
}

// FuzzReceive feeds a conversation with what a kernel never said.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x14\x00\x00\x00\x02\x00\x00\x03\x01\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff"))
	f.Add([]byte("\x14\x00\x00\x00\x21\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		c := &conversation{connection: &kernelSocket{
			datagrams:  [][]byte{datagram},
			answer:     func(request) reply { return reply{err: nil} },
			onDeadline: func(time.Time) {},
		}}
		if len(datagram) > largestAnswer {
			return
		}
		_ = c.receive(t.Context(), func(a answer) error {
			_, err := a.to(func([]byte) error { return nil })
			_ = fmt.Sprint(err)
			return nil
		})
	})
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
		err := &OpError{Op: tt.op, Err: &refusal{errno: tt.errno}}
		if got := err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
	said := &OpError{
		Op:  Op{Kind: DeleteService, Service: web("rr")},
		Err: &refusal{errno: unix.EINVAL, text: "Attribute failed policy validation"},
	}
	want := "ipvsadm -D -t 192.168.4.15:80: the kernel takes no such virtual service (Attribute failed policy validation)"
	if got := said.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
