package ipvsadm

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"iter"
	"math"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"dipper/appliance/ipvs"
)

// counts are values about which ipvsadm changes the way it writes counters.
// No traffic of a test counts that far: Debian's program is shown them by a
// debugger, in the place of what the kernel told it.
var counts = []uint64{
	0, 9_999_999, 99_999_999, 100_000_000, 999_999_999, 1_000_000_000, 99_999_999_999, 100_000_000_000,
	99_999_999_999_999, 100_000_000_000_000, 1<<63 - 1, 1<<64 - 1,
}

// count is what stands in one attribute of the kernel's statistics, which are
// numbered from 1 (IPVS_STATS_ATTR_CONNS in include/uapi/linux/ip_vs.h).
func count(round int, attribute uint16) uint64 {
	return counts[(round+int(attribute))%len(counts)]
}

func TestBesideCounters(t *testing.T) {
	k := beside(t)
	real(t, "-A -t 10.9.9.9:80 -s rr\n-a -t 10.9.9.9:80 -r 10.2.1.2 -m\n-A -f 7 -s rr\n", "-R")
	for round := range counts {
		for _, line := range []string{"-Ln --stats", "-Ln --rate", "-Ln --stats --exact", "-Ln --rate --exact"} {
			argv := strings.Fields(line)
			want := debugged(t, func(received []byte) { recount(received, round) }, argv...)
			var got bytes.Buffer
			Run(t.Context(), countedDirector{kernelDirector{k}, round}, nil, argv, strings.NewReader(""), &got, io.Discard)
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got.String(), "\n")); diff != "" {
				t.Errorf("round %d: ipvsadm %s (-Debian's +ours):\n%s", round, line, diff)
			}
		}
	}
}

// countedDirector is a kernel that has counted far.
type countedDirector struct {
	kernelDirector
	round int
}

func (d countedDirector) ofService() ipvs.Counters {
	at := func(attribute uint16) uint64 { return count(d.round, attribute) }
	return ipvs.Counters{
		Connections: at(1), InPackets: at(2), OutPackets: at(3), InBytes: at(4), OutBytes: at(5),
		ConnectionRate: at(6), InPacketRate: at(7), OutPacketRate: at(8), InByteRate: at(9), OutByteRate: at(10),
	}
}

// ofRealServer is what ipvsadm 1.31 takes the same counters of a real server
// for: all but the bytes it reads as numbers of 32 bits (ipvs_get_dests in its
// libipvs.c gives the 64-bit attribute to the function for the 32-bit one).
func (d countedDirector) ofRealServer() ipvs.Counters {
	c := d.ofService()
	for _, n := range []*uint64{
		&c.Connections, &c.InPackets, &c.OutPackets,
		&c.ConnectionRate, &c.InPacketRate, &c.OutPacketRate, &c.InByteRate, &c.OutByteRate,
	} {
		*n &= math.MaxUint32
	}
	return c
}

func (d countedDirector) Services(ctx context.Context) ([]ipvs.ServiceStatistics, error) {
	services, err := d.kernelDirector.Services(ctx)
	for i := range services {
		services[i].Counters = d.ofService()
	}
	return services, err
}

func (d countedDirector) RealServers(ctx context.Context, services []*ipvs.ServiceStatistics) iter.Seq2[*ipvs.ServiceStatistics, error] {
	return func(yield func(*ipvs.ServiceStatistics, error) bool) {
		for s, err := range d.kernelDirector.RealServers(ctx, services) {
			for i := range s.RealServers {
				s.RealServers[i].Counters = d.ofRealServer()
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// recount writes counters into what the kernel sent: generic netlink messages
// with a service or a real server, whose 64-bit statistics are attribute 12 of
// either.
func recount(received []byte, round int) {
	const messageHeader, genericHeader, service, realServer, stats64 = 16, 4, 1, 2, 12
	for len(received) >= messageHeader {
		length := int(binary.NativeEndian.Uint32(received))
		if kind := binary.NativeEndian.Uint16(received[4:]); kind > unix.GENL_ID_CTRL && length >= messageHeader+genericHeader {
			for entry := range attributes(received[messageHeader+genericHeader:length], service, realServer) {
				for counters := range attributes(entry, stats64) {
					recountEach(counters, round)
				}
			}
		}
		received = received[min(len(received), max(messageHeader, aligned(length))):]
	}
}

func recountEach(counters []byte, round int) {
	for which, value := range nested(counters) {
		if len(value) == 8 { // else it only aligns the next one
			binary.NativeEndian.PutUint64(value, count(round, which))
		}
	}
}

// attributes are those of some types.
func attributes(b []byte, types ...uint16) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for kind, value := range nested(b) {
			if slices.Contains(types, kind) && !yield(value) {
				return
			}
		}
	}
}

// nested are netlink attributes, each with its type and with its bytes where
// they stand.
func nested(b []byte) iter.Seq2[uint16, []byte] {
	const header = 4
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= header {
			length := int(binary.NativeEndian.Uint16(b))
			if length < header || length > len(b) {
				return
			}
			if kind := binary.NativeEndian.Uint16(b[2:]) &^ unix.NLA_F_NESTED; !yield(kind, b[header:length]) {
				return
			}
			b = b[min(len(b), aligned(length)):]
		}
	}
}

func aligned(length int) int { return (length + 3) &^ 3 }

// debugged runs Debian's ipvsadm and changes what it receives from sockets. It
// returns what the program printed.
func debugged(t *testing.T, change func(received []byte), argv ...string) string {
	t.Helper()
	runtime.LockOSThread() // the thread that starts a process is its debugger
	defer runtime.UnlockOSThread()
	program := exec.Command("ipvsadm", argv...)
	var out bytes.Buffer
	program.Stdout, program.Stderr = &out, &out
	program.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	pid := program.Process.Pid
	for stops := 0; ; stops++ {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
			t.Fatal(err)
		}
		if status.Exited() {
			break
		}
		if afterCall := stops > 0 && stops%2 == 0; afterCall { // the first stop is the program's start
			if err := changeReceived(pid, change); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.PtraceSyscall(pid, 0); err != nil {
			t.Fatal(err)
		}
	}
	_ = program.Wait() // it collects the output, and finds that its child was waited for here
	return out.String()
}

// changeReceived changes the bytes of a recvmsg(2) that has just returned, which
// libnl has put into one piece of memory.
func changeReceived(pid int, change func([]byte)) error {
	var registers syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(pid, &registers); err != nil {
		return err
	}
	received := int64(registers.Rax)
	if registers.Orig_rax != unix.SYS_RECVMSG || received <= 0 {
		return nil
	}
	const piecesAt = 16 // msg_iov in struct msghdr
	var pieces [8]byte
	if _, err := syscall.PtracePeekData(pid, uintptr(registers.Rsi)+piecesAt, pieces[:]); err != nil {
		return err
	}
	var piece [16]byte // struct iovec
	if _, err := syscall.PtracePeekData(pid, uintptr(binary.NativeEndian.Uint64(pieces[:])), piece[:]); err != nil {
		return err
	}
	at, room := uintptr(binary.NativeEndian.Uint64(piece[:])), int64(binary.NativeEndian.Uint64(piece[8:]))
	bytes := make([]byte, min(received, room)) // a look at a long message says how long it is
	if _, err := syscall.PtracePeekData(pid, at, bytes); err != nil {
		return err
	}
	change(bytes)
	_, err := syscall.PtracePokeData(pid, at, bytes)
	return err
}
