package appliance

import (
	"context"
	"maps"
	"slices"

	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/events"
	"dipper/appliance/ipvs"
)

// driftSaid bounds how many foreign edits one event tells of in words.
const driftSaid = 20

// audit compares the kernel with the configuration when nothing asks for it,
// and mends what differs. Edits of the table that others made are treated as
// the configuration says.
func (r *reconciler) audit(ctx context.Context) {
	if r.in.config == nil {
		r.lookAtLinks(ctx)
	}
	// The outcome of all of this is on the board, where shell and console read
	// it, and is tried again with the next audit.
	if r.in.config == nil || r.in.config.Role != config.RoleDirector {
		_, _ = r.reconcile(ctx)
		return
	}
	want := desire(r.in, &r.made)
	r.leases.Want(ctx, r.in.dhcpLinks())
	p, err := r.plan(ctx, want)
	if err != nil {
		r.report(want, err)
		return
	}
	foreign, err := r.drift(ctx, want, p)
	if err != nil {
		r.report(want, err)
		return
	}
	p.table, p.control = r.treat(ctx, p, foreign)
	_ = r.carryOut(ctx, desire(r.in, &r.made), p, regardless)
}

// drift is what others did to the kernel's IPVS: the edits that would undo it.
type drift struct {
	table    []ipvs.Op
	control  []controlOp
	observed ipvs.Table // the table as it is
}

func (d drift) empty() bool { return len(d.table)+len(d.control) == 0 }

// drift finds out what others did. A dump may miss entries while somebody edits
// the table (ip_vs_ctl.c has no lock over a whole dump): only what two dumps
// say counts. What the kernel refused to do is nobody else's doing.
func (r *reconciler) drift(ctx context.Context, want desired, p plan) (drift, error) {
	d := drift{control: slices.DeleteFunc(slices.Clone(p.control), func(op controlOp) bool { return r.owed[op.text] })}
	first := make(map[string]bool, len(p.table))
	for _, op := range p.table {
		if text := op.String(); !r.owed[text] {
			first[text] = true
		}
	}
	if len(first) == 0 {
		return d, nil
	}
	kernel, err := r.table.get()
	if err != nil {
		return drift{}, err
	}
	if d.observed, err = kernel.Observe(ctx); err != nil {
		return drift{}, err
	}
	r.supervisor.Beat()
	for _, op := range ipvs.Plan(d.observed, *want.table) {
		if first[op.String()] {
			d.table = append(d.table, op)
		}
	}
	return d, nil
}

// treat does with foreign edits what the configuration says, and answers what
// remains to be applied.
func (r *reconciler) treat(ctx context.Context, p plan, d drift) ([]ipvs.Op, []controlOp) {
	owed, owedControl := p.only(r.owed)
	if d.empty() {
		r.reported = nil
		return owed, owedControl
	}
	switch r.in.config.IPVS.Drift {
	case config.Report:
		r.tellDrift(ctx, d, "left as it is; this would put it back")
		return owed, owedControl
	case config.Adopt:
		if r.takeOver(ctx, d) {
			return owed, owedControl
		}
	}
	r.tellDrift(ctx, d, "put back")
	r.reported = nil // the next time it is news again
	return p.only(r.owed, d.texts())
}

// only gives the edits of the table, and of what is beside it, that are among
// texts, in the plan's order.
func (p plan) only(texts ...map[string]bool) ([]ipvs.Op, []controlOp) {
	named := func(text string) bool {
		return slices.ContainsFunc(texts, func(among map[string]bool) bool { return among[text] })
	}
	table := slices.DeleteFunc(slices.Clone(p.table), func(op ipvs.Op) bool { return !named(op.String()) })
	control := slices.DeleteFunc(slices.Clone(p.control), func(op controlOp) bool { return !named(op.text) })
	return table, control
}

// texts gives the edits as commands.
func (d drift) texts() map[string]bool {
	all := make(map[string]bool)
	for _, op := range d.table {
		all[op.String()] = true
	}
	for _, op := range d.control {
		all[op.text] = true
	}
	return all
}

