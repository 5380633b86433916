package ipvs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"time"

	"github.com/mdlayher/socket"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// tapLink is the link that shows this machine's netlink messages. It is
	// left behind by a control plane that is killed, and used by the next.
	tapLink = "dipper-nlmon"
	tapKind = "nlmon"

	// settling is how long after a foreign message Watch tells of it: the tap
	// shows it just before the kernel carries it out. A load of a whole table
	// becomes a few notices.
	settling = 100 * time.Millisecond

	// watchPause is how long a watch waits after its socket failed.
	watchPause = time.Second

	// lookInterval is how often the table is looked at where there is no tap,
	// unless that takes more than one part in lookShare of the time.
	lookInterval = time.Second
	lookShare    = 50
)

// Watch tells that somebody else edited the table, the timeouts or the
// synchronisation daemons: changes that come while the last notice was not
// taken are one notice. The channel is closed when ctx ends.
//
// The kernel has no notices of IPVS. Watch sees the messages that ask for edits
// go by, on an nlmon link, which costs nothing while there are none, and tells
// of them a tenth of a second later. A kernel without nlmon has its table looked
// at once in a second, which also finds our own edits. Neither finds all: edits
// through the old socket options, and those that /proc/net/ip_vs does not show,
// are left to who observes the table from time to time.
func (k *Kernel) Watch(ctx context.Context) (<-chan struct{}, error) {
	changed := make(chan struct{}, 1)
	tap, err := k.openTap()
	if errors.Is(err, unix.EOPNOTSUPP) {
		look, err := k.fingerprint()
		if err != nil {
			return nil, fmt.Errorf("ipvs: watch: %w", err)
		}
		go k.lookAgain(ctx, look, changed)
		return changed, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ipvs: watch: %w", err)
	}
	go k.listen(ctx, tap, changed)
	return changed, nil
}

// listen tells of what the tap shows, and opens a new one when it fails.
func (k *Kernel) listen(ctx context.Context, tap io.ReadCloser, changed chan<- struct{}) {
	defer close(changed)
	seen := make(chan struct{}, 1)
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		settle(ctx, seen, changed)
	}()
	defer func() { <-settled }()
	for {
		if tap != nil {
			readTap(ctx, tap, seen)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchPause):
		}
		var err error
		// Not reported: it is tried again, and the error at the start was.
		if tap, err = k.openTap(); err != nil {
			tap = nil
		}
		tell(seen) // of what was missed
	}
}

// readTap marks every message as seen until ctx ends or the tap fails, and
// closes it.
func readTap(ctx context.Context, tap io.ReadCloser, seen chan<- struct{}) {
	closeTap := func() { _ = tap.Close() } // ends Read; there is nothing to lose
	stop := context.AfterFunc(ctx, closeTap)
	defer func() {
		if stop() {
			closeTap()
		}
	}()
	var start [messageHeader]byte // the rest does not matter
	for {
		if _, err := tap.Read(start[:]); err != nil {
			return
		}
		tell(seen)
	}
}

// settle tells of what was seen when it has settled.
func settle(ctx context.Context, seen <-chan struct{}, changed chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-seen:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settling):
		}
		tell(changed)
	}
}

func tell(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default: // the last notice is not taken yet
	}
}

// lookAgain tells when the table looks different than before.
func (k *Kernel) lookAgain(ctx context.Context, before uint64, changed chan<- struct{}) {
	defer close(changed)
	pause := lookInterval
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		start := time.Now()
		now, err := k.fingerprint()
		if err != nil || now != before {
			before = now
			tell(changed)
		}
		pause = max(lookInterval, time.Since(start)*lookShare)
	}
}

// fingerprint is a hash of /proc/net/ip_vs without its counts of connections.
// It misses thresholds, tunnels and scheduler flags, which are not in there.
func (k *Kernel) fingerprint() (uint64, error) {
	file, err := k.openTable("ip_vs")
	if err != nil {
		return 0, err
	}
	defer file.Close() // read only: there is nothing to lose
	return hashTable(file)
}

// countsWidth is how much of the end of a real server's line its counts take:
// " %-10d %-10d" and the line's end (ip_vs_ctl.c, ip_vs_info_seq_show).
const countsWidth = 2*(1+10) + 1

