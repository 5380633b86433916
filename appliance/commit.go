package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/candidate"
	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/events"
	"dipper/appliance/ipvs"
)

// maxConfirm is how long a commit may wait to be confirmed.
const maxConfirm = 366 * 24 * time.Hour

// maxComment bounds a comment, in bytes: it is kept with its revision, and told
// to everybody.
const maxComment = 1 << 10

func checkComment(comment string) error {
	if len(comment) > maxComment {
		return &api.Error{Message: fmt.Sprintf("comment: %d bytes: expected at most %d", len(comment), maxComment)}
	}
	return nil
}

// Commit makes a candidate the running configuration and, unless it is to be
// confirmed, the saved one.
func (b *backend) Commit(ctx context.Context, id string, o api.CommitOptions) (api.Committed, error) {
	e, err := b.candidate(ctx, id)
	if err != nil {
		return api.Committed{}, err
	}
	if o.Confirm < 0 || time.Duration(o.Confirm) > maxConfirm {
		return api.Committed{}, &api.Error{Message: fmt.Sprintf("commit confirmed: expected a time above zero, and at most %s", maxConfirm)}
	}
	if err := checkComment(o.Comment); err != nil {
		return api.Committed{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	text, cfg, err := b.read(e.doc)
	if err != nil {
		return api.Committed{}, refusal(err)
	}
	b.shells.vouch(ctx)
	actor := api.ActorOf(ctx)
	done, err := submit(ctx, b.reconciler, func(ctx context.Context) (api.Committed, error) {
		return b.commit(api.WithActor(ctx, actor), e, text, cfg, o)
	})
	if err != nil || o.CheckOnly {
		return done, err
	}
	// The candidate goes on from what runs now, which is what it says itself.
	in := b.reconciler.now.Load()
	if same, err := in.isText(text.yaml); err != nil || !same {
		return done, err // somebody was quick
	}
	e.base, e.Base = text.doc, in.generation
	e.Edits++
	in.text.share(e.base)
	return done, b.files.write(e)
}

// commit runs in the reconciler's goroutine.
func (b *backend) commit(ctx context.Context, e *edited, text *written, cfg *config.Config, o api.CommitOptions) (api.Committed, error) {
	r := b.reconciler
	present, _, err := b.runningDocument()
	if err != nil {
		return api.Committed{}, err
	}
	if r.in.generation != e.Base && !o.Anyway {
		return api.Committed{}, conflict(e, present)
	}
	next, err := r.prepare(ctx, configure("a commit of "+who(ctx), text, cfg))
	if err != nil {
		return api.Committed{}, err
	}
	done := api.Committed{Comparison: compare(present, e.doc)}
	if done.Comparison, err = r.foresee(ctx, done.Comparison, next); err != nil || o.CheckOnly {
		return done, err
	}
	same, err := r.in.isText(text.yaml)
	if err != nil {
		return done, err
	}
	if same && r.pending == nil && r.saved != nil && sameConfig(r.saved, r.in.config) {
		return done, nil // nothing changed, and it is saved; what operators said of real servers, no commit saves
	}
	if o.Confirm > 0 {
		done.ConfirmBy, err = b.commitConfirmed(ctx, next, o)
		return done, err
	}
	if !same {
		if err := r.enact(ctx, next); err != nil {
			return done, err
		}
	}
	return b.finish(ctx, done, o.Comment)
}

// finish saves what runs after a commit.
func (b *backend) finish(ctx context.Context, done api.Committed, comment string) (api.Committed, error) {
	r := b.reconciler
	revision, err := b.keepRunning(ctx, comment, "commit")
	if err != nil {
		r.publish()
		return done, &api.Error{Message: "the configuration runs, but could not be saved; nothing that was saved before is lost", Details: []string{err.Error()}}
	}
	r.pending = nil
	r.in.source = fmt.Sprintf("revision %d", revision.Number)
	r.publish()
	done.Revision = revision.Number
	r.events.Add(ctx, events.Commit, "revision %d committed by %s%s", revision.Number, who(ctx), quoted(comment))
	return done, nil
}

// commitConfirmed makes a commit that ends by itself. A second one that nobody
// confirmed in between goes back to what ran before the first.
func (b *backend) commitConfirmed(ctx context.Context, commit prepared, o api.CommitOptions) (time.Time, error) {
	r := b.reconciler
	before, pending := r.in, r.pending
	if before.config == nil {
		return time.Time{}, &api.Error{Message: "there is no configuration to go back to: commit without confirmed"}
	}
	if pending == nil {
		yaml, err := before.text.text()
		if err != nil {
			return time.Time{}, err
		}
		pending = &unconfirmed{Source: before.source, YAML: yaml, Verbs: before.verbs.list()}
	}
	next := *pending
	next.Deadline = r.uptime() + time.Duration(o.Confirm)
	next.Actor, next.Comment = api.ActorOf(ctx), o.Comment
	next.attendance = attendedBy(next.Actor, b.shells.process(next.Actor.Session))
	// It is kept before anything is done: a control plane that is killed in
	// between goes back as well.
	if err := r.running.savePending(&next); err != nil {
		return time.Time{}, err
	}
	if err := r.enact(ctx, commit); err != nil {
		return time.Time{}, errors.Join(err, r.running.savePending(r.pending))
	}
	r.pending = &next
	r.publish()
	by := r.events.Now().Add(time.Duration(o.Confirm))
	r.events.Add(ctx, events.Commit, "committed by %s until %s, unless confirmed%s", who(ctx), by.UTC().Format(time.TimeOnly), quoted(o.Comment))
	return by, nil
}

// conflict tells what changed under a candidate.
func conflict(e *edited, present *candidate.Document) error {
	no := &api.Error{Message: "the running configuration changed since this candidate was opened", Conflict: true}
	no.Details = candidate.Changes(candidate.View{}, e.base, present)
	return no
}

// foresee completes a comparison with what a prepared edit would do to the
// kernel and to connections.
func (r *reconciler) foresee(ctx context.Context, c api.Comparison, next prepared) (api.Comparison, error) {
	c.Plan = next.plan.text()
	c.Warnings = append(c.Warnings, config.Warnings(next.in.config)...)
	c.Warnings = append(c.Warnings, r.memory.unaffordable(next.in.config)...)
	c.Warnings = append(c.Warnings, config.EndedLogins(r.in.config, next.in.config)...)
	c.Warnings = append(c.Warnings, r.in.ownSession(api.ActorOf(ctx), next.in)...)
	c.Warnings = append(c.Warnings, r.in.overridden(next.in)...)
	c.Warnings = append(c.Warnings, r.in.dropped(next.in)...)
	var err error
	c.Disturbed, err = r.disturbed(ctx, next.plan)
	return c, err
}

// ownSession tells somebody who came in over SSH that he takes away himself what
// let him in.
func (in intent) ownSession(who api.Actor, next intent) []string {
	if _, err := netip.ParseAddr(who.From); err != nil || !config.EndsSession(in.config, next.config, who.User, who.Fingerprint) {
		return nil
	}
	return []string{fmt.Sprintf("management.ssh.users.%s: your own session ends with this commit", who.User)}
}

// overridden tells of real servers whose new weight does not show, because an
// operator gave them another.
func (in intent) overridden(next intent) []string {
	if in.config == nil {
		return nil
	}
	var all []string
	for _, id := range slices.SortedFunc(maps.Keys(next.verbs), serverID.compare) {
		before, _ := findServer(in.config, id)
		after, _ := findServer(next.config, id)
		if before.Weight != after.Weight {
			all = append(all, fmt.Sprintf("%s of %s stays %s: enable gives it weight %d", id, id.Service, next.verbs[id].reason(), after.Weight))
		}
	}
	return all
}

// dropped tells of real servers that an operator gave another weight, and that
// are not there any more. One of the same address in a service that is new, or
// that has another name now, has the weight that is configured.
func (in intent) dropped(next intent) []string {
	var gone []serverID
	for _, id := range slices.SortedFunc(maps.Keys(in.verbs), serverID.compare) {
		if _, kept := next.verbs[id]; !kept {
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	made := slices.DeleteFunc(slices.Clone(next.config.Services), func(s config.Service) bool { return serviceIndex(in.config, s.Name) >= 0 })
	all := make([]string, len(gone))
	for i, id := range gone {
		all[i] = fmt.Sprintf("%s of %s, %s, is there no more", id, id.Service, in.verbs[id].reason())
		for _, s := range made {
			if r, there := findServer(next.config, serverID{s.Name, id.Address, id.Port}); there {
				all[i] += fmt.Sprintf("; that of %s has weight %d", s.Name, r.Weight)
			}
		}
	}
	return all
}

// disturbed tells which edits connections would not survive, and how many
// there are.
func (r *reconciler) disturbed(ctx context.Context, p plan) ([]string, error) {
	fatal := func(op ipvs.Op) bool { return op.Kind == ipvs.DeleteService || op.Kind == ipvs.DeleteRealServer }
	if !slices.ContainsFunc(p.table, fatal) {
		return nil, nil
	}
	kernel, err := r.table.get()
	if err != nil {
		return nil, err
	}
	stats, err := kernel.Statistics(ctx)
	if err != nil {
		return nil, fmt.Errorf("ipvs: %w", err)
	}
	r.supervisor.Beat()
	held := make(map[ipvs.Key]ipvs.ServiceStatistics, len(stats))
	for _, s := range stats {
		held[s.Key] = s
	}
	places := director.PlacesIn(cmp.Or(r.in.config, &config.Config{}))
	var all []string
	for _, op := range p.table {
		if !fatal(op) {
			continue
		}
		count := uint32(0)
		for _, rs := range held[op.Service.Key].RealServers {
			if op.Kind == ipvs.DeleteService || rs.Target() == op.RealServer.Target() {
				count += rs.ActiveConnections + rs.InactiveConnections
			}
		}
		all = append(all, fmt.Sprintf("%s: %d connections end: %s", places.Of(op), count, op))
	}
	return all, nil
}

// Confirm keeps an unconfirmed commit.
func (b *backend) Confirm(ctx context.Context) (api.Revision, error) {
	if err := mayConfigure(ctx); err != nil {
		return api.Revision{}, err
	}
	actor := api.ActorOf(ctx)
	return submit(ctx, b.reconciler, func(ctx context.Context) (api.Revision, error) {
		r := b.reconciler
		ctx = api.WithActor(ctx, actor)
		if r.pending == nil {
			return api.Revision{}, &api.Error{Message: "there is nothing to confirm"}
		}
		revision, err := b.keepRunning(ctx, r.pending.Comment, "commit")
		if err != nil {
			return revision, &api.Error{Message: "the commit could not be saved and is still unconfirmed", Details: []string{err.Error()}}
		}
		r.pending = nil
		r.in.source = fmt.Sprintf("revision %d", revision.Number)
		r.publish()
		r.events.Add(ctx, events.Commit, "revision %d confirmed by %s", revision.Number, who(ctx))
		return revision, nil
	})
}

// Revert undoes an unconfirmed commit.
func (b *backend) Revert(ctx context.Context) error {
	if err := mayConfigure(ctx); err != nil {
		return err
	}
	actor := api.ActorOf(ctx)
	_, err := submit(ctx, b.reconciler, func(ctx context.Context) (plan, error) {
		if b.reconciler.pending == nil {
			return plan{}, &api.Error{Message: "there is no unconfirmed commit"}
		}
		ctx = api.WithActor(ctx, actor)
		return b.reconciler.revert(ctx, "undone by "+who(ctx))
	})
	return err
}

// revert brings back what ran before an unconfirmed commit. What the kernel
// refuses of it is tried again with every audit.
func (r *reconciler) revert(ctx context.Context, why string) (plan, error) {
	before := *r.pending
	cfg, err := config.Parse(before.Source, before.YAML)
	if err != nil {
		// It ran: it was understood by an earlier version at least.
		r.log.Error("the unconfirmed commit stays", "error", err)
		r.pending = nil
		return plan{}, refusal(err)
	}
	r.events.Add(ctx, events.Commit, "the unconfirmed commit of %s is %s", orRoot(before.Actor.User), why)
	p, err := r.adopt(ctx, func(in *intent) {
		in.verbs = verbsOf(before.Verbs)
		configure(before.Source, wrote(before.YAML), cfg)(in)
	})
	// Only now: who waits for the end of the commit finds the kernel put back,
	// and a control plane that is killed in between goes back once more.
	r.pending = nil
	r.publish()
	return p, err
}

// who names an actor.
func who(ctx context.Context) string { return orRoot(api.ActorOf(ctx).User) }

func orRoot(user string) string { return cmp.Or(user, "root") }

// quoted is a comment behind a sentence.
func quoted(comment string) string {
	if comment == "" {
		return ""
	}
	return fmt.Sprintf(": %q", comment)
}
