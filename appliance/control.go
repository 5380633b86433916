package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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
	daemon ipvs.DaemonState // 0: it is about the timeouts
	sooner bool             // than the table is edited
	text   string           // the command that does the same
	do     func(context.Context, TableKernel) error
}

// path is where it stands in the configuration.
func (o controlOp) path() string {
	if o.daemon == 0 {
		return "ipvs.timeouts"
	}
	return "ipvs.sync." + o.daemon.String()
}

// planControl gives the edits that lead from have to want. A daemon cannot be
// edited in place: it is stopped and started.
//
// A daemon that only stops does so before the table is edited: beside it the
// kernel takes no real server of another family than its service. Daemons start
// after that: a backup binds what it hears to the real servers that are there
// (ip_vs_sync.c).
func planControl(have, want control) []controlOp {
	var ops []controlOp
	if have.Timeouts != want.Timeouts {
		t := want.Timeouts
		ops = append(ops, controlOp{
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
		if runs {
			ops = append(ops, controlOp{state, !wanted, "ipvsadm --stop-daemon " + state.String(),
				func(ctx context.Context, table TableKernel) error { return table.StopDaemon(ctx, state) }})
		}
		if wanted {
			ops = append(ops, controlOp{state, false, startCommand(after),
				func(ctx context.Context, table TableKernel) error { return table.StartDaemon(ctx, after) }})
		}
	}
	return ops
}

// sooner parts edits into those that come before the table's and the others.
func sooner(ops []controlOp) (before, after []controlOp) {
	for _, op := range ops {
		if op.sooner {
			before = append(before, op)
		} else {
			after = append(after, op)
		}
	}
	return before, after
}

// controlError is an edit beside the table that the kernel refused.
type controlError struct {
	op  controlOp
	err error
}

func (e *controlError) Error() string { return e.op.path() + ": " + e.err.Error() }
func (e *controlError) Unwrap() error { return e.err }

// applyControl edits what the kernel has beside its table.
func (r *reconciler) applyControl(ctx context.Context, ops []controlOp) error {
	if len(ops) == 0 {
		return nil
	}
	kernel, err := r.table.get()
	if err != nil {
		return err
	}
	var errs []error
	for _, op := range ops {
		delete(r.owed, op.text)
		if err := op.do(ctx, kernel); err != nil {
			r.owed[op.text] = true
			errs = append(errs, &controlError{op, err})
		}
	}
	return errors.Join(errs...)
}

// untilMixedGo gives the daemons that the kernel did not start because its table
// has real servers of another family than their service (EINVAL), and what else
// it refused.
func untilMixedGo(err error) (waiting []controlOp, others error) {
	var errs []error
	for _, e := range each(err) {
		refused, is := errors.AsType[*controlError](e)
		if is && refused.op.daemon != 0 && errors.Is(e, unix.EINVAL) {
			waiting = append(waiting, refused.op)
		} else {
			errs = append(errs, e)
		}
	}
	return waiting, errors.Join(errs...)
}

// withForeign gives c with what foreign edits are about as it was observed.
func (c control) withForeign(observed control, edits []controlOp) control {
	c.Daemons = slices.Clone(c.Daemons)
	for _, op := range edits {
		if op.daemon == 0 {
			c.Timeouts = observed.Timeouts
			continue
		}
		c.Daemons = slices.DeleteFunc(c.Daemons, func(d ipvs.Daemon) bool { return d.State == op.daemon })
		if d, runs := observed.daemon(op.daemon); runs {
			c.Daemons = append(c.Daemons, d)
		}
	}
	return c
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
