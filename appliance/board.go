package appliance

import (
	"context"
	"slices"
	"sync"
	"time"

	"dipper/appliance/api"
)

// board holds the machine's status for whoever asks, and wakes those who wait
// for news.
type board struct {
	now func() time.Time

	mu      sync.Mutex
	status  api.Status
	changed chan struct{} // closed and replaced with every change
}

func newBoard(now func() time.Time, first api.Status) *board {
	first.Since = now()
	return &board{now: now, status: first, changed: make(chan struct{})}
}

// update edits the status; a change that shows gives it a new revision.
func (b *board) update(edit func(*api.Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.status
	edit(&next)
	if sameStatus(b.status, next) {
		return
	}
	if next.State != b.status.State {
		next.Since = b.now()
	}
	next.Revision++
	b.status = next
	close(b.changed)
	b.changed = make(chan struct{})
}

// await answers the status as soon as its revision is above newerThan, or as
// it is when ctx ends.
func (b *board) await(ctx context.Context, newerThan int) api.Status {
	for {
		b.mu.Lock()
		status, changed := b.status, b.changed
		b.mu.Unlock()
		if status.Revision > newerThan {
			return status
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return status
		}
	}
}

func sameStatus(a, b api.Status) bool {
	return a.Hostname == b.Hostname && a.Role == b.Role && a.State == b.State &&
		a.Source == b.Source && a.Edits == b.Edits &&
		a.Unsaved == b.Unsaved && a.Volatile == b.Volatile && a.ConfirmBy.Equal(b.ConfirmBy) && a.HostKey == b.HostKey && a.NextHostKey == b.NextHostKey &&
		slices.Equal(a.Problems, b.Problems) && slices.Equal(a.Advice, b.Advice) &&
		slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.VIPs, b.VIPs)
}
