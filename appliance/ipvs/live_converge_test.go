package ipvs

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// applyHalf, if set, makes this binary load a table until it is killed.
const applyHalf = "DIPPER_IPVS_TEST_APPLY_UNTIL_KILLED"

// TestKernelApplyUntilKilled is what TestKernelConvergesAfterKill kills.
func TestKernelApplyUntilKilled(t *testing.T) {
	if os.Getenv(applyHalf) == "" {
		return // runs in a child only
	}
	k, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	for {
		for _, desired := range killTables() {
			observed, err := k.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Apply(t.Context(), Plan(observed, desired)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// killTables are two large tables with little in common.
func killTables() [2]Table {
	var tables [2]Table
	for n := range tables {
		for i := range 200 {
			s := web("wrr")
			s.Port = uint16(n*100 + i + 1)
			for j := range 4 {
				s.RealServers = append(s.RealServers, RealServer{
					Address: netip.AddrFrom4([4]byte{192, 168, byte(n), byte(j + 1)}), Port: 80, Forward: DR, Weight: uint32(1 + (n+j)%3),
				})
			}
			tables[n].Services = append(tables[n].Services, s)
		}
		tables[n].sort()
	}
	return tables
}

// awaitHalfway waits until services of both tables are there.
func awaitHalfway(t *testing.T, k *Kernel) {
	t.Helper()
	for {
		var services []ServiceStatistics
		err := k.converse(t.Context(), func(c *conversation) (err error) {
			services, err = c.services(t.Context())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(services) > len(killTables()[0].Services) {
			return
		}
	}
}

// TestKernelConvergesAfterKill kills a process that edits the table, wherever
// it is, and has the next one finish.
func TestKernelConvergesAfterKill(t *testing.T) {
	k, space := live(t)
	random := rand.New(rand.NewPCG(11, 12))
	halfway := 0
	for run := 0; run < 5 || halfway == 0; run++ { // a kill between two loads proves nothing
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKernelApplyUntilKilled$")
		child.Env = append(os.Environ(), applyHalf+"=1")
		if err := within(space, child.Start); err != nil {
			t.Fatal(err)
		}
		awaitHalfway(t, k)
		for range random.IntN(20) { // a look is as good a clock as any
			if _, err := k.Info(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); child.ProcessState.Exited() {
			t.Fatalf("the child ended by itself: %v", err)
		}
		desired := killTables()[run%2]
		before, ops, err := Decide(t.Context(), k, desired)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("killed at %d services; %d operations left", len(before.Services), len(ops))
		if len(ops)%1400 != 0 {
			halfway++
		}
		if err := k.Apply(t.Context(), ops); err != nil {
			t.Fatal(err)
		}
		after, err := k.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if rest := Plan(after, desired); len(rest) > 0 {
			t.Fatalf("%d operations left after the second run: %v", len(rest), rest[0])
		}
	}
}

// TestKernelConvergesAfterEveryMessage stops the way between random tables
// after each of its messages, and has the next run go on from there.
func TestKernelConvergesAfterEveryMessage(t *testing.T) {
	k, _ := live(t)
	random := rand.New(rand.NewPCG(13, 14))
	for range 3 {
		before, desired := anyTable(random), anyTable(random)
		ops := Plan(load(t, k, before), desired)
		for cut := range len(ops) + 1 {
			load(t, k, before)
			if err := k.Apply(t.Context(), ops[:cut]); err != nil {
				t.Fatal(err)
			}
			_, rest, err := Decide(t.Context(), k, desired)
			if err != nil {
				t.Fatal(err)
			}
			if len(rest) != len(ops)-cut {
				t.Fatalf("cut after %d of %d: %d operations left", cut, len(ops), len(rest))
			}
			if got := load(t, k, desired); got.String() != desired.String() {
				t.Fatalf("cut after %d (-want +got):\n%s", cut, cmp.Diff(desired.String(), got.String()))
			}
		}
		t.Logf("cut after each of %d messages", len(ops))
	}
}
