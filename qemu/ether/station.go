package ether

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrUnplugged is what a Station gets that is no longer plugged in.
var ErrUnplugged = errors.New("station is unplugged")

// Station is a test at the end of a wire: it says what it likes and hears what
// a network card in promiscuous mode would.
type Station struct {
	port   *Port
	this   *plug
	heard  chan []byte
	closed chan struct{}
}

// Station plugs in a station that keeps up to buffer frames that nobody has
// received yet. When it is full the port's queue fills, and then overruns.
func (p *Port) Station(buffer int) *Station {
	s := &Station{port: p, heard: make(chan []byte, buffer), closed: make(chan struct{})}
	s.this = &plug{deliver: s.hear, close: sync.OnceFunc(func() { close(s.closed) })}
	p.plug(s.this)
	return s
}

func (s *Station) hear(frame []byte) {
	select {
	case s.heard <- frame:
	case <-s.closed:
	}
}

// Send puts a frame on the wire.
func (s *Station) Send(frame []byte) {
	select {
	case <-s.closed:
	default:
		s.port.in.put(slices.Clone(frame), time.Now())
	}
}

// Receive waits for the next frame, which the caller must not change.
func (s *Station) Receive(ctx context.Context) ([]byte, error) {
	select {
	case frame := <-s.heard:
		return frame, nil
	case <-s.closed:
		return nil, ErrUnplugged
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Unplug ends the station.
func (s *Station) Unplug() { s.port.unplug(s.this) }
