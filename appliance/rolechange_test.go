package appliance

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/appliance/network"
)

const formerDirectorYAML = `
role: director
hostname: lb1
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24]}
services:
  web:
    listen: 192.168.4.15:80
    protocol: tcp
    forward: dr
    real-servers:
      - {address: 192.168.4.100}
ipvs:
  sync:
    master: {interface: eth0}
`

const newRealServerYAML = `
role: real-server
hostname: web3
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24]}
virtual-addresses:
  - {address: 192.168.4.15, forward: dr}
serve:
  - {protocol: http, port: 80, body: "web3"}
`

// TestADirectorBecomesARealServer leaves nothing of the director: a virtual
// service that stayed would take what comes for the VIP and send it on to other
// real servers, instead of the program here.
func TestADirectorBecomesARealServer(t *testing.T) {
	bubble(t, formerDirectorYAML, func(t *testing.T, m *machine, b *backend) {
		m.network.mu.Lock()
		m.network.now.Links = append(m.network.now.Links, network.Link{Name: "lo", Kind: network.Fallback, Up: true})
		m.network.mu.Unlock()
		done, err := b.Apply(t.Context(), []byte(newRealServerYAML), false)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, edit := range done.Plan {
			if strings.Contains(edit, "192.168.4.15") || strings.HasPrefix(edit, "ipvsadm") {
				order = append(order, edit)
			}
		}
		want := []string{
			"ip addr del 192.168.4.15/32 dev eth0",
			"ipvsadm -D -t 192.168.4.15:80  # ends the connections of this virtual service: its protocol, address, port and mark cannot be edited",
			"ipvsadm --stop-daemon master",
			"ip addr add 192.168.4.15/32 dev lo noprefixroute",
		}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("edits (-want +got):\n%s", diff)
		}
		if text := m.table.String(); text != "" {
			t.Errorf("left in the table:\n%s", text)
		}
		if s := b.Status(t.Context(), -1); s.State != api.Serving || s.Role != "real-server" {
			t.Errorf("status %+v", s)
		}
	})
}
