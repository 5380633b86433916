package control

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := parse("cost: nothing 4000\ncost: load 1441000\nelapsed: keepalived-reload 450000\ncount: edits-weight 1\nsomething else: 5\n")
	if err != nil {
		t.Fatal(err)
	}
	want := Costs{
		Millions: map[string]float64{"nothing": 4, "load": 1437, "keepalived-reload": 450},
		Counts:   map[string]int{"edits-weight": 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := parse("sh: ipvsadm: not found\n"); err == nil {
		t.Error("figures of a script that failed")
	}
}

func TestPrint(t *testing.T) {
	r := Report{
		Dipper:    Costs{Millions: map[string]float64{"load": 700, "load-10000": 8400, "list": 200, "list-10000": 2600}},
		Reference: Costs{Millions: map[string]float64{"load": 1400, "load-10000": 14000}},
	}
	var b strings.Builder
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"700.0  ", "0.500", "1.20", "1.30"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, &b)
		}
	}
}
