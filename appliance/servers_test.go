package appliance

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/appliance/ipvs"
)

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

// TestClearWaitsForItsOwn ends the connections of services of which another
// has connections, which go on, to the same real server.
func TestClearWaitsForItsOwn(t *testing.T) {
	const services = `role: director
network:
  interfaces: {eth0: {addresses: [192.168.4.5/24]}}
services:
  all: {listen: 192.168.4.16, persistence: {timeout: 1m}, forward: dr, real-servers: [{address: 192.168.4.100}]}
  marked: {fwmark: 7, family: ipv4, forward: dr, real-servers: [{address: "192.168.4.100:80"}]}
  other: {listen: 192.168.4.16:80, forward: dr, real-servers: [{address: 192.168.4.100}]}
  web: {listen: 192.168.4.15:80, forward: dr, real-servers: [{address: 192.168.4.100}]}
`
	for _, tt := range []struct {
		cleared string
		virtual string // where a client's connection goes, which goes on
		waits   bool
	}{
		{"web", "192.168.4.15:80", true},
		{"web", "192.168.4.16:80", false}, // other's
		{"web", "192.168.4.16:81", false}, // all's
		{"web", "192.168.4.99:80", false}, // marked's
		{"other", "192.168.4.16:80", true},
		{"other", "192.168.4.16:81", false},
		{"all", "192.168.4.16:81", true},
		{"all", "192.168.4.16:80", false},
		{"marked", "192.168.4.99:80", true},
		{"marked", "192.168.4.15:80", false},
	} {
		t.Run(tt.cleared+" "+tt.virtual, func(t *testing.T) {
			bubble(t, services, func(t *testing.T, m *machine, b *backend) {
				virtual := netip.MustParseAddrPort(tt.virtual)
				m.table.Connect(ipvs.Connection{
					Protocol: ipvs.TCP, State: "ESTABLISHED", Virtual: virtual,
					Client:      netip.MustParseAddrPort("192.0.2.1:4000"),
					Destination: netip.AddrPortFrom(netip.MustParseAddr("192.168.4.100"), virtual.Port()),
				})
				began := time.Now()
				if _, err := b.Clear(t.Context(), api.ClearQuery{What: "connections", Service: tt.cleared}); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(began) >= endPatience; waited != tt.waits {
					t.Errorf("waited for the connection: %v, want %v", waited, tt.waits)
				}
			})
		})
	}
}

// TestClearWhereNothingEnds: without expire_nodest_conn a deletion ends nothing.
func TestClearWhereNothingEnds(t *testing.T) {
	bubble(t, pair+"ipvs: {settings: {expire-nodest-conn: false}}\n", func(t *testing.T, m *machine, b *backend) {
		_, err := b.Clear(t.Context(), api.ClearQuery{What: "connections", Service: "web"})
		if err == nil || !strings.Contains(err.Error(), "expire-nodest-conn") {
			t.Errorf("answered %v", err)
		}
		if edits := m.take(); len(edits) > 0 {
			t.Errorf("did %q", edits)
		}
	})
}
