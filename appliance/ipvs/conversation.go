package ipvs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"
)

// patience is how long one request may take when the context has no earlier
// deadline. The kernel answers in the call itself; only a lock in the kernel
// that never comes free could take this long.
const patience = 10 * time.Second

// Sizes, in bytes. The kernel makes the datagrams of a dump as large as the
// largest buffer that was ever read into, up to 32 KiB
// (net/netlink/af_netlink.c, netlink_recvmsg and netlink_dump).
const (
	messageHeader = 16 // struct nlmsghdr
	genericHeader = 4  // struct genlmsghdr
	largestAnswer = 32 << 10
)

// Edits go to the kernel in batches, one datagram each. The socket has room for
// an answer to every one of them, should the kernel refuse them all: 1 KiB is
// what a short message takes in a socket's accounts.
const (
	batch         = 128
	answerRoom    = 1 << 10
	receiveBuffer = batch * answerRoom * 2
)

// The controller of generic netlink tells the numbers of families
// (uapi/linux/genetlink.h).
const (
	controllerFamily     = unix.GENL_ID_CTRL
	controllerVersion    = 2
	controllerGetFamily  = unix.CTRL_CMD_GETFAMILY
	controllerFamilyID   = unix.CTRL_ATTR_FAMILY_ID
	controllerFamilyName = unix.CTRL_ATTR_FAMILY_NAME
)

// connection is what a conversation needs of a netlink socket: whole datagrams.
type connection interface {
	Read(b []byte) (int, error)
	Write(b []byte) (int, error)
	SetDeadline(t time.Time) error
	Close() error
}

var _ connection = (*socket.Conn)(nil)

// refusal is the kernel's answer to a request: what it said no with.
type refusal struct {
	errno unix.Errno
	text  string // in the kernel's words; mostly empty
}

func (r *refusal) Error() string {
	if r.text != "" {
		return r.errno.Error() + " (" + r.text + ")"
	}
	return r.errno.Error()
}

func (r *refusal) Unwrap() error { return r.errno }

// conversation is what is said on one socket with one generic netlink family.
// Its buffers are used again for every message.
type conversation struct {
	connection
	family   uint16
	version  uint8
	sender   uint32
	sequence uint32
	out      []byte
	in       []byte
}

// dial opens a socket in a network namespace, given as an open file of it or
// as 0 for the present one, and looks the family up. It does so on every new
// socket: the number changes when a kernel module is loaded again.
func dial(namespace int) (*conversation, error) {
	conn, err := openNetlink(unix.NETLINK_GENERIC, namespace)
	if err != nil {
		return nil, fmt.Errorf("ipvs: open generic netlink: %w", err)
	}
	c := &conversation{connection: conn, family: controllerFamily, version: controllerVersion, sender: ownSender()}
	family, err := c.lookUp(familyName)
	if err != nil {
		return nil, errors.Join(lookupError(err), conn.Close())
	}
	c.family, c.version = family, familyVersion
	return c, nil
}

// ownSender is what our messages bear in the field for their sender, which the
// kernel does not read: that a socket has the number of its process is a habit.
// Watch knows our own edits by it.
func ownSender() uint32 { return uint32(os.Getpid()) }

