package appliance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/appliance/network"
)

const directorYAML = `
role: director
hostname: lb1
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24]}
services:
  web:
    listen: 192.168.4.15:80
    protocol: tcp
    scheduler: wrr
    forward: dr
    real-servers:
      - {address: 192.168.4.100, weight: 1}
`

func TestBootServesAndVIPComesLast(t *testing.T) {
	m := newMachine(t)
	m.boots(directorYAML)
	c, _ := m.run(t)
	s := await(t, c, api.Serving)
	if s.Hostname != "lb1" || s.Role != "director" || s.Source != "test" || !slices.Equal(s.VIPs, []string{"192.168.4.15"}) {
		t.Errorf("status %+v", s)
	}
	edits := m.take()
	position := func(text string) int {
		return slices.IndexFunc(edits, func(e string) bool { return strings.Contains(e, text) })
	}
	own, service, vip := position("192.168.4.5/24"), position("ipvsadm -a"), position("ip addr add 192.168.4.15/32")
	if own < 0 || service < own || vip < service {
		t.Errorf("own address at %d, real server at %d, VIP at %d; want them in this order:\n%s", own, service, vip, strings.Join(edits, "\n"))
	}
	if s.Edits != len(edits) {
		t.Errorf("status tells of %d edits, %d were made", s.Edits, len(edits))
	}
}

func TestRestartedControlPlaneEditsNothing(t *testing.T) {
	m := newMachine(t)
	m.boots(directorYAML)
	c, kill := m.run(t)
	await(t, c, api.Serving)
	kill()
	m.take()
	m.options.Acquire = func(context.Context, Connect) (BootConfig, error) {
		t.Error("the boot config was looked for again")
		return BootConfig{}, ErrNoConfig
	}
	c, _ = m.run(t)
	if s := await(t, c, api.Serving); s.Edits != 0 || s.Source != "test" {
		t.Errorf("status %+v: want no edits and the old source", s)
	}
	if edits := m.take(); len(edits) > 0 {
		t.Errorf("edits after a restart: %q", edits)
	}
}

func TestForeignChangeIsMended(t *testing.T) {
	m := newMachine(t)
	m.boots(directorYAML)
	c, _ := m.run(t)
	s := await(t, c, api.Serving)
	m.take()
	m.network.mu.Lock()
	m.network.now.Addresses = slices.DeleteFunc(slices.Clone(m.network.now.Addresses), func(a network.Address) bool { return a.VIP })
	m.network.mu.Unlock()
	m.network.foreign <- struct{}{}
	if _, err := c.NextStatus(t.Context(), s.Revision); err != nil { // it tells of new edits
		t.Fatal(err)
	}
	if edits := m.take(); !slices.ContainsFunc(edits, func(e string) bool { return strings.HasPrefix(e, "ip addr add 192.168.4.15/32") }) {
		t.Errorf("edits %q: want the VIP back", edits)
	}
}

func TestWithdrawTakesOnlyTheVIPs(t *testing.T) {
	m := newMachine(t)
	m.boots(directorYAML)
	c, _ := m.run(t)
	await(t, c, api.Serving)
	m.take()
	close(m.supervisor.withdraw)
	<-m.ended
	if edits, want := m.take(), []string{"ip addr del 192.168.4.15/32 dev eth0"}; !cmp.Equal(edits, want) {
		t.Errorf("withdrawing did %q, want %q", edits, want)
	}
}

func TestChangeIsPlannedAppliedAndKept(t *testing.T) {
	m := newMachine(t)
	m.boots(directorYAML)
	c, _ := m.run(t)
	await(t, c, api.Serving)
	m.take()

	heavier := []byte(strings.Replace(directorYAML, "weight: 1", "weight: 3", 1))
	want := []string{"ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 3"}
	if plan, err := c.Plan(t.Context(), heavier); err != nil || !cmp.Equal(plan.Plan, want) {
		t.Errorf("Plan = %q, %v; want %q", plan.Plan, err, want)
	}
	if edits := m.take(); len(edits) > 0 {
		t.Errorf("a plan edited the kernel: %q", edits)
	}
	if done, err := c.Apply(t.Context(), heavier); err != nil || !cmp.Equal(done.Plan, want) {
		t.Errorf("Apply = %q, %v; want %q", done.Plan, err, want)
	}
	if edits := m.take(); !cmp.Equal(edits, want) {
		t.Errorf("edits %q, want %q", edits, want)
	}
	if yaml, err := c.Config(t.Context()); err != nil || string(yaml) != string(heavier) {
		t.Errorf("running configuration:\n%s\n%v", yaml, err)
	}
}

