package forwarding

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// said is a guest's console, shortened.
const said = "[    0.4] something of the kernel's\r\n" +
	"kernel: 6.12.117-dipper\r\n" +
	"spectre_v2: Mitigation: Retpolines\r\n" +
	"cost: nothing new 57576 20000 known 57955 20000 passed 0 of 0\r\n" +
	"cost: dr new 176807 20000 known 146481 20000 passed 41000 of 41000\r\n" +
	"measured: exit status 0\r\n"

func TestParse(t *testing.T) {
	got, err := parse(said)
	if err != nil {
		t.Fatal(err)
	}
	want := Kernel{Release: "6.12.117-dipper", Mitigation: "Mitigation: Retpolines", Costs: []Cost{
		{Way: Nothing, New: 2878.8, Known: 2897.75},
		{Way: "dr", New: 8840.35, Known: 7324.05},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, change := range map[string][2]string{
		"packets were lost":   {"41000 of 41000", "40999 of 41000"},
		"no packets":          {"new 176807 20000", "new 176807 0"},
		"the guest failed":    {"exit status 0", "exit status 1"},
		"the guest went away": {"measured: exit status 0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if k, err := parse(strings.Replace(said, change[0], change[1], 1)); err == nil {
				t.Errorf("got %+v", k)
			}
		})
	}
}

func TestPrint(t *testing.T) {
	r := Report{Kernels: []Kernel{
		{Name: "dipper", Costs: []Cost{{"dr", 8840.35, 7324.05}}},
		{Name: "debian", Costs: []Cost{{"dr", 8556, 7125}}},
	}}
	var b strings.Builder
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"8840 / 7324", "8556 / 7125", "1.033 / 1.028"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, &b)
		}
	}
}