func openNetlink(protocol, namespace int) (*socket.Conn, error) {
	conn, err := socket.Socket(unix.AF_NETLINK, unix.SOCK_RAW, protocol, "netlink", &socket.Config{NetNS: namespace})
	if err != nil {
		return nil, err
	}
	if err := configure(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func configure(conn *socket.Conn) error {
	if err := conn.Bind(&unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	if err := conn.SetReadBuffer(receiveBuffer); err != nil {
		return err
	}
	// Kernels without these say less, or more, about what they refuse.
	_ = conn.SetsockoptInt(unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = conn.SetsockoptInt(unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return nil
}

func (c *conversation) lookUp(name string) (family uint16, err error) {
	request := appendString(nil, controllerFamilyName, name)
	err = c.ask(context.Background(), controllerGetFamily, 0, request, func(answer []byte) error {
		return eachAttribute(answer, func(attribute uint16, value []byte) error {
			if attribute == controllerFamilyID {
				return readUint16(value, &family)
			}
			return nil
		})
	})
	if err == nil && family < unix.NLMSG_MIN_TYPE {
		err = fmt.Errorf("family number %d", family) // the kernel would acknowledge everything
	}
	return family, err
}

func lookupError(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("ipvs: %w: no generic netlink family %q", ErrNoIPVS, familyName)
	}
	return fmt.Errorf("ipvs: look up generic netlink family %q: %w", familyName, err)
}

// begin starts a message in the buffer that send sends: the caller appends the
// attributes to c.out. It returns where the message starts, for end.
func (c *conversation) begin(command uint8, flags uint16) (start int) {
	start = c.header(c.family, flags)
	c.out = append(c.out, command, c.version, 0, 0)
	return start
}

func (c *conversation) header(kind, flags uint16) (start int) {
	c.sequence++
	start = len(c.out)
	b := binary.NativeEndian.AppendUint32(c.out, 0) // the length, by end
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, c.sequence)
	c.out = binary.NativeEndian.AppendUint32(b, c.sender)
	return start
}

func (c *conversation) end(start int) {
	binary.NativeEndian.PutUint32(c.out[start:], uint32(len(c.out)-start))
}

// cancel takes back the message that begin started.
func (c *conversation) cancel(start int) {
	c.out = c.out[:start]
	c.sequence--
}

// send sends what is in the buffer, as one datagram.
func (c *conversation) send(ctx context.Context) error {
	if err := c.limit(ctx); err != nil {
		return err
	}
	_, err := c.Write(c.out)
	c.out = c.out[:0]
	return err
}

// limit gives the next call the deadline of ctx. Who let ctx end meanwhile has
// set one in the past, which must not be overwritten: hence the second look.
func (c *conversation) limit(ctx context.Context) error {
	deadline := time.Now().Add(patience)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.SetDeadline(deadline); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	return ctx.Err()
}

// answer is one message of the kernel's.
type answer struct {
	kind     uint16 // c.family, NLMSG_ERROR or NLMSG_DONE
	sequence uint32
	body     []byte // what follows the netlink header; gone with the next receive
	flags    uint16
}

// receive reads one datagram and calls each with every message in it.
func (c *conversation) receive(ctx context.Context, each func(answer) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.in == nil {
		c.in = make([]byte, largestAnswer)
	}
	n, err := c.Read(c.in)
	if err != nil {
		return err
	}
	for b := c.in[:n]; len(b) > 0; {
		if len(b) < messageHeader {
			return fmt.Errorf("message of %d bytes", len(b))
		}
		length := int(binary.NativeEndian.Uint32(b))
		if length < messageHeader || length > len(b) {
			return fmt.Errorf("message of %d bytes where %d are left", length, len(b))
		}
		err := each(answer{
			kind:     binary.NativeEndian.Uint16(b[4:]),
			flags:    binary.NativeEndian.Uint16(b[6:]),
			sequence: binary.NativeEndian.Uint32(b[8:]),
			body:     b[messageHeader:length],
		})
		if err != nil {
			return err
		}
		b = b[min(align(length), len(b)):]
	}
	return nil
}

// errno reads the body of NLMSG_ERROR and NLMSG_DONE: a negative errno first.
func (a answer) errno() (unix.Errno, error) {
	if len(a.body) < 4 {
		return 0, fmt.Errorf("end of %d bytes", len(a.body))
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(a.body))), nil
}

// refusal reads the body of NLMSG_ERROR: nil is an acknowledgement.
func (a answer) refusal() (*refusal, error) {
	errno, err := a.errno()
	if err != nil || errno == 0 {
		return nil, err
	}
	r := &refusal{errno: errno}
	const request = 4 + messageHeader // the errno, and the header of what it answers
	if a.flags&unix.NLM_F_ACK_TLVS != 0 && a.flags&unix.NLM_F_CAPPED != 0 && len(a.body) > request {
		// What the kernel says of its reasons matters less than its errno.
		_ = eachAttribute(a.body[request:], func(attribute uint16, value []byte) error {
			if attribute == unix.NLMSGERR_ATTR_MSG {
				r.text = text(value)
			}
			return nil
		})
	}
	return r, nil
}

// ask sends one request, with the attributes given, and reads its answers: one,
// or with NLM_F_DUMP many. Read gets their attributes.
func (c *conversation) ask(ctx context.Context, command uint8, flags uint16, request []byte, read func(attributes []byte) error) error {
	c.out = c.out[:0]
	start := c.begin(command, flags|unix.NLM_F_ACK)
	c.out = append(c.out, request...)
	c.end(start)
	if err := c.send(ctx); err != nil {
		return err
	}
	for ended := false; !ended; {
		err := c.receive(ctx, func(a answer) (err error) {
			if a.sequence != c.sequence {
				return fmt.Errorf("answer to message %d, expected %d", a.sequence, c.sequence)
			}
			ended, err = a.to(read)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// carryOut sends the messages in the buffer as one datagram, and after them one
// that does nothing. The kernel carries out a datagram in order, before the
// call that sends it returns, and answers every message that it refuses; its
// answer to the last proves that all before it were carried out. Asked to
// acknowledge each, it would now and then not: what it answers EINTR to, it
// does not answer, such as the stop of a daemon that has not run yet
// (net/netlink/af_netlink.c, netlink_rcv_skb; ip_vs_sync.c, stop_sync_thread).
//
// Refused gets the number of a message, counted from 0, and why. The error means
// that the last answer did not come.
func (c *conversation) carryOut(ctx context.Context, count int, refused func(number int, why *refusal)) error {
	first := c.sequence - uint32(count) + 1
	c.end(c.header(unix.NLMSG_NOOP, unix.NLM_F_ACK))
	if err := c.send(ctx); err != nil {
		return err
	}
	for ended := false; !ended; {
		err := c.receive(ctx, func(a answer) error {
			number := a.sequence - first
			if number > uint32(count) || a.kind != unix.NLMSG_ERROR {
				return fmt.Errorf("answer of kind %d to message %d, expected one to %d up to %d", a.kind, a.sequence, first, c.sequence)
			}
			ended = a.sequence == c.sequence
			why, err := a.refusal()
			if err == nil && why != nil && !ended {
				refused(int(number), why)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// to gives an answer to who asked, and tells whether it was the last.
func (a answer) to(read func(attributes []byte) error) (last bool, err error) {
	switch a.kind {
	case unix.NLMSG_ERROR:
		refused, err := a.refusal()
		if err == nil && refused != nil {
			err = refused
		}
		return true, err
	case unix.NLMSG_DONE:
		errno, err := a.errno()
		if err == nil && errno != 0 {
			err = &refusal{errno: errno}
		}
		return true, err
	}
	if len(a.body) < genericHeader {
		return false, fmt.Errorf("generic message of %d bytes", len(a.body))
	}
	return false, read(a.body[genericHeader:])
}
