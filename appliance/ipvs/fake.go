package ipvs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Fake is an IPVS table in memory, for tests of what stands above Kernel. It
// refuses what the kernel refuses (ip_vs_ctl.c), and renders as "ipvsadm -Sn".
// Its zero value is an empty table of a kernel with all schedulers.
type Fake struct {
	mu          sync.Mutex
	table       Table
	edits       []Op
	timeouts    Timeouts // zero: defaultTimeouts
	daemons     []Daemon
	connections []Connection
	watches     []chan struct{}
}

// Observe returns a copy of the table.
func (f *Fake) Observe(ctx context.Context) (Table, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.table.Canonical(), ctx.Err()
}

// Forget does nothing: a fake remembers nothing beside its table.
func (f *Fake) Forget() {}

// Statistics returns the table with the connections of Connect, those of
// services that have an address; packets and bytes were not counted.
func (f *Fake) Statistics(ctx context.Context) ([]ServiceStatistics, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var statistics []ServiceStatistics
	for _, s := range f.table.Canonical().Services {
		entry := ServiceStatistics{Service: s.withoutRealServers()}
		for _, r := range s.RealServers {
			entry.RealServers = append(entry.RealServers, f.count(s.Key, r))
		}
		statistics = append(statistics, entry)
	}
	return statistics, ctx.Err()
}

// count counts the connections to a real server: established ones are the active
// ones (ip_vs_proto_tcp.c, set_tcp_state).
func (f *Fake) count(service Key, r RealServer) RealServerStatistics {
	counted := RealServerStatistics{RealServer: r}
	for _, c := range f.connections {
		switch {
		case c.Protocol != service.Protocol || c.Virtual != netip.AddrPortFrom(service.Address, service.Port),
			c.Destination != netip.AddrPortFrom(r.Address, r.Port):
		case c.State == "ESTABLISHED":
			counted.ActiveConnections++
		default:
			counted.InactiveConnections++
		}
	}
	return counted
}

// Services returns the services without their real servers.
func (f *Fake) Services(ctx context.Context) ([]ServiceStatistics, error) {
	services, err := f.Statistics(ctx)
	for i := range services {
		services[i].RealServers = nil
	}
	return services, err
}

// RealServers does as Kernel.RealServers does.
func (f *Fake) RealServers(ctx context.Context, services []*ServiceStatistics) iter.Seq2[*ServiceStatistics, error] {
	return func(yield func(*ServiceStatistics, error) bool) {
		for _, service := range services {
			s := *service
			one, _, err := f.StatisticsOf(ctx, s.Key)
			s.RealServers = one.RealServers
			if !yield(&s, err) || err != nil {
				return
			}
		}
	}
}

// StatisticsOf returns one service.
func (f *Fake) StatisticsOf(ctx context.Context, service Key) (ServiceStatistics, bool, error) {
	all, err := f.Statistics(ctx)
	for _, s := range all {
		if s.Key == service {
			return s, true, err
		}
	}
	return ServiceStatistics{}, false, err
}

// Apply does as Kernel.Apply does.
func (f *Fake) Apply(ctx context.Context, ops []Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failed []error
	for i, op := range ops {
		err := ctx.Err()
		if err == nil {
			f.edits = append(f.edits, op)
			err = f.apply(op)
		} else {
			err = fmt.Errorf("%w: %w", ErrNotTried, err)
		}
		if err != nil {
			failed = append(failed, &OpError{Op: op, Index: i, Err: err})
		}
	}
	return errors.Join(failed...)
}

// Intrude edits the table as somebody else would: Edits does not tell of it,
// Watch does.
func (f *Fake) Intrude(ops ...Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failed []error
	for i, op := range ops {
		if err := f.apply(op); err != nil {
			failed = append(failed, &OpError{Op: op, Index: i, Err: err})
		}
	}
	for _, changed := range f.watches {
		tell(changed)
	}
	return errors.Join(failed...)
}

// Watch does as Kernel.Watch does: it tells of what Intrude does.
func (f *Fake) Watch(ctx context.Context) (<-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := make(chan struct{}, 1)
	f.watches = append(f.watches, changed)
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.watches = slices.DeleteFunc(f.watches, func(c chan struct{}) bool { return c == changed })
		close(changed)
	})
	return changed, nil
}

