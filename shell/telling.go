package shell

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dipper/appliance/api"
)

// How long a login waits until the control plane has been told of it, and how
// often it is told anew while the control plane is being restarted.
const (
	arrivalPatience = 2 * time.Second
	tellInterval    = 100 * time.Millisecond
)

// maxLate bounds how many ends of sessions wait to be told. Who comes and goes
// while the control plane is away has nothing to lose there.
const maxLate = 1024

// teller tells the control plane of sessions. What it was not told of the end of
// one, because it is away, it is told when it is back: a candidate and an
// unconfirmed commit would wait for somebody who is gone.
type teller struct {
	gate api.Gate
	log  *slog.Logger
	over <-chan struct{} // closed when the shell ends: the control plane notices that by itself
	late chan ending
}

// ending is the end of a session.
type ending struct {
	actor   api.Actor
	session string
	lost    bool
}

func newTeller(gate api.Gate, log *slog.Logger, over <-chan struct{}) *teller {
	return &teller{gate: gate, log: log, over: over, late: make(chan ending, maxLate)}
}

// began tells that ctx's Actor has just come in, before he is shown anything: an
// unconfirmed commit may have more time from then on.
func (t *teller) began(ctx context.Context) {
	if err := t.tell(ctx, arrivalPatience, t.gate.SessionBegan); err != nil {
		t.log.Warn("a login was not told", "session", api.ActorOf(ctx).Session, "error", err)
	}
}

// ended tells that a session of ctx's Actor is over: now, or when the control
// plane is back.
func (t *teller) ended(ctx context.Context, session string, lost bool) {
	e := ending{api.ActorOf(ctx), session, lost}
	err := t.tellEnding(e)
	if err == nil || t.final(err) {
		t.sayUntold(e, err)
		return
	}
	select {
	case t.late <- e:
		t.log.Info("the end of a session is told later", "session", session, "lost", lost, "error", err)
	default:
		t.sayUntold(e, err)
	}
}

// run tells what is late, in order, until the shell ends.
func (t *teller) run() {
	for {
		select {
		case e := <-t.late:
			t.sayUntold(e, t.tellUntilAnswered(e))
		case <-t.over:
			return
		}
	}
}

func (t *teller) tellUntilAnswered(e ending) error {
	for {
		err := t.tellEnding(e)
		if err == nil || t.final(err) {
			return err
		}
	}
}

func (t *teller) tellEnding(e ending) error {
	return t.tell(api.WithActor(context.Background(), e.actor), auditPatience, func(ctx context.Context) error {
		return t.gate.SessionEnded(ctx, e.session, e.lost)
	})
}

func (t *teller) sayUntold(e ending, err error) {
	if err != nil {
		t.log.Warn("the end of a session was not told", "session", e.session, "lost", e.lost, "error", err)
	}
}

// final reports whether telling once more is of no use: the control plane has
// answered that it will not have it, or is not coming back.
func (t *teller) final(err error) bool {
	if _, answered := errors.AsType[*api.Error](err); answered {
		return true
	}
	select {
	case <-t.over:
		return true
	default:
		return false
	}
}

// tell tells the control plane what it must not miss, also on behalf of somebody
// who is gone: again and again until it answers, whatever that is. When the
// machine ends there is none any more, and nobody waits for it.
func (t *teller) tell(ctx context.Context, patience time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	again := time.NewTicker(tellInterval)
	defer again.Stop()
	for {
		err := call(ctx)
		if err == nil || t.final(err) {
			return err
		}
		select {
		case <-again.C:
		case <-t.over:
			return err
		case <-ctx.Done():
			return err
		}
	}
}
