package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/netip"
	"os"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/events"
	"dipper/appliance/hardware"
	"dipper/appliance/network"
	"dipper/appliance/network/capture"
)

// NetworkView is the kernel's network for those who only look.
type NetworkView interface {
	LinkStates(ctx context.Context) ([]network.LinkState, error)
	RouteEntries(ctx context.Context) ([]network.RouteEntry, error)
	NeighbourEntries(ctx context.Context) ([]network.NeighbourEntry, error)
	Sysctls(ctx context.Context, wanted []network.Sysctl) ([]network.Sysctl, error)
}

// Capture writes what passes an interface, as pcap, until ctx ends.
type Capture func(ctx context.Context, q capture.Query, out io.Writer) error

// Interfaces lists the machine's links that somebody uses or could.
func (b *backend) Interfaces(ctx context.Context) ([]api.Interface, error) {
	links, err := b.view.LinkStates(ctx)
	if err != nil {
		return nil, err
	}
	leases, err := submit(ctx, b.reconciler, func(context.Context) (map[string]string, error) { return b.reconciler.leaseTexts(), nil })
	if err != nil {
		return nil, err
	}
	all := make([]api.Interface, 0, len(links))
	for _, l := range links {
		if !l.Spare() {
			all = append(all, describeLink(l, leases[l.Name]))
		}
	}
	return all, nil
}

func describeLink(l network.LinkState, lease string) api.Interface {
	c := l.Counters
	out := api.Interface{
		Name: l.Name, Index: l.Index, Kind: l.Type, MAC: l.MAC, MTU: l.MTU, Up: l.Up, Carrier: l.Carrier, Speed: l.Speed, Lease: lease,
		InBytes: c.InBytes, InPackets: c.InPackets, InErrors: c.InErrors, InDrops: c.InDrops,
		OutBytes: c.OutBytes, OutPackets: c.OutPackets, OutErrors: c.OutErrors, OutDrops: c.OutDrops,
	}
	switch {
	case l.Name == "lo":
		out.Kind = "loopback"
	case l.Driver != "":
		out.Kind = l.Driver
	}
	for _, a := range l.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	return out
}

// leaseTexts describes the leases by link: "10.0.2.15/24, 23h left".
func (r *reconciler) leaseTexts() map[string]string {
	texts := make(map[string]string)
	for link, l := range r.in.leases {
		text := l.Address.String()
		if l.Gateway.IsValid() {
			text += " via " + l.Gateway.String()
		}
		if !l.Expires().IsZero() {
			text += fmt.Sprintf(", %s left", time.Until(l.Expires()).Round(time.Minute))
		}
		texts[link] = text
	}
	return texts
}

// Routes lists the routes that packets take to other machines.
func (b *backend) Routes(ctx context.Context) ([]api.Route, error) {
	entries, err := b.view.RouteEntries(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]api.Route, 0, len(entries))
	for _, e := range entries {
		if e.Local && e.To.IsSingleIP() || e.To.Addr().IsMulticast() || e.Table == "local" && !e.Local {
			continue // own addresses and broadcasts
		}
		all = append(all, api.Route{
			To: e.To.String(), Via: addressText(e.Via), Interface: e.Link, Source: addressText(e.Source),
			Protocol: e.Protocol, Metric: e.Metric, Table: e.Table,
		})
	}
	return all, nil
}

// addressText is an address; "" for none.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// Neighbours lists the ARP and ND caches.
func (b *backend) Neighbours(ctx context.Context) ([]api.Neighbour, error) {
	entries, err := b.view.NeighbourEntries(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]api.Neighbour, 0, len(entries))
	for _, e := range entries {
		all = append(all, api.Neighbour{Address: e.Address.String(), MAC: e.MAC, Interface: e.Link, State: e.State})
	}
	return all, nil
}

// Sysctls lists the kernel settings that the configuration comes to, as they
// should be and as they are.
func (b *backend) Sysctls(ctx context.Context) ([]api.Sysctl, error) {
	wanted, err := submit(ctx, b.reconciler, func(context.Context) ([]network.Sysctl, error) {
		return desire(b.reconciler.in, &b.reconciler.made).network.Sysctls, nil
	})
	if err != nil {
		return nil, err
	}
	have, err := b.view.Sysctls(ctx, wanted)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(have))
	for _, s := range have {
		values[s.Path] = s.Value
	}
	all := make([]api.Sysctl, 0, len(wanted))
	for _, s := range wanted {
		all = append(all, api.Sysctl{Name: strings.NewReplacer("/", ".", ".", "/").Replace(s.Path), Value: values[s.Path], Want: s.Value})
	}
	return all, nil
}

// System describes the machine below the services.
func (b *backend) System(ctx context.Context) (api.System, error) {
	facts, err := hardware.Read(os.DirFS("/"))
	if err != nil {
		return api.System{}, err
	}
	status := b.Status(ctx, -1)
	out := api.System{
		Hostname: status.Hostname, Version: status.Version, Kernel: facts.Kernel, Machine: facts.Product,
		Processors: facts.Processors, Load: facts.Load, MemoryTotal: facts.MemoryTotal, MemoryFree: facts.MemoryFree,
		Uptime: status.Uptime, Time: time.Now(), State: b.stateVolume(), CommandLine: withoutPasswords(facts.CommandLine),
	}
	for _, t := range facts.Temperatures {
		out.Temperatures = append(out.Temperatures, api.Temperature(t))
	}
	return out, nil
}

// withoutPasswords hides who logs in where in the URLs of a command line:
// everybody may look at it.
func withoutPasswords(commandLine string) string {
	words := strings.Fields(commandLine)
	for i, word := range words {
		before, rest, _ := strings.Cut(word, "://")
		host, _, _ := strings.Cut(rest, "/")
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			words[i] = before + "://********" + rest[at:]
		}
	}
	return strings.Join(words, " ")
}

// Timeouts answers the kernel's timeouts of connections.
func (b *backend) Timeouts(ctx context.Context) (api.Timeouts, error) {
	t, err := tableEditor{b.reconciler}.Timeouts(ctx)
	seconds := func(n uint32) api.Duration { return api.Duration(time.Duration(n) * time.Second) }
	return api.Timeouts{TCP: seconds(t.TCP), TCPFin: seconds(t.TCPFin), UDP: seconds(t.UDP)}, err
}

// Events answers what happened after an event.
func (b *backend) Events(ctx context.Context, after int, follow bool) iter.Seq2[api.Event, error] {
	return b.events.After(ctx, after, follow)
}

// Capture writes what passes an interface, as pcap.
func (b *backend) Capture(ctx context.Context, q api.CaptureQuery, out io.Writer) error {
	if err := allow(ctx, api.Operate); err != nil {
		return err
	}
	if q.Count < 0 || q.Snap < 0 {
		return &api.Error{Message: "capture: expected a count and a length of 0 or more"}
	}
	b.events.Add(ctx, events.Command, "capture of %s begins: %s", q.Interface, q.Filter)
	err := b.capture(ctx, capture.Query{Interface: q.Interface, Filter: q.Filter, Without: q.Without, Count: q.Count, Snap: uint32(min(q.Snap, math.MaxInt32))}, out)
	if bad, ok := errors.AsType[*capture.Error](err); ok {
		return &api.Error{Message: bad.Error(), Word: bad.Word + 1}
	}
	return err
}
