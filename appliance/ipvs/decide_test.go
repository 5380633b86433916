package ipvs

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// looks are the tables that one look after the other shows.
type looks []Table

func (l *looks) Observe(context.Context) (Table, error) {
	next := (*l)[0]
	*l = (*l)[1:]
	return next, nil
}

func TestDecide(t *testing.T) {
	one, two := rs("192.168.4.100:80", 1), rs("192.168.4.200:80", 1)
	other := web("rr", one)
	other.Port = 443
	tests := []struct {
		name    string
		looks   looks
		desired Table
		want    string
	}{
		{
			name:    "an edit takes one look",
			looks:   looks{tableOf(web("wrr", one))},
			desired: tableOf(web("rr", one)),
			want:    "ipvsadm -E -t 192.168.4.15:80 -s rr",
		},
		{
			name:    "a foreign service in both looks goes",
			looks:   looks{tableOf(web("rr", one), other), tableOf(web("rr", one), other)},
			desired: tableOf(web("rr", one)),
			want:    "ipvsadm -D -t 192.168.4.15:443",
		},
		{
			name:    "a service that one look missed stays as it is",
			looks:   looks{tableOf(other), tableOf(web("rr", one), other)},
			desired: tableOf(web("rr", one), other),
		},
		{
			name:    "a service that the second look missed is not added",
			looks:   looks{tableOf(web("rr", one)), tableOf(other)},
			desired: tableOf(web("rr", one), other),
		},
		{
			name:    "a real server that comes and goes",
			looks:   looks{tableOf(web("rr", one, two)), tableOf(web("rr", one))},
			desired: tableOf(web("rr", one)),
		},
		{
			name:    "an edit beside what is not confirmed",
			looks:   looks{tableOf(web("rr", one, two), other), tableOf(web("wrr", one), other)},
			desired: tableOf(web("rr", one)),
			want: `ipvsadm -E -t 192.168.4.15:80 -s rr
ipvsadm -D -t 192.168.4.15:443`,
		},
		{
			name:    "a first load",
			looks:   looks{{}, {}},
			desired: tableOf(web("rr", one)),
			want: `ipvsadm -A -t 192.168.4.15:80 -s rr
ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			last := tt.looks[len(tt.looks)-1]
			observed, ops, err := Decide(t.Context(), &tt.looks, tt.desired)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, op := range ops {
				lines = append(lines, op.String())
			}
			if diff := cmp.Diff(tt.want, strings.Join(lines, "\n")); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if observed.String() != last.String() || len(tt.looks) > 0 {
				t.Errorf("observed %s with %d looks left, want the last look", observed, len(tt.looks))
			}
		})
	}
}

// TestAnyInterruptionConverges stops the way between random tables after every
// operation, and has another run go on from there.
func TestAnyInterruptionConverges(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 100 {
		observed, desired := randomTable(random), randomTable(random)
		ops := Plan(observed, desired)
		for cut := range len(ops) + 1 {
			var kernel Fake
			if err := kernel.Apply(t.Context(), slices.Concat(Plan(Table{}, observed), ops[:cut])); err != nil {
				t.Fatal(err)
			}
			_, rest, err := Decide(t.Context(), &kernel, desired)
			if err != nil {
				t.Fatal(err)
			}
			if len(rest) != len(ops)-cut {
				t.Fatalf("from\n%sto\n%scut after %d of %d: %d operations left: %v", observed, desired, cut, len(ops), len(rest), rest)
			}
			if err := kernel.Apply(t.Context(), rest); err != nil {
				t.Fatal(err)
			}
			if got, want := kernel.String(), desired.Canonical().String(); got != want {
				t.Fatalf("cut after %d (-want +got):\n%s", cut, cmp.Diff(want, got))
			}
		}
	}
}

// TestRacedOperationsConverge applies a plan twice, as two control planes at
// once would: the second finds everything done, which is no failure.
func TestRacedOperationsConverge(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for range 100 {
		observed, desired := randomTable(random), randomTable(random)
		var kernel Fake
		ops := Plan(observed, desired)
		if err := kernel.Apply(t.Context(), slices.Concat(Plan(Table{}, observed), ops)); err != nil {
			t.Fatal(err)
		}
		for _, e := range opErrors(kernel.Apply(t.Context(), ops)) {
			if !e.Raced() {
				t.Fatalf("%v: not taken for a race", e)
			}
		}
		if got, want := kernel.String(), desired.Canonical().String(); got != want {
			t.Fatalf("-want +got:\n%s", cmp.Diff(want, got))
		}
	}
	lcss := &OpError{Op: Op{Kind: AddService, Service: web("lcss")}, Err: (&Fake{}).apply(Op{Kind: AddService, Service: web("lcss")})}
	if lcss.Raced() {
		t.Errorf("%v: taken for a race", lcss)
	}
}

func TestDisruptive(t *testing.T) {
	before := tableOf(web("rr", rs("192.168.4.100:80", 1), rs("192.168.4.200:80", 1)))
	after := tableOf(web("wrr", with(rs("192.168.4.100:80", 0), gue), rs("192.168.4.210:80", 1)))
	var disruptive []string
	for _, op := range append(Plan(before, after), Plan(after, Table{})...) {
		if op.Disruptive() != "" {
			disruptive = append(disruptive, op.String())
		}
	}
	want := []string{
		"ipvsadm -d -t 192.168.4.15:80 -r 192.168.4.200:80",
		"ipvsadm -D -t 192.168.4.15:80",
	}
	if diff := cmp.Diff(want, disruptive); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
