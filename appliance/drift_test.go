package appliance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/events"
	"dipper/appliance/ipvs"
)

// TestUnnoticedDriftIsFound edits the kernel's table without a notice, as the
// old socket options do: the next look at it finds that.
func TestUnnoticedDriftIsFound(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		before := m.table.String()
		table, err := m.table.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		web := table.Services[0]
		if err := m.table.Fake.Apply(t.Context(), []ipvs.Op{{Kind: ipvs.DeleteRealServer, Service: web, RealServer: web.RealServers[0]}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(auditInterval)
		synctest.Wait()
		if got := m.table.String(); got != before {
			t.Errorf("after %v the table is\n%swant:\n%s", auditInterval, got, before)
		}
		told := 0
		for e := range b.Events(t.Context(), 0, false) {
			if e.Kind == events.Drift {
				told++
			}
		}
		if told != 1 {
			t.Errorf("%d events tell of it, want 1", told)
		}
	})
}

// TestDriftBesideTheTable has somebody set the timeouts, stop a daemon and start
// another.
func TestDriftBesideTheTable(t *testing.T) {
	const (
		before = "1000 120 300, master of eth0 3"
		edited = "500 120 300, backup of eth0 9"
	)
	for drift, tt := range map[string]struct {
		want, says string
		unsaved    bool
	}{
		"repair": {before, "put back", false},
		"adopt":  {edited, "taken over", true},
		"report": {edited, "left as it is", false},
	} {
		t.Run(drift, func(t *testing.T) {
			const beside = "ipvs: {timeouts: {tcp: 1000s}, sync: {master: {interface: eth0, id: 3}}, drift: "
			bubble(t, pair+beside+drift+"}\n", func(t *testing.T, m *machine, b *backend) {
				if got := besideTable(t, m); got != before {
					t.Fatalf("at first: %s, want %s", got, before)
				}
				ctx := t.Context()
				for _, err := range []error{
					m.table.SetTimeouts(ctx, ipvs.Timeouts{TCP: 500}),
					m.table.StopDaemon(ctx, ipvs.Master),
					m.table.StartDaemon(ctx, ipvs.Daemon{State: ipvs.Backup, Interface: "eth0", SyncID: 9}),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
				m.foreign(t)
				time.Sleep(5 * auditInterval)
				synctest.Wait()
				if got := besideTable(t, m); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
				if s := b.Status(ctx, -1); s.Unsaved != tt.unsaved {
					t.Errorf("status %+v, want unsaved %v", s, tt.unsaved)
				}
				told := 0
				for e := range b.Events(ctx, 0, false) {
					if e.Kind == events.Drift && strings.Contains(e.Text, tt.says) && strings.Contains(e.Text, "ipvs.") {
						told++
					}
				}
				if told != 3 {
					t.Errorf("%d events say %q, want 3, each once", told, tt.says)
				}
			})
		})
	}
}

// besideTable is what the kernel has beside its table: timeouts and daemons.
func besideTable(t *testing.T, m *machine) string {
	t.Helper()
	timeouts, err := m.table.Timeouts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	daemons, err := m.table.Daemons(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%d %d %d", timeouts.TCP, timeouts.TCPFin, timeouts.UDP)
	for _, d := range daemons {
		text += fmt.Sprintf(", %s of %s %d", d.State, d.Interface, d.SyncID)
	}
	return text
}

// foreign edits the kernel's table as somebody else would, and tells of it.
func (m *machine) foreign(t *testing.T, ops ...ipvs.Op) {
	t.Helper()
	if err := m.table.Fake.Apply(t.Context(), ops); err != nil {
		t.Fatal(err)
	}
	m.table.foreign <- struct{}{}
	time.Sleep(time.Second)
	synctest.Wait()
}

func TestDrift(t *testing.T) {
	// Somebody sets a weight, takes a real server out and adds a service.
	foreignEdits := func(m *machine) []ipvs.Op {
		table, err := m.table.Observe(context.Background())
		if err != nil {
			panic(err)
		}
		web := table.Services[0]
		heavy := web.RealServers[0]
		heavy.Weight = 9
		mail := ipvs.Service{Key: ipvs.Key{Protocol: ipvs.TCP, Address: web.Address, Port: 25}, Scheduler: "rr"}
		return []ipvs.Op{
			{Kind: ipvs.EditRealServer, Service: web, RealServer: heavy},
			{Kind: ipvs.DeleteRealServer, Service: web, RealServer: web.RealServers[1]},
			{Kind: ipvs.AddService, Service: mail},
		}
	}
	const before = "-A -t 192.168.4.15:80 -s wrr\n" +
		"-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1\n" +
		"-a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 2\n"
	const edited = "-A -t 192.168.4.15:25 -s rr\n" +
		"-A -t 192.168.4.15:80 -s wrr\n" +
		"-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 9\n"
	tests := map[string]struct {
		table   string
		unsaved bool
		says    string
	}{
		"repair": {before, false, "put back"},
		"adopt":  {edited, true, "taken over"},
		"report": {edited, false, "left as it is"},
	}
	for drift, tt := range tests {
		t.Run(drift, func(t *testing.T) {
			bubble(t, pair+"ipvs: {drift: "+drift+"}\n", func(t *testing.T, m *machine, b *backend) {
				m.foreign(t, foreignEdits(m)...)
				time.Sleep(5 * auditInterval)
				synctest.Wait()
				if got := m.table.String(); got != tt.table {
					t.Errorf("table:\n%swant:\n%s", got, tt.table)
				}
				if s := b.Status(t.Context(), -1); s.Unsaved != tt.unsaved || s.State != api.Serving {
					t.Errorf("status %+v, want unsaved %v", s, tt.unsaved)
				}
				told := 0
				for e := range b.Events(t.Context(), 0, false) {
					if e.Kind == events.Drift && strings.Contains(e.Text, tt.says) {
						told++
					}
				}
				if status, said := adm(t, b, "", "-Z"); status != 0 || m.table.String() != tt.table {
					t.Errorf("zeroing, exit status %d, said %q, table:\n%s", status, said, m.table.String())
				}
				if told != 3 {
					t.Errorf("%d events say %q, want 3, each once", told, tt.says)
				}
			})
		})
	}
}

// TestOneDumpDecidesNothing misses an entry in every other dump.
func TestOneDumpDecidesNothing(t *testing.T) {
	bubble(t, pair+"ipvs: {drift: adopt}\n", func(t *testing.T, m *machine, b *backend) {
		m.table.misses = true
		for range 5 {
			m.table.foreign <- struct{}{}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if b.Status(t.Context(), -1).Unsaved {
			yaml, _ := b.Config(t.Context())
			t.Errorf("a dump that missed an entry was believed:\n%s", yaml)
		}
		if edits := m.take(); len(edits) > 0 {
			t.Errorf("edits %q", edits)
		}
	})
}

// TestAdoptingTakesOverNothingElse sets one weight by somebody else's hand. The
// daemons beside the table stay as they are written, also one that the kernel
// has refused so far.
func TestAdoptingTakesOverNothingElse(t *testing.T) {
	absent := strings.Replace(pair, "    eth0: {addresses", "    lan: {}\n    eth0: {addresses", 1)
	for link, yaml := range map[string]string{"eth0": pair, "lan": absent} {
		sync := "sync: {master: {interface: " + link + "}}"
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(t)
			m.options.Uptime = nil
			m.boots(yaml + "ipvs: {drift: adopt, " + sync + "}\n")
			b, kill := m.serves(t)
			defer kill()
			m.foreign(t, m.weigh(t, 9))
			got, err := b.Config(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"192.168.4.100, weight: 9}", sync + "\n"} {
				if !strings.Contains(string(got), want) {
					t.Errorf("running configuration:\n%swant %q in it", got, want)
				}
			}
		})
	}
}

// weigh is the edit that gives the first real server of pair a weight.
func (m *machine) weigh(t *testing.T, weight uint32) ipvs.Op {
	t.Helper()
	table, err := m.table.Fake.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server := table.Services[0].RealServers[0]
	server.Weight = weight
	return ipvs.Op{Kind: ipvs.EditRealServer, Service: table.Services[0], RealServer: server}
}

// TestAChangeTellsOfReportedEditsItPutsBack: whoever left them there, because
// the configuration says so, learns that they are gone.
func TestAChangeTellsOfReportedEditsItPutsBack(t *testing.T) {
	bubble(t, pair+"ipvs: {drift: report}\n", func(t *testing.T, m *machine, b *backend) {
		const put = "an edit by somebody else is put back with a change: ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1"
		told := func() (n int) {
			for e := range b.Events(t.Context(), 0, false) {
				if e.Kind == events.Drift && e.Text == put {
					n++
				}
			}
			return n
		}
		for round := range 2 {
			m.foreign(t, m.weigh(t, 9))
			time.Sleep(2 * auditInterval)
			synctest.Wait()
			if got := m.table.String(); !strings.Contains(got, "-w 9") || told() != round {
				t.Errorf("it is told of %d times, want %d; the table is\n%s", told(), round, got)
			}
			if status, said := adm(t, b, "", []string{"-A -t 192.168.4.15:443 -s rr", "-D -t 192.168.4.15:443"}[round]); status != 0 {
				t.Errorf("exit status %d, said %q", status, said)
			}
			if got := m.table.String(); strings.Contains(got, "-w 9") || told() != round+1 {
				t.Errorf("it is told of %d times, want %d; the table is\n%s", told(), round+1, got)
			}
		}
	})
}
