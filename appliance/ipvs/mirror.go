package ipvs

import (
	"context"
	"slices"
	"sort"
	"sync"
)

// mirrorEdits is how many operations at once are done to the remembered table.
// After more it is read again, which then is no great addition; but a first
// load, which comes in order, is remembered.
const mirrorEdits = 64

// Mirror is the kernel's table, remembered while nobody else edits it: one
// changed weight in a table of ten thousand real servers then takes no dump of
// it. What it remembers is what two dumps in a row showed, and our own edits
// since, which the kernel carried out. It looks again after an edit of somebody
// else's, after any failure, and when it is told to.
//
// It remembers only while its Watch runs, which does not see all edits: somebody
// has to call Forget from time to time.
type Mirror struct {
	*Kernel

	mu      sync.Mutex // held over a whole Observe or Apply
	watches int
	known   Table // canonical: the last dump, and our edits since; what others were given is never changed
	valid   bool  // two dumps showed it
}

// NewMirror returns a mirror of a kernel's table, which it takes over.
func NewMirror(k *Kernel) *Mirror { return &Mirror{Kernel: k} }

// Observe returns the table, read or remembered.
func (m *Mirror) Observe(ctx context.Context) (Table, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.valid {
		return m.known, ctx.Err()
	}
	table, err := m.Kernel.Observe(ctx)
	if err != nil || m.watches == 0 {
		m.valid = false
		return table, err
	}
	m.valid = len(Plan(m.known, table)) == 0
	m.known = table
	return m.known, nil
}

// Forget has the next Observe read the table.
func (m *Mirror) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.valid = false
}

// Apply does as Kernel.Apply does.
func (m *Mirror) Apply(ctx context.Context, ops []Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.Kernel.Apply(ctx, ops)
	if err != nil || len(ops) > mirrorEdits && len(m.known.Services) > 0 {
		m.valid = false
	}
	m.valid = m.valid && m.known.edit(ops)
	return err
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
			m.Forget()
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

// edit does to a canonical table what the kernel did, in copies of all lists
// that change. False means that the table was another than it was taken for.
func (t *Table) edit(ops []Op) bool {
	t.Services = slices.Clone(t.Services)
	own := make(map[Key]bool) // services whose real servers are a copy already
	for i := range ops {
		if !t.editOne(&ops[i], own) {
			return false
		}
	}
	return true
}

func (t *Table) editOne(op *Op, own map[Key]bool) bool {
	i, found := t.Find(op.Service.Key)
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
	if !found {
		return false
	}
	s := &t.Services[i]
	if !own[s.Key] {
		s.RealServers, own[s.Key] = slices.Clone(s.RealServers), true
	}
	return s.edit(op)
}

// edit does what the kernel did to the real servers of a service, in place.
func (s *Service) edit(op *Op) bool {
	i, found := sort.Find(len(s.RealServers), func(i int) int { return compareRealServers(&op.RealServer, &s.RealServers[i]) })
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
