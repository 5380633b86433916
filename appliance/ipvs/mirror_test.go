package ipvs

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// mirrorOf returns a mirror of a kernel that holds one service, how often that
// was dumped, and what the kernel answers to edits.
func mirrorOf(t *testing.T) (m *Mirror, dumps *int, edits *reply) {
	t.Helper()
	dumps, edits = new(int), new(reply)
	k, _ := kernelAnswering(func(r request) reply {
		op := Op{Kind: AddService, Service: web("rr")}
		switch r.command {
		case cmdGetService:
			*dumps++
		case cmdGetDest:
			op = Op{Kind: AddRealServer, Service: web("rr"), RealServer: rs("192.168.4.100:80", 1)}
		default:
			return *edits
		}
		data, err := op.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return reply{answers: [][]byte{data}}
	})
	return NewMirror(k), dumps, edits
}

func TestMirrorRemembers(t *testing.T) {
	m, dumps, edits := mirrorOf(t)
	synctest.Test(t, func(t *testing.T) {
		look := func(want int, why string) Table {
			t.Helper()
			table, err := m.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if *dumps != want {
				t.Errorf("%s: got %d dumps, want %d", why, *dumps, want)
			}
			return table
		}
		look(1, "first")
		look(2, "without a watch")
		m.watching(1)
		look(3, "the first with a watch")
		look(4, "the second, which shows the same")
		look(4, "remembered").Services[0].RealServers[0].Weight = 9 // the caller's own
		heavier := Op{Kind: EditRealServer, Service: web("rr"), RealServer: rs("192.168.4.100:80", 2)}
		if err := m.Apply(t.Context(), []Op{heavier}); err != nil {
			t.Fatal(err)
		}
		want := "-A -t 192.168.4.15:80 -s rr\n-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 2\n"
		if diff := cmp.Diff(want, look(4, "after an edit").String()); diff != "" {
			t.Errorf("remembered (-want +got):\n%s", diff)
		}
		*edits = reply{errno: unix.ENOENT}
		if err := m.Apply(t.Context(), []Op{heavier}); err == nil {
			t.Fatal("the refusal is lost")
		}
		look(5, "after a refusal")
		look(6, "to be sure")
		m.Forget()
		look(7, "after a notice, of the same table")
		look(7, "remembered")
		time.Sleep(time.Hour)
		look(7, "until somebody has it forgotten")
		m.watching(-1)
		look(8, "after the watch")
	})
}

// TestTableEdits holds what a mirror does to its table to what the kernel does.
func TestTableEdits(t *testing.T) {
	random := rand.New(rand.NewPCG(15, 16))
	for range 300 {
		from, to := randomTable(random).Canonical(), randomTable(random).Canonical()
		before, got := from.String(), from
		ops := Plan(from, to)
		if !got.edit(ops, mirrorMoves) {
			t.Fatalf("%s: taken for impossible", ops)
		}
		if got.String() != to.String() {
			t.Fatalf("-want +got:\n%s", cmp.Diff(to.String(), got.String()))
		}
		if from.String() != before {
			t.Fatalf("the table of before changed (-before +after):\n%s", cmp.Diff(before, from.String()))
		}
		for i := range ops { // again: everything is added or gone, and edits go on
			if done := got.edit(ops[i:i+1], mirrorMoves); done == needsSecondLook(ops[i]) {
				t.Fatalf("%s: done again: %t", ops[i], done)
			}
		}
	}
}

