package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// DHCPClient keeps a DHCPv4 lease for one link (RFC 2131): it waits for the
// link, asks, renews, rebinds, and starts again when it loses the lease. It
// edits nothing: the lease's owner adds and removes the address.
type DHCPClient struct {
	Link     string
	Hostname string // told to the server; "": nothing
	// Known is a lease from before, of this link: it is confirmed with the
	// server instead of asking for a new one. nil: none.
	Known *Lease
	// OnLease is called for each lease, new or renewed; it replaces the one
	// before, whose address may be another.
	OnLease func(Lease)
	// OnExpiry is called when the lease's address must no longer be used.
	OnExpiry func(link string)
	Log      *slog.Logger // nil: silent

	wire    dhcpWire
	jitter  func(time.Duration) time.Duration // a random share of it, of either sign
	up      <-chan bool                       // the link's carrier
	lease   *Lease                            // in use
	refused int                               // refusals since the last lease
}

// dhcpState is a state of the client; it returns the one that follows, or nil
// when ctx has ended.
type dhcpState func(ctx context.Context) dhcpState

// Run keeps the lease until ctx ends, and then returns nil. It does not
// release the lease: the machine goes on using it.
func (c *DHCPClient) Run(ctx context.Context) error {
	c.prepare()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	up, err := c.wire.carrier(ctx, c.Link)
	if err != nil {
		return fmt.Errorf("dhcp on %s: %w", c.Link, err)
	}
	c.up = up
	c.lease = c.Known
	for state := c.disconnected; ; {
		next := state(ctx)
		if next == nil || ctx.Err() != nil {
			return nil
		}
		state = next
	}
}

// prepare fills in what the caller left out.
func (c *DHCPClient) prepare() {
	if c.wire == nil {
		c.wire = kernelDHCPWire{}
	}
	if c.jitter == nil {
		c.jitter = func(d time.Duration) time.Duration { return rand.N(d/2) - d/4 }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// disconnected waits for the link. A lease lives on meanwhile.
// Transitions: -> rebooting, selecting when the link is there.
func (c *DHCPClient) disconnected(ctx context.Context) dhcpState {
	for {
		select {
		case <-ctx.Done():
			return nil
		case up, open := <-c.up:
			switch {
			case !open:
				return nil
			case up && c.lease != nil:
				return c.rebooting
			case up:
				return c.selecting
			}
		case <-c.expired():
			c.lose("it expired")
		}
	}
}

// selecting asks for offers until there is one (RFC 2131 4.4.1).
// Transitions: -> requesting, disconnected.
func (c *DHCPClient) selecting(ctx context.Context) dhcpState {
	if !c.pauseAfterRefusal(ctx) {
		return c.disconnected
	}
	offer, err := c.broadcast(ctx, forEver, dhcpv4.MessageTypeDiscover)
	if err != nil {
		return c.interrupted(ctx, err)
	}
	return func(ctx context.Context) dhcpState { return c.requesting(ctx, offer) }
}

// requesting takes an offer.
// Transitions: -> bound, selecting, disconnected.
func (c *DHCPClient) requesting(ctx context.Context, offer *dhcpv4.DHCPv4) dhcpState {
	sent := time.Now()
	ack, err := c.broadcast(ctx, requestTries, dhcpv4.MessageTypeRequest,
		dhcpv4.WithTransactionID(offer.TransactionID),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())))
	return c.concluded(ctx, ack, err, sent, c.selecting)
}

// rebooting asks whether a known lease still holds, after a restart or when
// the link was away and may be plugged in elsewhere (RFC 2131 4.4.2). Without
// an answer the lease is used on.
// Transitions: -> bound, selecting, disconnected.
func (c *DHCPClient) rebooting(ctx context.Context) dhcpState {
	if c.isExpired() {
		c.lose("it expired")
		return c.selecting
	}
	sent := time.Now()
	ack, err := c.broadcast(ctx, rebootTries, dhcpv4.MessageTypeRequest,
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(c.lease.Address.Addr().AsSlice())))
	return c.concluded(ctx, ack, err, sent, c.bound)
}

// bound waits until the lease must be renewed.
// Transitions: -> renewing, disconnected.
func (c *DHCPClient) bound(ctx context.Context) dhcpState {
	var renew <-chan time.Time
	if c.lease.ExpiresAfter != 0 {
		renew = time.After(time.Until(c.lease.Acquired.Add(c.lease.T1)) + c.jitter(time.Second))
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case up, open := <-c.up:
			if !open {
				return nil
			}
			if !up {
				return c.disconnected
			}
		case <-renew:
			return c.renewing
		}
	}
}

