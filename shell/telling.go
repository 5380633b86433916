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

// tellBegin tells the control plane that ctx's Actor has just come in, before he
// is shown anything: an unconfirmed commit may have more time from then on.
func tellBegin(ctx context.Context, gate api.Gate, log *slog.Logger) {
	if err := tell(ctx, arrivalPatience, gate.SessionBegan); err != nil {
		log.Warn("a login was not told", "session", api.ActorOf(ctx).Session, "error", err)
	}
}

// tellEnd tells the control plane that a session is over.
func tellEnd(ctx context.Context, gate api.Gate, log *slog.Logger, session string, lost bool) {
	err := tell(ctx, auditPatience, func(ctx context.Context) error { return gate.SessionEnded(ctx, session, lost) })
	if err != nil {
		log.Warn("the end of a session was not told", "session", session, "lost", lost, "error", err)
	}
}

// tell tells the control plane what it must not miss, also on behalf of somebody
// who is gone: again and again until it answers, whatever that is.
func tell(ctx context.Context, patience time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for {
		err := call(ctx)
		if _, answered := errors.AsType[*api.Error](err); err == nil || answered {
			return err
		}
		pause(ctx, tellInterval)
		if ctx.Err() != nil {
			return err
		}
	}
}