// TestMirrorRemembersALoad loads an empty table, and then another: after the
// first the kernel need not be asked what it holds.
func TestMirrorRemembersALoad(t *testing.T) {
	dumps := 0
	k, _ := kernelAnswering(func(r request) reply {
		if r.command == cmdGetService {
			dumps++
		}
		return reply{}
	})
	m := NewMirror(k)
	m.watching(1)
	if _, err := m.Observe(t.Context()); err != nil {
		t.Fatal(err)
	}
	var table Table
	for port := range uint16(40) {
		s := web("rr")
		s.Port = 1000 + port
		s.RealServers = []RealServer{rs("192.168.4.100:80", 1), rs("192.168.4.200:80", 1)}
		table.Services = append(table.Services, s)
	}
	for part := range slices.Chunk(Plan(Table{}, table), 50) { // as large ones come
		if err := m.Apply(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	remembered, err := m.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table.String(), remembered.String()); diff != "" || dumps != 1 {
		t.Errorf("%d dumps; remembered after a load (-want +got):\n%s", dumps, diff)
	}
	m.known = Table{} // not what the kernel holds
	if err := m.Apply(t.Context(), Plan(table, Table{})); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Observe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if dumps != 2 {
		t.Errorf("%d dumps: edits that cannot have been done are believed", dumps)
	}
}

// TestMirrorEditsWhatItSawOnce edits the table between the two dumps that it
// takes to remember it.
func TestMirrorEditsWhatItSawOnce(t *testing.T) {
	table, dumps := tableOf(web("rr")), 0
	k, _ := kernelAnswering(func(r request) reply {
		switch r.command {
		case cmdGetService:
			dumps++
			op := Op{Kind: AddService, Service: table.Services[0]}
			data, err := op.append(nil)
			if err != nil {
				t.Fatal(err)
			}
			return reply{answers: [][]byte{data}}
		default:
			return reply{}
		}
	})
	m := NewMirror(k)
	m.watching(1)
	for _, scheduler := range []string{"wrr", "wlc", "lc", "sh"} {
		if _, err := m.Observe(t.Context()); err != nil {
			t.Fatal(err)
		}
		table.Services[0].Scheduler = scheduler
		edit := []Op{{Kind: EditService, Service: table.Services[0].withoutRealServers()}}
		if err := m.Apply(t.Context(), edit); err != nil {
			t.Fatal(err)
		}
	}
	if dumps != 2 {
		t.Errorf("%d dumps, though the second showed what the first and our own edit made expect", dumps)
	}
}

// TestTableEditsMoveLittle adds before what is there: each addition moves all.
func TestTableEditsMoveLittle(t *testing.T) {
	var table Table
	for port := range uint16(100) {
		s := web("rr")
		s.Port = 2000 + port
		table.Services = append(table.Services, s)
	}
	before := web("rr")
	before.Port = 1000
	add := []Op{{Kind: AddService, Service: before}}
	if edited := table; edited.edit(add, 99) {
		t.Error("100 entries were moved, with 99 allowed")
	}
	if edited := table; !edited.edit(add, 100) || edited.Services[0].Port != 1000 {
		t.Error("100 entries were not moved, with 100 allowed")
	}
	if edited := table; !edited.edit([]Op{{Kind: DeleteService, Service: table.Services[99]}}, 0) {
		t.Error("the last entry is not deleted, though nothing has to move")
	}
}

// TestMirrorSharesWithTheDesiredTable keeps equal lists of real servers once, and
// changes neither the desired table nor what was observed before.
func TestMirrorSharesWithTheDesiredTable(t *testing.T) {
	m, _, _ := mirrorOf(t)
	m.watching(1)
	service := web("rr")
	service.RealServers = []RealServer{rs("192.168.4.100:80", 1)}
	other := web("rr")
	other.Port, other.RealServers = 81, []RealServer{rs("192.168.4.100:80", 1)}
	desired := Table{Services: []Service{service, other}}
	before, _, err := Decide(t.Context(), m, desired)
	if err != nil {
		t.Fatal(err)
	}
	shares := func(table Table) bool { return sameList(table.Services[0].RealServers, service.RealServers) }
	if shares(before) {
		t.Error("what was given was changed")
	}
	after, ops, err := Decide(t.Context(), m, desired)
	if err != nil || !shares(after) {
		t.Errorf("equal lists are kept twice (%v)", err)
	}
	if len(ops) != 2 || ops[0].Kind != AddService || ops[1].Kind != AddRealServer {
		t.Errorf("planned %v", ops)
	}
	if err := m.Apply(t.Context(), []Op{{Kind: EditRealServer, Service: service, RealServer: rs("192.168.4.100:80", 7)}}); err != nil {
		t.Fatal(err)
	}
	edited, err := m.Observe(t.Context())
	if err != nil || edited.Services[0].RealServers[0].Weight != 7 || service.RealServers[0].Weight != 1 || after.Services[0].RealServers[0].Weight != 1 {
		t.Errorf("observed %v, desired %v, observed before %v (%v)", edited, desired, after, err)
	}
	m.Share(desired)
	if table, err := m.Observe(t.Context()); err != nil || shares(table) {
		t.Errorf("shares a list that differs (%v)", err)
	}
}
