package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// patience is how long one message may take when the context has no earlier
// deadline. The kernel answers in the call itself; only a lock in the kernel
// that never comes free could take this long.
const patience = 10 * time.Second

// connection is what Kernel needs of a generic netlink socket.
type connection interface {
	Execute(m genetlink.Message, family uint16, flags netlink.HeaderFlags) ([]genetlink.Message, error)
	SetDeadline(t time.Time) error
	Close() error
}

var _ connection = (*genetlink.Conn)(nil)

// Kernel is the running kernel's IPVS table. It is safe for concurrent use:
// reads wait for writes, because a dump is not a snapshot while somebody edits
// the table.
type Kernel struct {
	dial      func() (connection, uint16, error) // with the number of the family IPVS
	openTable func(name string) (io.ReadCloser, error)

	table sync.Mutex // held over a whole Observe, Statistics or Apply

	conn   connection // nil after an error that may have left answers unread
	family uint16
}

// Open connects to the kernel's IPVS. The error is ErrNoIPVS if it has none.
func Open() (*Kernel, error) {
	return open(nil)
}

// open connects by a socket of the given configuration, which may name a
// network namespace: every one has an IPVS table of its own.
func open(config *netlink.Config) (*Kernel, error) {
	k := &Kernel{
		dial:      func() (connection, uint16, error) { return dial(config) },
		openTable: openTable,
	}
	if err := k.connect(); err != nil {
		return nil, err
	}
	return k, nil
}

// dial opens a socket and looks the family up, on every new socket: its number
// changes when a kernel module is reloaded.
func dial(config *netlink.Config) (connection, uint16, error) {
	conn, err := genetlink.Dial(config)
	if err != nil {
		return nil, 0, fmt.Errorf("ipvs: open generic netlink: %w", err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("ipvs: set deadline: %w", err), conn.Close())
	}
	family, err := conn.GetFamily(familyName)
	if err != nil {
		return nil, 0, errors.Join(lookupError(err), conn.Close())
	}
	// Kernels without it just say less about what they refuse.
	_ = conn.SetOption(netlink.ExtendedAcknowledge, true)
	return conn, family.ID, nil
}

func lookupError(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("ipvs: %w: no generic netlink family %q", ErrNoIPVS, familyName)
	}
	return fmt.Errorf("ipvs: look up generic netlink family %q: %w", familyName, err)
}

func (k *Kernel) connect() (err error) {
	if k.conn == nil {
		k.conn, k.family, err = k.dial()
	}
	return err
}

func (k *Kernel) disconnect() error {
	if k.conn == nil {
		return nil
	}
	err := k.conn.Close()
	k.conn = nil
	return err
}

// Close frees the socket. The table stays as it is.
func (k *Kernel) Close() error {
	k.table.Lock()
	defer k.table.Unlock()
	return k.disconnect()
}

// Observe reads the table.
func (k *Kernel) Observe(ctx context.Context) (Table, error) {
	statistics, err := k.Statistics(ctx)
	if err != nil {
		return Table{}, err
	}
	return table(statistics), nil
}

// Statistics reads the table with everything that the kernel counts, in the
// kernel's order.
func (k *Kernel) Statistics(ctx context.Context) ([]ServiceStatistics, error) {
	k.table.Lock()
	defer k.table.Unlock()
	services, err := k.services(ctx)
	if err != nil {
		return nil, err
	}
	for i := range services {
		if services[i].RealServers, err = k.realServers(ctx, services[i].Key); err != nil {
			return nil, err
		}
	}
	return services, nil
}

// services dumps the services, each once: a dump repeats some when another
// program edits the table meanwhile.
func (k *Kernel) services(ctx context.Context) ([]ServiceStatistics, error) {
	answers, err := k.exchange(ctx, cmdGetService, netlink.Dump, nil)
	if err != nil {
		return nil, fmt.Errorf("ipvs: list virtual services: %w", err)
	}
	services := make([]ServiceStatistics, 0, len(answers))
	seen := make(map[Key]bool, len(answers))
	for _, answer := range answers {
		s, err := decodeService(answer.Data)
		if err != nil {
			return nil, err
		}
		if !seen[s.Key] {
			seen[s.Key] = true
			services = append(services, s)
		}
	}
	return services, nil
}

// realServers dumps the real servers of one service. Of a service that is
// gone meanwhile, the kernel says that it has none.
func (k *Kernel) realServers(ctx context.Context, service Key) ([]RealServerStatistics, error) {
	data, err := encodeKey(service)
	if err != nil {
		return nil, fmt.Errorf("ipvs: list real servers of %s: %w", service, err)
	}
	answers, err := k.exchange(ctx, cmdGetDest, netlink.Dump, data)
	if err != nil {
		return nil, fmt.Errorf("ipvs: list real servers of %s: %w", service, err)
	}
	servers := make([]RealServerStatistics, 0, len(answers))
	for _, answer := range answers {
		r, err := decodeRealServer(answer.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", service, err)
		}
		servers = append(servers, r)
	}
	return servers, nil
}

// Apply carries out every operation, in order, whatever becomes of the others.
// The error joins one *OpError for each that the kernel refused. Only when ctx
// ends are the remaining operations not tried, and reported as such.
func (k *Kernel) Apply(ctx context.Context, ops []Op) error {
	k.table.Lock()
	defer k.table.Unlock()
	var failed []error
	for _, op := range ops {
		if err := k.apply(ctx, op); err != nil {
			failed = append(failed, &OpError{Op: op, Err: err})
		}
	}
	return errors.Join(failed...)
}

func (k *Kernel) apply(ctx context.Context, op Op) error {
	command, data, err := op.request()
	if err != nil {
		return err
	}
	_, err = k.exchange(ctx, command, netlink.Acknowledge, data)
	return err
}

// exchange sends one request and returns its answers. After anything but an
// answer of the kernel's the socket is given up, since what is left unread on
// it would be taken for the answer to the next request.
func (k *Kernel) exchange(ctx context.Context, command uint8, flags netlink.HeaderFlags, data []byte) ([]genetlink.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := k.connect(); err != nil {
		return nil, err
	}
	release, err := limit(ctx, k.conn)
	if err != nil {
		return nil, errors.Join(err, k.disconnect())
	}
	answers, err := k.conn.Execute(genetlink.Message{
		Header: genetlink.Header{Command: command, Version: familyVersion},
		Data:   data,
	}, k.family, netlink.Request|flags)
	if !release() {
		return nil, errors.Join(ctx.Err(), k.disconnect())
	}
	if err != nil && !answered(err) {
		return nil, errors.Join(err, k.disconnect())
	}
	return answers, err
}

// answered tells whether err is the kernel's answer to the request, and not a
// failure of the socket, which has an errno too.
func answered(err error) bool {
	var errno unix.Errno
	var syscall *os.SyscallError
	return errors.As(err, &errno) && !errors.As(err, &syscall)
}

// limit gives conn the deadline of ctx, and ends its call when ctx ends. The
// caller runs release when the call is over; false means that ctx has ended,
// and that conn is spoilt.
func limit(ctx context.Context, conn connection) (release func() bool, err error) {
	deadline := time.Now().Add(patience)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	return context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // the call then fails, and says so
	}), nil
}
