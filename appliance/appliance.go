package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/events"
	"dipper/appliance/network"
)

// ErrNoConfig is what Acquire answers when no source has a configuration.
var ErrNoConfig = errors.New("no boot config")

// ErrMaintenance is what Acquire answers when the machine was told to look for
// no configuration.
var ErrMaintenance = errors.New("maintenance was asked for")

// lookAgain is how long a machine in maintenance waits before it looks for a
// boot config once more. After a power cut the machine is often up before the
// server that has its configuration.
const lookAgain = time.Minute

// brokenError says that there is a boot config which nobody can use.
type brokenError struct {
	yaml []byte
	err  error
}

func (e *brokenError) Error() string {
	return "the boot config has mistakes, and nothing of it was applied: " + e.err.Error()
}

func (e *brokenError) Unwrap() error { return e.err }

// explain gives each mistake its line of the configuration, with a caret.
func (e *brokenError) explain() []string {
	said := []string{"the boot config has mistakes, and nothing of it was applied:"}
	var mistakes config.Errors
	if !errors.As(e.err, &mistakes) {
		return append(said, e.err.Error())
	}
	return append(said, strings.Split(strings.TrimRight(mistakes.Excerpt(e.yaml), "\n"), "\n")...)
}

// BootConfig is a configuration's bytes and where they came from.
type BootConfig struct {
	Source string
	YAML   []byte
	Steps  []Step // complete also when there is none
}

// Step is one step of looking for a boot config.
type Step struct {
	api.BootStep
	Started time.Time
}

// Connect asks for an address on every link and answers the first lease.
type Connect func(ctx context.Context) (network.Lease, error)

// LeaseEvents connect a DHCP client with the reconciler.
type LeaseEvents struct {
	Known *network.Lease // from before a restart of the control plane; nil: none
	Got   func(network.Lease)
	Lost  func()
}

// Options are what a control plane is made of.
type Options struct {
	Version    string
	RunDir     string // /run/dipper: lives as long as the machine runs
	Supervisor Supervisor
	Network    NetworkKernel
	View       NetworkView
	Capture    Capture
	Trace      Trace
	State      StateVolume                 // nil: revisions are kept as long as the machine runs
	OpenTable  func() (TableKernel, error) // called when the role first wants a table
	Responders Responders
	// DHCP runs a client on a link until ctx ends.
	DHCP func(ctx context.Context, link string, events LeaseEvents)
	// Acquire finds the boot config. It answers an error that is ErrNoConfig
	// or ErrMaintenance when there is none.
	Acquire func(ctx context.Context, connect Connect) (BootConfig, error)
	// Up is called when the machine serves for the first time, or is in maintenance,
	// and then may be again. nil: nobody wants to know.
	Up func()
	// FreeMemory is how many bytes programs could still have. nil: as many as
	// they want.
	FreeMemory func() (uint64, error)
	// Hostname sets the machine's name.
	Hostname func(string) error
	// Uptime is the time since the kernel's start, suspended time included.
	Uptime func() time.Duration
	// ProcessStart tells processes with one number apart; its error says that
	// there is none. nil: shells that are killed are not missed.
	ProcessStart func(pid int) (uint64, error)
	Log          *slog.Logger
}

// Run is the control plane: it returns when ctx ends, or, with the VIPs
// withdrawn, when PID 1 asks for that.
func Run(ctx context.Context, o Options) error {
	p := assemble(ctx, o)
	return p.run(ctx, func(ctx context.Context, g *errgroup.Group) { serve(ctx, g, p.backend, o) })
}

// plane is a control plane: its parts, wired.
type plane struct {
	options Options
	backend *backend
	leases  *leases
}

// shared are the parts that both know: the reconciler, and what answers the
// control socket.
type shared struct {
	running running
	board   *board
	events  *events.Record
	gate    *gate
}

