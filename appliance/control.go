package appliance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dipper/appliance/config"
	"dipper/appliance/ipvs"
)

// control is what the kernel's IPVS has beside its table.
type control struct {
	Timeouts ipvs.Timeouts
	Daemons  []ipvs.Daemon // the master first
}

// controlOf is what a configuration wants.
func controlOf(c config.IPVS) control {
	seconds := func(d time.Duration) uint32 { return uint32(d / time.Second) }
	want := control{Timeouts: ipvs.Timeouts{
		TCP:    seconds(c.Timeouts.TCP),
		TCPFin: seconds(c.Timeouts.TCPFin),
		UDP:    seconds(c.Timeouts.UDP),
	}}
	if c.Sync.Master != nil {
		want.Daemons = append(want.Daemons, daemonOf(ipvs.Master, *c.Sync.Master))
	}
	if c.Sync.Backup != nil {
		want.Daemons = append(want.Daemons, daemonOf(ipvs.Backup, *c.Sync.Backup))
	}
	return want
}

func daemonOf(state ipvs.DaemonState, s config.SyncDaemon) ipvs.Daemon {
	return ipvs.Daemon{
		State:     state,
		Interface: s.Interface,
		SyncID:    uint32(s.ID),
		MaxLength: uint16(s.MaxLength),
		Group:     s.Group,
		Port:      s.Port,
		TTL:       uint8(s.TTL),
	}
}

// adopted gives a configuration's part what an administrator made of it; the
// reverse of controlOf.
func (c control) adopted(into config.IPVS) config.IPVS {
	take := func(d *time.Duration, seconds uint32) {
		if seconds != 0 { // 0 keeps what is set
			*d = time.Duration(seconds) * time.Second
		}
	}
	take(&into.Timeouts.TCP, c.Timeouts.TCP)
	take(&into.Timeouts.TCPFin, c.Timeouts.TCPFin)
	take(&into.Timeouts.UDP, c.Timeouts.UDP)
	into.Sync = config.Sync{}
	for _, d := range c.Daemons {
		d = d.AsKept() // ipvsadm leaves out what the kernel fills in
		s := &config.SyncDaemon{
			Interface: d.Interface,
			ID:        int(d.SyncID),
			Group:     d.Group,
			Port:      d.Port,
			TTL:       int(d.TTL),
			MaxLength: int(d.MaxLength),
		}
		if d.State == ipvs.Master {
			into.Sync.Master = s
		} else {
			into.Sync.Backup = s
		}
	}
	return into
}

// observeControl reads what the kernel has.
func observeControl(ctx context.Context, table TableKernel) (control, error) {
	timeouts, err := table.Timeouts(ctx)
	if err != nil {
		return control{}, err
	}
	daemons, err := table.Daemons(ctx)
	return control{timeouts, daemons}, err
}

// controlOp is one edit of what IPVS has beside its table.
type controlOp struct {
	path string // in the configuration
	text string // the command that does the same
	do   func(context.Context, TableKernel) error
}

// planControl gives the edits that lead from have to want. A daemon cannot be
// edited in place: it is stopped and started.
func planControl(have, want control) []controlOp {
	var ops []controlOp
	if have.Timeouts != want.Timeouts {
		t := want.Timeouts
		ops = append(ops, controlOp{
			path: "ipvs.timeouts",
			text: fmt.Sprintf("ipvsadm --set %d %d %d", t.TCP, t.TCPFin, t.UDP),
			do:   func(ctx context.Context, table TableKernel) error { return table.SetTimeouts(ctx, t) },
		})
	}
	for _, state := range []ipvs.DaemonState{ipvs.Master, ipvs.Backup} {
		before, runs := have.daemon(state)
		after, wanted := want.daemon(state)
		if runs == wanted && sameDaemon(before, after) {
			continue
		}
		path := "ipvs.sync." + state.String()
		if runs {
			ops = append(ops, controlOp{path, "ipvsadm --stop-daemon " + state.String(),
				func(ctx context.Context, table TableKernel) error { return table.StopDaemon(ctx, state) }})
		}
		if wanted {
			ops = append(ops, controlOp{path, startCommand(after),
				func(ctx context.Context, table TableKernel) error { return table.StartDaemon(ctx, after) }})
		}
	}
	return ops
}

func (c control) daemon(state ipvs.DaemonState) (ipvs.Daemon, bool) {
	i := slices.IndexFunc(c.Daemons, func(d ipvs.Daemon) bool { return d.State == state })
	if i < 0 {
		return ipvs.Daemon{}, false
	}
	return c.Daemons[i], true
}

// sameDaemon compares a daemon that runs with what is wanted, as the kernel
// keeps that: a length of 0 it fills in by the interface.
func sameDaemon(runs, want ipvs.Daemon) bool {
	if want.MaxLength == 0 {
		runs.MaxLength = 0
	}
	return runs == want.AsKept()
}

func startCommand(d ipvs.Daemon) string {
	words := []string{"ipvsadm --start-daemon", d.State.String(), "--mcast-interface", d.Interface, "--syncid", fmt.Sprint(d.SyncID)}
	if d.MaxLength != 0 {
		words = append(words, "--sync-maxlen", fmt.Sprint(d.MaxLength))
	}
	if d.Group.IsValid() {
		words = append(words, "--mcast-group", d.Group.String())
	}
	if d.Port != 0 {
		words = append(words, "--mcast-port", fmt.Sprint(d.Port))
	}
	if d.TTL != 0 {
		words = append(words, "--mcast-ttl", fmt.Sprint(d.TTL))
	}
	return strings.Join(words, " ")
}
