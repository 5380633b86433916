package appliance

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"dipper/appliance/ipvs"
	"dipper/appliance/ipvsadm"
)

func TestRefusal(t *testing.T) {
	edit := func(k ipvs.Kind, errno unix.Errno) error {
		return fmt.Errorf("ipvs: %w", &ipvs.OpError{Op: ipvs.Op{Kind: k}, Err: errno})
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{edit(ipvs.AddRealServer, unix.EINVAL), "Invalid operation.  Possibly wrong module version, address not unicast, ...: because"},
		{edit(ipvs.AddService, unix.EEXIST), "Service already exists: because"},
		{edit(ipvs.AddService, unix.ENOENT), "Scheduler or persistence engine not found: because"},
		{edit(ipvs.EditService, unix.ESRCH), "No such service: because"},
		{edit(ipvs.AddRealServer, unix.ESRCH), "Service not defined: because"},
		{edit(ipvs.AddRealServer, unix.EEXIST), "Destination already exists: because"},
		{edit(ipvs.DeleteRealServer, unix.ENOENT), "No such destination: because"},
		{edit(ipvs.EditRealServer, unix.ERANGE), "Numerical result out of range: because"},
		{edit(ipvs.AddService, unix.EPERM), "Permission denied (you must be root): because"},
		{fmt.Errorf("ipvs: start master daemon: %w", unix.ENODEV), "No such device: because"},
		{fmt.Errorf("ipvs: start master daemon: %w", unix.EINVAL), "Invalid operation.  Possibly wrong module version, address not unicast, ...: because"},
	} {
		if got := refusalOf(tt.err, "because"); got == nil || got.Error() != tt.want || got.Status != ipvsadm.StatusRefused {
			t.Errorf("%v: got %v, want %q", tt.err, got, tt.want)
		}
	}
	if got := refusalOf(errors.New("no kernel said so"), "because"); got != nil {
		t.Errorf("without an errno: %v", got)
	}
}
