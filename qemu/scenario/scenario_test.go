package scenario

import (
	"context"
	"testing"
	"time"

	"dipper/qemu/lab"
)

// patience bounds a test that hangs; it asserts nothing.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// start boots the scenario, changed as a test needs it.
func (s Scenario) start(t *testing.T, change func(*lab.Description)) *lab.Cluster {
	t.Helper()
	d, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(d)
	}
	return lab.StartT(t, d)
}

// TestExamples boots every cluster of examples/ and holds it to its facts.
func TestExamples(t *testing.T) {
	for _, s := range All() {
		t.Run(s.Example, func(t *testing.T) {
			t.Parallel()
			c := s.start(t, nil)
			report, err := s.Show(patience(t), c)
			if err != nil {
				t.Fatal(err)
			}
			for _, fact := range report.Failed() {
				t.Errorf("not so: %s: %v", fact.Claim, fact.Denial)
			}
		})
	}
}
