package shell

import (
	"testing"
	"time"
)

// TestRefusalsAreSummed: of many in a minute ten are told, and the first of the
// next minute says how many were not, and what they cost.
func TestRefusalsAreSummed(t *testing.T) {
	var r refusals
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	told := 0
	for i := range 1000 {
		if i%100 == 0 {
			r.looked()
		}
		if tell, silenced := r.next(now); tell {
			if told++; silenced != (silence{}) {
				t.Errorf("refusal %d speaks of %+v", i, silenced)
			}
		}
	}
	if told != refusalsPerMinute {
		t.Errorf("%d are told, want %d", told, refusalsPerMinute)
	}
	if tell, silenced := r.next(now.Add(time.Minute)); !tell || silenced != (silence{refused: 990, looked: 10}) {
		t.Errorf("a minute later: %t, %+v", tell, silenced)
	}
	if tell, silenced := r.next(now.Add(time.Minute)); !tell || silenced != (silence{}) {
		t.Errorf("after that: %t, %+v", tell, silenced)
	}
}
