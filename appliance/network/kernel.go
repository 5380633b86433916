package network

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

// Kernel is the running kernel's network, in the network namespace of the
// process. Its methods may be called from several goroutines: reads and edits
// are serialised, because a dump is no snapshot while somebody writes.
type Kernel struct {
	mu        sync.Mutex
	netlink   netlink.Handle // the zero Handle: a fresh socket for each request
	sysctls   sysctlTree
	announcer *announcer
}

// withReasons asks netlink sockets for the kernel's reason beside the errno
// ("Device can not be enslaved while up"). The library has only a global
// variable for that.
var withReasons sync.Once

// Open prepares access to the kernel. It needs CAP_NET_ADMIN to edit.
func Open() (*Kernel, error) {
	withReasons.Do(func() { nl.EnableErrorMessageReporting = true })
	k := &Kernel{sysctls: sysctlTree{root: "/proc/sys"}}
	if _, err := k.netlink.LinkByName("lo"); err != nil {
		return nil, fmt.Errorf("network: netlink: %w", err)
	}
	k.announcer = newAnnouncer(packetWire{})
	return k, nil
}

// Close ends pending announcements. It changes nothing in the kernel.
func (k *Kernel) Close() {
	k.announcer.close()
}

// Op is one edit of the kernel. It prints as the command that an
// administrator would type.
type Op interface {
	fmt.Stringer
	// subject names the link that the edit works on; "" when on none.
	subject() string
	apply(k *Kernel) error
}

// maker is an Op whose failure leaves a link missing, so that what works on
// that link need not be tried.
type maker interface {
	makes() string
}

// OpError is an Op that the kernel refused, and why.
type OpError struct {
	Op  string
	Err error
}

// Error names the edit as a command, and the reason.
func (e *OpError) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap gives the reason, an errno in most cases.
func (e *OpError) Unwrap() error { return e.Err }

// Apply tries each op in order and returns the joined *OpErrors of those that
// failed. A refused op stops only those that work on the link it should have
// made. Announcements are sent in the background.
func (k *Kernel) Apply(ctx context.Context, ops []Op) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	missing := make(map[string]bool)
	for _, op := range ops {
		err := k.try(ctx, op, missing)
		if err == nil {
			continue
		}
		errs = append(errs, &OpError{Op: op.String(), Err: err})
		if m, ok := op.(maker); ok {
			missing[m.makes()] = true
		}
	}
	return errors.Join(errs...)
}

func (k *Kernel) try(ctx context.Context, op Op, missing map[string]bool) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not tried: %w", err)
	}
	if link := op.subject(); missing[link] {
		return fmt.Errorf("not tried: link %s is missing", link)
	}
	return op.apply(k)
}

// link finds a link by its present name.
func (k *Kernel) link(name string) (netlink.Link, error) {
	link, err := k.netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", name, err)
	}
	return link, nil
}
