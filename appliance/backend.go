package appliance

import (
	"context"
	"errors"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/events"
)

// backend answers the control socket.
type backend struct {
	board      *board
	boot       bootLog
	running    running
	events     *events.Record
	reconciler *reconciler
	supervisor Supervisor
	logFiles   []string // oldest first
	memory     memory

	view       NetworkView
	capture    Capture
	trace      Trace
	shelf      *shelf
	candidates candidates
	files      candidateFiles
	index      serverIndex
	gate       *gate
	shells     shells
}

// backend answers everything.
var (
	_ api.Backend      = (*backend)(nil)
	_ api.Configurator = (*backend)(nil)
	_ api.Operator     = (*backend)(nil)
	_ api.Gate         = (*backend)(nil)
)

func (b *backend) Status(ctx context.Context, newerThan int) api.Status {
	s := b.board.await(ctx, newerThan)
	s.Uptime = api.Duration(b.reconciler.uptime())
	return s
}

func (b *backend) Boot(context.Context) ([]api.BootStep, error) { return b.boot.steps() }

// Config answers the running configuration with its secrets.
func (b *backend) Config(ctx context.Context) ([]byte, error) {
	if err := mayConfigure(ctx); err != nil {
		return nil, err
	}
	in, err := b.reconciler.configured()
	if err != nil {
		return nil, err
	}
	return b.memory.text(in.text)
}

// Apply parses the whole configuration before anything of it is looked at by
// the reconciler.
func (b *backend) Apply(ctx context.Context, yaml []byte, dryRun bool) (api.Applied, error) {
	const source = "control socket"
	if err := mayConfigure(ctx); err != nil {
		return api.Applied{}, err
	}
	cfg, err := b.parse(source, yaml)
	if err != nil {
		return api.Applied{}, refusal(err)
	}
	edit := configure(source, wrote(yaml), cfg)
	asked := ctx
	return submit(ctx, b.reconciler, func(ctx context.Context) (api.Applied, error) {
		if dryRun {
			next, err := b.reconciler.prepare(ctx, edit)
			return api.Applied{Plan: next.plan.text()}, err
		}
		p, err := b.reconciler.change(ctx, edit)
		if err != nil {
			return api.Applied{}, err
		}
		b.events.Add(asked, events.Commit, "a configuration was put into force by %s, until it is saved or the next boot", who(asked))
		return api.Applied{Plan: p.text()}, nil
	})
}

// parse answers what yaml says. What runs already is known: a large table that
// is put again need not be read, and what does not fit the machine is not.
func (b *backend) parse(source string, yaml []byte) (*config.Config, error) {
	if in := b.reconciler.now.Load(); in != nil {
		if b.memory.isText(*in, yaml) {
			return in.config, nil
		}
	}
	return b.memory.parse(source, yaml)
}

// refusal turns a parse error into one answer with a detail for each mistake.
func refusal(err error) error {
	if _, ok := errors.AsType[config.Errors](err); !ok {
		return err
	}
	return &api.Error{Message: "the configuration has mistakes; nothing was changed", Details: mistakes(err)}
}

// End asks PID 1 to end the machine.
func (b *backend) End(ctx context.Context, how api.Power) error {
	if err := allow(ctx, api.Admin); err != nil {
		return err
	}
	return b.supervisor.End(how)
}
