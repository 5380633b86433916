package ipvs

// Kind is what an Op does.
type Kind uint8

// The kinds of operations, one kernel message each.
const (
	AddService Kind = iota
	EditService
	DeleteService
	AddRealServer
	EditRealServer
	DeleteRealServer
)

// Op is one edit of the kernel's table: one message, acknowledged on its own.
// Its String is the ipvsadm command that does the same.
type Op struct {
	Kind       Kind
	Service    Service    // without RealServers; for Kind *RealServer only its Key counts
	RealServer RealServer // for Kind *RealServer
}

// Plan returns the operations that lead from the observed to the desired
// table. It is deterministic, whatever the order of its arguments, and empty
// when the tables are equal.
//
// Whatever the kernel can edit in place is edited in place. Within a service,
// real servers that can take connections are added and edited first, and then
// those that lose theirs are edited and deleted, so that a service never runs
// empty while a real server is replaced. Services that are not desired go
// last: an interruption leaves too much rather than too little.
func Plan(observed, desired Table) []Op {
	observed, desired = observed.Canonical(), desired.Canonical()
	held := make(map[Key]Service, len(observed.Services))
	for _, s := range observed.Services {
		held[s.Key] = s
	}
	var ops []Op
	wanted := make(map[Key]bool, len(desired.Services))
	for _, s := range desired.Services {
		if wanted[s.Key] {
			continue // a duplicate, which the configuration refuses: the first counts
		}
		wanted[s.Key] = true
		have, ok := held[s.Key]
		ops = append(ops, planService(have, ok, s)...)
	}
	for _, s := range observed.Services {
		if !wanted[s.Key] {
			ops = append(ops, Op{Kind: DeleteService, Service: s.withoutRealServers()})
		}
	}
	return ops
}

// planService returns the operations for one desired service; have is what
// the kernel holds by its key, if exists.
func planService(have Service, exists bool, want Service) []Op {
	var ops []Op
	service := want.withoutRealServers()
	switch {
	case !exists:
		ops = append(ops, Op{Kind: AddService, Service: service})
	case !have.sameProperties(want):
		ops = append(ops, Op{Kind: EditService, Service: service})
	}
	return append(ops, planRealServers(service, have.RealServers, want.RealServers)...)
}

// planRealServers returns the operations for the real servers of one service.
func planRealServers(service Service, have, want []RealServer) []Op {
	held := make(map[Target]RealServer, len(have))
	for _, r := range have {
		held[r.Target()] = r
	}
	var add, serve, drain, remove []Op
	wanted := make(map[Target]bool, len(want))
	for _, r := range want {
		if wanted[r.Target()] {
			continue
		}
		wanted[r.Target()] = true
		before, ok := held[r.Target()]
		switch {
		case !ok:
			add = append(add, Op{Kind: AddRealServer, Service: service, RealServer: r})
		case before == r:
		case r.Weight > 0:
			serve = append(serve, Op{Kind: EditRealServer, Service: service, RealServer: r})
		default:
			drain = append(drain, Op{Kind: EditRealServer, Service: service, RealServer: r})
		}
	}
	for _, r := range have {
		if !wanted[r.Target()] {
			remove = append(remove, Op{Kind: DeleteRealServer, Service: service, RealServer: r})
		}
	}
	ops := append(add, serve...)
	ops = append(ops, drain...)
	return append(ops, remove...)
}

func (s Service) withoutRealServers() Service {
	s.RealServers = nil
	return s
}