func TestBadChangeLeavesEverything(t *testing.T) {
	m := newMachine(t)
	m.boots(directorYAML)
	c, _ := m.run(t)
	before := await(t, c, api.Serving)
	table := m.table.String()
	m.take()

	t.Run("mistakes", func(t *testing.T) {
		_, err := c.Apply(t.Context(), []byte(strings.Replace(directorYAML, "wrr", "lcss", 1)))
		var no *api.Error
		if !errors.As(err, &no) || len(no.Details) != 1 || !strings.Contains(no.Details[0], "lcss") {
			t.Errorf("got %v, want one mistake that names lcss", err)
		}
		if edits := m.take(); len(edits) > 0 {
			t.Errorf("a mistake edited the kernel: %q", edits)
		}
	})
	t.Run("refused by the kernel", func(t *testing.T) {
		m.network.mu.Lock()
		m.network.refuse = "add 192.168.4.16"
		m.network.mu.Unlock()
		_, err := c.Apply(t.Context(), []byte(strings.Replace(directorYAML, "192.168.4.15", "192.168.4.16", 1)))
		var no *api.Error
		if !errors.As(err, &no) || !strings.Contains(no.Message, "the configuration before is back") {
			t.Fatalf("got %v, want to hear that the configuration before is back", err)
		}
		if got := m.table.String(); got != table {
			t.Errorf("table is\n%s\nwant\n%s", got, table)
		}
	})
	after, err := c.Status(t.Context())
	if err != nil || after.State != api.Serving || !slices.Equal(after.VIPs, before.VIPs) {
		t.Errorf("status %+v, %v; want it as before: %+v", after, err, before)
	}
	if yaml, err := c.Config(t.Context()); err != nil || string(yaml) != directorYAML {
		t.Errorf("running configuration:\n%s\n%v", yaml, err)
	}
}

func TestMaintenance(t *testing.T) {
	tests := map[string]struct {
		acquire func(context.Context, Connect) (BootConfig, error)
		problem string
	}{
		"none": {
			acquire: func(context.Context, Connect) (BootConfig, error) { return BootConfig{}, ErrNoConfig },
			problem: "no boot config",
		},
		"broken": {
			acquire: func(context.Context, Connect) (BootConfig, error) {
				return BootConfig{Source: "fw_cfg", YAML: []byte("role: directr\n")}, nil
			},
			problem: "the boot config has mistakes",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.options.Acquire = tt.acquire
			asked := make(chan string, 1)
			m.options.DHCP = func(ctx context.Context, link string, _ LeaseEvents) {
				asked <- link
				<-ctx.Done()
			}
			c, _ := m.run(t)
			s := await(t, c, api.Maintenance)
			if len(s.Problems) == 0 || !strings.Contains(s.Problems[0], tt.problem) || len(s.Advice) == 0 {
				t.Errorf("problems %q, advice %q; want %q and some advice", s.Problems, s.Advice, tt.problem)
			}
			if link := <-asked; link != "eth0" {
				t.Errorf("asked for a lease on %q, want eth0", link)
			}
			if _, err := c.Apply(t.Context(), []byte(directorYAML)); err != nil {
				t.Errorf("a good configuration from maintenance: %v", err)
			}
			if s := await(t, c, api.Serving); len(s.Problems)+len(s.Advice) > 0 {
				t.Errorf("still %q, %q", s.Problems, s.Advice)
			}
		})
	}
}

const leasedYAML = `
role: real-server
hostname: web1
network:
  interfaces:
    eth0: {dhcp: true}
serve:
  - {protocol: http, port: 80, body: "hello\n"}
`

