package appliance

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"dipper/appliance/api"
	"dipper/appliance/ipvs"
	"dipper/appliance/ipvsadm"
)

// inItsWords begins what the kernel refused with the words that ipvsadm has for
// it: scripts look for them.
func inItsWords(err error) error {
	no, ok := errors.AsType[*api.Error](err)
	if !ok || no.Cause == nil {
		return err
	}
	if said := refusalOf(no.Cause, no.Error()); said != nil {
		return said
	}
	return err
}

// refusalOf is what ipvsadm says when the kernel refuses something: err has its
// errno, and that of an edit of the table its *ipvs.OpError. It is nil without
// an errno. The words are libipvs's (libipvs.c, ipvs_strerror).
func refusalOf(err error, detail string) *ipvsadm.Error {
	errno, ok := errors.AsType[unix.Errno](err)
	if !ok {
		return nil
	}
	message := generally(errno)
	if op, ok := errors.AsType[*ipvs.OpError](err); ok {
		if words := ofEdit(op.Op.Kind, errno); words != "" {
			message = words
		}
	}
	return &ipvsadm.Error{Status: ipvsadm.StatusRefused, Message: message, Detail: detail}
}

// ofEdit is what an errno means to an edit of the table, "" if nothing
// special.
func ofEdit(k ipvs.Kind, errno unix.Errno) string {
	service := k == ipvs.AddService || k == ipvs.EditService || k == ipvs.DeleteService
	switch {
	case errno == unix.EEXIST && k == ipvs.AddService:
		return "Service already exists"
	case errno == unix.EEXIST && k == ipvs.AddRealServer:
		return "Destination already exists"
	case errno == unix.ESRCH && service:
		return "No such service"
	case errno == unix.ESRCH:
		return "Service not defined"
	case errno == unix.ENOENT && (k == ipvs.AddService || k == ipvs.EditService):
		return "Scheduler or persistence engine not found"
	case errno == unix.ENOENT && (k == ipvs.EditRealServer || k == ipvs.DeleteRealServer):
		return "No such destination"
	}
	return ""
}

// generally is what an errno means to every command. What libipvs has no words
// for is strerror(3)'s, of which Go has a small letter before.
func generally(errno unix.Errno) string {
	switch errno {
	case unix.EPERM:
		return "Permission denied (you must be root)"
	case unix.EINVAL:
		return ipvsadm.InvalidOperation
	case unix.ENOMEM:
		return "Memory allocation problem"
	case unix.EOPNOTSUPP:
		return "Operation not supported with IPv6"
	case unix.EAFNOSUPPORT:
		return "Operation not supported with specified address family"
	}
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}
