// Package supervise owns the decisions about a child: when to start it again,
// when it counts as frozen, and until when the machine may live without it.
// It does not start processes or read messages itself: it is told.
package supervise

import "time"

// Backoff is how long to wait between the end of a child and its next start.
// It doubles from Min to Max with every end, and starts over after a run of at
// least Stable. There is no last try.
type Backoff struct {
	Min, Max, Stable time.Duration
	// Jitter, in [0,1), spreads the waits by a fifth, so that machines that
	// fail together do not come back together.
	Jitter func() float64

	next time.Duration
}

// Wait answers how long to wait after a run of the length ran.
func (b *Backoff) Wait(ran time.Duration) time.Duration {
	if ran >= b.Stable {
		b.next = 0
	}
	b.next = min(max(b.next, b.Min), b.Max)
	wait := b.next
	b.next *= 2
	return wait + time.Duration(b.Jitter()*float64(wait)/5)
}
