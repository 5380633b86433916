package ipvsadm

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"dipper/appliance/ipvs"
)

func TestRefusal(t *testing.T) {
	edit := func(k ipvs.Kind, errno syscall.Errno) error {
		return fmt.Errorf("ipvs: %w", &ipvs.OpError{Op: ipvs.Op{Kind: k}, Err: errno})
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{edit(ipvs.AddRealServer, syscall.EINVAL), "Invalid operation.  Possibly wrong module version, address not unicast, ...: because"},
		{edit(ipvs.AddService, syscall.EEXIST), "Service already exists: because"},
		{edit(ipvs.AddService, syscall.ENOENT), "Scheduler or persistence engine not found: because"},
		{edit(ipvs.EditService, syscall.ESRCH), "No such service: because"},
		{edit(ipvs.AddRealServer, syscall.ESRCH), "Service not defined: because"},
		{edit(ipvs.AddRealServer, syscall.EEXIST), "Destination already exists: because"},
		{edit(ipvs.DeleteRealServer, syscall.ENOENT), "No such destination: because"},
		{edit(ipvs.EditRealServer, syscall.ERANGE), "Numerical result out of range: because"},
		{edit(ipvs.AddService, syscall.EPERM), "Permission denied (you must be root): because"},
		{fmt.Errorf("ipvs: start master daemon: %w", syscall.ENODEV), "No such device: because"},
		{fmt.Errorf("ipvs: start master daemon: %w", syscall.EINVAL), "Invalid operation.  Possibly wrong module version, address not unicast, ...: because"},
	} {
		if got := Refusal(tt.err, "because"); got == nil || got.Error() != tt.want || got.Status != StatusRefused {
			t.Errorf("%v: got %v, want %q", tt.err, got, tt.want)
		}
	}
	if got := Refusal(errors.New("no kernel said so"), "because"); got != nil {
		t.Errorf("without an errno: %v", got)
	}
}

// TestSays holds it to the parser: what ipvsadm has words for, it reads again.
func TestSays(t *testing.T) {
	vip, rip := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("10.0.0.1")
	for _, protocol := range []ipvs.Protocol{ipvs.TCP, ipvs.UDP, ipvs.SCTP, ipvs.ESP, ipvs.AH} {
		for _, tunnel := range []ipvs.Tunnel{
			{}, {Type: ipvs.GRE}, {Type: ipvs.GRE, Checksum: true},
			{Type: ipvs.GUE, Port: 6080}, {Type: ipvs.GUE, Port: 6080, Checksum: true}, {Type: ipvs.GUE, Port: 6080, RemoteChecksum: true},
			{Type: ipvs.GUE, Port: 6080, Checksum: true, RemoteChecksum: true},
		} {
			op := ipvs.Op{
				Kind:       ipvs.AddRealServer,
				Service:    ipvs.Service{Key: ipvs.Key{Protocol: protocol, Address: vip, Port: 80}},
				RealServer: ipvs.RealServer{Address: rip, Port: 80, Forward: ipvs.TUN, Tunnel: tunnel, Weight: 1},
			}
			command, err := Parse(strings.Fields(op.String())[1:], nil)
			reads := err == nil && command.Service.Key == op.Service.Key && command.RealServer == op.RealServer
			if Says(&op) != reads {
				t.Errorf("Says(%s) = %t; read again: %+v, %v", op, !reads, command.RealServer, err)
			}
		}
	}
}
