package appliance

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"dipper/appliance/api"
	"dipper/appliance/ipvs"
)

// TestPlanNamesWhatConnectionsDoNotSurvive changes what the kernel cannot edit
// in place: the plan says so beside the edits, and the comparison counts.
func TestPlanNamesWhatConnectionsDoNotSurvive(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		for i, state := range []string{"ESTABLISHED", "ESTABLISHED", "FIN_WAIT"} {
			m.table.Connect(connection(4000+i, "192.168.4.200:80", state))
		}
		m.table.Connect(connection(4000, "192.168.4.100:80", "ESTABLISHED"))
		anna := as(t, "anna", "s1")
		for _, tt := range []struct {
			edits           []string
			plan, disturbed []string
		}{
			{
				edits: []string{"set services web real-servers 192.168.4.100 weight 9", "set services web scheduler rr"},
				plan: []string{
					"ipvsadm -E -t 192.168.4.15:80 -s rr",
					"ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 9",
				},
			},
			{
				edits: []string{"delete services web real-servers 192.168.4.200", "set services web real-servers 192.168.4.201"},
				plan: []string{
					"ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.201:80 -g -w 1",
					"ipvsadm -d -t 192.168.4.15:80 -r 192.168.4.200:80  # ends the connections to this real server: its address and port cannot be edited",
				},
				disturbed: []string{`service "web": real server 192.168.4.200: 3 connections end: ipvsadm -d -t 192.168.4.15:80 -r 192.168.4.200:80`},
			},
			{
				edits: []string{"set services web listen 192.168.4.15:81"},
				plan: []string{
					"ipvsadm -A -t 192.168.4.15:81 -s wrr",
					"ipvsadm -a -t 192.168.4.15:81 -r 192.168.4.100:81 -g -w 1",
					"ipvsadm -a -t 192.168.4.15:81 -r 192.168.4.200:81 -g -w 2",
					"ipvsadm -D -t 192.168.4.15:80  # ends the connections of this virtual service: its protocol, address, port and mark cannot be edited",
				},
				disturbed: []string{`service "web": 4 connections end: ipvsadm -D -t 192.168.4.15:80`},
			},
		} {
			c := candidateOf(t, anna, b, tt.edits...)
			compared, err := b.CompareCandidate(anna, c.ID, "running")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.plan, compared.Plan); diff != "" {
				t.Errorf("%s: plan (-want +got):\n%s", strings.Join(tt.edits, "; "), diff)
			}
			if diff := cmp.Diff(tt.disturbed, compared.Disturbed); diff != "" {
				t.Errorf("%s: what would not survive (-want +got):\n%s", strings.Join(tt.edits, "; "), diff)
			}
			if _, err := b.EditCandidate(anna, c.ID, api.Edit{Kind: api.EditRollback, Words: []string{"0"}}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// connection is one of a client's to the service of pair.
func connection(port int, realServer, state string) ipvs.Connection {
	return ipvs.Connection{
		Protocol: ipvs.TCP, State: state,
		Client:      netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(port)),
		Virtual:     netip.MustParseAddrPort("192.168.4.15:80"),
		Destination: netip.MustParseAddrPort(realServer),
	}
}

// TestARefusalInMaintenance names the edit where no configuration can say what
// it is about: the table of a director that nobody knows any more.
func TestARefusalInMaintenance(t *testing.T) {
	op := ipvs.Op{Kind: ipvs.DeleteService, Service: ipvs.Service{Key: ipvs.Key{
		Protocol: ipvs.TCP, Address: netip.MustParseAddr("192.168.4.15"), Port: 80}}}
	r := &reconciler{owed: map[string]bool{}}
	err := r.explain(&ipvs.OpError{Op: op, Err: unix.EPERM})
	if err == nil || !strings.Contains(err.Error(), "192.168.4.15:80") || !r.owed[op.String()] {
		t.Errorf("explained as %v, owed %v", err, r.owed)
	}
}
