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

// plane is the control plane, to be told of sessions.
type plane struct {
	gate api.Gate
	log  *slog.Logger
	over <-chan struct{} // closed when the shell ends, as it does after the control plane
}

// tellBegin tells that ctx's Actor has just come in, before he is shown
// anything: an unconfirmed commit may have more time from then on.
func (p plane) tellBegin(ctx context.Context) {
	if err := p.tell(ctx, arrivalPatience, p.gate.SessionBegan); err != nil {
		p.log.Warn("a login was not told", "session", api.ActorOf(ctx).Session, "error", err)
	}
}

// tellEnd tells that a session is over.
func (p plane) tellEnd(ctx context.Context, session string, lost bool) {
	err := p.tell(ctx, auditPatience, func(ctx context.Context) error { return p.gate.SessionEnded(ctx, session, lost) })
	if err != nil {
		p.log.Warn("the end of a session was not told", "session", session, "lost", lost, "error", err)
	}
}

// tell tells the control plane what it must not miss, also on behalf of somebody
// who is gone: again and again until it answers, whatever that is. When the
// machine ends there is none any more, and nobody waits for it.
func (p plane) tell(ctx context.Context, patience time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	again := time.NewTicker(tellInterval)
	defer again.Stop()
	for {
		err := call(ctx)
		if _, answered := errors.AsType[*api.Error](err); err == nil || answered {
			return err
		}
		select {
		case <-again.C:
		case <-p.over:
			return err
		case <-ctx.Done():
			return err
		}
	}
}
