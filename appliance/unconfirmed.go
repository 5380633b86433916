package appliance

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/events"
)

// lostPatience is how long an unconfirmed commit outlives the session that made
// it, when that was lost and no other comes.
const lostPatience = time.Minute

// unconfirmed is a commit that ends by itself unless somebody confirms it. It
// is kept where a restarted control plane finds it and a reboot does not: what
// nobody confirmed is never booted with.
type unconfirmed struct {
	// What ran before, and comes back.
	Source string     `json:"source"`
	YAML   []byte     `json:"yaml"`
	Verbs  []keptVerb `json:"verbs,omitempty"`

	// Deadline is until when the committer wants to confirm it: the time since
	// the kernel's start, which does not jump when the clock is set.
	Deadline time.Duration `json:"deadline"`
	Actor    api.Actor     `json:"actor"`
	Comment  string        `json:"comment,omitempty"`
	attendance
}

// end is when the commit is undone, as the time since the kernel's start.
func (u *unconfirmed) end() time.Duration {
	if u.Deserted != 0 {
		return min(u.Deadline, u.Deserted+lostPatience)
	}
	return u.Deadline
}

// attendance is who is there to confirm a commit: the session that made it, and
// those of administrators who have logged in since, which shows that the machine
// can still be reached. It is never edited in place.
type attendance struct {
	Present map[string]attendant `json:"present,omitempty"` // by session
	// Lost tells that the session of the commit was.
	Lost bool `json:"lost,omitempty"`
	// Deserted is since when nobody is there who should be, as the time since the
	// kernel's start. 0: somebody is, or has left of his own will.
	Deserted time.Duration `json:"deserted,omitempty"`
}

// attendant is a session that could confirm.
type attendant struct {
	User  string  `json:"user"`
	Shell process `json:"shell,omitzero"`
}

// attendedBy is the attendance of a commit at its time.
func attendedBy(committer api.Actor, shell process) attendance {
	return attendance{}.with(committer, shell)
}

// with is the attendance when somebody has come in.
func (a attendance) with(who api.Actor, shell process) attendance {
	if who.Session == "" {
		return a // root on the machine itself: that it can be reached does not follow
	}
	a.Present = maps.Clone(a.Present)
	if a.Present == nil {
		a.Present = map[string]attendant{}
	}
	a.Present[who.Session] = attendant{orRoot(who.User), shell}
	a.Deserted = 0
	return a
}

// without is the attendance when a session is over. From the loss of the session
// that committed on, every loss that leaves nobody begins the minute again.
func (a attendance) without(session string, lost, committer bool, now time.Duration) attendance {
	a.Present = maps.Clone(a.Present)
	delete(a.Present, session)
	a.Lost = a.Lost || lost && committer
	if lost && a.Lost && len(a.Present) == 0 {
		a.Deserted = now
	}
	return a
}

// users are those who are there.
func (a attendance) users() string {
	var all []string
	for _, who := range a.Present {
		all = append(all, who.User)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// resume tells after a restart of the control plane which sessions are missed
// when their shell is killed.
func (a attendance) resume(s *shells) {
	for session, who := range a.Present {
		s.resume(session, who.Shell)
	}
}

// SessionBegan gives an unconfirmed commit, whose session was lost, its whole
// time again when somebody has come in who could confirm it.
func (b *backend) SessionBegan(ctx context.Context) error {
	actor := api.ActorOf(ctx)
	if mayConfigure(ctx) != nil || actor.Session == "" || b.board.await(ctx, -1).ConfirmBy.IsZero() {
		return nil // whom it does not concern, or none: no login waits for the reconciler
	}
	b.shells.vouch(ctx)
	_, err := submit(ctx, b.reconciler, func(ctx context.Context) (struct{}, error) {
		b.reconciler.sessionBegan(api.WithActor(ctx, actor), b.shells.process(actor.Session))
		return struct{}{}, nil
	})
	return err
}

// sessionBegan takes note of a login of somebody who could confirm.
func (r *reconciler) sessionBegan(ctx context.Context, shell process) {
	if r.pending == nil {
		return
	}
	next := *r.pending
	next.attendance = next.with(api.ActorOf(ctx), shell)
	if longer := r.attend(next); longer {
		r.events.Add(ctx, events.Commit, "logs in: the unconfirmed commit of %s has %s again to be confirmed",
			orRoot(next.Actor.User), (next.end() - r.uptime()).Round(time.Second))
	}
}

// sessionEnded takes note that a session is over. When that of an unconfirmed
// commit was lost, and nobody else is there, it ends soon.
func (r *reconciler) sessionEnded(ctx context.Context, session string, lost bool) {
	if r.pending == nil {
		return
	}
	gone, there := r.pending.Present[session]
	if !there {
		return
	}
	next := *r.pending
	next.attendance = next.without(session, lost, session == next.Actor.Session, r.uptime())
	before := r.pending.end()
	r.attend(next)
	switch {
	case next.end() != before:
		r.events.Add(ctx, events.Commit, "the session of %s was lost: the unconfirmed commit ends in %s unless somebody confirms it, or an administrator logs in",
			gone.User, lostPatience)
	case lost && next.Lost && len(next.Present) > 0:
		r.events.Add(ctx, events.Commit, "the session of %s was lost: the unconfirmed commit goes on, because %s logged in since", gone.User, next.users())
	}
}

// attend puts another attendance into force. It tells whether the commit has
// more time now.
func (r *reconciler) attend(next unconfirmed) (longer bool) {
	before := r.pending.end()
	r.pending = &next
	r.publish()
	return next.end() > before
}
