package ipvs

import (
	"math/rand/v2"
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
		m.forget()
		look(7, "after a notice, of the same table")
		look(7, "remembered")
		time.Sleep(mirrorAge)
		look(8, "after some time, of the same table")
		look(8, "remembered")
		m.watching(-1)
		look(9, "after the watch")
	})
}

// TestTableEdits holds what a mirror does to its table to what the kernel does.
func TestTableEdits(t *testing.T) {
	random := rand.New(rand.NewPCG(15, 16))
	for range 300 {
		from, to := randomTable(random).Canonical(), randomTable(random).Canonical()
		got := from.Canonical()
		ops := Plan(from, to)
		for i := range ops {
			if !got.edit(&ops[i]) {
				t.Fatalf("%s: taken for impossible", ops[i])
			}
		}
		if got.String() != to.String() {
			t.Fatalf("-want +got:\n%s", cmp.Diff(to.String(), got.String()))
		}
		for i := range ops { // again: everything is added or gone, and edits go on
			if done := got.edit(&ops[i]); done == needsSecondLook(ops[i]) {
				t.Fatalf("%s: done again: %t", ops[i], done)
			}
		}
	}
}
