// Package shell is how people come to the machine: the SSH server, the login
// on the serial console and the screen with its status block, and the dipper
// command. It owns the ways in, and who may take which (package access); what
// people say and see once they are in is package session's. It knows the
// appliance only through the control socket.
package shell

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"dipper/appliance/api"
	"dipper/shell/session"
)

// retryInterval is how long the shell waits for a control plane that is not
// there: it is being restarted.
const retryInterval = time.Second

// Options are what the shell needs of the machine.
type Options struct {
	Client   *api.Client
	Consoles []string // devices, as "/dev/ttyS0"
	// ConsoleLogin is who may log in on them.
	ConsoleLogin ConsoleLogin
	Log          *slog.Logger
}

// Run is the shell's process: it lets people in by SSH and on the consoles
// until ctx ends.
func Run(ctx context.Context, o Options) error {
	registry := &session.Registry{}
	begin := func(s session.Session) Conversation {
		s.API, s.Registry = o.Client, registry
		return &s
	}
	g, ctx := errgroup.WithContext(ctx)
	board := &statusBoard{}
	g.Go(func() error {
		board.follow(ctx, o.Client)
		return nil
	})
	ssh := &SSH{Gate: o.Client, Begin: begin, Files: o.Client, Log: o.Log}
	g.Go(func() error { return ssh.Run(ctx) })
	for _, device := range o.Consoles {
		c := &console{
			gate: o.Client, begin: begin, board: board, login: o.ConsoleLogin, log: o.Log,
			open: func() (tty, error) { return openTTY(device) }, name: device,
			setup: o.Client, sizePatience: answerTime,
		}
		g.Go(func() error {
			c.run(ctx)
			return nil
		})
	}
	return g.Wait()
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
