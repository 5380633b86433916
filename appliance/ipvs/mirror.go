package ipvs

import (
	"context"
	"slices"
	"sort"
	"sync"
)

// mirrorMoves is how many entries of the remembered table are moved at most to
// make or close gaps, for operations that come together. After that it is read
// again, which then is no great addition. A load, which comes in order, moves
// none.
const mirrorMoves = 1 << 20

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

// Share has m remember the table by another one's lists of real servers where its
// own are equal: they take memory once, and Plan passes by what both tables
// share. Nobody may change the other table from then on.
func (m *Mirror) Share(other Table) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var equal []shared
	walkCommon(m.known.Services, other.ByKey().Services, func(i int, have, want *Service) {
		if !sameList(have.RealServers, want.RealServers) && slices.Equal(have.RealServers, want.RealServers) {
			equal = append(equal, shared{i, want.RealServers})
		}
	})
	if len(equal) <= len(m.known.Services)/sharePart {
		return
	}
	m.known.Services = slices.Clone(m.known.Services)
	for _, s := range equal {
		m.known.Services[s.place].RealServers = s.list
	}
}

// shared is a list of real servers that the service at a place has, too.
type shared struct {
	place int
	list  []RealServer
}

// sharePart is how large a part of the services must be worth it: sharing takes a
// copy of the list of services.
const sharePart = 16

// walkCommon calls each with the services that two lists in canonical order have
// both, and the place in the first.
func walkCommon(a, b []Service, each func(place int, a, b *Service)) {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		order := a[i].Key.Compare(&b[j].Key)
		if order == 0 {
			each(i, &a[i], &b[j])
		}
		if order <= 0 {
			i++
		}
		if order >= 0 {
			j++
		}
	}
}

// Apply does as Kernel.Apply does.
func (m *Mirror) Apply(ctx context.Context, ops []Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.Kernel.Apply(ctx, ops)
	// What one dump showed is edited too: the next is compared with it.
	done := err == nil && m.known.edit(ops, mirrorMoves)
	m.valid = m.valid && done
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
// that change. False means that the table was another than it was taken for, or
// that more entries would have to be moved.
func (t *Table) edit(ops []Op, moves int) bool {
	t.Services = slices.Clone(t.Services)
	e := tableEdit{t, make(map[Key]bool), moves}
	for i := range ops {
		if !e.service(&ops[i]) || e.moves < 0 {
			return false
		}
	}
	return true
}

// tableEdit is a table while it is edited.
type tableEdit struct {
	*Table
	own   map[Key]bool // services whose real servers are a copy already
	moves int          // how many more entries may be moved
}

func (e *tableEdit) service(op *Op) bool {
	i, found := e.Find(op.Service.Key)
	switch op.Kind {
	case AddService:
		if !found {
			e.Services = slices.Insert(e.Services, i, op.Service.withoutRealServers())
			e.moves -= len(e.Services) - 1 - i
		}
		return !found
	case EditService:
		if found {
			edited := op.Service.withoutRealServers()
			edited.RealServers = e.Services[i].RealServers
			e.Services[i] = edited
		}
		return found
	case DeleteService:
		if found {
			e.Services = slices.Delete(e.Services, i, i+1)
			e.moves -= len(e.Services) - i
		}
		return found
	}
	if !found {
		return false
	}
	s := &e.Services[i]
	if !e.own[s.Key] {
		s.RealServers, e.own[s.Key] = slices.Clone(s.RealServers), true
	}
	return e.realServer(s, op)
}

func (e *tableEdit) realServer(s *Service, op *Op) bool {
	compare := func(i int) int { return compareRealServers(&op.RealServer, &s.RealServers[i]) }
	i, found := sort.Find(len(s.RealServers), compare)
	switch {
	case op.Kind == AddRealServer && !found:
		s.RealServers = slices.Insert(s.RealServers, i, op.RealServer)
		e.moves -= len(s.RealServers) - 1 - i
	case op.Kind == EditRealServer && found:
		s.RealServers[i] = op.RealServer
	case op.Kind == DeleteRealServer && found:
		s.RealServers = slices.Delete(s.RealServers, i, i+1)
		e.moves -= len(s.RealServers) - i
	default:
		return false
	}
	return true
}
