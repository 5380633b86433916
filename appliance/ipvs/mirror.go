package ipvs

import (
	"context"
	"slices"
	"sync"
	"time"
)

// mirrorAge is how long a table may be remembered. It is shorter than the
// reconciler's interval of ten seconds: what Watch does not see is found by its
// next run.
const mirrorAge = 9 * time.Second

// mirrorEdits is how many operations at once are done to the remembered table.
// After more it is read again, which then is no great addition.
const mirrorEdits = 64

// Mirror is the kernel's table, remembered while nobody else edits it: one
// changed weight in a table of ten thousand real servers then takes no dump of
// it. What it remembers is what two dumps in a row showed, and our own edits
// since, which the kernel carried out. It looks again after an edit of somebody
// else's, after any failure, and after mirrorAge.
//
// It remembers only while its Watch runs.
type Mirror struct {
	*Kernel

	mu      sync.Mutex // held over a whole Observe or Apply
	watches int
	known   Table // canonical: the last dump, and our edits since; what others were given is never changed
	looked  time.Time
	valid   bool // two dumps showed it
}

// NewMirror returns a mirror of a kernel's table, which it takes over.
func NewMirror(k *Kernel) *Mirror { return &Mirror{Kernel: k} }

// Observe returns the table, read or remembered.
func (m *Mirror) Observe(ctx context.Context) (Table, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.valid && time.Since(m.looked) < mirrorAge {
		return m.known, ctx.Err()
	}
	looked := time.Now()
	table, err := m.Kernel.Observe(ctx)
	if err != nil || m.watches == 0 {
		m.valid = false
		return table, err
	}
	m.valid = len(Plan(m.known, table)) == 0
	m.known, m.looked = table, looked
	return m.known, nil
}

// forget has the next Observe read the table.
func (m *Mirror) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.valid = false
}

// Apply does as Kernel.Apply does.
func (m *Mirror) Apply(ctx context.Context, ops []Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.Kernel.Apply(ctx, ops)
	if err != nil || len(ops) > mirrorEdits {
		m.valid = false
		return err
	}
	m.known.Services = slices.Clone(m.known.Services)
	for i := range ops {
		m.valid = m.valid && m.known.edit(&ops[i])
	}
	return nil
}

// Watch does as Kernel.Watch does, and forgets what somebody else has edited.
func (m *Mirror) Watch(ctx context.Context) (<-chan struct{}, error) {
	noticed, err := m.Kernel.Watch(ctx)
	if err != nil {
		return nil, err
	}
	m.watching(1)
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		defer m.watching(-1)
		for range noticed {
			m.forget()
			tell(changed)
		}
	}()
	return changed, nil
}

func (m *Mirror) watching(more int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watches += more
	m.valid = m.valid && m.watches > 0
}

// edit does to a canonical table what the kernel did, to a copy of its real
// servers. False means that the table was another than it was taken for.
func (t *Table) edit(op *Op) bool {
	i, found := slices.BinarySearchFunc(t.Services, &op.Service, func(s Service, want *Service) int { return compareServices(&s, want) })
	switch op.Kind {
	case AddService:
		if !found {
			t.Services = slices.Insert(t.Services, i, op.Service.withoutRealServers())
		}
		return !found
	case EditService:
		if found {
			edited := op.Service.withoutRealServers()
			edited.RealServers = t.Services[i].RealServers
			t.Services[i] = edited
		}
		return found
	case DeleteService:
		if found {
			t.Services = slices.Delete(t.Services, i, i+1)
		}
		return found
	}
	return found && t.Services[i].edit(op)
}

func (s *Service) edit(op *Op) bool {
	s.RealServers = slices.Clone(s.RealServers)
	i, found := slices.BinarySearchFunc(s.RealServers, &op.RealServer, func(r RealServer, want *RealServer) int { return compareRealServers(&r, want) })
	switch {
	case op.Kind == AddRealServer && !found:
		s.RealServers = slices.Insert(s.RealServers, i, op.RealServer)
	case op.Kind == EditRealServer && found:
		s.RealServers[i] = op.RealServer
	case op.Kind == DeleteRealServer && found:
		s.RealServers = slices.Delete(s.RealServers, i, i+1)
	default:
		return false
	}
	return true
}
