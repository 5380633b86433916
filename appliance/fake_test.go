package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/ipvs"
	"dipper/appliance/network"
)

// journal records, across all fakes, what was done in which order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// take answers what was recorded since the last take.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	taken := j.lines
	j.lines = nil
	return taken
}

// fakeNetwork is a kernel that becomes what it is told to: addresses and marks
// with each edit, all else as the last plan wants it, once it refuses none of a
// list of edits.
type fakeNetwork struct {
	*journal
	links   []string
	foreign chan struct{}

	mu       sync.Mutex
	now      network.State
	wanted   network.State
	sysctls  []network.Sysctl
	refuse   string // edits with this text fail
	observed int
	editing  func() // called before every edit, if given
}

func (f *fakeNetwork) Observe(_ context.Context, desired network.State) (network.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.observed++
	f.wanted = desired
	return f.now, nil
}

func (f *fakeNetwork) Apply(_ context.Context, ops []network.Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, op := range ops {
		if f.refuse != "" && strings.Contains(op.String(), f.refuse) {
			errs = append(errs, &network.OpError{Op: op.String(), Err: errors.New("refused by the test")})
			continue
		}
		if f.editing != nil {
			f.editing()
		}
		f.add(op.String())
		f.edit(op.String())
		if setting, ok := strings.CutPrefix(op.String(), "sysctl -w "); ok {
			path, value, _ := strings.Cut(setting, "=")
			f.sysctls = append(f.sysctls, network.Sysctl{Path: strings.ReplaceAll(path, ".", "/"), Value: strings.Trim(value, `"`)})
		}
	}
	if len(errs) == 0 {
		addresses, marks, complete := f.now.Addresses, f.now.Marks, f.now.MarkTable
		f.now = f.wanted
		f.now.Addresses, f.now.Marks, f.now.MarkTable = addresses, marks, complete
		f.now.Sysctls = slices.Clone(f.sysctls)
		f.now.Links = slices.Clone(f.now.Links)
		for i := range f.now.Links {
			f.now.Links[i].Up = true
		}
	}
	return errors.Join(errs...)
}

// isAt finds an address by its prefix.
func isAt(prefix string) func(network.Address) bool {
	return func(a network.Address) bool { return a.Prefix.String() == prefix }
}

// edit carries out an edit of addresses or marks. Those who kept a copy of the
// state go on with it.
func (f *fakeNetwork) edit(op string) {
	named := func(a network.Address) bool {
		return slices.Contains(strings.Fields(op), a.Prefix.String()) && strings.Contains(op+" ", " dev "+a.Link+" ")
	}
	switch {
	case strings.HasPrefix(op, "ip addr"):
		f.now.Addresses = slices.DeleteFunc(slices.Clone(f.now.Addresses), named)
		if i := slices.IndexFunc(f.wanted.Addresses, named); i >= 0 && !strings.HasPrefix(op, "ip addr del") {
			f.now.Addresses = append(f.now.Addresses, f.wanted.Addresses[i])
		}
	case strings.HasPrefix(op, "nft delete table inet dipper_marks"):
		f.now.Marks, f.now.MarkTable = nil, false
	case strings.Contains(op, "dipper_marks"):
		f.now.Marks, f.now.MarkTable = f.wanted.Marks, true
	}
}

func (f *fakeNetwork) Watch(context.Context) (<-chan struct{}, error) { return f.foreign, nil }

func (f *fakeNetwork) PhysicalLinks(context.Context) ([]string, error) { return f.links, nil }

// fakeTable adds its edits to the journal.
type fakeTable struct {
	ipvs.Fake
	*journal
	foreign chan struct{}
	lacks   string // a scheduler that this kernel has not
	misses  bool   // every other dump misses an entry
	dumps   int
	editing func() // called before every edit, of daemons too, if given
	opened  int    // how often a control plane opened it
}

func (f *fakeTable) open() (TableKernel, error) {
	f.opened++
	return f, nil
}

func (f *fakeTable) Observe(ctx context.Context) (ipvs.Table, error) {
	table, err := f.Fake.Observe(ctx)
	if f.dumps++; f.misses && f.dumps%2 == 1 {
		table.Services[0].RealServers = table.Services[0].RealServers[1:]
	}
	return table, err
}

func (f *fakeTable) Watch(context.Context) (<-chan struct{}, error) { return f.foreign, nil }