// assemble wires a control plane.
func assemble(ctx context.Context, o Options) *plane {
	s := shared{
		running: running{dir: o.RunDir},
		board:   newBoard(time.Now, api.Status{State: api.Booting, Version: o.Version, PID: os.Getpid()}),
		events:  events.New(time.Now, o.Log),
		gate:    &gate{changed: make(chan struct{})},
	}
	s.events.KeepIn(filepath.Join(o.RunDir, "events"))
	r := o.reconciler(s)
	p := &plane{options: o, backend: o.backend(ctx, s, r)}
	p.leases = newLeases(func(ctx context.Context, link string) {
		o.DHCP(ctx, link, LeaseEvents{
			Known: r.knownLease(ctx, link),
			Got:   func(l network.Lease) { r.gotLease(ctx, l) },
			Lost:  func() { r.lostLease(ctx, link) },
		})
	})
	r.leases = p.leases
	return p
}

// reconciler makes the reconciler, which knows what another one left for it.
func (o Options) reconciler(s shared) *reconciler {
	known, err := s.running.loadLeases()
	if err != nil {
		o.Log.Error("asking for new leases", "error", err)
	}
	claimed, err := s.running.loadClaim()
	if err != nil {
		o.Log.Error("a real server leaves the IPVS table as it is", "error", err)
	}
	return &reconciler{
		network:    o.Network,
		table:      &lazyTable{open: o.OpenTable},
		responders: o.Responders,
		supervisor: o.Supervisor,
		board:      s.board,
		running:    s.running,
		log:        o.Log,
		hostname:   o.Hostname,
		events:     s.events,
		gate:       s.gate,
		uptime:     o.Uptime,
		memory:     o.FreeMemory,
		ask:        make(chan func(context.Context)),
		leased:     make(chan network.Lease, 1),
		in:         intent{leases: known},
		ownTable:   claimed,
	}
}

// backend makes what answers the control socket.
func (o Options) backend(ctx context.Context, s shared, r *reconciler) *backend {
	shelf, err := openShelf(ctx, o.State, volatileDir(o.RunDir), time.Now)
	if err != nil {
		o.Log.Error("state volume", "error", err)
	}
	s.board.update(func(status *api.Status) { status.Volatile = !shelf.lasting() })
	return &backend{
		board:      s.board,
		boot:       bootLog{path: filepath.Join(o.RunDir, "boot.json"), uptime: o.Uptime},
		running:    s.running,
		events:     s.events,
		reconciler: r,
		supervisor: o.Supervisor,
		logFiles:   []string{filepath.Join(o.RunDir, "log.1"), filepath.Join(o.RunDir, "log")},
		memory:     o.FreeMemory,
		view:       o.View,
		capture:    o.Capture,
		trace:      o.Trace,
		files:      candidateFiles{dir: filepath.Join(o.RunDir, "candidates")},
		shelf:      shelf,
		gate:       s.gate,
		shells:     shells{start: o.ProcessStart},
	}
}

// run runs the parts, and what answers questions about them.
func (p *plane) run(ctx context.Context, serve func(context.Context, *errgroup.Group)) error {
	ctx, stop := context.WithCancel(ctx)
	defer p.leases.wait()
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	serve(ctx, g)
	g.Go(func() error {
		defer stop() // withdrawn: the rest has nothing left to do
		return p.backend.reconciler.run(ctx)
	})
	g.Go(func() error { return p.backend.missShells(ctx) })
	g.Go(func() error {
		p.backend.start(ctx, p.options)
		return nil
	})
	return g.Wait()
}

// serve opens the control socket, and the hypervisor's port if there is one.
func serve(ctx context.Context, g *errgroup.Group, b *backend, o Options) {
	listen := func(open func() (net.Listener, error)) {
		l, err := open()
		if errors.Is(err, api.ErrNoPort) {
			return
		}
		if err != nil {
			// The data plane does not need the socket: go on without it.
			o.Log.Error("control socket", "error", err)
			return
		}
		g.Go(func() error { return api.Serve(ctx, l, b) })
	}
	listen(func() (net.Listener, error) { return listenSocket(filepath.Join(o.RunDir, "api.sock")) })
	listen(func() (net.Listener, error) { return api.ListenPort(api.ControlPort) })
}

