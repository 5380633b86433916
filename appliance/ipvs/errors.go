package ipvs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrNoIPVS tells that the running kernel has no IPVS, or not yet.
var ErrNoIPVS = errors.New("this kernel has no IPVS")

// OpError is an operation that failed, and its place among those that were to
// be applied. Err is the errno that the kernel refused it with, or what else
// went wrong; the text gives the reason in words.
type OpError struct {
	Op    Op
	Index int
	Err   error
}

// Error returns the operation as a command and the reason, for example
// "ipvsadm -A -t 192.0.2.1:80 -s lcss: the kernel has no scheduler "lcss"".
func (e *OpError) Error() string {
	return e.Op.String() + ": " + e.Reason()
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// Reason returns why the kernel refused the operation, in words. The same
// errno means different things to different commands (ip_vs_ctl.c).
func (e *OpError) Reason() string {
	var reason string
	switch {
	case errors.Is(e.Err, ErrNotTried):
		return e.Err.Error()
	case errors.Is(e.Err, unix.ESRCH):
		reason = "no such virtual service"
	case errors.Is(e.Err, unix.EEXIST):
		reason = "exists already"
	case errors.Is(e.Err, unix.ENOENT):
		reason = e.missing()
	case errors.Is(e.Err, unix.ERANGE):
		reason = "weight above 2147483647, or lower threshold above the upper"
	case errors.Is(e.Err, unix.EINVAL):
		reason = e.invalid()
	case errors.Is(e.Err, unix.EAFNOSUPPORT):
		reason = "the kernel balances no such address family"
	case errors.Is(e.Err, unix.EPERM):
		reason = "not permitted: it takes CAP_NET_ADMIN"
	case errors.Is(e.Err, unix.ENOMEM):
		reason = "the kernel is out of memory"
	default:
		return e.Err.Error()
	}
	if text := extendedText(e.Err); text != "" {
		reason += " (" + text + ")"
	}
	return reason
}

// missing is what ENOENT means: ip_vs_add_service and ip_vs_edit_service miss
// a scheduler or a persistence engine, ip_vs_edit_dest and ip_vs_del_dest a
// real server.
func (e *OpError) missing() string {
	switch e.Op.Kind {
	case AddService, EditService:
		if e.Op.Service.Engine != "" {
			return fmt.Sprintf("the kernel has no scheduler %q or no persistence engine %q",
				e.Op.Service.Scheduler, e.Op.Service.Engine)
		}
		return fmt.Sprintf("the kernel has no scheduler %q", e.Op.Service.Scheduler)
	default:
		return "no such real server"
	}
}

// invalid is what EINVAL can mean for the operation at hand.
func (e *OpError) invalid() string {
	r := e.Op.RealServer
	switch e.Op.Kind {
	case AddRealServer, EditRealServer:
		switch {
		case r.Tunnel.Type == GUE && r.Tunnel.Port == 0:
			return "a GUE tunnel needs a port"
		case r.Address.Is4() != e.Op.Service.Address.Is4():
			return "a real server of the other address family takes forwarding by tunnel, and no connection synchronisation"
		}
		return "the kernel takes no such real server: is its address unicast, and not link-local?"
	default:
		return "the kernel takes no such virtual service"
	}
}

// Raced tells that the kernel's table was not as the plan took it to be: what
// was to be added is there (EEXIST), what was to be edited or deleted is not
// (ESRCH, ENOENT). Somebody else edits the table, or an earlier run was
// interrupted. Nothing is wrong with the operation: the next plan is made from
// the table as it is then.
func (e *OpError) Raced() bool {
	switch e.Op.Kind {
	case AddService:
		return errors.Is(e.Err, unix.EEXIST)
	case EditService:
		return errors.Is(e.Err, unix.ESRCH) // ENOENT is a scheduler that the kernel has not
	case AddRealServer:
		return errors.Is(e.Err, unix.EEXIST) || errors.Is(e.Err, unix.ESRCH)
	default:
		return errors.Is(e.Err, unix.ESRCH) || errors.Is(e.Err, unix.ENOENT)
	}
}

// extendedText is what the kernel said beside the errno, if anything.
func extendedText(err error) string {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.text
	}
	return ""
}
