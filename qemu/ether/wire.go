package ether

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Impairment is what a wire does to frames in one direction. The zero value is
// a good wire.
type Impairment struct {
	Loss  float64                 // probability that a frame is lost, 0 to 1; repeats from run to run
	Drop  func(frame []byte) bool // loses the frames it is true for; must neither keep nor change them
	Delay time.Duration           // how long each frame takes; their order is kept
}

// WireCounters count one direction. Frames and Bytes got through; Lost were
// lost to a cut or an Impairment; Overrun found the queue full.
type WireCounters struct {
	Frames, Bytes, Lost, Overrun uint64
}

// queueLength in frames is 6 MB of full-size ones: more than the TCP window of
// a guest with the kernel's defaults.
const queueLength = 4096

// wire is one direction of a port: its conditions, a bounded queue, and one
// goroutine that hands frames on, so that whoever puts one in never waits.
type wire struct {
	deliver func(frame []byte, now time.Time)
	queue   chan inFlight
	cut     atomic.Bool

	mu        sync.Mutex
	condition Impairment
	random    *rand.Rand

	frames, bytes, lost, overrun atomic.Uint64
}

type inFlight struct {
	frame []byte
	due   time.Time
}

func newWire(seed uint64, deliver func([]byte, time.Time)) *wire {
	return &wire{
		deliver: deliver,
		queue:   make(chan inFlight, queueLength),
		random:  rand.New(rand.NewPCG(seed, seed)),
	}
}

func (w *wire) impair(i Impairment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.condition = i
}

func (w *wire) counters() WireCounters {
	return WireCounters{w.frames.Load(), w.bytes.Load(), w.lost.Load(), w.overrun.Load()}
}

// put takes a frame over: nobody may change it any more.
func (w *wire) put(frame []byte, now time.Time) {
	lost, delay := w.fate(frame)
	if lost {
		w.lost.Add(1)
		return
	}
	select {
	case w.queue <- inFlight{frame, now.Add(delay)}:
	default:
		w.overrun.Add(1)
	}
}

func (w *wire) fate(frame []byte) (lost bool, delay time.Duration) {
	if w.cut.Load() {
		return true, 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.condition
	if c.Loss > 0 && w.random.Float64() < c.Loss {
		return true, 0
	}
	return c.Drop != nil && c.Drop(frame), c.Delay
}

func (w *wire) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-w.queue:
			if !sleepUntil(ctx, f.due) {
				return
			}
			w.arrive(f.frame)
		}
	}
}

func (w *wire) arrive(frame []byte) {
	if w.cut.Load() { // while it was under way
		w.lost.Add(1)
		return
	}
	w.frames.Add(1)
	w.bytes.Add(uint64(len(frame)))
	w.deliver(frame, time.Now())
}

// sleepUntil reports false when the context ended first.
func sleepUntil(ctx context.Context, due time.Time) bool {
	wait := time.Until(due)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
