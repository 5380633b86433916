package ipvs

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// defaultTimeouts are a fresh kernel's (ip_vs_proto_tcp.c, ip_vs_proto_udp.c).
var defaultTimeouts = Timeouts{TCP: 900, TCPFin: 120, UDP: 300}

const (
	ethernetMTU = 1500
	hertz       = 250 // of the image's kernel, which keeps timeouts in ticks
)

// Info returns what the image's kernel says.
func (f *Fake) Info(ctx context.Context) (Info, error) {
	return Info{Version: 0x010201, ConnectionTableSize: 1 << 18}, ctx.Err()
}

// Zero does as Kernel.Zero does; nothing was counted.
func (f *Fake) Zero(ctx context.Context, service *Key) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if service != nil && !slices.ContainsFunc(f.table.Services, func(s Service) bool { return s.Key == *service }) {
		return fmt.Errorf("ipvs: zero the counters of %s: %w", service, unix.ESRCH)
	}
	return ctx.Err()
}

// Timeouts does as Kernel.Timeouts does.
func (f *Fake) Timeouts(ctx context.Context) (Timeouts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.timeouts.or(defaultTimeouts), ctx.Err()
}

// SetTimeouts does as Kernel.SetTimeouts does.
func (f *Fake) SetTimeouts(ctx context.Context, t Timeouts) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if max(t.TCP, t.TCPFin, t.UDP) > math.MaxInt32/hertz {
		return fmt.Errorf("ipvs: set timeouts to %d, %d and %d seconds: %w", t.TCP, t.TCPFin, t.UDP, unix.EINVAL)
	}
	f.timeouts = t.or(f.timeouts)
	return ctx.Err()
}

// or returns t with those that are 0 from other.
func (t Timeouts) or(other Timeouts) Timeouts {
	first := func(a, b uint32) uint32 {
		if a != 0 {
			return a
		}
		return b
	}
	return Timeouts{first(t.TCP, other.TCP), first(t.TCPFin, other.TCPFin), first(t.UDP, other.UDP)}
}

// Daemons does as Kernel.Daemons does.
func (f *Fake) Daemons(ctx context.Context) ([]Daemon, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(slices.Values(f.daemons), func(a, b Daemon) int { return int(a.State) - int(b.State) }), ctx.Err()
}

// StartDaemon does as Kernel.StartDaemon does, on a host whose interfaces are
// all named "eth" and a number.
func (f *Fake) StartDaemon(ctx context.Context, d Daemon) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := ctx.Err()
	if err == nil {
		err = f.checkDaemon(d)
	}
	if err != nil {
		return fmt.Errorf("ipvs: start %s synchronisation daemon on %s: %w", d.State, d.Interface, err)
	}
	f.daemons = append(f.daemons, d.complete())
	return nil
}

func (f *Fake) checkDaemon(d Daemon) error {
	switch {
	case d.Group.IsValid() && !d.Group.IsMulticast(), f.mixesFamilies():
		return unix.EINVAL
	case !strings.HasPrefix(d.Interface, "eth"):
		return unix.ENODEV
	case d.State != Master && d.State != Backup:
		return unix.EINVAL
	case slices.ContainsFunc(f.daemons, func(other Daemon) bool { return other.State == d.State }):
		return unix.EEXIST
	}
	return nil
}

func (f *Fake) mixesFamilies() bool {
	for _, s := range f.table.Services {
		if slices.ContainsFunc(s.RealServers, func(r RealServer) bool { return r.otherFamily(s.Key) }) {
			return true
		}
	}
	return false
}

// complete fills in what the kernel does, on an Ethernet link.
func (d Daemon) complete() Daemon {
	d = d.AsKept()
	if d.MaxLength == 0 {
		d.MaxLength = ethernetMTU - d.headers()
	}
	return d
}

// StopDaemon does as Kernel.StopDaemon does.
func (f *Fake) StopDaemon(ctx context.Context, state DaemonState) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.daemons, func(d Daemon) bool { return d.State == state })
	switch {
	case state != Master && state != Backup:
		return fmt.Errorf("ipvs: stop %s synchronisation daemon: %w", state, unix.EINVAL)
	case i < 0:
		return fmt.Errorf("ipvs: stop %s synchronisation daemon: %w", state, unix.ESRCH)
	}
	f.daemons = slices.Delete(f.daemons, i, i+1)
	return ctx.Err()
}

// Connect adds connections to the table, as packets would.
func (f *Fake) Connect(connections ...Connection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.connections = append(f.connections, connections...)
}

// Connections does as Kernel.Connections does: it reads what the kernel would
// print.
func (f *Fake) Connections(ctx context.Context, filter ConnectionFilter) iter.Seq2[Connection, error] {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	printConnections(&b, f.connections, filter.WithOrigin)
	return readConnections(boundReader{ctx, strings.NewReader(b.String())}, filter)
}

// printConnections prints as ip_vs_conn_seq_show and ip_vs_conn_sync_seq_show do.
func printConnections(w io.Writer, connections []Connection, withOrigin bool) {
	heading := "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n"
	if withOrigin {
		heading = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n"
	}
	_, _ = io.WriteString(w, heading) // to memory
	for _, c := range connections {
		_, _ = fmt.Fprintf(w, "%-3s %s %04X %s %04X %s %04X %-11s ", c.Protocol.connectionName(),
			addressColumn(c.Client.Addr()), c.Client.Port(),
			addressColumn(c.Virtual.Addr()), c.Virtual.Port(),
			addressColumn(c.Destination.Addr()), c.Destination.Port(), c.State)
		switch {
		case withOrigin:
			_, _ = fmt.Fprintf(w, "%-6s %7d\n", c.Origin, c.Expires)
		case c.Engine != "":
			_, _ = fmt.Fprintf(w, "%7d %s %s\n", c.Expires, c.Engine, c.EngineData)
		default:
			_, _ = fmt.Fprintf(w, "%7d\n", c.Expires)
		}
	}
}
