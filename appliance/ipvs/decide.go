package ipvs

import (
	"context"
	"slices"
)

// Observer is what tells of the present table: Kernel, Fake, and Mirror, which
// has looked twice at what it remembers.
type Observer interface {
	Observe(ctx context.Context) (Table, error)
}

// sharer is an Observer that remembers what it observed, and can do so in the
// memory of the desired table.
type sharer interface {
	Share(desired Table)
}

// Decide observes the table and plans the way to the desired one. It returns
// both.
//
// One look never decides to add or to delete. The kernel's dump is no snapshot
// while somebody else edits: entries that nobody touched are missing from it or
// are in it twice, and no error tells (ip_vs_ctl.c, ip_vs_genl_dump_services,
// counts entries to find where it was). A plan that adds or deletes is made
// again after a second look, and only what both looks ask for is done. What the
// second asks for alone waits for the next time.
//
// Nobody may change the desired table afterwards: a Mirror shares its real
// servers.
func Decide(ctx context.Context, table Observer, desired Table) (observed Table, ops []Op, err error) {
	if observed, err = table.Observe(ctx); err != nil {
		return Table{}, nil, err
	}
	ops = Plan(observed, desired)
	if s, remembers := table.(sharer); remembers {
		s.Share(desired)
	}
	if !slices.ContainsFunc(ops, needsSecondLook) {
		return observed, ops, nil
	}
	if observed, err = table.Observe(ctx); err != nil {
		return Table{}, nil, err
	}
	return observed, confirmed(ops, Plan(observed, desired)), nil
}

// needsSecondLook tells of operations that rest on an entry being there or not.
// An edit of an entry that was seen rests on neither.
func needsSecondLook(o Op) bool { return o.Kind != EditService && o.Kind != EditRealServer }

// identity is which entry an operation does what to.
type identity struct {
	kind    Kind
	service Key
	server  Target
}

func (o *Op) identity() identity {
	i := identity{kind: o.Kind, service: o.Service.Key}
	switch o.Kind {
	case AddRealServer, EditRealServer, DeleteRealServer:
		i.server = o.RealServer.Target()
	}
	return i
}

// confirmed returns the operations of second that need no second look, or were
// in first too.
func confirmed(first, second []Op) []Op {
	if slices.EqualFunc(first, second, func(a, b Op) bool { return a.identity() == b.identity() }) {
		return second
	}
	asked := make(map[identity]bool)
	for i := range first {
		asked[first[i].identity()] = true
	}
	var both []Op
	for i := range second {
		if !needsSecondLook(second[i]) || asked[second[i].identity()] {
			both = append(both, second[i])
		}
	}
	return both
}