// renewing asks the server that granted the lease.
// Transitions: -> bound, rebinding, selecting, disconnected.
func (c *DHCPClient) renewing(ctx context.Context) dhcpState {
	return c.extend(ctx, c.lease.Server, c.lease.Acquired.Add(c.lease.T2), c.rebinding)
}

// rebinding asks any server.
// Transitions: -> bound, selecting, disconnected.
func (c *DHCPClient) rebinding(ctx context.Context) dhcpState {
	return c.extend(ctx, broadcastAddress, c.lease.Expires(), func(context.Context) dhcpState {
		c.lose("it expired")
		return c.selecting
	})
}

var broadcastAddress = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// extend asks for more time until the deadline (RFC 2131 4.4.5), at half of
// the time that remains, but not within a minute.
func (c *DHCPClient) extend(ctx context.Context, server netip.Addr, deadline time.Time, otherwise dhcpState) dhcpState {
	request, err := c.message(dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(c.lease.Address.Addr().AsSlice()))
	if err != nil {
		return c.interrupted(ctx, err)
	}
	halves := func(int) (time.Duration, bool) {
		left := time.Until(deadline)
		return min(left, max(left/2, time.Minute)), left > 0
	}
	open := func() (net.PacketConn, error) { return c.wire.configured(c.Link, c.lease.Address.Addr()) }
	sent := time.Now()
	ack, err := c.exchange(ctx, open, server, request, halves)
	return c.concluded(ctx, ack, err, sent, otherwise)
}

// concluded decides what follows an exchange for a lease.
func (c *DHCPClient) concluded(ctx context.Context, ack *dhcpv4.DHCPv4, err error, sent time.Time, unanswered dhcpState) dhcpState {
	var lease Lease
	if err == nil {
		lease, err = parseLease(c.Link, ack, sent)
	}
	switch {
	case err == nil:
		c.gain(lease)
		return c.bound
	case errors.Is(err, errUnanswered):
		return unanswered
	case errors.Is(err, errRefused):
		c.refused++
		c.lose(err.Error())
		return c.selecting
	default:
		return c.interrupted(ctx, err)
	}
}

// interrupted follows an exchange that could not be held.
func (c *DHCPClient) interrupted(ctx context.Context, err error) dhcpState {
	if errors.Is(err, errLinkDown) {
		return c.disconnected
	}
	c.Log.Warn("dhcp", "link", c.Link, "error", err)
	select {
	case <-ctx.Done():
		return nil
	case up := <-c.up:
		if !up {
			return c.disconnected
		}
	case <-time.After(errorPause):
	}
	if c.lease != nil && !c.isExpired() {
		return c.rebooting
	}
	return c.selecting
}

// errorPause follows an error of the link or nonsense from a server.
const errorPause = 5 * time.Second

// pauseAfterRefusal waits longer after each DHCPNAK in a row, so that a server
// that refuses what it offers is not asked in a tight loop. It is false when
// the link went or ctx ended.
func (c *DHCPClient) pauseAfterRefusal(ctx context.Context) bool {
	if c.refused == 0 {
		return true
	}
	pause := min(time.Second<<min(c.refused-1, 6), 64*time.Second)
	select {
	case <-ctx.Done():
		return false
	case up, open := <-c.up:
		return open && up
	case <-time.After(pause):
		return true
	}
}

// gain takes a lease into use.
func (c *DHCPClient) gain(lease Lease) {
	c.Log.Info("dhcp lease", "link", c.Link, "address", lease.Address, "server", lease.Server, "expires after", lease.ExpiresAfter)
	c.lease, c.refused = &lease, 0
	if c.OnLease != nil {
		c.OnLease(lease)
	}
}

// lose gives the lease up, if there is one.
func (c *DHCPClient) lose(why string) {
	if c.lease == nil {
		return
	}
	c.Log.Warn("dhcp lease lost", "link", c.Link, "address", c.lease.Address, "reason", why)
	c.lease = nil
	if c.OnExpiry != nil {
		c.OnExpiry(c.Link)
	}
}

// expired fires when the lease ends; never without one.
func (c *DHCPClient) expired() <-chan time.Time {
	if c.lease == nil || c.lease.ExpiresAfter == 0 {
		return nil
	}
	return time.After(time.Until(c.lease.Expires()))
}

func (c *DHCPClient) isExpired() bool {
	return c.lease.ExpiresAfter != 0 && !time.Now().Before(c.lease.Expires())
}
