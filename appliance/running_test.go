package appliance

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"dipper/appliance/api"
	"dipper/appliance/ipvs"
)

// pair is a director with two real servers.
const pair = `# the cluster of the tests
role: director
hostname: lb1
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24]} # the DIP
services:
  web:
    listen: 192.168.4.15:80
    protocol: tcp
    scheduler: wrr
    forward: dr
    real-servers:
      - {address: 192.168.4.100, weight: 1}
      - {address: 192.168.4.200, weight: 2}
`

// serves runs yaml on a machine of its own clock, without a socket, until the
// test ends or kill is called. It belongs into a bubble.
func (m *machine) serves(t *testing.T) (b *backend, kill func()) {
	t.Helper()
	began := time.Now()
	if m.options.Uptime == nil {
		m.options.Uptime = func() time.Duration { return time.Since(began) + time.Second }
	}
	p := assemble(t.Context(), m.options)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := p.run(ctx, func(context.Context, *errgroup.Group) {}); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	stopped := false
	kill = func() {
		if !stopped {
			stopped = true
			cancel()
			<-ended
		}
	}
	t.Cleanup(kill)
	synctest.Wait()
	return p.backend, kill
}

// bubble runs a test of a serving director in a bubble.
func bubble(t *testing.T, yaml string, test func(t *testing.T, m *machine, b *backend)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots(yaml)
		b, kill := m.serves(t)
		defer kill()
		if s := b.Status(t.Context(), -1); s.State != api.Serving {
			t.Fatalf("status %+v", s)
		}
		m.take()
		test(t, m, b)
	})
}

// TestCommitWhileDumpsMissEntries: what one dump misses is not added again, which
// the kernel would refuse and the commit be undone for.
func TestCommitWhileDumpsMissEntries(t *testing.T) {
	for _, skipped := range []int{0, 1} {
		bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
			m.table.misses, m.table.dumps = true, skipped
			anna := as(t, "anna", "s1")
			c := candidateOf(t, anna, b, "set services web real-servers 192.168.4.200 weight 9")
			if _, err := b.Commit(anna, c.ID, api.CommitOptions{}); err != nil {
				t.Errorf("Commit = %v", err)
			}
			want := []string{"ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 9"}
			if edits := m.take(); !slices.Equal(edits, want) {
				t.Errorf("edits %q, want %q", edits, want)
			}
		})
	}
}

// TestCommitBesideSomebodyElse has a real server deleted by somebody else between
// the look at the table and the edit of it.
func TestCommitBesideSomebodyElse(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		table, err := m.table.Fake.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		web := table.Services[0]
		m.table.editing = sync.OnceFunc(func() {
			err := m.table.Intrude(ipvs.Op{Kind: ipvs.DeleteRealServer, Service: web, RealServer: web.RealServers[1]})
			if err != nil {
				t.Error(err)
			}
		})
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b, "set services web real-servers 192.168.4.200 weight 9")
		if _, err := b.Commit(anna, c.ID, api.CommitOptions{}); err != nil {
			t.Errorf("Commit = %v", err)
		}
		if got, want := m.table.String(), "-a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 9"; !strings.Contains(got, want) {
			t.Errorf("the table is\n%s\nwant %q in it", got, want)
		}
	})
}

// TestRefusedEntryStopsNothingElse has a kernel without one scheduler.
func TestRefusedEntryStopsNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.table.lacks = "mh"
		m.boots(pair + `  bad:
    listen: 192.168.4.15:81
    scheduler: mh
    forward: dr
    real-servers: [{address: 192.168.4.100}]
`)
		b, kill := m.serves(t)
		defer kill()
		s := b.Status(t.Context(), -1)
		if s.State != api.Degraded || len(s.Problems) == 0 || !strings.Contains(s.Problems[0], `service "bad"`) {
			t.Errorf("status %+v: want it degraded by service bad", s)
		}
		if got := m.table.String(); strings.Count(got, "-r 192.168.4.") != 2 {
			t.Errorf("table:\n%swant all of web", got)
		}
		// What is refused is nobody's drift, and hinders no other change.
		time.Sleep(3 * auditInterval)
		synctest.Wait()
		for e := range b.Events(t.Context(), 0, false) {
			t.Errorf("event %+v", e)
		}
		if status, said := adm(t, b, "", "-e -t 192.168.4.15:80 -r 192.168.4.100 -g -w 7"); status != 0 {
			t.Errorf("another change: exit status %d, said %q", status, said)
		}
	})
}
