package shell

import (
	"testing"
	"time"
)

// TestRefusalsAreSummed: of many at once ten are told, then one a minute, which
// says how many were not, and what they cost. After a quiet time it is ten again.
func TestRefusalsAreSummed(t *testing.T) {
	var r refusals
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for i, step := range []struct {
		after    time.Duration
		refused  int // all at once
		told     int
		silenced silence
	}{
		{0, 1000, 10, silence{}},
		{time.Minute, 1, 1, silence{refused: 990, looked: 10}},
		{30 * time.Second, 5, 0, silence{}},
		{30 * time.Second, 2, 1, silence{refused: 5}},
		{3 * time.Minute, 5, 3, silence{refused: 1}},
		{time.Hour, 11, 10, silence{refused: 2}},
	} {
		now = now.Add(step.after)
		told, silenced := 0, silence{}
		for n := range step.refused {
			if n%100 == 99 {
				r.looked()
			}
			if tell, more := r.next(now); tell {
				told++
				silenced.refused += more.refused
				silenced.looked += more.looked
			}
		}
		if told != step.told || silenced != step.silenced {
			t.Errorf("step %d: %d told, %+v; want %d, %+v", i, told, silenced, step.told, step.silenced)
		}
	}
}