func TestLeaseOutlivesTheControlPlane(t *testing.T) {
	m := newMachine(t)
	m.boots(leasedYAML)
	lease := network.Lease{
		Link: "eth0", Address: netip.MustParsePrefix("10.1.2.3/24"),
		NameServers: []netip.Addr{netip.MustParseAddr("10.1.2.1")},
	}
	m.options.DHCP = func(ctx context.Context, _ string, e LeaseEvents) {
		e.Got(lease)
		<-ctx.Done()
	}
	c, kill := m.run(t)
	awaitAddress(t, c, "10.1.2.3/24 eth0")
	kill()
	m.take()

	known := make(chan *network.Lease, 1)
	m.options.DHCP = func(ctx context.Context, _ string, e LeaseEvents) {
		known <- e.Known
		<-ctx.Done()
	}
	c, _ = m.run(t)
	awaitAddress(t, c, "10.1.2.3/24 eth0")
	if l := <-known; l == nil || l.Address != lease.Address {
		t.Errorf("the client was told of lease %v, want %v", l, lease)
	}
	for _, edit := range m.take() {
		if strings.HasPrefix(edit, "ip ") {
			t.Errorf("edit after a restart: %s", edit)
		}
	}
}

func TestLaterBootConfigIsFound(t *testing.T) {
	m := newMachine(t)
	looked := make(chan struct{}, 10)
	m.options.DHCP = func(ctx context.Context, _ string, e LeaseEvents) {
		<-looked // in vain, the first time
		e.Got(network.Lease{Link: "eth0", Address: netip.MustParsePrefix("10.1.2.3/24")})
		<-ctx.Done()
	}
	times := 0
	m.options.Acquire = func(context.Context, Connect) (BootConfig, error) {
		looked <- struct{}{}
		if times++; times == 1 {
			return BootConfig{}, ErrNoConfig
		}
		return BootConfig{Source: "later", YAML: []byte(directorYAML)}, nil
	}
	c, _ := m.run(t)
	if s := await(t, c, api.Serving); s.Source != "later" {
		t.Errorf("status %+v: want it configured by the later source", s)
	}
}

func TestMaintenanceOnPurposeLooksNoMore(t *testing.T) {
	m := newMachine(t)
	times := 0
	m.options.Acquire = func(context.Context, Connect) (BootConfig, error) {
		times++
		return BootConfig{}, ErrMaintenance
	}
	m.options.DHCP = func(ctx context.Context, _ string, e LeaseEvents) {
		e.Got(network.Lease{Link: "eth0", Address: netip.MustParsePrefix("10.1.2.3/24")})
		<-ctx.Done()
	}
	c, kill := m.run(t)
	awaitAddress(t, c, "10.1.2.3/24 eth0")
	kill()
	if times != 1 {
		t.Errorf("looked for a boot config %d times, want once", times)
	}
}

func TestConnectAnswersTheFirstLease(t *testing.T) {
	m := newMachine(t)
	lease := network.Lease{Link: "eth0", Address: netip.MustParsePrefix("10.1.2.3/24"), ConfigURL: "http://10.1.2.1/a.yaml"}
	m.options.DHCP = func(ctx context.Context, _ string, e LeaseEvents) {
		e.Got(lease)
		<-ctx.Done()
	}
	m.options.Acquire = func(ctx context.Context, connect Connect) (BootConfig, error) {
		for range 2 { // a second source may ask again
			l, err := connect(ctx)
			if err != nil || l.ConfigURL != lease.ConfigURL {
				return BootConfig{}, fmt.Errorf("Connect = %v, %w", l, err)
			}
		}
		return BootConfig{Source: "lease", YAML: []byte(directorYAML)}, nil
	}
	c, _ := m.run(t)
	s := await(t, c, api.Serving, api.Maintenance)
	if s.State != api.Serving || !slices.Equal(s.Addresses, []string{"192.168.4.5/24 eth0"}) {
		t.Errorf("status %+v: want it serving, without the leased address", s)
	}
}

func awaitAddress(t *testing.T, c *api.Client, address string) {
	t.Helper()
	for revision := -1; ; {
		s, err := c.NextStatus(t.Context(), revision)
		if t.Context().Err() != nil {
			t.Fatalf("never had address %s", address)
		}
		if err != nil {
			continue // the socket is not there yet
		}
		if slices.Contains(s.Addresses, address) {
			return
		}
		revision = s.Revision
	}
}
