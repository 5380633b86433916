package ether

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Direction is seen from the station at the end of the wire.
type Direction int

// The two directions of a wire.
const (
	FromStation Direction = iota
	ToStation
)

// String is the direction in words.
func (d Direction) String() string {
	if d == FromStation {
		return "from station"
	}
	return "to station"
}

// Counters count frames since a port was made.
type Counters struct {
	FromStation, ToStation WireCounters
}

// Port is where a station is plugged in: by Serve or Listen a machine, by
// Station a test. An unplugged port swallows what is sent to it. Plugging in
// pulls out what was plugged in before.
type Port struct {
	name    string
	in      *wire // from the station
	out     *wire // to the station
	plugged atomic.Pointer[plug]
	capture atomic.Pointer[Capture]

	ctx    context.Context // ends with stop
	cancel context.CancelFunc
	wires  sync.WaitGroup
}

// plug is the end of whatever is plugged in.
type plug struct {
	deliver func(frame []byte) // may wait; must return once close was called
	close   func()             // may be called more than once
}

func newPort(l *LAN, name string, random *rand.Rand) *Port {
	p := &Port{name: name}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.in = newWire(random.Uint64(), func(frame []byte, now time.Time) {
		p.mirror(FromStation, frame, now)
		l.forward(p, frame, now)
	})
	p.out = newWire(random.Uint64(), func(frame []byte, now time.Time) {
		p.mirror(ToStation, frame, now)
		if plugged := p.plugged.Load(); plugged != nil {
			plugged.deliver(frame)
		}
	})
	p.wires.Go(func() { p.in.run(p.ctx) })
	p.wires.Go(func() { p.out.run(p.ctx) })
	return p
}

// Name is what LAN.Port was told.
func (p *Port) Name() string { return p.name }

// Impair replaces the wire's condition in one direction.
func (p *Port) Impair(d Direction, i Impairment) {
	if d == FromStation {
		p.in.impair(i)
	} else {
		p.out.impair(i)
	}
}

// Cut severs the wire in both directions. The station's link stays up: it is
// the failure that no carrier detection sees.
func (p *Port) Cut() {
	p.in.cut.Store(true)
	p.out.cut.Store(true)
}

// Restore mends a Cut.
func (p *Port) Restore() {
	p.in.cut.Store(false)
	p.out.cut.Store(false)
}

// Capture records what passes this port's wire, in both directions, without
// what the wire lost. It replaces an earlier capture; nil ends it.
func (p *Port) Capture(c *Capture) { p.capture.Store(c) }

// Counters are the port's counters now.
func (p *Port) Counters() Counters {
	return Counters{FromStation: p.in.counters(), ToStation: p.out.counters()}
}

func (p *Port) mirror(d Direction, frame []byte, now time.Time) {
	if c := p.capture.Load(); c != nil {
		c.record(p.name, d, frame, now)
	}
}

func (p *Port) plug(in *plug) {
	if before := p.plugged.Swap(in); before != nil {
		before.close()
	}
	if p.ctx.Err() != nil { // stop may have looked before
		p.unplug(in)
	}
}

// unplug pulls out what is still plugged in, if it is this.
func (p *Port) unplug(this *plug) {
	p.plugged.CompareAndSwap(this, nil)
	this.close()
}

func (p *Port) stop() {
	p.cancel()
	if plugged := p.plugged.Load(); plugged != nil {
		p.unplug(plugged)
	}
	p.wires.Wait()
}
