package ipvs

import "slices"

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

// Disruptive returns what the operation does to connections that exist, in
// words, and "" if it keeps them. All that the kernel edits in place keeps them:
// a scheduler, weights, thresholds; another forwarding method is for new
// connections, while those that exist keep theirs (ip_vs_conn.c,
// ip_vs_bind_dest).
func (o Op) Disruptive() string {
	switch o.Kind {
	case DeleteService:
		return "ends the connections of this virtual service: its protocol, address, port and mark cannot be edited"
	case DeleteRealServer:
		return "ends the connections to this real server: its address and port cannot be edited"
	}
	return ""
}

// Takes tells whether the operation takes a real server, or a whole service,
// from clients: it deletes or drains. All others add to the table, or change in
// place what goes on to serve.
func (o *Op) Takes() bool {
	switch o.Kind {
	case DeleteService, DeleteRealServer:
		return true
	case EditRealServer:
		return o.RealServer.Weight == 0
	}
	return false
}

// Halves parts a plan: what it adds and edits, and behind it what takes
// something from clients.
func Halves(plan []Op) (bring, take []Op) {
	for i := range plan {
		if plan[i].Takes() {
			return plan[:i], plan[i:]
		}
	}
	return plan, nil
}

// Plan returns the operations that lead from the observed to the desired
// table. It is deterministic, whatever the order of its arguments, and empty
// when the tables are equal.
//
// Whatever the kernel can edit in place is edited in place. Whatever takes
// nothing from clients comes first, in the order of the table, and then real
// servers are drained and deleted, and services deleted (Halves): a service
// never runs empty while a real server is replaced, an interruption leaves too
// much rather than too little, and who ends halfway, because the kernel refused
// something, has cut no connection.
func Plan(observed, desired Table) []Op {
	have, want := observed.ByKey().Services, desired.ByKey().Services
	var ops, take, remove []Op
	if more := desired.entries() - observed.entries(); more > 0 {
		ops = make([]Op, 0, more) // of a first load, all of them
	}
	for len(have) > 0 || len(want) > 0 {
		have, want = skipCommon(have, want, (*Service).Shares)
		order := compareFirst(have, want, compareServices)
		switch {
		case order < 0:
			remove = append(remove, Op{Kind: DeleteService, Service: have[0].withoutRealServers()})
		case order > 0:
			ops, take = planService(ops, take, nil, &want[0])
		default:
			ops, take = planService(ops, take, &have[0], &want[0])
		}
		have, want = skipFirst(have, want, order, compareServices)
	}
	return append(append(ops, take...), remove...)
}

// compareFirst compares the first entries of two lists; the end of a list
// comes after everything.
func compareFirst[E any](a, b []E, compare func(a, b *E) int) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return compare(&a[0], &b[0])
}

// skipCommon drops what two lists begin with alike, but for the last of it:
// duplicates of that may follow.
func skipCommon[E any](a, b []E, same func(a, b *E) bool) (restA, restB []E) {
	n := 0
	for n < min(len(a), len(b)) && same(&a[n], &b[n]) {
		n++
	}
	n = max(0, n-1)
	return a[n:], b[n:]
}

// skipFirst drops the first entry of the list where it comes first, or of both
// where they are equal.
func skipFirst[E any](a, b []E, order int, compare func(a, b *E) int) ([]E, []E) {
	if order <= 0 {
		a = skipEqual(a, compare)
	}
	if order >= 0 {
		b = skipEqual(b, compare)
	}
	return a, b
}

// skipEqual drops the first entry and those that are by the same key: a
// duplicate, which the configuration refuses. The first counts.
func skipEqual[E any](list []E, compare func(a, b *E) int) []E {
	n := 1
	for n < len(list) && compare(&list[0], &list[n]) == 0 {
		n++
	}
	return list[n:]
}

// planService appends the operations for one desired service, those that take
// something from clients to take; have is what the kernel holds by its key, nil
// if nothing.
func planService(ops, take []Op, have, want *Service) ([]Op, []Op) {
	service := want.withoutRealServers()
	if have == nil {
		ops = append(ops, Op{Kind: AddService, Service: service})
		return planRealServers(ops, take, service, nil, want.RealServers)
	}
	if !have.sameProperties(want) {
		ops = append(ops, Op{Kind: EditService, Service: service})
	}
	if slices.Equal(have.RealServers, want.RealServers) {
		return ops, take
	}
	return planRealServers(ops, take, service, have.RealServers, want.RealServers)
}

// Shares tells whether a service is equal to another and has the same list of
// real servers, not only an equal one.
func (s *Service) Shares(other *Service) bool {
	return s.sameProperties(other) && sameList(s.RealServers, other.RealServers)
}

// sameList tells whether two lists are one and the same, not only equal: an
// edited copy of a table shares with it what was not edited.
func sameList(a, b []RealServer) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// planRealServers appends the operations for the real servers of one service.
func planRealServers(ops, take []Op, service Service, have, want []RealServer) ([]Op, []Op) {
	var serve, drain, remove []Op
	have, want = ordered(have, compareRealServers), ordered(want, compareRealServers)
	have, want = skipCommon(have, want, func(a, b *RealServer) bool { return *a == *b })
	for len(have) > 0 || len(want) > 0 {
		order := compareFirst(have, want, compareRealServers)
		switch {
		case order < 0:
			remove = append(remove, Op{Kind: DeleteRealServer, Service: service, RealServer: have[0]})
		case order > 0:
			ops = append(ops, Op{Kind: AddRealServer, Service: service, RealServer: want[0]})
		case have[0] == want[0]:
		case want[0].Weight > 0:
			serve = append(serve, Op{Kind: EditRealServer, Service: service, RealServer: want[0]})
		default:
			drain = append(drain, Op{Kind: EditRealServer, Service: service, RealServer: want[0]})
		}
		have, want = skipFirst(have, want, order, compareRealServers)
	}
	return append(ops, serve...), append(append(take, drain...), remove...)
}

func (s *Service) withoutRealServers() Service {
	without := *s
	without.RealServers = nil
	return without
}
