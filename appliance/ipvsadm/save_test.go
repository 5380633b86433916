package ipvsadm

import (
	"net/netip"
	"strings"
	"testing"

	"dipper/appliance/ipvs"
)

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
