package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"

	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/ipvs"
	"dipper/appliance/network"
)

// batch is how many edits of the table are made between two signs of life. The
// slowest machine that was measured makes some 3,000 a second.
const batch = 5000

// plan is one comparison of the kernel with the desired state.
type plan struct {
	network network.Plan
	table   []ipvs.Op
	control []controlOp
}

func (p plan) size() int { return len(p.network.Ops()) + len(p.table) + len(p.control) }

// halves parts a plan: what comes and changes, and behind it what goes.
func (p plan) halves() (bring, take plan) {
	bring = p
	bring.network.Withdraw = nil
	bring.table, take.table = ipvs.Halves(p.table)
	take.network.Withdraw = p.network.Withdraw
	return bring, take
}

// edits gives the edits as commands, in order.
func (p plan) edits(yield func(string) bool) {
	bring, take := ipvs.Halves(p.table)
	stops, others := sooner(p.control)
	command := func(op controlOp) string { return op.text }
	sequence := []iter.Seq[string]{
		texts(p.network.Hide, network.Op.String),
		texts(p.network.Prepare, network.Op.String),
		texts(stops, command),
		texts(bring, named),
		texts(others, command),
		texts(p.network.Expose, network.Op.String),
		texts(p.network.Withdraw, network.Op.String),
		texts(take, named),
	}
	for _, part := range sequence {
		for text := range part {
			if !yield(text) {
				return
			}
		}
	}
}

func (p plan) text() []string { return slices.Collect(p.edits) }

// named is an edit of the table as a command, with what connections would not
// survive beside it.
func named(op ipvs.Op) string {
	if what := op.Disruptive(); what != "" {
		return op.String() + "  # " + what
	}
	return op.String()
}

func texts[T any](ops []T, text func(T) string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, op := range ops {
			if !yield(text(op)) {
				return
			}
		}
	}
}

// plan reads the kernel and compares.
func (r *reconciler) plan(ctx context.Context, want desired) (plan, error) {
	r.inOrder = nil
	return r.planEdit(ctx, want)
}

// planEdit is plan for an edit, which need not look at a network that stays as
// it was found in order: its changes are told of, and the next audit looks.
func (r *reconciler) planEdit(ctx context.Context, want desired) (plan, error) {
	var p plan
	if r.inOrder == nil || !reflect.DeepEqual(*r.inOrder, want.network) {
		have, err := r.network.Observe(ctx, want.network)
		if err != nil {
			return plan{}, fmt.Errorf("network: %w", err)
		}
		p.network = network.MakePlan(have, want.network)
		r.inOrder = nil
		if p.size() == 0 {
			r.inOrder = &want.network
		}
	}
	var err error
	p.table, p.control, err = r.planTable(ctx, want)
	return p, err
}

// planTable compares the kernel's IPVS. In a role without a table, one of the
// machine's own is from when it was a director: it is emptied, or IPVS would take
// what comes for the VIPs and send it on. Another is left alone (decision 27).
func (r *reconciler) planTable(ctx context.Context, want desired) ([]ipvs.Op, []controlOp, error) {
	if want.table == nil && !r.ownTable {
		return nil, nil, nil
	}
	kernel, err := r.table.get()
	if err != nil {
		return nil, nil, err
	}
	r.supervisor.Beat()
	_, edits, err := ipvs.Decide(ctx, kernel, *cmp.Or(want.table, &ipvs.Table{}))
	if err != nil {
		return nil, nil, fmt.Errorf("ipvs: %w", err)
	}
	beside, err := observeControl(ctx, kernel)
	if err != nil {
		return nil, nil, fmt.Errorf("ipvs: %w", err)
	}
	r.supervisor.Beat()
	if want.table == nil {
		want.control.Timeouts = beside.Timeouts // of no table, they hurt nobody
	}
	return edits, planControl(beside, want.control), nil
}

// apply edits the kernel in two halves: what comes and changes, and, if goOn
// says so of what was refused of that, what goes. VIPs come last of all that
// comes, when what stands behind them is in place, and go first.
func (r *reconciler) apply(ctx context.Context, p plan, want desired, goOn func(error) bool) error {
	r.owed = make(map[string]bool)
	bring, take := p.halves()
	var err error
	if take.control, err = r.bring(ctx, bring, want, len(take.table) > 0); !goOn(err) {
		return err
	}
	return errors.Join(err, r.take(ctx, take))
}

// bring applies the first half of a plan. It answers the daemons that cannot
// start before the other half.
func (r *reconciler) bring(ctx context.Context, p plan, want desired, more bool) (waiting []controlOp, err error) {
	r.begin(ctx, p)
	s := stages{beat: r.supervisor.Beat}
	s.done("network", r.network.Apply(ctx, p.network.Hide))
	s.done("network", r.network.Apply(ctx, p.network.Prepare))
	if want.table != nil {
		r.claimTable()
	}
	stops, others := sooner(p.control)
	s.done("ipvs", r.applyControl(ctx, stops))
	s.done("ipvs", r.applyTable(ctx, p.table))
	err = r.applyControl(ctx, others)
	if more {
		waiting, err = untilMixedGo(err)
	}
	s.done("ipvs", err)
	s.done("serve", r.responders.Set(ctx, want.responders))
	s.done("network", r.network.Apply(ctx, p.network.Expose))
	return waiting, errors.Join(s.errs...)
}

// take applies the second half of a plan.
func (r *reconciler) take(ctx context.Context, p plan) error {
	r.begin(ctx, p)
	s := stages{beat: r.supervisor.Beat}
	s.done("network", r.network.Apply(ctx, p.network.Withdraw))
	s.done("ipvs", r.applyTable(ctx, p.table))
	s.done("ipvs", r.applyControl(ctx, p.control))
	return errors.Join(s.errs...)
}

// stages collects what went wrong in each part of a plan.
type stages struct {
	beat func()
	errs []error
}

func (s *stages) done(name string, err error) {
	for _, e := range each(err) {
		s.errs = append(s.errs, fmt.Errorf("%s: %w", name, e))
	}
	s.beat()
}

// claimTable makes the kernel's table the machine's own until the next boot,
// for the control planes that come after this one too: whatever is in it when
// this one is killed, one that has another role empties it.
func (r *reconciler) claimTable() {
	if r.ownTable {
		return
	}
	r.ownTable = true
	if err := r.running.saveClaim(); err != nil {
		r.log.Error("a restart of the control plane as a real server will leave the table as it is", "error", err)
	}
}

// applyTable edits the kernel's table.
func (r *reconciler) applyTable(ctx context.Context, edits []ipvs.Op) error {
	if len(edits) == 0 {
		return nil
	}
	kernel, err := r.table.get()
	if err != nil {
		return err
	}
	var errs []error
	for ops := range slices.Chunk(edits, batch) {
		errs = append(errs, r.explain(kernel.Apply(ctx, ops)))
		r.supervisor.Beat()
	}
	return errors.Join(errs...)
}

// explain says of edits that the kernel refused where they come from in the
// configuration, and remembers them: what the kernel lacks for that is nobody
// else's doing.
func (r *reconciler) explain(err error) error {
	if err == nil {
		return nil
	}
	places := director.PlacesIn(cmp.Or(r.in.config, &config.Config{}))
	var errs []error
	for _, e := range each(err) {
		if op, ok := errors.AsType[*ipvs.OpError](e); ok {
			r.owed[op.Op.String()] = true
			e = fmt.Errorf("%s: %w", places.Of(op.Op), e)
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}
