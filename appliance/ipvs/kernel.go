package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Kernel is the running kernel's IPVS table. It is safe for concurrent use:
// reads wait for writes, because a dump is not a snapshot while somebody edits
// the table.
type Kernel struct {
	dial      func() (*conversation, error)
	openTable func(name string) (io.ReadCloser, error)
	namespace int // an open file of it; 0: the present one

	table sync.Mutex    // held over a whole Observe, Statistics or Apply
	open  *conversation // nil after an error that may have left answers unread
}

// Open connects to the kernel's IPVS. The error is ErrNoIPVS if it has none.
func Open() (*Kernel, error) { return openIn(0) }

// openIn connects to the IPVS of a network namespace, given as an open file of
// it: every one has a table of its own.
func openIn(namespace int) (*Kernel, error) {
	k := &Kernel{
		dial:      func() (*conversation, error) { return dial(namespace) },
		openTable: openTable,
		namespace: namespace,
	}
	if err := k.connect(); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *Kernel) connect() (err error) {
	if k.open == nil {
		k.open, err = k.dial()
	}
	return err
}

func (k *Kernel) disconnect() error {
	if k.open == nil {
		return nil
	}
	err := k.open.Close()
	k.open = nil
	return err
}

// Close frees the socket. The table stays as it is.
func (k *Kernel) Close() error {
	k.table.Lock()
	defer k.table.Unlock()
	return k.disconnect()
}

// converse has talk speak with the kernel, alone. After anything but a refusal
// of the kernel's the socket is given up, since what is left unread on it would
// be taken for the answer to the next request.
func (k *Kernel) converse(ctx context.Context, talk func(*conversation) error) error {
	k.table.Lock()
	defer k.table.Unlock()
	return k.talk(ctx, talk)
}

// talk is converse for who holds the table.
func (k *Kernel) talk(ctx context.Context, talk func(*conversation) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := k.connect(); err != nil {
		return err
	}
	conn := k.open
	release := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // the call then fails, and says so
	})
	err := talk(conn)
	if !release() {
		return errors.Join(ctx.Err(), k.disconnect())
	}
	var refused *refusal
	if err != nil && !errors.As(err, &refused) {
		return errors.Join(err, k.disconnect())
	}
	return err
}

// Observe reads the table.
func (k *Kernel) Observe(ctx context.Context) (Table, error) {
	statistics, err := k.Statistics(ctx)
	if err != nil {
		return Table{}, err
	}
	return table(statistics), nil
}

// Statistics reads the table with everything that the kernel counts, in the
// kernel's order, while nobody edits it through k. It keeps all of it: who wants
// one service at a time takes Services and RealServers.
func (k *Kernel) Statistics(ctx context.Context) ([]ServiceStatistics, error) {
	var services []ServiceStatistics
	err := k.converse(ctx, func(c *conversation) (err error) {
		if services, err = c.services(ctx); err != nil {
			return fmt.Errorf("ipvs: list virtual services: %w", err)
		}
		var servers realServerReader
		for i := range services {
			read, err := servers.read(ctx, c, services[i].Key)
			if err != nil {
				return fmt.Errorf("ipvs: list real servers of %s: %w", services[i].Key, err)
			}
			services[i].RealServers = slices.Clone(read)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return services, nil
}

// Services reads the services as Statistics does, without their real servers.
func (k *Kernel) Services(ctx context.Context) (services []ServiceStatistics, err error) {
	err = k.converse(ctx, func(c *conversation) error {
		if services, err = c.services(ctx); err != nil {
			return fmt.Errorf("ipvs: list virtual services: %w", err)
		}
		return nil
	})
	return services, err
}

// RealServers reads those of one service after the other, and gives each service
// with its own, which are gone when the next one is read: a table of any size
// takes the memory of its largest service. Between two services the table may be
// edited; one that is deleted meanwhile has no real servers.
func (k *Kernel) RealServers(ctx context.Context, services []*ServiceStatistics) iter.Seq2[*ServiceStatistics, error] {
	return func(yield func(*ServiceStatistics, error) bool) {
		var reader realServerReader
		for _, service := range services {
			s := *service
			err := k.converse(ctx, func(c *conversation) (err error) {
				if s.RealServers, err = reader.read(ctx, c, s.Key); err != nil {
					return fmt.Errorf("ipvs: list real servers of %s: %w", s.Key, err)
				}
				return nil
			})
			if !yield(&s, err) || err != nil {
				return
			}
		}
	}
}

// StatisticsOf reads one service as Statistics does, and no other; found is
// false when there is no such service.
func (k *Kernel) StatisticsOf(ctx context.Context, service Key) (s ServiceStatistics, found bool, err error) {
	err = k.converse(ctx, func(c *conversation) error {
		read := func(attributes []byte) error { found = true; return s.decode(attributes) }
		err := c.ask(ctx, cmdGetService, 0, service.append(nil), read)
		if errors.Is(err, unix.ESRCH) {
			return nil // ip_vs_ctl.c, ip_vs_genl_get_cmd
		}
		if err != nil {
			return fmt.Errorf("ipvs: read virtual service %s: %w", service, err)
		}
		var servers realServerReader
		if s.RealServers, err = servers.read(ctx, c, service); err != nil {
			return fmt.Errorf("ipvs: list real servers of %s: %w", service, err)
		}
		return nil
	})
	return s, found, err
}

// services dumps the services, each once: a dump repeats some when another
// program edits the table meanwhile.
func (c *conversation) services(ctx context.Context) ([]ServiceStatistics, error) {
	var services []ServiceStatistics
	seen := make(map[Key]bool)
	err := c.ask(ctx, cmdGetService, unix.NLM_F_DUMP, nil, func(attributes []byte) error {
		var s ServiceStatistics
		if err := s.decode(attributes); err != nil {
			return err
		}
		if !seen[s.Key] {
			seen[s.Key] = true
			services = append(services, s)
		}
		return nil
	})
	return services, err
}

// realServerReader reads the real servers of one service after the other.
type realServerReader struct {
	request []byte
	servers []RealServerStatistics
	seen    map[Target]bool
}

// read dumps the real servers of a service, each once, into a list that the next
// read writes over. Of a service that is gone meanwhile, the kernel says that it
// has none.
func (r *realServerReader) read(ctx context.Context, c *conversation, service Key) ([]RealServerStatistics, error) {
	r.request = service.append(r.request[:0])
	r.servers = r.servers[:0]
	if r.seen == nil {
		r.seen = make(map[Target]bool)
	}
	clear(r.seen)
	err := c.ask(ctx, cmdGetDest, unix.NLM_F_DUMP, r.request, func(attributes []byte) error {
		var server RealServerStatistics
		if err := server.decode(attributes); err != nil {
			return err
		}
		if !r.seen[server.Target()] {
			r.seen[server.Target()] = true
			r.servers = append(r.servers, server)
		}
		return nil
	})
	return r.servers, err
}
