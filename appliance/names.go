package appliance

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"sync"

	"dipper/appliance/api"
	"dipper/appliance/config"
)

// namesLimit is how many names are answered when nobody says how many.
const namesLimit = 100

// Names answers names that begin with a prefix, for completion.
func (b *backend) Names(ctx context.Context, q api.NamesQuery) ([]api.Completion, error) {
	if q.Limit <= 0 {
		q.Limit = namesLimit
	}
	switch q.Kind {
	case "service", "server":
		return b.configuredNames(q)
	case "scheduler":
		return matching(config.Schedulers(), q), nil
	case "program":
		names, err := programNames()
		return matching(names, q), err
	case "interface":
		links, err := b.Interfaces(ctx)
		return found(links, q, func(i api.Interface) api.Completion {
			return api.Completion{Word: i.Name, State: strings.Join(i.Addresses, " ")}
		}), err
	case "sysctl":
		settings, err := b.Sysctls(ctx)
		return found(settings, q, func(s api.Sysctl) api.Completion { return api.Completion{Word: s.Name, State: s.Value} }), err
	case "revision":
		revisions, err := b.Revisions(ctx)
		return found(revisions, q, func(r api.Revision) api.Completion {
			return api.Completion{Word: fmt.Sprint(r.Number), Help: r.Comment, State: strings.TrimSpace(r.User + " " + r.Time.Format("2006-01-02 15:04"))}
		}), err
	case "user":
		access, err := b.Access(ctx, -1)
		return found(access.Users, q, func(u api.User) api.Completion {
			return api.Completion{Word: u.Name, State: string(u.Role)}
		}), err
	}
	return nil, &api.Error{Message: fmt.Sprintf("names: there is no kind %q", q.Kind)}
}

// configuredNames answers services and real servers.
func (b *backend) configuredNames(q api.NamesQuery) ([]api.Completion, error) {
	in := b.reconciler.now.Load()
	if in == nil || in.config == nil {
		return []api.Completion{}, nil
	}
	index := b.index.of(in)
	if q.Kind == "service" {
		services := in.config.Services
		first := sort.Search(len(services), func(i int) bool { return services[i].Name >= q.Prefix })
		return take(services[first:], q, func(s config.Service) api.Completion {
			return api.Completion{Word: s.Name, State: in.stateOf(s)}
		}), nil
	}
	first := sort.Search(len(index.servers), func(i int) bool { return index.servers[i].name >= q.Prefix })
	return take(index.servers[first:], q, func(s indexedServer) api.Completion {
		return api.Completion{Word: s.name, State: s.state(in)}
	}), nil
}

// stateOf is where a service listens, and how many of its real servers are to
// take connections.
func (in *intent) stateOf(s config.Service) string {
	taking := 0
	for _, r := range s.RealServers {
		weight := r.Weight
		if v, said := in.verbs[idOf(s.Name, r)]; said {
			weight = v.weight()
		}
		if weight > 0 {
			taking++
		}
	}
	where := fmt.Sprintf("fwmark %d", s.FWMark)
	if len(s.Listen) > 0 {
		where = s.Listen[0].String()
	}
	if len(s.RealServers) == 1 {
		return fmt.Sprintf("%s, %d of 1 real server", where, taking)
	}
	return fmt.Sprintf("%s, %d of %d real servers", where, taking, len(s.RealServers))
}

// serverIndex finds real servers by the beginning of their names. It is made
// anew for every configuration, and costs nothing per question.
type serverIndex struct {
	mu      sync.Mutex
	made    *intent
	present index
}

type index struct {
	servers []indexedServer // by name, each once
}

// indexedServer is a real server, in one service or in several.
type indexedServer struct {
	name    string // address and port
	service int    // the first one that has it, in the configuration
	server  int
	count   int
}

func (x *serverIndex) of(in *intent) index {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.made != in {
		x.made, x.present = in, makeIndex(in.config)
	}
	return x.present
}

func makeIndex(cfg *config.Config) index {
	var all []indexedServer
	for i, s := range cfg.Services {
		for j, r := range s.RealServers {
			all = append(all, indexedServer{netip.AddrPortFrom(r.Address, r.Port).String(), i, j, 1})
		}
	}
	slices.SortStableFunc(all, func(a, b indexedServer) int { return cmp.Compare(a.name, b.name) })
	once := all[:0]
	for _, s := range all {
		if last := len(once) - 1; last >= 0 && once[last].name == s.name {
			once[last].count++
			continue
		}
		once = append(once, s)
	}
	return index{servers: once}
}

// state is what a real server is at present.
func (s indexedServer) state(in *intent) string {
	service := in.config.Services[s.service]
	id := idOf(service.Name, service.RealServers[s.server])
	text := fmt.Sprintf("%s, weight %d", service.Name, in.weightOf(id))
	if s.count > 1 {
		text = fmt.Sprintf("%d services, weight %d", s.count, in.weightOf(id))
	}
	if v, said := in.verbs[id]; said {
		text += ", " + v.reason()
	}
	return text
}

// take answers, of items sorted by name, those at the beginning that match.
func take[T any](items []T, q api.NamesQuery, describe func(T) api.Completion) []api.Completion {
	answer := []api.Completion{}
	for _, item := range items[:min(len(items), q.Limit)] {
		c := describe(item)
		if !strings.HasPrefix(c.Word, q.Prefix) {
			break
		}
		answer = append(answer, c)
	}
	return answer
}

// found answers those of the items that match.
func found[T any](items []T, q api.NamesQuery, describe func(T) api.Completion) []api.Completion {
	answer := []api.Completion{}
	for _, item := range items {
		if c := describe(item); len(answer) < q.Limit && strings.HasPrefix(c.Word, q.Prefix) {
			answer = append(answer, c)
		}
	}
	return answer
}

func matching(names []string, q api.NamesQuery) []api.Completion {
	return found(names, q, func(name string) api.Completion { return api.Completion{Word: name} })
}
