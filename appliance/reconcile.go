package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/ipvs"
	"dipper/appliance/network"
)

// Intervals of the reconciler.
const (
	// beatInterval is how often the reconciler proves that it is alive.
	beatInterval = time.Second
	// auditInterval is how often the kernel is compared with the
	// configuration when nothing asks for it.
	auditInterval = 10 * time.Second
	// settle is how long foreign changes are collected before they are looked
	// at. Our own edits come back as such changes too, and are found in order.
	settle = 200 * time.Millisecond
)

// NetworkKernel is the kernel's network as the reconciler needs it.
type NetworkKernel interface {
	Observe(ctx context.Context, desired network.State) (network.State, error)
	Apply(ctx context.Context, ops []network.Op) error
	PhysicalLinks(ctx context.Context) ([]string, error)
	// Watch tells of changes, our own included; it closes the channel when it
	// can do so no longer.
	Watch(ctx context.Context) (<-chan struct{}, error)
}

// TableKernel is the kernel's IPVS table as the reconciler needs it.
type TableKernel interface {
	Observe(ctx context.Context) (ipvs.Table, error)
	Apply(ctx context.Context, ops []ipvs.Op) error
	Statistics(ctx context.Context) ([]ipvs.ServiceStatistics, error)
}

// Responders is the built-in responder as the reconciler needs it.
type Responders interface {
	Set(ctx context.Context, want []config.Responder) error
}

// Leases keeps a DHCP client running on each of the links.
type Leases interface {
	Want(ctx context.Context, links []string)
}

// Supervisor is PID 1 as its child sees it.
type Supervisor interface {
	Beat()                     // the control plane is alive
	Withdraw() <-chan struct{} // the machine ends: withdraw the VIPs and return
	End(how api.Power) error   // asks for the machine's end
}

// reconciler is the one goroutine that edits the kernel.
type reconciler struct {
	network    NetworkKernel
	openTable  func() (TableKernel, error)
	responders Responders
	leases     Leases
	supervisor Supervisor
	board      *board
	running    running
	log        *slog.Logger
	hostname   func(name string) error

	ask    chan func(context.Context)
	leased chan network.Lease // holds one that nobody has taken notice of

	// What follows belongs to the goroutine alone.
	in      intent
	table   TableKernel     // opened when a role first wants one
	foreign <-chan struct{} // the kernel's changes; nil: not told of
	edits   int
}

// run reconciles until ctx ends or PID 1 asks for withdrawal.
func (r *reconciler) run(ctx context.Context) error {
	beat := time.NewTicker(beatInterval)
	defer beat.Stop()
	audit := time.NewTicker(auditInterval)
	defer audit.Stop()
	look := time.NewTimer(settle)
	defer look.Stop()
	r.watch(ctx)
	for {
		r.supervisor.Beat()
		select {
		case <-ctx.Done():
			return nil
		case <-r.supervisor.Withdraw():
			return r.withdraw(ctx)
		case work := <-r.ask:
			work(ctx)
		case _, told := <-r.foreign:
			if !told {
				r.foreign = nil
			}
			look.Reset(settle)
		case <-look.C:
			r.audit(ctx)
		case <-audit.C:
			r.watch(ctx)
			r.audit(ctx)
		case <-beat.C:
		}
	}
}

// watch lets the kernel tell of its changes, if it does not do so already.
func (r *reconciler) watch(ctx context.Context) {
	if r.foreign != nil {
		return
	}
	foreign, err := r.network.Watch(ctx)
	if err != nil {
		r.log.Error("foreign changes are noticed only every "+auditInterval.String(), "error", err)
		return
	}
	r.foreign = foreign
}

// submit runs work in the reconciler's goroutine and waits for it.
func submit[T any](ctx context.Context, r *reconciler, work func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	var none T
	select {
	case r.ask <- func(ctx context.Context) {
		v, err := work(ctx)
		done <- result{v, err}
	}:
	case <-ctx.Done():
		return none, fmt.Errorf("control plane is busy: %w", ctx.Err())
	}
	select {
	case res := <-done:
		return res.value, res.err
	case <-ctx.Done():
		return none, fmt.Errorf("control plane is at work: %w", ctx.Err())
	}
}

// audit reconciles and reports what was found; errors are in the status.
func (r *reconciler) audit(ctx context.Context) {
	if r.in.config == nil {
		r.lookAtLinks(ctx)
	}
	// The outcome is on the board, where shell and console read it.
	_, _ = r.reconcile(ctx)
}

// lookAtLinks learns which physical links there are, for maintenance.
func (r *reconciler) lookAtLinks(ctx context.Context) {
	links, err := r.network.PhysicalLinks(ctx)
	if err != nil {
		r.log.Error("links", "error", err)
		return
	}
	r.in.links = links
}

// adopt makes cfg the configuration, without a way back: for the start.
func (r *reconciler) adopt(ctx context.Context, cfg *config.Config) ([]string, error) {
	r.in.config = cfg
	return r.reconcile(ctx)
}

// change makes cfg the configuration, or leaves the old one when the kernel
// refuses any part of it.
func (r *reconciler) change(ctx context.Context, cfg *config.Config) (api.Applied, error) {
	before := r.in
	r.in.leases = maps.Clone(before.leases)
	plan, err := r.adopt(ctx, cfg)
	if err == nil {
		return api.Applied{Plan: plan}, nil
	}
	r.in = before
	_, undo := r.reconcile(ctx)
	refused := &api.Error{Message: "the kernel refused it, and the configuration before is back", Details: lines(err)}
	if undo != nil {
		refused.Message = "the kernel refused it, and part of the way back too"
		refused.Details = append(refused.Details, lines(undo)...)
	}
	return api.Applied{}, refused
}

