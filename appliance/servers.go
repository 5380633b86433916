package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/events"
	"dipper/appliance/ipvs"
)

// namesSaid bounds how many names an error lists.
const namesSaid = 8

// selection names real servers as an operator does.
type selection struct {
	service string // "": in every service
	server  string // address, with or without port; "": all of the service
}

// find gives the real servers of cfg that are meant.
func (s selection) find(cfg *config.Config) ([]serverID, error) {
	if cfg.Role != config.RoleDirector {
		return nil, &api.Error{Message: fmt.Sprintf("this machine is a %s: it has no services", cfg.Role)}
	}
	services := cfg.Services
	if s.service != "" {
		i := serviceIndex(cfg, s.service)
		if i < 0 {
			return nil, &api.Error{Message: fmt.Sprintf("there is no service %q%s", s.service, among(len(services), func(i int) string { return services[i].Name }))}
		}
		services = services[i : i+1]
	}
	address, port, err := parseServer(s.server)
	if err != nil {
		return nil, err
	}
	var found []serverID
	var others []config.RealServer
	for _, service := range services {
		for _, r := range service.RealServers {
			if address.IsValid() && (r.Address != address || port != 0 && r.Port != port) {
				others = append(others, r)
				continue
			}
			found = append(found, idOf(service.Name, r))
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	where := ""
	if s.service != "" {
		where = fmt.Sprintf(" of service %q", s.service)
	}
	return nil, &api.Error{Message: fmt.Sprintf("there is no real server %s%s%s", s.server, where,
		among(len(others), func(i int) string { return netip.AddrPortFrom(others[i].Address, others[i].Port).String() }))}
}

// parseServer reads "192.168.4.100", "192.168.4.100:80", "[2001:db8::1]:80" or
// "2001:db8::1"; a port of 0 stands for every port.
func parseServer(text string) (netip.Addr, uint16, error) {
	if text == "" {
		return netip.Addr{}, 0, nil
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return a, 0, nil
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr(), ap.Port(), nil
	}
	return netip.Addr{}, 0, &api.Error{Message: fmt.Sprintf("%q: expected a real server's address, with a port or without, such as 192.168.4.100:80", text)}
}

// among lists the first of n names: ": there are web, mail and 7 more".
func among(n int, name func(int) string) string {
	if n == 0 {
		return ": there is none at all"
	}
	var names []string
	for i := range min(n, namesSaid) {
		names = append(names, name(i))
	}
	text := ": there are " + strings.Join(names, ", ")
	if n > namesSaid {
		text += fmt.Sprintf(" and %d more", n-namesSaid)
	}
	return text
}

// SetServer drains, disables, enables or weighs real servers.
func (b *backend) SetServer(ctx context.Context, v api.ServerVerb) ([]api.ServerResult, error) {
	if err := cmp.Or(allow(ctx, api.Operate), checkVerb(v)); err != nil {
		return nil, err
	}
	actor := api.ActorOf(ctx)
	return submit(ctx, b.reconciler, func(ctx context.Context) ([]api.ServerResult, error) {
		return b.reconciler.setServer(api.WithActor(ctx, actor), v)
	})
}

func checkVerb(v api.ServerVerb) error {
	switch v.Verb {
	case api.Drain, api.Disable, api.Enable, api.Down:
	case api.Weigh:
		if v.Weight < 0 || v.Weight > math.MaxInt32 {
			return &api.Error{Message: fmt.Sprintf("weight %d: expected 0 to %d", v.Weight, math.MaxInt32)}
		}
	default:
		return &api.Error{Message: fmt.Sprintf("%q: expected %s, %s, %s, %s or %s", v.Verb, api.Drain, api.Disable, api.Down, api.Enable, api.Weigh)}
	}
	switch {
	case v.Server == "":
		return &api.Error{Message: "which real server? Its address, with a port or without"}
	case v.For < 0 || v.For > 0 && v.Verb == api.Enable:
		return &api.Error{Message: fmt.Sprintf("%s for %s: enabled is how a real server is anyway", v.Verb, time.Duration(v.For))}
	}
	return nil
}

// setServer puts a verb into force.
func (r *reconciler) setServer(ctx context.Context, v api.ServerVerb) ([]api.ServerResult, error) {
	if r.in.config == nil {
		return nil, errNoConfiguration()
	}
	ids, err := selection{v.Service, v.Server}.find(r.in.config)
	if err != nil {
		return nil, err
	}
	before := r.in
	said := verb{Verb: v.Verb, Weight: v.Weight}
	var until time.Time
	if v.For > 0 {
		said.Until = r.uptime() + time.Duration(v.For)
		until = r.events.Now().Add(time.Duration(v.For))
	}
	_, err = r.change(ctx, func(in *intent) { in.verbs = in.verbs.with(said, ids, in.config) })
	if err != nil {
		return nil, err
	}
	left, err := r.activeConnections(ctx, ids)
	if err != nil {
		return nil, err
	}
	var results []api.ServerResult
	for _, id := range ids {
		result := api.ServerResult{
			Service:     id.Service,
			Server:      id.String(),
			Weight:      r.in.weightOf(id),
			Was:         before.weightOf(id),
			Connections: left[id],
			Until:       until,
		}
		r.events.Add(ctx, events.Server, "%s of %s: %s, weight %d, was %d", id, id.Service, v.Verb, result.Weight, result.Was)
		results = append(results, result)
	}
	return results, nil
}

// weightOf is the weight that a real server is to have.
func (in intent) weightOf(id serverID) int {
	if v, said := in.verbs[id]; said {
		return v.weight()
	}
	r, _ := findServer(in.config, id)
	return r.Weight
}

// activeConnections counts those of real servers. It looks at their services
// alone: a table of thousands takes as long as all else that is done for one.
func (r *reconciler) activeConnections(ctx context.Context, ids []serverID) (map[serverID]uint32, error) {
	table, err := r.table.get()
	if err != nil {
		return nil, err
	}
	counts := make(map[serverID]uint32)
	looked := make(map[string]bool)
	for _, id := range ids {
		if looked[id.Service] {
			continue
		}
		looked[id.Service] = true
		key := director.KeyOf(r.in.config.Services[serviceIndex(r.in.config, id.Service)])
		service, _, err := table.StatisticsOf(ctx, key) // of one that is not there nobody is active
		if err != nil {
			return nil, fmt.Errorf("ipvs: %w", err)
		}
		for _, rs := range service.RealServers {
			counts[serverID{id.Service, rs.Address, rs.Port}] = rs.ActiveConnections
		}
		r.supervisor.Beat()
	}
	return counts, nil
}

// Clear zeroes counters, or ends connections.
func (b *backend) Clear(ctx context.Context, q api.ClearQuery) (int, error) {
	if err := allow(ctx, api.Operate); err != nil {
		return 0, err
	}
	actor := api.ActorOf(ctx)
	return submit(ctx, b.reconciler, func(ctx context.Context) (int, error) {
		ctx = api.WithActor(ctx, actor)
		if b.reconciler.in.config == nil {
			return 0, errNoConfiguration()
		}
		switch q.What {
		case "counters":
			return b.reconciler.clearCounters(ctx, q)
		case "connections":
			return b.reconciler.clearConnections(ctx, q)
		}
		return 0, &api.Error{Message: fmt.Sprintf("clear %q: expected counters or connections", q.What)}
	})
}

// clearCounters zeroes the counters of one service or of all.
func (r *reconciler) clearCounters(ctx context.Context, q api.ClearQuery) (int, error) {
	if q.Server != "" {
		return 0, &api.Error{Message: "the kernel zeroes the counters of whole services: name the service instead of a real server"}
	}
	if _, err := (selection{service: q.Service}).find(r.in.config); err != nil && q.Service != "" {
		return 0, err
	}
	table, err := r.table.get()
	if err != nil {
		return 0, err
	}
	if q.Service == "" {
		return len(r.in.config.Services), table.Zero(ctx, nil)
	}
	key := director.KeyOf(r.in.config.Services[serviceIndex(r.in.config, q.Service)])
	return 1, table.Zero(ctx, &key)
}

// Times of ending connections.
const (
	endPoll     = 50 * time.Millisecond
	endPatience = 3 * time.Second // for a table of a million entries
)

// clearConnections ends the connections of real servers: each is deleted, with
// which expire_nodest_conn=1 ends its connections, and added again. It answers
// how many there were. Of a service's real servers half are cleared at a time:
// the others, where there are any, serve meanwhile.
func (r *reconciler) clearConnections(ctx context.Context, q api.ClearQuery) (int, error) {
	if q.Service == "" && q.Server == "" {
		return 0, &api.Error{Message: "whose connections? Name a real server, a service, or both"}
	}
	ids, err := selection{q.Service, q.Server}.find(r.in.config)
	if err != nil {
		return 0, err
	}
	if r.in.config.IPVS.Settings.Value("expire-nodest-conn") == "false" {
		return 0, &api.Error{Message: "nothing would end: the kernel ends the connections of a real server that is taken out only with ipvs settings expire-nodest-conn true"}
	}
	table, err := r.table.get()
	if err != nil {
		return 0, err
	}
	stats, err := table.Statistics(ctx)
	if err != nil {
		return 0, fmt.Errorf("ipvs: %w", err)
	}
	halves, ended := r.deletions(stats, ids)
	for _, half := range halves {
		if err := r.deleteForAMoment(ctx, table, half); err != nil {
			_, again := r.reconcile(ctx) // what was deleted comes back
			return 0, errors.Join(err, again)
		}
	}
	r.events.Add(ctx, events.Server, "%d connections ended: of %s", ended, strings.TrimSpace(q.Service+" "+q.Server))
	return ended, nil
}

// deletions gives the edits that delete real servers, in two halves, and how
// many connections they have.
func (r *reconciler) deletions(stats []ipvs.ServiceStatistics, ids []serverID) (halves [2][]ipvs.Op, connections int) {
	wanted := make(map[serverID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	services := servicesByKey(r.in.config)
	for _, s := range stats {
		configured := services[s.Key]
		for i, rs := range s.RealServers {
			if configured == nil || !wanted[serverID{configured.Name, rs.Address, rs.Port}] {
				continue
			}
			connections += int(rs.ActiveConnections + rs.InactiveConnections)
			halves[i%2] = append(halves[i%2], ipvs.Op{Kind: ipvs.DeleteRealServer, Service: s.Service, RealServer: rs.RealServer})
		}
	}
	return halves, connections
}

// deleteForAMoment deletes real servers until their connections have ended, and
// adds them again. The kernel ends connections a moment after the deletion, and
// not those of a real server that is back by then (ip_vs_conn.c,
// ip_vs_expire_nodest_conn_flush).
func (r *reconciler) deleteForAMoment(ctx context.Context, table TableKernel, deletions []ipvs.Op) error {
	if len(deletions) == 0 {
		return nil
	}
	additions := slices.Clone(deletions)
	for i := range additions {
		additions[i].Kind = ipvs.AddRealServer
	}
	r.edits += 2 * len(deletions)
	if err := r.applyTable(ctx, deletions); err != nil {
		return err
	}
	limit := r.uptime() + endPatience
	for end := newEnding(r.in.config, deletions); end.goesOn(ctx, table) && r.uptime() < limit; {
		r.supervisor.Beat()
		timer := time.NewTimer(endPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	return r.applyTable(ctx, additions)
}
