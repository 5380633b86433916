package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dipper/appliance"
	"dipper/appliance/api"
	"dipper/appliance/ipvs"
	"dipper/appliance/network"
	"dipper/appliance/network/capture"
	"dipper/appliance/realserver/responder"
	"dipper/appliance/store/volume"
	"dipper/init/bootconfig"
	"dipper/init/pid1"
)

// runDir is where PID 1 and its children leave what lives as long as the
// machine runs.
const runDir = "/run/dipper"

// stateDir is where the state volume is mounted.
const stateDir = runDir + "/volume"

// dhcpRetry is how long a link without a DHCP client waits for its next one.
const dhcpRetry = 5 * time.Second

// runAppliance is the control plane.
func runAppliance(ctx context.Context) error {
	line, err := pid1.Attach()
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	freeMemory := func() (uint64, error) { return boundMemory(0.5) }
	_, _ = freeMemory() // the heap is bounded when somebody asks, at the latest
	log := logger()
	net, err := network.Open()
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	defer net.Close()
	responders := responder.New(log)
	defer responders.Close()
	return appliance.Run(ctx, appliance.Options{
		Version:    version,
		RunDir:     runDir,
		Supervisor: supervisor{line},
		Up:         line.Up,
		Network:    net,
		View:       net,
		Capture:    capture.Run,
		Trace:      network.Trace,
		State:      volume.New(stateDir),
		OpenTable:  openTable,
		Responders: responders,
		DHCP:       dhcp(log),
		Acquire:    acquire(net, log),
		FreeMemory: freeMemory,
		Hostname:   func(name string) error { return unix.Sethostname([]byte(name)) },
		Uptime:     appliance.SinceKernelStart,
		Log:        log,

		ProcessStart: appliance.ProcessStart,
	})
}

func openTable() (appliance.TableKernel, error) {
	table, err := ipvs.Open()
	if err != nil {
		return nil, err
	}
	return ipvs.NewMirror(table), nil
}

// dhcp runs a client, and starts it again when it gives up, as it does when
// its link vanishes.
func dhcp(log *slog.Logger) func(context.Context, string, appliance.LeaseEvents) {
	return func(ctx context.Context, link string, events appliance.LeaseEvents) {
		name, err := os.Hostname()
		if err != nil {
			log.Error("dhcp: asking without a name", "error", err)
		}
		for ctx.Err() == nil {
			client := network.DHCPClient{
				Link:     link,
				Hostname: name,
				Known:    events.Known,
				OnLease:  events.Got,
				OnExpiry: func(string) { events.Lost() },
				Log:      log,
			}
			if err := client.Run(ctx); err != nil {
				log.Error("dhcp", "link", link, "error", err)
			}
			pause(ctx, dhcpRetry)
		}
	}
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

// supervisor is PID 1 in the control plane's words.
type supervisor struct{ *pid1.Line }

func (s supervisor) End(how api.Power) error { return s.Line.End(string(how)) }

// acquire looks for the boot config. Only the first time is told in the log:
// a machine in maintenance looks again and again.
func acquire(links linkLister, log *slog.Logger) func(context.Context, appliance.Connect) (appliance.BootConfig, error) {
	return func(ctx context.Context, connect appliance.Connect) (appliance.BootConfig, error) {
		found, err := bootconfig.Acquire(ctx, bootconfig.System(seeker{connect, links}, log))
		log = slog.New(slog.DiscardHandler)
		boot := appliance.BootConfig{Source: found.Source, YAML: found.Data}
		stopped := false
		for _, s := range found.Steps {
			step := api.BootStep{Name: "config: " + s.Name(), Took: api.Duration(s.Took), Outcome: string(s.Outcome), Detail: s.Detail}
			boot.Steps = append(boot.Steps, appliance.Step{BootStep: step, Started: s.Started})
			stopped = stopped || s.Outcome == bootconfig.Stopped
		}
		switch {
		case stopped:
			err = reason{err, appliance.ErrMaintenance}
		case errors.Is(err, bootconfig.ErrNone):
			err = reason{err, appliance.ErrNoConfig}
		}
		return boot, err
	}
}

// reason is an error of bootconfig, with what it says, that is one of
// appliance's own.
type reason struct {
	error
	own error
}

func (r reason) Is(target error) bool { return target == r.own }

// linkLister tells a link's MAC address.
type linkLister interface {
	Links(ctx context.Context) ([]network.LinkInfo, error)
}

// seeker is the network as bootconfig needs it.
type seeker struct {
	connect appliance.Connect
	links   linkLister
}

func (s seeker) Connect(ctx context.Context) (bootconfig.Lease, error) {
	lease, err := s.connect(ctx)
	if err != nil {
		return bootconfig.Lease{}, err
	}
	links, err := s.links.Links(ctx)
	if err != nil {
		return bootconfig.Lease{}, err
	}
	out := bootconfig.Lease{ConfigURL: lease.ConfigURL, Hostname: lease.Hostname}
	for _, l := range links {
		if l.Name == lease.Link {
			out.MAC = l.MAC
		}
	}
	return out, nil
}
