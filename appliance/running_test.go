package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"dipper/appliance/api"
	"dipper/appliance/events"
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

// adm runs a command line of ipvsadm and answers its exit status and all it said.
func adm(t *testing.T, b *backend, in string, line string) (int, string) {
	t.Helper()
	var said bytes.Buffer
	status, err := b.Program(t.Context(), append([]string{"ipvsadm"}, strings.Fields(line)...), strings.NewReader(in), &said, &said)
	if err != nil {
		t.Fatalf("ipvsadm %s: %v", line, err)
	}
	return status, said.String()
}

func TestIPVSADMEditsTheRunningConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots(pair)
		b, kill := m.serves(t)
		m.take()
		for _, line := range []string{
			"-e -t 192.168.4.15:80 -r 192.168.4.100 -g -w 5",
			"-A -u 192.168.4.16:53 -s rr",
			"-a -u 192.168.4.16:53 -r 192.168.4.100 -g",
			"--set 800 0 0",
			"--start-daemon master --mcast-interface eth0 --syncid 3",
		} {
			if status, said := adm(t, b, "", line); status != 0 || said != "" {
				t.Errorf("ipvsadm %s: exit status %d, said %q", line, status, said)
			}
		}
		want := `-A -t 192.168.4.15:80 -s wrr
-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 5
-a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 2
-A -u 192.168.4.16:53 -s rr
-a -u 192.168.4.16:53 -r 192.168.4.100:53 -g -w 1
`
		if got := m.table.String(); got != want {
			t.Errorf("table:\n%swant:\n%s", got, want)
		}
		if _, said := adm(t, b, "", "-Sn"); said != want {
			t.Errorf("saved rules:\n%swant:\n%s", said, want)
		}
		if _, said := adm(t, b, "", "-L --timeout"); said != "Timeout (tcp tcpfin udp): 800 120 300\n" {
			t.Errorf("timeouts: %s", said)
		}
		edits := m.take()
		if !slices.Contains(edits, "ip addr add 192.168.4.16/32 dev eth0 noprefixroute") {
			t.Errorf("edits %q: want the new VIP", edits)
		}
		time.Sleep(3 * auditInterval)
		kill()
		b, _ = m.serves(t) // the control plane is restarted
		time.Sleep(3 * auditInterval)
		synctest.Wait()
		if edits := m.take(); len(edits) > 0 || m.table.String() != want {
			t.Errorf("lost: %q, table:\n%s", edits, m.table.String())
		}
		if s := b.Status(t.Context(), -1); !s.Unsaved || s.Source != "test" {
			t.Errorf("status %+v: want it unsaved", s)
		}
		changes, err := b.Changes(t.Context())
		wantChanges := []string{
			"set services udp-192.168.4.16-53 listen 192.168.4.16:53",
			"set services web real-servers 192.168.4.100 weight 5",
			"set ipvs timeouts tcp 13m20s",
			"set ipvs sync master interface eth0",
		}
		for _, want := range wantChanges {
			if !slices.Contains(changes.Commands, want) {
				t.Errorf("changes %q, %v: want %q among them", changes.Commands, err, want)
			}
		}
		yaml, err := b.Config(t.Context())
		if err != nil || !strings.Contains(string(yaml), "# the DIP") {
			t.Errorf("the comments are gone: %v\n%s", err, yaml)
		}
		revision, err := b.Save(t.Context(), "by hand")
		if err != nil || revision.Number != 2 || revision.Via != "save" {
			t.Errorf("Save = %+v, %v; want revision 2, the boot config being 1", revision, err)
		}
		if changes, err := b.Changes(t.Context()); err != nil || len(changes.Tree) > 0 || b.Status(t.Context(), -1).Unsaved {
			t.Errorf("after saving: %q, %v", changes.Tree, err)
		}
	})
}

func TestIPVSADMRefusals(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		table := m.table.String()
		tests := []struct {
			line, in string
			status   int
			says     string
		}{
			{line: "-A -t 192.168.4.15:80", status: 255, says: "Service already exists"},
			{line: "-d -t 192.168.4.15:80 -r 192.168.4.9", status: 255, says: "No such destination"},
			{line: "-A -t 192.168.4.16:80 -s lcss", status: 255, says: "Scheduler or persistence engine not found"},
			{line: "-A", status: 2, says: ""},
			{line: "-R", in: "-A -t 192.168.4.16:80 -s rr\n-a -t 192.168.4.17:80 -r 192.168.4.100 -g\n", status: 255, says: "line 2: "},
			{line: "--start-daemon master --mcast-interface wlan0", status: 255, says: "wlan0"},
		}
		for _, tt := range tests {
			status, said := adm(t, b, tt.in, tt.line)
			if status != tt.status || !strings.Contains(said, tt.says) {
				t.Errorf("ipvsadm %s: exit status %d, said %q; want %d and %q", tt.line, status, said, tt.status, tt.says)
			}
		}
		if got := m.table.String(); got != table || b.Status(t.Context(), -1).Unsaved {
			t.Errorf("a refused command changed something:\n%s", got)
		}
	})
}

