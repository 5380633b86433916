package appliance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"dipper/appliance/network"
)

// leases keeps a DHCP client running on each wanted link.
type leases struct {
	client func(ctx context.Context, link string) // runs until ctx ends
	group  sync.WaitGroup
	stop   map[string]context.CancelFunc
}

func newLeases(client func(ctx context.Context, link string)) *leases {
	return &leases{client: client, stop: make(map[string]context.CancelFunc)}
}

// Want starts clients on the links that have none and stops the others. Only
// one goroutine may call it. The clients end with ctx.
func (l *leases) Want(ctx context.Context, links []string) {
	for link, stop := range l.stop {
		if !slices.Contains(links, link) {
			stop()
			delete(l.stop, link)
		}
	}
	for _, link := range links {
		if _, running := l.stop[link]; running {
			continue
		}
		clientCtx, stop := context.WithCancel(ctx)
		l.stop[link] = stop
		l.group.Go(func() { l.client(clientCtx, link) })
	}
}

// wait returns when all clients have ended.
func (l *leases) wait() { l.group.Wait() }

// seek asks for an address on every link, for a machine that has no
// configuration yet.
func (r *reconciler) seek(ctx context.Context) error {
	_, err := submit(ctx, r, func(ctx context.Context) (plan, error) {
		r.in.seeking = true
		r.lookAtLinks(ctx)
		return r.reconcile(ctx)
	})
	return err
}

// connect seeks and answers the first lease, or one that is there already.
func (r *reconciler) connect(ctx context.Context) (network.Lease, error) {
	if err := r.seek(ctx); err != nil {
		return network.Lease{}, err
	}
	held, err := submit(ctx, r, func(context.Context) ([]network.Lease, error) { return r.in.leaseList(), nil })
	if err != nil {
		return network.Lease{}, err
	}
	if len(held) > 0 {
		return held[0], nil
	}
	select {
	case l := <-r.leased:
		return l, nil
	case <-ctx.Done():
		return network.Lease{}, fmt.Errorf("no DHCP server answered on any link: %w", ctx.Err())
	}
}

// awaitNews waits for a new lease, or for d; it answers false when looking for
// a boot config is over, because somebody gave the machine a configuration or
// it ends.
func (r *reconciler) awaitNews(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.leased:
	case <-timer.C:
	case <-ctx.Done():
	}
	configured, err := submit(ctx, r, func(context.Context) (bool, error) { return r.in.config != nil, nil })
	return err == nil && !configured
}

// knownLease answers a link's lease from before a restart.
func (r *reconciler) knownLease(ctx context.Context, link string) *network.Lease {
	known, err := submit(ctx, r, func(context.Context) (*network.Lease, error) {
		if l, ok := r.in.leases[link]; ok {
			return &l, nil
		}
		return nil, nil
	})
	if err != nil {
		return nil // the machine ends, and the client with it
	}
	return known
}

// gotLease brings a DHCP client's lease to the reconciler.
func (r *reconciler) gotLease(ctx context.Context, l network.Lease) {
	r.news(ctx, func() { r.in.leases[l.Link] = l })
	select {
	case r.leased <- l:
	default: // nobody has taken notice of the one before
	}
}

// lostLease tells the reconciler that a lease expired.
func (r *reconciler) lostLease(ctx context.Context, link string) {
	r.news(ctx, func() { delete(r.in.leases, link) })
}

// news lets the reconciler look again after an edit of its intent.
func (r *reconciler) news(ctx context.Context, edit func()) {
	// The outcome is on the board, and a lease without a reconciler is of no use.
	_, _ = submit(ctx, r, func(ctx context.Context) (plan, error) {
		edit()
		if err := r.running.saveLeases(r.in.leases); err != nil {
			r.log.Error("a restart of the control plane will ask for new leases", "error", err)
		}
		return r.reconcile(ctx)
	})
}
