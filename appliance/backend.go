package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/ipvs"
)

// Limits of what an administrator's command may take.
const (
	commandTimeout = time.Minute
	commandOutput  = 1 << 20 // bytes, of each stream
)

// backend answers the control socket.
type backend struct {
	board      *board
	boot       bootLog
	running    running
	reconciler *reconciler
	supervisor Supervisor
	logFiles   []string // oldest first
}

var _ api.Backend = (*backend)(nil)

func (b *backend) Status(ctx context.Context, newerThan int) api.Status {
	s := b.board.await(ctx, newerThan)
	s.Uptime = api.Duration(sinceKernelStart())
	return s
}

func (b *backend) Boot(context.Context) ([]api.BootStep, error) { return b.boot.steps() }

func (b *backend) Config(context.Context) ([]byte, error) {
	_, yaml, found, err := b.running.load()
	if err == nil && !found {
		err = &api.Error{Message: "no configuration is running: the machine is in maintenance"}
	}
	return yaml, err
}

// Apply parses the whole configuration before anything of it is looked at by
// the reconciler.
func (b *backend) Apply(ctx context.Context, yaml []byte, dryRun bool) (api.Applied, error) {
	const source = "control socket"
	cfg, err := config.Parse(source, yaml)
	if err != nil {
		return api.Applied{}, refusal(err)
	}
	return submit(ctx, b.reconciler, func(ctx context.Context) (api.Applied, error) {
		if dryRun {
			return b.reconciler.preview(ctx, cfg)
		}
		done, err := b.reconciler.change(ctx, cfg)
		if err != nil {
			return done, err
		}
		b.board.update(func(s *api.Status) { s.Source = source })
		return done, b.running.save(source, yaml)
	})
}

// refusal turns a parse error into one answer with a detail for each mistake.
func refusal(err error) error {
	var mistakes config.Errors
	if !errors.As(err, &mistakes) {
		return err
	}
	no := &api.Error{Message: "the configuration has mistakes; nothing was changed"}
	for _, m := range mistakes {
		no.Details = append(no.Details, m.Error())
	}
	return no
}

// Services joins the kernel's statistics with the configuration's names.
func (b *backend) Services(ctx context.Context) ([]api.Service, error) {
	return submit(ctx, b.reconciler, func(ctx context.Context) ([]api.Service, error) {
		if b.reconciler.table == nil {
			return []api.Service{}, nil
		}
		stats, err := b.reconciler.table.Statistics(ctx)
		if err != nil {
			return nil, fmt.Errorf("ipvs: %w", err)
		}
		names := serviceNames(b.reconciler.in.config)
		all := make([]api.Service, 0, len(stats))
		for _, s := range stats {
			all = append(all, apiService(names[s.Key], s))
		}
		return all, nil
	})
}

func serviceNames(cfg *config.Config) map[ipvs.Key]string {
	names := make(map[ipvs.Key]string)
	if cfg == nil {
		return names
	}
	for _, s := range cfg.Services {
		names[director.KeyOf(s)] = s.Name
	}
	return names
}

func apiService(name string, s ipvs.ServiceStatistics) api.Service {
	out := api.Service{
		Name:        name,
		Protocol:    s.Protocol.String(),
		Listen:      netip.AddrPortFrom(s.Address, s.Port).String(),
		Scheduler:   s.Scheduler,
		Statistics:  apiStatistics(s.Counters),
		RealServers: make([]api.RealServer, 0, len(s.RealServers)),
	}
	for _, rs := range s.RealServers {
		out.RealServers = append(out.RealServers, api.RealServer{
			Address:             netip.AddrPortFrom(rs.Address, rs.Port).String(),
			Forward:             rs.Forward.String(),
			Weight:              rs.Weight,
			ActiveConnections:   rs.ActiveConnections,
			InactiveConnections: rs.InactiveConnections,
			Statistics:          apiStatistics(rs.Counters),
		})
	}
	return out
}

func apiStatistics(c ipvs.Counters) api.Statistics {
	return api.Statistics{
		Connections: c.Connections,
		InPackets:   c.InPackets,
		OutPackets:  c.OutPackets,
		InBytes:     c.InBytes,
		OutBytes:    c.OutBytes,
	}
}

// Log reads the files that PID 1 writes.
func (b *backend) Log(_ context.Context, n int) ([]string, error) {
	var all []string
	for _, name := range b.logFiles {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		all = append(all, strings.Split(strings.TrimRight(string(text), "\n"), "\n")...)
	}
	return all[max(0, len(all)-max(0, n)):], nil
}

// Run runs one of the image's programs, bounded in time and output.
func (b *backend) Run(ctx context.Context, cmd api.Command) (api.CommandResult, error) {
	if len(cmd.Argv) == 0 {
		return api.CommandResult{}, &api.Error{Message: "argv: empty: expected a program and its arguments"}
	}
	path, err := lookProgram(cmd.Argv[0])
	if err != nil {
		return api.CommandResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var stdout, stderr limitedBuffer
	c := exec.CommandContext(ctx, path, cmd.Argv[1:]...)
	c.Args[0] = cmd.Argv[0]
	c.Env = []string{"PATH=/bbin:/bin", "HOME=/"}
	c.Stdout, c.Stderr = &stdout, &stderr
	c.WaitDelay = time.Second
	err = c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return api.CommandResult{}, &api.Error{Message: fmt.Sprintf("%s: %v", cmd.Argv[0], err)}
	}
	return api.CommandResult{
		Stdout: stdout.String(),
		Stderr: stderr.String(),
		Exit:   c.ProcessState.ExitCode(),
	}, nil
}

func lookProgram(name string) (string, error) {
	for _, dir := range []string{"/bbin", "/bin"} {
		path := dir + "/" + name
		if _, err := os.Stat(path); err == nil && !strings.Contains(name, "/") {
			return path, nil
		}
	}
	programs, err := os.ReadDir("/bbin")
	if err != nil {
		return "", fmt.Errorf("programs: %w", err)
	}
	var names []string
	for _, p := range programs {
		names = append(names, p.Name())
	}
	slices.Sort(names)
	return "", &api.Error{Message: fmt.Sprintf("%q: no such program; there are: %s", name, strings.Join(names, " "))}
}

// End asks PID 1 to end the machine.
func (b *backend) End(_ context.Context, how api.Power) error { return b.supervisor.End(how) }

// limitedBuffer keeps the first commandOutput bytes and swallows the rest, so
// that a talkative program ends by itself.
type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	room := max(0, commandOutput-b.Len())
	b.Buffer.Write(p[:min(room, len(p))])
	return len(p), nil
}
