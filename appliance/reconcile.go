package appliance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/events"
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
	// auditShare bounds what audits of a large table cost: one of so many
	// seconds of a processor.
	auditShare = 20
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

// TableKernel is the kernel's IPVS as the control plane needs it. All but what
// edits it may be called beside the reconciler.
type TableKernel interface {
	Observe(ctx context.Context) (ipvs.Table, error)
	// Forget has the next Observe look at the kernel, whatever is known of it.
	Forget()
	Apply(ctx context.Context, ops []ipvs.Op) error
	Statistics(ctx context.Context) ([]ipvs.ServiceStatistics, error)
	Services(ctx context.Context) ([]ipvs.ServiceStatistics, error)
	RealServers(ctx context.Context, services []*ipvs.ServiceStatistics) iter.Seq2[*ipvs.ServiceStatistics, error]
	StatisticsOf(ctx context.Context, service ipvs.Key) (s ipvs.ServiceStatistics, found bool, err error)
	Zero(ctx context.Context, service *ipvs.Key) error
	Info(ctx context.Context) (ipvs.Info, error)
	Connections(ctx context.Context, filter ipvs.ConnectionFilter) iter.Seq2[ipvs.Connection, error]

	Timeouts(ctx context.Context) (ipvs.Timeouts, error)
	SetTimeouts(ctx context.Context, t ipvs.Timeouts) error
	Daemons(ctx context.Context) ([]ipvs.Daemon, error)
	StartDaemon(ctx context.Context, d ipvs.Daemon) error
	StopDaemon(ctx context.Context, state ipvs.DaemonState) error

	// Watch tells of edits that others make; it closes the channel when it can
	// do so no longer.
	Watch(ctx context.Context) (<-chan struct{}, error)
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
	table      *lazyTable
	responders Responders
	leases     Leases
	supervisor Supervisor
	board      *board
	running    running
	log        *slog.Logger
	hostname   func(name string) error

	events *events.Record
	gate   *gate
	uptime func() time.Duration // since the kernel's start, suspended time included
	memory memory

	ask    chan func(context.Context)
	leased chan network.Lease // holds one that nobody has taken notice of

	// now is what in was when it last changed, for readers that need not wait
	// for the goroutine.
	now atomic.Pointer[intent]

	// What follows belongs to the goroutine alone.
	in        intent
	pending   *unconfirmed   // nil: none
	saved     *config.Config // what the machine boots with; nil: nothing is known
	made      director.Sequence
	ownTable  bool            // the machine was a director since its boot: the IPVS table is its own
	inOrder   *network.State  // the network that the kernel was found to have; nil: look
	kept      *written        // the text that a restarted control plane finds
	keptLen   int             // bytes of rules behind it
	keptVerbs *verbs          // the verbs that it finds; nil: nobody knows
	foreign   <-chan struct{} // the kernel's changes; nil: not told of
	// foreignTable tells of edits of the IPVS table; nil: not told of.
	foreignTable <-chan struct{}
	failing      map[string]bool // what went wrong when the kernel was last reconciled
	owed         map[string]bool // edits of the table that the kernel refused then
	// reported are the foreign edits that were told of and left.
	reported map[string]bool
	alarm    *time.Timer // fires when a verb or an unconfirmed commit ends
	edits    int
}

// run reconciles until ctx ends or PID 1 asks for withdrawal.
func (r *reconciler) run(ctx context.Context) error {
	beat := time.NewTicker(beatInterval)
	defer beat.Stop()
	audit := time.NewTimer(auditInterval)
	defer audit.Stop()
	look := time.NewTimer(settle)
	defer look.Stop()
	r.alarm = time.NewTimer(0)
	defer r.alarm.Stop()
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
			r.inOrder = nil
			look.Reset(settle)
		case _, told := <-r.foreignTable:
			if !told {
				r.foreignTable = nil
			}
			look.Reset(settle)
		case <-look.C:
			r.audit(ctx)
		case <-r.alarm.C:
			r.expire(ctx)
		case <-audit.C:
			began := time.Now()
			r.watch(ctx)
			r.table.forget()
			r.audit(ctx)
			audit.Reset(max(auditInterval, auditShare*time.Since(began)))
		case <-beat.C:
		}
	}
}