// tellDrift tells of foreign edits, once as long as they are the same.
func (r *reconciler) tellDrift(ctx context.Context, d drift, verdict string) {
	seen := make(map[string]bool)
	places := director.PlacesIn(r.in.config)
	for _, op := range d.table {
		text := op.String()
		if seen[text] = true; !r.reported[text] && len(seen) <= driftSaid {
			r.events.Add(ctx, events.Drift, "%s was edited by somebody else; %s: %s", places.Of(op), verdict, text)
		}
	}
	for _, op := range d.control {
		if seen[op.text] = true; !r.reported[op.text] {
			r.events.Add(ctx, events.Drift, "%s was edited by somebody else; %s: %s", op.path(), verdict, op.text)
		}
	}
	if more := len(d.table) - driftSaid; more > 0 && !maps.Equal(seen, r.reported) {
		r.events.Add(ctx, events.Drift, "and %d more edits by somebody else", more)
	}
	r.reported = seen
}

// tellPutBack tells of foreign edits that were reported and left, and that a
// change of the configuration undoes.
func (r *reconciler) tellPutBack(ctx context.Context, p plan) {
	if len(r.reported) == 0 {
		return
	}
	told := 0
	for _, text := range slices.Sorted(maps.Keys(drift{table: p.table, control: p.control}.texts())) {
		if !r.reported[text] {
			continue
		}
		delete(r.reported, text)
		if told++; told <= driftSaid {
			r.events.Add(ctx, events.Drift, "an edit by somebody else is put back with a change: %s", text)
		}
	}
	if more := told - driftSaid; more > 0 {
		r.events.Add(ctx, events.Drift, "and %d more edits by somebody else", more)
	}
}

// takeOver makes foreign edits part of the running configuration. Those that
// no configuration can hold are not taken over.
func (r *reconciler) takeOver(ctx context.Context, d drift) bool {
	kernel, err := r.table.get()
	if err != nil {
		return false
	}
	beside, err := observeControl(ctx, kernel)
	if err != nil {
		return false
	}
	want := desire(r.in, &r.made)
	next, err := r.merge(withForeign(*want.table, d), want.control.withForeign(beside, d.control))
	if err != nil {
		r.events.Add(ctx, events.Drift, "edits by somebody else are not taken over: %v", err)
		return false
	}
	r.tellDrift(ctx, d, "taken over; this would undo it")
	r.reported = nil
	next(&r.in)
	r.publish()
	return true
}

// withForeign gives the desired table with the entries of the observed one
// where foreign edits are certain.
func withForeign(want ipvs.Table, d drift) ipvs.Table {
	observed := make(map[ipvs.Key]ipvs.Service, len(d.observed.Services))
	for _, s := range d.observed.Services {
		observed[s.Key] = s
	}
	services := make(map[ipvs.Key]ipvs.Service, len(want.Services))
	for _, s := range want.Services {
		services[s.Key] = s
	}
	for _, op := range d.table {
		key := op.Service.Key
		have, exists := observed[key]
		s := services[key]
		switch op.Kind {
		case ipvs.AddService: // somebody deleted it
			delete(services, key)
			continue
		case ipvs.DeleteService: // somebody added it
			services[key] = have
			continue
		case ipvs.EditService:
			have.RealServers = s.RealServers
			s = have
		default:
			if !exists || services[key].Scheduler == "" {
				continue // its service is gone altogether
			}
			s.RealServers = withForeignServer(s.RealServers, have.RealServers, op.RealServer.Target())
		}
		services[key] = s
	}
	return ipvs.Table{Services: slices.Collect(maps.Values(services))}.Canonical()
}

// withForeignServer gives want with one real server as it was observed.
func withForeignServer(want, observed []ipvs.RealServer, target ipvs.Target) []ipvs.RealServer {
	is := func(r ipvs.RealServer) bool { return r.Target() == target }
	out := slices.DeleteFunc(slices.Clone(want), is)
	if i := slices.IndexFunc(observed, is); i >= 0 {
		out = append(out, observed[i])
	}
	return out
}