// preview plans cfg without applying it.
func (r *reconciler) preview(ctx context.Context, cfg *config.Config) (api.Applied, error) {
	in := r.in
	in.config = cfg
	p, err := r.plan(ctx, desire(in))
	if err != nil {
		return api.Applied{}, err
	}
	return api.Applied{Plan: p.text()}, nil
}

// plan is one comparison of the kernel with the desired state.
type plan struct {
	network network.Plan
	table   []ipvs.Op
}

func (p plan) text() []string {
	var text []string
	for _, op := range slices.Concat(p.network.Withdraw, p.network.Prepare) {
		text = append(text, op.String())
	}
	for _, op := range p.table {
		text = append(text, op.String())
	}
	for _, op := range p.network.Expose {
		text = append(text, op.String())
	}
	return text
}

// plan reads the kernel and compares.
func (r *reconciler) plan(ctx context.Context, want desired) (plan, error) {
	have, err := r.network.Observe(ctx, want.network)
	if err != nil {
		return plan{}, fmt.Errorf("network: %w", err)
	}
	p := plan{network: network.MakePlan(have, want.network)}
	if want.table == nil {
		return p, nil
	}
	if err := r.needTable(); err != nil {
		return plan{}, err
	}
	table, err := r.table.Observe(ctx)
	if err != nil {
		return plan{}, fmt.Errorf("ipvs: %w", err)
	}
	p.table = ipvs.Plan(table, *want.table)
	return p, nil
}

func (r *reconciler) needTable() error {
	if r.table != nil {
		return nil
	}
	table, err := r.openTable()
	if err != nil {
		return fmt.Errorf("ipvs: %w", err)
	}
	r.table = table
	return nil
}

// reconcile brings the kernel to what r.in asks for and tells the board. It
// answers the edits that it made, as commands.
func (r *reconciler) reconcile(ctx context.Context) ([]string, error) {
	if r.in.config == nil && !r.in.seeking {
		return nil, nil // still looking where nothing but the machine is asked
	}
	want := desire(r.in)
	r.leases.Want(ctx, r.in.dhcpLinks())
	p, err := r.plan(ctx, want)
	if err != nil {
		r.report(want, err)
		return nil, err
	}
	text := p.text()
	for _, edit := range text {
		r.log.Info("edit: " + edit)
	}
	err = errors.Join(r.identify(), r.running.saveNameServers(want.nameServers), r.apply(ctx, p, want.responders))
	r.edits += len(text)
	r.report(want, err)
	return text, err
}

// apply edits the kernel: VIPs that must go first, VIPs that come last, when
// all that stands behind them is in place.
func (r *reconciler) apply(ctx context.Context, p plan, responders []config.Responder) error {
	var errs []error
	stage := func(name string, err error) {
		for _, e := range each(err) {
			errs = append(errs, fmt.Errorf("%s: %w", name, e))
		}
	}
	stage("network", r.network.Apply(ctx, p.network.Withdraw))
	stage("network", r.network.Apply(ctx, p.network.Prepare))
	if len(p.table) > 0 {
		stage("ipvs", r.table.Apply(ctx, p.table))
	}
	stage("serve", r.responders.Set(ctx, responders))
	stage("network", r.network.Apply(ctx, p.network.Expose))
	return errors.Join(errs...)
}

func (r *reconciler) identify() error {
	if r.in.config == nil || r.in.config.Hostname == "" {
		return nil
	}
	if err := r.hostname(r.in.config.Hostname); err != nil {
		return fmt.Errorf("hostname: %w", err)
	}
	return nil
}

// withdraw takes the VIPs away, so that nobody sends to a machine that ends.
func (r *reconciler) withdraw(ctx context.Context) error {
	r.board.update(func(s *api.Status) { s.State = api.Stopping })
	want := desire(r.in).network
	want.Addresses = slices.DeleteFunc(want.Addresses, func(a network.Address) bool { return a.VIP })
	have, err := r.network.Observe(ctx, want)
	if err != nil {
		return fmt.Errorf("withdraw: %w", err)
	}
	ops := network.MakePlan(have, want).Withdraw
	for _, op := range ops {
		r.log.Info("withdraw: " + op.String())
	}
	if err := r.network.Apply(ctx, ops); err != nil {
		return fmt.Errorf("withdraw: %w", err)
	}
	return nil
}

// report tells the board how reconciling went.
func (r *reconciler) report(want desired, err error) {
	if err != nil {
		r.log.Error("reconcile", "error", err)
	}
	r.board.update(func(s *api.Status) {
		s.Edits = r.edits
		s.Addresses, s.VIPs = addresses(want.network)
		if r.in.config == nil {
			return // maintenance says itself why
		}
		s.State, s.Problems, s.Advice = api.Serving, nil, nil
		s.Role, s.Hostname = string(r.in.config.Role), r.in.config.Hostname
		if err != nil {
			s.State, s.Problems = api.Degraded, lines(err)
		}
	})
}

// addresses splits a state's addresses into own ones and VIPs.
func addresses(state network.State) (own, vips []string) {
	for _, a := range state.Addresses {
		if a.VIP {
			vips = append(vips, a.Prefix.Addr().String())
		} else {
			own = append(own, a.Prefix.String()+" "+a.Link)
		}
	}
	return own, vips
}

// lines are a tree of joined errors, one line each.
func lines(err error) []string {
	var all []string
	for _, e := range each(err) {
		all = append(all, e.Error())
	}
	return all
}

// each flattens a tree of joined errors; nil has none.
func each(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, each(e)...)
	}
	return all
}