// Close does nothing.
func (f *Fake) Close() error { return nil }

// Edits returns every operation that was tried.
func (f *Fake) Edits() []Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.edits)
}

// String returns the table as "ipvsadm -Sn" prints it.
func (f *Fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.table.Canonical().String()
}

// apply checks in the kernel's order (ip_vs_ctl.c, ip_vs_genl_set_cmd).
func (f *Fake) apply(op Op) error {
	if err := op.check(); err != nil {
		return err
	}
	full := op.Kind == AddService || op.Kind == EditService
	if full && (len(op.Service.Scheduler) > longestScheduler || len(op.Service.Engine) > longestEngine) {
		return unix.EINVAL
	}
	i := slices.IndexFunc(f.table.Services, func(s Service) bool { return s.Key == op.Service.Key })
	switch {
	case op.Kind == AddService && i >= 0:
		return unix.EEXIST
	case op.Kind != AddService && i < 0:
		return unix.ESRCH
	case full:
		return f.setService(i, op.Service)
	case op.Kind == DeleteService:
		f.table.Services = slices.Delete(f.table.Services, i, i+1)
		return nil
	}
	s, r := &f.table.Services[i], op.RealServer
	if op.Kind != DeleteRealServer && r.otherFamily(s.Key) && (len(f.daemons) > 0 || r.Forward&forwardMask != TUN) {
		return unix.EINVAL
	}
	return s.apply(op.Kind, r)
}

// setService adds a service, or edits the one at i.
func (f *Fake) setService(i int, s Service) error {
	if err := checkService(s); err != nil {
		return err
	}
	s.RealServers = nil
	if i < 0 {
		f.table.Services = append(f.table.Services, s)
		return nil
	}
	s.RealServers = f.table.Services[i].RealServers
	f.table.Services[i] = s
	return nil
}

// Longest names that the kernel takes (uapi/linux/ip_vs.h).
const (
	longestScheduler = 15
	longestEngine    = 16
)

// schedulers are those of Linux 6.12, and the name of having none.
var schedulers = [...]string{
	"dh", "fo", "lblc", "lblcr", "lc", "mh", "none", "nq", "ovf", "rr", "sed", "sh", "twos", "wlc", "wrr",
}

// checkService is ip_vs_add_service and ip_vs_edit_service.
func checkService(s Service) error {
	if !slices.Contains(schedulers[:], s.Scheduler) || s.Engine != "" && s.Engine != "sip" {
		return unix.ENOENT
	}
	if s.Address.Is6() && s.Flags&Persistent != 0 && (s.Netmask < 1 || s.Netmask > 128) {
		return unix.EINVAL
	}
	return nil
}

// apply is ip_vs_add_dest, ip_vs_edit_dest and ip_vs_del_dest.
func (s *Service) apply(kind Kind, r RealServer) error {
	if kind != DeleteRealServer {
		if err := checkRealServer(r); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(s.RealServers, func(other RealServer) bool { return other.Target() == r.Target() })
	switch {
	case kind == AddRealServer && i >= 0:
		return unix.EEXIST
	case kind == AddRealServer && !balanced(r.Address):
		return unix.EINVAL
	case kind == AddRealServer:
		s.RealServers = append(s.RealServers, r)
	case i < 0:
		return unix.ENOENT
	case kind == EditRealServer:
		s.RealServers[i] = r
	case kind == DeleteRealServer:
		s.RealServers = slices.Delete(s.RealServers, i, i+1)
	}
	return nil
}

func checkRealServer(r RealServer) error {
	switch {
	case r.Weight > math.MaxInt32, r.LowerThreshold > r.UpperThreshold:
		return unix.ERANGE
	case r.UpperThreshold > math.MaxInt32:
		return unix.EINVAL
	case r.Tunnel.Type == GUE && r.Tunnel.Port == 0:
		return unix.EINVAL
	}
	return nil
}

// balanced tells whether the kernel sends to an address: one that is unicast,
// and not link-local, unless it is the machine's own.
func balanced(a netip.Addr) bool {
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if a.Is4() {
		return !a.IsMulticast() && a.As4()[0] != 0 && a != broadcast
	}
	return !a.IsMulticast() && !a.IsUnspecified() && !a.IsLinkLocalUnicast()
}
