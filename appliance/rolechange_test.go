package appliance

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/appliance/ipvs"
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
			"ipvsadm --stop-daemon master",
			"ip addr add 192.168.4.15/32 dev lo noprefixroute",
			"ip addr del 192.168.4.15/32 dev eth0",
			"ipvsadm -D -t 192.168.4.15:80  # ends the connections of this virtual service: its protocol, address, port and mark cannot be edited",
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

// roleChange is a configuration that gives the machine another role, and what
// may be found of both when it is over.
type roleChange struct {
	boots string
	work  func(t *testing.T, b *backend) // changes the role, and may change it back
	// roles are those that a successor may have, the one of the end last.
	roles []string
}

// override commits a configuration until it is confirmed.
func override(t *testing.T, b *backend, yaml string, confirm time.Duration) {
	t.Helper()
	anna := as(t, "anna", "s1")
	c := candidateOf(t, anna, b)
	if _, err := b.EditCandidate(anna, c.ID, api.Edit{Kind: api.EditOverride, Text: yaml}); err != nil {
		t.Error(err)
		return
	}
	if _, err := b.Commit(anna, c.ID, api.CommitOptions{Confirm: api.Duration(confirm)}); err != nil {
		t.Error(err)
	}
}

// applied makes a configuration the running one.
func applied(yaml string) func(*testing.T, *backend) {
	return func(t *testing.T, b *backend) {
		if _, err := b.Apply(t.Context(), []byte(yaml), false); err != nil {
			t.Error(err)
		}
	}
}

// onTrial commits a configuration, and lets time undo it.
func onTrial(yaml string) func(*testing.T, *backend) {
	return func(t *testing.T, b *backend) {
		override(t, b, yaml, time.Minute)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
	}
}

// TestKilledWhileTheRoleChanges kills the control plane before each edit of the
// kernel that another role takes, and after the last. Its successor has the one
// role or the other, and all of the table or nothing: also where it starts as a
// real server, which looks at no table but for that.
func TestKilledWhileTheRoleChanges(t *testing.T) {
	const director, realServer = "director", "real-server"
	tests := map[string]roleChange{
		"a director becomes a real server":    {formerDirectorYAML, applied(newRealServerYAML), []string{director, realServer}},
		"a real server becomes a director":    {newRealServerYAML, applied(formerDirectorYAML), []string{realServer, director}},
		"a director was one for a minute":     {newRealServerYAML, onTrial(formerDirectorYAML), []string{realServer}},
		"a real server was one for a minute":  {formerDirectorYAML, onTrial(newRealServerYAML), []string{director}},
		"a machine in maintenance is told so": {"", applied(formerDirectorYAML), []string{"", director}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var left []remains
			files := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				m.options.Uptime = nil
				if tt.boots != "" {
					m.boots(tt.boots)
				}
				b, _ := m.serves(t)
				left = m.killedAt(t, files, func() { tt.work(t, b) })
			})
			if len(left) < 5 {
				t.Errorf("there were only %d edits to be killed at", len(left)-1)
			}
			for i, r := range left {
				synctest.Test(t, func(t *testing.T) { tt.succeed(t, r, i, len(left)-1) })
			}
		})
	}
}

// succeed starts a successor on what is left, and looks at what it makes of it.
func (tt roleChange) succeed(t *testing.T, left remains, killed, last int) {
	t.Helper()
	m := left.succeed(t)
	m.options.Acquire = newMachine(t).options.Acquire
	if tt.boots != "" {
		m.boots(tt.boots)
	}
	b, _ := m.serves(t)
	time.Sleep(5 * time.Minute) // what is unconfirmed ends, and the kernel is looked at many times
	synctest.Wait()
	s := b.Status(t.Context(), -1)
	if !slices.Contains(tt.roles, s.Role) || killed == last && s.Role != tt.roles[len(tt.roles)-1] {
		t.Fatalf("killed before edit %d of %d: the role is %q, want one of %q", killed, last, s.Role, tt.roles)
	}
	services, daemons := "", 0
	if s.Role == "director" {
		services = "-A -t 192.168.4.15:80 -s wlc\n-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1\n"
		daemons = 1
	}
	if diff := cmp.Diff(services, m.table.String()); diff != "" {
		t.Errorf("killed before edit %d of %d, now %q: table (-want +got):\n%s", killed, last, s.Role, diff)
	}
	if running, err := m.table.Daemons(t.Context()); err != nil || len(running) != daemons {
		t.Errorf("killed before edit %d of %d, now %q: daemons %+v, %v", killed, last, s.Role, running, err)
	}
	if s.State == api.Degraded || s.Role != "" && len(s.Problems) > 0 {
		t.Errorf("killed before edit %d of %d: status %+v", killed, last, s)
	}
}

// TestATableOfSomebodyElse stays on a real server that was never a director,
// which does not even look at it, whatever is asked of the machine and however
// often its control plane starts.
func TestATableOfSomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots(newRealServerYAML)
		theirs := ipvs.Service{Key: ipvs.Key{Protocol: ipvs.TCP, Address: netip.MustParseAddr("192.168.4.77"), Port: 80}, Scheduler: "rr"}
		if err := m.table.Intrude(ipvs.Op{Kind: ipvs.AddService, Service: theirs}); err != nil {
			t.Fatal(err)
		}
		table := m.table.String()
		for range 2 {
			b, kill := m.serves(t)
			time.Sleep(3 * auditInterval)
			synctest.Wait()
			if m.table.opened != 0 {
				t.Errorf("a real server opened IPVS %d times", m.table.opened)
			}
			if _, err := b.Apply(t.Context(), []byte(formerDirectorYAML), true); err != nil {
				t.Errorf("what it would take to be a director: %v", err)
			}
			time.Sleep(3 * auditInterval)
			synctest.Wait()
			kill()
			m.table.opened = 0
		}
		if got := m.table.String(); got != table {
			t.Errorf("somebody's table is\n%s\nand was\n%s", got, table)
		}
	})
}