func hashTable(file io.Reader) (uint64, error) {
	hash := fnv.New64a()
	lines := bufio.NewReaderSize(file, connectionBuffer)
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return hash.Sum64(), nil
		}
		if err != nil {
			return 0, fmt.Errorf("ipvs: look at the table: %w", err)
		}
		if bytes.HasPrefix(line, []byte("  -> ")) {
			line = line[:max(len(line)-countsWidth, 0)]
		}
		_, _ = hash.Write(line) // never fails
	}
}

// openTap opens a socket that gets the edits of others.
func (k *Kernel) openTap() (io.ReadCloser, error) {
	var family uint16
	err := k.converse(context.Background(), func(c *conversation) error {
		family = c.family
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := makeTapLink(k.namespace); err != nil {
		return nil, err
	}
	conn, err := socket.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0, tapKind, &socket.Config{NetNS: k.namespace})
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	if err := bindTap(conn, family); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// makeTapLink makes the nlmon link and puts it up, unless it exists.
func makeTapLink(namespace int) error {
	conn, err := openNetlink(unix.NETLINK_ROUTE, namespace)
	if err != nil {
		return fmt.Errorf("open route netlink: %w", err)
	}
	defer conn.Close() // there is nothing to lose
	c := conversation{connection: conn}
	start := c.header(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	b := append(c.out, unix.AF_UNSPEC, 0, 0, 0) // struct ifinfomsg
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint32(b, unix.IFF_UP)
	b = binary.NativeEndian.AppendUint32(b, unix.IFF_UP)
	b = appendString(b, unix.IFLA_IFNAME, tapLink)
	info := len(b)
	b = appendString(beginNested(b, unix.IFLA_LINKINFO), unix.IFLA_INFO_KIND, tapKind)
	endNested(b, info)
	c.out = b
	c.end(start)
	var refused error
	if err := c.carryOut(context.Background(), 1, func(_ int, why *refusal) { refused = why }); err != nil {
		return fmt.Errorf("make link %s: %w", tapLink, err)
	}
	if refused != nil && !errors.Is(refused, unix.EEXIST) {
		return fmt.Errorf("make link %s: %w", tapLink, refused)
	}
	return nil
}

func bindTap(conn *socket.Conn, family uint16) error {
	filter, err := bpf.Assemble(editsOfOthers(family, ownSender()))
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	if err := conn.SetBPF(filter); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	index, err := linkIndex(conn, tapLink)
	if err != nil {
		return fmt.Errorf("link %s: %w", tapLink, err)
	}
	return conn.Bind(&unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index})
}

// linkIndex asks in the socket's network namespace.
func linkIndex(conn *socket.Conn, link string) (index int, err error) {
	request, err := unix.NewIfreq(link)
	if err != nil {
		return 0, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		err = unix.IoctlIfreq(int(fd), unix.SIOCGIFINDEX, request)
	})
	return int(request.Uint32()), errors.Join(err, controlErr)
}

// editsOfOthers is the filter for netlink messages that ask IPVS to edit its
// table, timeouts or daemons, and do not have us as the sender. Of a datagram of several messages it
// sees the first.
func editsOfOthers(family uint16, self uint32) []bpf.Instruction {
	const (
		typeAt, flagsAt, senderAt, commandAt = 4, 6, 12, messageHeader

		half, word = 2, 4
		all        = 1 << 16
	)
	edits := []uint32{cmdNewService, cmdSetService, cmdDelService, cmdNewDest, cmdSetDest, cmdDelDest, cmdFlush,
		cmdSetTimeouts, cmdNewDaemon, cmdDelDaemon}
	filter := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.NETLINK_GENERIC}, // each of these jumps to pass over
		bpf.LoadAbsolute{Off: typeAt, Size: half},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(networkOrder(family))},
		bpf.LoadAbsolute{Off: flagsAt, Size: half},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: uint32(networkOrder(unix.NLM_F_REQUEST))}, // an answer
		bpf.LoadAbsolute{Off: senderAt, Size: word},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: networkOrder32(self)},
		bpf.LoadAbsolute{Off: commandAt, Size: 1},
	}
	passOver := len(filter) + len(edits)
	for at := range filter {
		if jump, ok := filter[at].(bpf.JumpIf); ok {
			jump.SkipTrue = uint8(passOver - at - 1)
			filter[at] = jump
		}
	}
	for _, edit := range edits {
		filter = append(filter, bpf.JumpIf{Cond: bpf.JumpEqual, Val: edit, SkipTrue: uint8(passOver - len(filter))})
	}
	return append(filter, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: all})
}

func networkOrder(v uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v))
}

func networkOrder32(v uint32) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, v))
}