func TestIPVSADMWithoutDirector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots("role: real-server\nnetwork: {interfaces: {eth0: {addresses: [192.168.4.100/24]}}}\nserve: [{protocol: http, port: 80, body: x}]\n")
		b, kill := m.serves(t)
		defer kill()
		if status, said := adm(t, b, "", "-Ln"); status != 255 || !strings.Contains(said, "real-server") {
			t.Errorf("exit status %d, said %q", status, said)
		}
	})
}

func TestZero(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		if status, said := adm(t, b, "", "-Z"); status != 0 {
			t.Errorf("exit status %d, said %q", status, said)
		}
		if status, said := adm(t, b, "", "-Z -t 192.168.4.99:80"); status != 255 {
			t.Errorf("a service that is not there: exit status %d, said %q", status, said)
		}
	})
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

func TestServerVerbs(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		weights := func() string {
			var list []string
			services, err := b.Services(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range services[0].RealServers {
				list = append(list, fmt.Sprintf("%s %d/%d %s", r.Address, r.Weight, r.Configured, r.State))
			}
			slices.Sort(list)
			return strings.Join(list, ", ")
		}
		set := func(v api.ServerVerb) {
			t.Helper()
			if _, err := b.SetServer(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
		want := func(when, text string) {
			t.Helper()
			if got := weights(); got != text {
				t.Errorf("%s: %s; want %s", when, got, text)
			}
		}
		set(api.ServerVerb{Server: "192.168.4.200", Verb: api.Drain})
		want("drained", "192.168.4.100:80 1/1 up, 192.168.4.200:80 0/2 drained")
		if edits, want := m.take(), []string{"ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 0"}; !cmp.Equal(edits, want) {
			t.Errorf("draining did %q, want it in place: %q", edits, want)
		}
		set(api.ServerVerb{Server: "192.168.4.200:80", Service: "web", Verb: api.Weigh, Weight: 7, For: api.Duration(time.Minute)})
		want("weighed", "192.168.4.100:80 1/1 up, 192.168.4.200:80 7/2 up")
		time.Sleep(59 * time.Second)
		synctest.Wait()
		want("a minute is not over", "192.168.4.100:80 1/1 up, 192.168.4.200:80 7/2 up")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want("the minute is over", "192.168.4.100:80 1/1 up, 192.168.4.200:80 2/2 up")
		set(api.ServerVerb{Server: "192.168.4.100", Verb: api.Disable})
		want("disabled", "192.168.4.100:80 0/1 disabled, 192.168.4.200:80 2/2 up")
		changes, err := b.Changes(t.Context())
		if want := []string{"set services web real-servers 192.168.4.100 weight 0"}; err != nil || !cmp.Equal(changes.Commands, want) {
			t.Errorf("changes %q, %v; want %q", changes.Commands, err, want)
		}
		// ipvsadm's edit of another real server leaves the disabled one out.
		if status, said := adm(t, b, "", "-e -t 192.168.4.15:80 -r 192.168.4.200 -g -w 3"); status != 0 {
			t.Errorf("ipvsadm: %d, %s", status, said)
		}
		want("edited", "192.168.4.100:80 0/1 disabled, 192.168.4.200:80 3/3 up")
		set(api.ServerVerb{Server: "192.168.4.100", Verb: api.Enable})
		want("enabled", "192.168.4.100:80 1/1 up, 192.168.4.200:80 3/3 up")
		set(api.ServerVerb{Server: "192.168.4.200", Verb: api.Drain})
		if status, said := adm(t, b, "", "-e -t 192.168.4.15:80 -r 192.168.4.100 -g -w 4"); status != 0 {
			t.Errorf("ipvsadm: %d, %s", status, said)
		}
		want("drained, and the other edited", "192.168.4.100:80 4/4 up, 192.168.4.200:80 0/3 drained")
		if status, said := adm(t, b, "", "-e -t 192.168.4.15:80 -r 192.168.4.200 -g -w 6"); status != 0 {
			t.Errorf("ipvsadm: %d, %s", status, said)
		}
		want("drained, and then edited", "192.168.4.100:80 4/4 up, 192.168.4.200:80 6/6 up")
		for _, v := range []api.ServerVerb{
			{Server: "192.168.4.9", Verb: api.Drain},
			{Server: "192.168.4.100", Service: "mail", Verb: api.Drain},
			{Server: "192.168.4.100", Verb: "kick"},
			{Server: "192.168.4.100", Verb: api.Weigh, Weight: -1},
			{Server: "nonsense", Verb: api.Drain},
			{Verb: api.Drain},
		} {
			var no *api.Error
			if _, err := b.SetServer(t.Context(), v); !errors.As(err, &no) {
				t.Errorf("%+v: got %v, want a refusal", v, err)
			}
		}
	})
}

// TestDown has a real server fail that is in services of each on-down.
func TestDown(t *testing.T) {
	const services = `role: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24]}}}
services:
  dns: {listen: 192.168.4.15:53, protocol: udp, scheduler: rr, forward: dr, real-servers: [{address: 192.168.4.100}, {address: 192.168.4.200}]}
  looked-at: {listen: 192.168.4.15:79, scheduler: rr, on-down: keep, forward: dr, real-servers: [{address: 192.168.4.100}]}
  web: {listen: 192.168.4.15:80, scheduler: rr, forward: dr, real-servers: [{address: 192.168.4.100}]}
`
	bubble(t, services, func(t *testing.T, m *machine, b *backend) {
		before := m.table.String()
		if _, err := b.SetServer(t.Context(), api.ServerVerb{Server: "192.168.4.100", Verb: api.Down}); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"ipvsadm -d -u 192.168.4.15:53 -r 192.168.4.100:53",
			"ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 0",
		}
		if edits := slices.Sorted(slices.Values(m.take())); !cmp.Equal(edits, want) {
			t.Errorf("down did %q, want %q", edits, want)
		}
		if _, err := b.SetServer(t.Context(), api.ServerVerb{Server: "192.168.4.100", Verb: api.Enable}); err != nil {
			t.Fatal(err)
		}
		if after := m.table.String(); after != before {
			t.Errorf("enabled again:\n%swant:\n%s", after, before)
		}
	})
}

func TestVerbsOutliveTheControlPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots(pair)
		b, kill := m.serves(t)
		if _, err := b.SetServer(t.Context(), api.ServerVerb{Server: "192.168.4.200", Verb: api.Drain, For: api.Duration(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		kill()
		m.take()
		b, kill = m.serves(t)
		defer kill()
		if edits := m.take(); len(edits) > 0 {
			t.Errorf("edits after a restart: %q", edits)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if edits, want := m.take(), []string{"ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 2"}; !cmp.Equal(edits, want) {
			t.Errorf("after the hour: %q, want %q", edits, want)
		}
		_ = b
	})
}

func TestClear(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		// The kernel ends connections a moment after the deletion.
		m.table.Connect(ipvs.Connection{
			Protocol: ipvs.TCP, State: "ESTABLISHED",
			Client: netip.MustParseAddrPort("192.0.2.1:4000"), Virtual: netip.MustParseAddrPort("192.168.4.15:80"),
			Destination: netip.MustParseAddrPort("192.168.4.100:80"),
		})
		began := time.Now()
		if _, err := b.Clear(t.Context(), api.ClearQuery{What: "connections", Service: "web"}); err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited < endPatience { // the fake ends none
			t.Errorf("waited %v for connections that go on, want %v", waited, endPatience)
		}
		want := []string{
			"ipvsadm -d -t 192.168.4.15:80 -r 192.168.4.100:80",
			"ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1",
			"ipvsadm -d -t 192.168.4.15:80 -r 192.168.4.200:80",
			"ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 2",
		}
		if edits := m.take(); !cmp.Equal(edits, want) {
			t.Errorf("clearing did %q, want %q", edits, want)
		}
		if n, err := b.Clear(t.Context(), api.ClearQuery{What: "counters", Service: "web"}); err != nil || n != 1 {
			t.Errorf("counters: %d, %v", n, err)
		}
		for _, q := range []api.ClearQuery{{What: "counters", Service: "mail"}, {What: "connections"}, {What: "everything"}, {What: "counters", Server: "192.168.4.100"}} {
			if _, err := b.Clear(t.Context(), q); err == nil {
				t.Errorf("%+v was carried out", q)
			}
		}
	})
}

func TestNames(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		tests := []struct {
			q    api.NamesQuery
			want []api.Completion
		}{
			{api.NamesQuery{Kind: "service"}, []api.Completion{{Word: "web", State: "192.168.4.15:80, 2 real servers"}}},
			{api.NamesQuery{Kind: "service", Prefix: "x"}, []api.Completion{}},
			{api.NamesQuery{Kind: "server", Prefix: "192.168.4.2"}, []api.Completion{{Word: "192.168.4.200:80", State: "web, weight 2"}}},
			{api.NamesQuery{Kind: "server", Limit: 1}, []api.Completion{{Word: "192.168.4.100:80", State: "web, weight 1"}}},
			{api.NamesQuery{Kind: "scheduler", Prefix: "sh"}, []api.Completion{{Word: "sh"}}},
		}
		for _, tt := range tests {
			if got, err := b.Names(t.Context(), tt.q); err != nil || !cmp.Equal(got, tt.want) {
				t.Errorf("%+v: got %v, %v; want %v", tt.q, got, err, tt.want)
			}
		}
		if _, err := b.Names(t.Context(), api.NamesQuery{Kind: "planet"}); err == nil {
			t.Error("there are names of planets")
		}
	})
}