// listenSocket takes the socket over from a control plane that was killed.
func listenSocket(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	config := net.ListenConfig{Control: rootAlone}
	l, err := config.Listen(context.Background(), "unix", path) // does not wait
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// rootAlone is for a socket that has no name yet: the one that it is bound to
// has its mode from the beginning (net/unix/af_unix.c, unix_bind_bsd).
func rootAlone(_, _ string, c syscall.RawConn) error {
	var failed error
	if err := c.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), 0o600) }); err != nil {
		return err
	}
	return failed
}

// start finds the configuration and puts it into force, or goes into
// maintenance and looks again until there is one.
func (b *backend) start(ctx context.Context, o Options) {
	if k, found := b.restarted(o); found {
		// It ran, and the kernel has its table: it is not measured again.
		b.use(ctx, o, config.Parse, BootConfig{Source: k.source, YAML: k.yaml}, k.rules)
		if err := b.reopen(); err != nil {
			o.Log.Error("candidates that are lost", "error", err)
		}
		return
	}
	// What follows is a boot, and not a restart of the control plane alone.
	for first := true; ; first = false {
		boot, err := o.Acquire(ctx, b.reconciler.connect)
		if ctx.Err() != nil {
			return // the machine ends
		}
		if first || err == nil {
			b.record(o, boot.Steps...)
		}
		if b.shelf.find(ctx) { // while the boot config was waited for
			b.board.update(func(s *api.Status) { s.Volatile = false })
			b.gate.moved()
		}
		if err == nil {
			if err := b.running.saveBoot(boot.Source, boot.YAML); err != nil {
				o.Log.Error("nobody will know what was booted with", "error", err)
			}
			if b.use(ctx, o, b.parse, boot, nil) {
				return
			}
		}
		if err != nil && (first || !errors.Is(err, ErrNoConfig)) {
			b.maintain(ctx, o, err)
		}
		if errors.Is(err, ErrMaintenance) || !b.reconciler.awaitNews(ctx, lookAgain) {
			return
		}
	}
}

// restarted answers the configuration that ran before a restart of the control
// plane.
func (b *backend) restarted(o Options) (k kept, found bool) {
	k, found, err := b.running.load()
	if err != nil {
		o.Log.Error("looking for the boot config again", "error", err)
	}
	return k, found
}

// parse reads a configuration.
type parse func(source string, yaml []byte) (*config.Config, error)

// use puts a configuration, with rules of ipvsadm's that were typed since, into
// force if it can be used at all.
func (b *backend) use(ctx context.Context, o Options, parse parse, boot BootConfig, rules []byte) bool {
	b.board.update(func(s *api.Status) { s.Source = boot.Source })
	cfg, err := parse(boot.Source, boot.YAML)
	if err != nil {
		b.maintain(ctx, o, &brokenError{yaml: boot.YAML, err: err})
		return false
	}
	text := wrote(boot.YAML)
	if len(rules) > 0 {
		edited, err := withRules(cfg, rules)
		if err != nil {
			o.Log.Error("what was typed in ipvsadm's language is lost", "error", err)
		} else {
			text, cfg = text.edited(cfg, edited), edited
		}
	}
	b.adopt(ctx, o, boot.Source, text, cfg)
	return true
}

// record adds steps to the boot log.
func (b *backend) record(o Options, steps ...Step) {
	for _, s := range steps {
		if err := b.boot.add(s); err != nil {
			o.Log.Error("boot step not recorded", "error", err)
		}
	}
}

