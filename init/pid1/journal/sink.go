package journal

import (
	"context"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// kernelLimit bounds what children may write to the kernel's log: its buffer
// is small, and a child that floods it would push out what the kernel said.
// A goroutine dump of the control plane fits into the burst.
func kernelLimit() *rate.Limiter { return rate.NewLimiter(500, queueLines) }

// sink is one slow writer and the lines that wait for it.
type sink struct {
	queue chan entry
	limit *rate.Limiter // nil: none
	lost  atomic.Int64
}

// entry is a line, or a question: written, if not nil, is closed in its place.
type entry struct {
	line    Line
	written chan struct{}
}

func newSink(size int, limit *rate.Limiter) *sink {
	return &sink{queue: make(chan entry, size), limit: limit}
}

// put hands a line over, or counts it as lost.
func (s *sink) put(l Line) {
	if s.limit != nil && !s.limit.Allow() {
		s.lost.Add(1)
		return
	}
	select {
	case s.queue <- entry{line: l}:
	default:
		s.lost.Add(1)
	}
}

// run writes lines until ctx ends, and reports how many are gone.
func (s *sink) run(ctx context.Context, write func(Line) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-s.queue:
			s.take(e, write)
		}
	}
}

func (s *sink) take(e entry, write func(Line) error) {
	if e.written != nil {
		close(e.written)
		return
	}
	if n := s.lost.Swap(0); n > 0 && write(dropped(n, e.line)) != nil {
		s.lost.Add(n)
	}
	if write(e.line) != nil {
		// The reason cannot be logged, this is the log. The count can.
		s.lost.Add(1)
	}
}

// flush waits until what is queued now was written.
func (s *sink) flush(ctx context.Context) {
	written := make(chan struct{})
	select {
	case s.queue <- entry{written: written}:
	case <-ctx.Done():
		return
	}
	select {
	case <-written:
	case <-ctx.Done():
	}
}