func (f *fakeTable) Apply(ctx context.Context, ops []ipvs.Op) error {
	var errs []error
	for _, op := range ops {
		if f.lacks != "" && op.Kind == ipvs.AddService && op.Service.Scheduler == f.lacks {
			errs = append(errs, &ipvs.OpError{Op: op, Err: unix.ENOENT})
			continue
		}
		f.announce()
		f.add(op.String())
		errs = append(errs, f.Fake.Apply(ctx, []ipvs.Op{op}))
	}
	return errors.Join(errs...)
}

func (f *fakeTable) StartDaemon(ctx context.Context, d ipvs.Daemon) error {
	f.announce()
	return f.Fake.StartDaemon(ctx, d)
}

func (f *fakeTable) StopDaemon(ctx context.Context, state ipvs.DaemonState) error {
	f.announce()
	return f.Fake.StopDaemon(ctx, state)
}

func (f *fakeTable) announce() {
	if f.editing != nil {
		f.editing()
	}
}

// fakeResponders adds what is served to the journal.
type fakeResponders struct {
	*journal
	last []config.Responder
}

func (f *fakeResponders) Set(_ context.Context, want []config.Responder) error {
	if !slices.Equal(f.last, want) {
		f.add(fmt.Sprintf("serve %v", want))
	}
	f.last = want
	return nil
}

// fakeSupervisor is PID 1.
type fakeSupervisor struct {
	withdraw chan struct{}
	ended    chan api.Power
}

func newFakeSupervisor() *fakeSupervisor {
	return &fakeSupervisor{withdraw: make(chan struct{}), ended: make(chan api.Power, 1)}
}

func (f *fakeSupervisor) Beat()                     {}
func (f *fakeSupervisor) Withdraw() <-chan struct{} { return f.withdraw }
func (f *fakeSupervisor) End(how api.Power) error   { f.ended <- how; return nil }

// machine is a control plane on fakes.
type machine struct {
	*journal
	network    *fakeNetwork
	table      *fakeTable
	supervisor *fakeSupervisor
	options    Options
	ended      chan struct{} // closed when the last run has ended
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	j := &journal{}
	m := &machine{
		journal: j,
		network: &fakeNetwork{
			journal: j,
			links:   []string{"eth0"},
			foreign: make(chan struct{}),
			now:     network.State{Links: []network.Link{{Name: "eth0", Kind: network.Physical}}},
		},
		table:      &fakeTable{journal: j, foreign: make(chan struct{})},
		supervisor: newFakeSupervisor(),
	}
	m.options = Options{
		Version:    "1.0",
		RunDir:     t.TempDir(),
		Supervisor: m.supervisor,
		Network:    m.network,
		OpenTable:  m.table.open,
		Responders: &fakeResponders{journal: j},
		DHCP:       func(ctx context.Context, _ string, _ LeaseEvents) { <-ctx.Done() },
		Acquire: func(context.Context, Connect) (BootConfig, error) {
			return BootConfig{}, ErrNoConfig
		},
		Hostname: func(string) error { return nil },
		Uptime:   SinceKernelStart,
		Log:      slog.New(slog.DiscardHandler),
	}
	return m
}

// boots lets Acquire find yaml.
func (m *machine) boots(yaml string) {
	m.options.Acquire = func(context.Context, Connect) (BootConfig, error) {
		step := Step{api.BootStep{Name: "config: test", Outcome: "found"}, time.Now()}
		return BootConfig{Source: "test", YAML: []byte(yaml), Steps: []Step{step}}, nil
	}
}

// run starts the control plane and answers a client and a way to kill it,
// which leaves everything as it is.
func (m *machine) run(t testing.TB) (c *api.Client, kill func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	m.ended = ended
	go func() {
		defer close(ended)
		if err := Run(ctx, m.options); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	c = api.NewClient(m.options.RunDir + "/api.sock")
	kill = sync.OnceFunc(func() {
		c.Close()
		cancel()
		<-ended
	})
	t.Cleanup(kill)
	return c, kill
}

// await waits until the machine is in one of the states.
func await(t testing.TB, c *api.Client, states ...api.State) api.Status {
	t.Helper()
	revision := -1
	for t.Context().Err() == nil {
		s, err := c.NextStatus(t.Context(), revision)
		if err != nil {
			continue // the socket is not there yet
		}
		if slices.Contains(states, s.State) {
			return s
		}
		revision = s.Revision
	}
	t.Fatalf("never %v", states)
	return api.Status{}
}
