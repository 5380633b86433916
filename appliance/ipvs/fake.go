package ipvs

import (
	"context"
	"errors"
	"math"
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
}

// Observe returns a copy of the table.
func (f *Fake) Observe(ctx context.Context) (Table, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.table.Canonical(), ctx.Err()
}

// Statistics returns the table; nothing was counted.
func (f *Fake) Statistics(ctx context.Context) ([]ServiceStatistics, error) {
	table, err := f.Observe(ctx)
	var statistics []ServiceStatistics
	for _, s := range table.Services {
		entry := ServiceStatistics{Service: s.withoutRealServers()}
		for _, r := range s.RealServers {
			entry.RealServers = append(entry.RealServers, RealServerStatistics{RealServer: r})
		}
		statistics = append(statistics, entry)
	}
	return statistics, err
}

// Apply does as Kernel.Apply does.
func (f *Fake) Apply(ctx context.Context, ops []Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failed []error
	for _, op := range ops {
		err := ctx.Err()
		if err == nil {
			f.edits = append(f.edits, op)
			err = f.apply(op)
		}
		if err != nil {
			failed = append(failed, &OpError{Op: op, Err: err})
		}
	}
	return errors.Join(failed...)
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

func (f *Fake) apply(op Op) error {
	i := slices.IndexFunc(f.table.Services, func(s Service) bool { return s.Key == op.Service.Key })
	if op.Kind == AddService {
		if i >= 0 {
			return unix.EEXIST
		}
		if err := checkService(op.Service); err != nil {
			return err
		}
		f.table.Services = append(f.table.Services, op.Service.withoutRealServers())
		return nil
	}
	if i < 0 {
		return unix.ESRCH
	}
	switch op.Kind {
	case EditService:
		if err := checkService(op.Service); err != nil {
			return err
		}
		edited := op.Service
		edited.RealServers = f.table.Services[i].RealServers
		f.table.Services[i] = edited
		return nil
	case DeleteService:
		f.table.Services = slices.Delete(f.table.Services, i, i+1)
		return nil
	}
	if op.Kind != DeleteRealServer && len(f.daemons) > 0 && op.RealServer.otherFamily(op.Service.Key) {
		return unix.EINVAL
	}
	return applyRealServer(&f.table.Services[i], op)
}

func applyRealServer(s *Service, op Op) error {
	i := slices.IndexFunc(s.RealServers, func(r RealServer) bool { return r.Target() == op.RealServer.Target() })
	if op.Kind != DeleteRealServer {
		if err := checkRealServer(*s, op.RealServer); err != nil {
			return err
		}
	}
	switch {
	case op.Kind == AddRealServer && i >= 0:
		return unix.EEXIST
	case op.Kind == AddRealServer:
		s.RealServers = append(s.RealServers, op.RealServer)
	case i < 0:
		return unix.ENOENT
	case op.Kind == EditRealServer:
		s.RealServers[i] = op.RealServer
	case op.Kind == DeleteRealServer:
		s.RealServers = slices.Delete(s.RealServers, i, i+1)
	}
	return nil
}

// schedulers are those of Linux 6.12, and the name of having none.
var schedulers = [...]string{
	"dh", "fo", "lblc", "lblcr", "lc", "mh", "none", "nq", "ovf", "rr", "sed", "sh", "twos", "wlc", "wrr",
}

func checkService(s Service) error {
	if !slices.Contains(schedulers[:], s.Scheduler) || s.Engine != "" && s.Engine != "sip" {
		return unix.ENOENT
	}
	if s.Address.Is6() && s.Flags&Persistent != 0 && (s.Netmask < 1 || s.Netmask > 128) {
		return unix.EINVAL
	}
	return nil
}

func checkRealServer(s Service, r RealServer) error {
	switch {
	case r.otherFamily(s.Key) && r.Forward != TUN:
		return unix.EINVAL
	case r.Weight > math.MaxInt32, r.LowerThreshold > r.UpperThreshold:
		return unix.ERANGE
	case r.UpperThreshold > math.MaxInt32:
		return unix.EINVAL
	case r.Tunnel.Type == GUE && r.Tunnel.Port == 0:
		return unix.EINVAL
	}
	return nil
}