// watch lets the kernel tell of its changes, if it does not do so already.
func (r *reconciler) watch(ctx context.Context) {
	const late = "foreign changes are noticed only every "
	var err error
	if r.foreign == nil {
		if r.foreign, err = r.network.Watch(ctx); err != nil {
			r.log.Error(late+auditInterval.String(), "error", err)
		}
	}
	kernel := r.table.opened()
	if r.foreignTable == nil && kernel != nil {
		if r.foreignTable, err = kernel.Watch(ctx); err != nil {
			r.log.Error(late+auditInterval.String(), "error", err)
		}
	}
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

// lookAtLinks learns which physical links there are, for maintenance.
func (r *reconciler) lookAtLinks(ctx context.Context) {
	links, err := r.network.PhysicalLinks(ctx)
	if err != nil {
		r.log.Error("links", "error", err)
		return
	}
	r.in.links = links
}

// configure is an edit of the intent: another running configuration.
func configure(source string, text *written, cfg *config.Config) func(*intent) {
	return func(in *intent) {
		in.source, in.text, in.config = source, text, cfg
		in.verbs = in.verbs.kept(cfg)
		in.generation++
	}
}

// adopt edits the intent without a way back: for the start.
func (r *reconciler) adopt(ctx context.Context, edit func(*intent)) (plan, error) {
	edit(&r.in)
	r.publish()
	return r.reconcile(ctx)
}

// prepared is an edit of the intent, and what it would do to the kernel.
type prepared struct {
	in   intent
	want desired
	plan plan
}

// prepare plans an edit of the intent without carrying it out.
func (r *reconciler) prepare(ctx context.Context, edit func(*intent)) (prepared, error) {
	next := prepared{in: r.in}
	edit(&next.in)
	next.want = desire(next.in, &r.made)
	var err error
	next.plan, err = r.planEdit(ctx, next.want)
	return next, err
}

// change edits the intent and brings the kernel there, or leaves both as they
// were; see enact.
func (r *reconciler) change(ctx context.Context, edit func(*intent)) (plan, error) {
	next, err := r.prepare(ctx, edit)
	if err != nil {
		return plan{}, err
	}
	return next.plan, r.enact(ctx, next)
}

// enact carries out what was prepared. When the kernel refuses anything that
// it did not refuse before, the intent and the kernel are put back, and the
// error is an *api.Error that says so. Nothing was taken from clients then: that
// is done last, and only if nothing was refused.
func (r *reconciler) enact(ctx context.Context, next prepared) error {
	before, failing := r.in, r.failing
	before.leases = maps.Clone(before.leases)
	r.in = next.in
	r.leases.Want(ctx, r.in.dhcpLinks())
	news := func(err error) []string {
		return slices.DeleteFunc(lines(err), func(line string) bool { return failing[line] })
	}
	unrefused := func(err error) bool { return len(news(err)) == 0 }
	err := r.carryOut(ctx, next.want, next.plan, unrefused)
	if slices.ContainsFunc(each(err), raced) {
		_, err = r.reconcileIf(ctx, unrefused) // from what the table is by now
	}
	refused := news(err)
	if len(refused) == 0 {
		r.publish()
		return nil
	}
	r.in = before
	_, undo := r.reconcile(ctx)
	no := &api.Error{Message: "the kernel refused it, and the configuration before is back", Details: refused, Cause: firstNews(err, failing)}
	if left := news(undo); len(left) > 0 {
		no.Message = "the kernel refused it, and part of the way back too"
		no.Details = append(no.Details, left...)
	}
	return no
}

// firstNews is the first error that is not among the known ones.
func firstNews(err error, known map[string]bool) error {
	for _, e := range each(err) {
		if !known[e.Error()] {
			return e
		}
	}
	return nil
}

// raced tells of an edit that came too late: somebody else had edited the table
// since it was looked at.
func raced(err error) bool {
	op, ok := errors.AsType[*ipvs.OpError](err)
	return ok && op.Raced()
}

// publish shows the intent to readers, keeps it for a control plane that is
// restarted, and sets the alarm.
func (r *reconciler) publish() {
	shown := r.in
	shown.leases = nil // edited in place
	r.now.Store(&shown)
	if err := r.keepIntent(); err != nil {
		r.log.Error("a restart of the control plane will not know the running configuration", "error", err)
	}
	r.board.update(func(s *api.Status) {
		s.Unsaved, s.ConfirmBy = r.unsaved(), time.Time{}
		if r.in.config != nil {
			s.Source = r.in.source
		}
		if r.pending != nil {
			s.ConfirmBy = r.events.Now().Add(r.pending.end() - r.uptime()).Round(time.Second)
		}
	})
	r.setAlarm()
}

// setAlarm lets the alarm ring when the next verb or the unconfirmed commit
// ends.
func (r *reconciler) setAlarm() {
	_, next := r.in.verbs.ended(r.uptime())
	if r.pending != nil && (next == 0 || r.pending.end() < next) {
		next = r.pending.end()
	}
	if r.alarm != nil && next != 0 {
		r.alarm.Reset(max(0, next-r.uptime()))
	}
}

// expire ends what is over: verbs, and the unconfirmed commit.
func (r *reconciler) expire(ctx context.Context) {
	// The outcome is on the board, and is tried again with every audit.
	if r.pending != nil && r.pending.end() <= r.uptime() {
		_, _ = r.revert(ctx, "undone: nobody confirmed it")
	}
	over, _ := r.in.verbs.ended(r.uptime())
	if len(over) > 0 {
		r.in.verbs = maps.Clone(r.in.verbs)
		for _, id := range over {
			r.events.Add(ctx, events.Server, "%s of %s: %s is over", id, id.Service, r.in.verbs[id].Verb)
			delete(r.in.verbs, id)
		}
		r.publish()
		_, _ = r.reconcile(ctx)
	}
	r.setAlarm()
}

// configured answers the running configuration and what goes with it, as it is
// at this moment.
func (r *reconciler) configured() (intent, error) {
	in := r.now.Load()
	if in == nil || in.config == nil {
		return intent{}, errNoConfiguration()
	}
	return *in, nil
}

func errNoConfiguration() error {
	return &api.Error{Message: "no configuration is running: the machine is in maintenance"}
}

// reconcile brings the kernel to what r.in asks for and tells the board. It
// answers the edits that it made. What the kernel refuses hinders nothing else.
func (r *reconciler) reconcile(ctx context.Context) (plan, error) {
	return r.reconcileIf(ctx, regardless)
}

// regardless goes on whatever was refused.
func regardless(error) bool { return true }

// reconcileIf is reconcile, on a condition: see apply.
func (r *reconciler) reconcileIf(ctx context.Context, goOn func(error) bool) (plan, error) {
	if r.in.config == nil && !r.in.seeking {
		return plan{}, nil // still looking where nothing but the machine is asked
	}
	want := desire(r.in, &r.made)
	r.leases.Want(ctx, r.in.dhcpLinks())
	p, err := r.plan(ctx, want)
	if err != nil {
		r.report(want, err)
		return plan{}, err
	}
	err = r.carryOut(ctx, want, p, goOn)
	if r.foreignTable == nil {
		r.watch(ctx) // the table may just have been opened
	}
	return p, err
}

// carryOut applies a plan and tells the board.
func (r *reconciler) carryOut(ctx context.Context, want desired, p plan, goOn func(error) bool) error {
	names := errors.Join(r.identify(), r.running.saveNameServers(want.nameServers))
	err := errors.Join(names, r.apply(ctx, p, want, func(refused error) bool {
		return goOn(errors.Join(names, refused))
	}))
	r.report(want, err)
	return err
}

// begin tells of edits that are about to be made.
func (r *reconciler) begin(ctx context.Context, p plan) {
	r.logEdits(p)
	r.tellPutBack(ctx, p)
	r.edits += p.size()
}

// editsLogged bounds how many edits of half a plan are in the log: at the start
// of a large director there are a hundred thousand.
const editsLogged = 200

func (r *reconciler) logEdits(p plan) {
	logged := 0
	for edit := range p.edits {
		if logged == editsLogged {
			r.log.Info(fmt.Sprintf("edit: and %d more", p.size()-logged))
			return
		}
		r.log.Info("edit: " + edit)
		logged++
	}
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
	isVIP := func(a network.Address) bool { return a.VIP }
	want := desire(r.in, &r.made).network
	want.Addresses = slices.DeleteFunc(slices.Clone(want.Addresses), isVIP)
	have, err := r.network.Observe(ctx, want)
	if err != nil {
		return fmt.Errorf("withdraw: %w", err)
	}
	rest := have // nothing else is mended now
	rest.Addresses = slices.DeleteFunc(slices.Clone(have.Addresses), isVIP)
	ops := network.MakePlan(have, rest).Withdraw
	for _, op := range ops {
		r.log.Info("withdraw: " + op.String())
	}
	if err := r.network.Apply(ctx, ops); err != nil {
		return fmt.Errorf("withdraw: %w", err)
	}
	return nil
}