// adopt puts the first configuration into force. What the kernel refuses is
// left to the reconciler, which tries again; the rest serves.
func (b *backend) adopt(ctx context.Context, o Options, source string, text *written, cfg *config.Config) {
	b.board.update(func(s *api.Status) { s.State = api.Applying })
	kept := b.recall(o)
	began := time.Now()
	done, err := submit(ctx, b.reconciler, func(ctx context.Context) (plan, error) {
		r := b.reconciler
		r.pending, r.saved = kept.pending, kept.saved
		if r.pending != nil {
			r.pending.resume(&b.shells)
		}
		return r.adopt(ctx, func(in *intent) {
			in.verbs = kept.verbs
			configure(source, text, cfg)(in)
		})
	})
	step := Step{api.BootStep{Name: "apply", Outcome: "done", Detail: fmt.Sprintf("%d edits", done.size())}, began}
	if err != nil {
		step.Outcome, step.Detail = "failed", err.Error()
	}
	step.Took = api.Duration(time.Since(began))
	b.record(o, step)
	o.Log.Info(fmt.Sprintf("%s is %s, %s after the kernel's start, configured by %s",
		cfg.Role, b.board.await(ctx, -1).State, o.Uptime().Round(time.Millisecond), source))
	o.up()
}

// recollection is what a restarted control plane knows from before.
type recollection struct {
	verbs   verbs
	pending *unconfirmed
	saved   *config.Config // what the machine boots with; nil: nobody knows
}

// recall reads it. What cannot be read is as if it had never been.
func (b *backend) recall(o Options) recollection {
	var kept recollection
	var err error
	if kept.verbs, err = b.running.loadVerbs(); err != nil {
		o.Log.Error("real servers have their configured weights", "error", err)
	}
	if kept.pending, err = b.running.loadPending(); err != nil {
		o.Log.Error("an unconfirmed commit stays until the next boot", "error", err)
	}
	saved, err := b.saved()
	kept.saved = parsedOr(nil, saved)
	if err != nil {
		o.Log.Error("nobody knows what is saved", "error", err)
	}
	return kept
}

// up tells whoever wants to know that the boot is over.
func (o Options) up() {
	if o.Up != nil {
		o.Up()
	}
}

// maintain tells what is wrong and how to go on, and makes the machine
// reachable: an address on every link that has a DHCP server.
func (b *backend) maintain(ctx context.Context, o Options, why error) {
	o.Log.Error("maintenance: no usable configuration", "error", why)
	b.board.update(func(s *api.Status) {
		s.State = api.Maintenance
		s.Problems = maintenanceProblems(why)
		s.Advice = maintenanceAdvice(why)
	})
	o.up() // the console has something to show, and to find an address takes time
	if err := b.reconciler.seek(ctx); err != nil && ctx.Err() == nil {
		o.Log.Error("maintenance: no network", "error", err)
	}
}

// maintenanceProblems is what is wrong, line by line.
func maintenanceProblems(why error) []string {
	var broken *brokenError
	if errors.As(why, &broken) {
		return broken.explain()
	}
	return strings.Split(why.Error(), "\n")
}

// maintenanceAdvice says how to get out of maintenance.
func maintenanceAdvice(why error) []string {
	switch {
	case errors.Is(why, ErrMaintenance):
		return []string{
			"boot without dipper.config=none on the kernel command line;",
			"or put a configuration through the control socket: dipper apply FILE",
		}
	case errors.Is(why, ErrNoConfig):
		return []string{
			"give the machine a boot config: SMBIOS string, fw_cfg, a volume labelled DIPPER,",
			"a second initrd, dipper.config=URL on the kernel command line, or DHCP option 224;",
			"a volume or lease that comes later is found within a minute, without a reboot;",
			"or put a configuration through the control socket: dipper apply FILE",
		}
	}
	return []string{
		"mend the configuration where it comes from: it is looked for again every minute;",
		`or here: shell, configure, "rollback boot" for what is right of it, set what is missing, commit;`,
		"or put a mended one through the control socket: dipper apply FILE",
	}
}
