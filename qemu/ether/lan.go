// Package ether is the network of the lab: learning layer 2 switches in this
// process, to which machines are plugged in by QEMU's stream sockets
// (-netdev stream) and tests by stations of their own. Nothing of it is visible
// to the host: no bridge, no tap device, no privilege, and no frame ever leaves.
//
// It owns frames between ports: learning, flooding, impairment and capture. It
// knows neither machines nor what is inside a frame beyond its Ethernet header.
package ether

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// LAN is one switch with ports as many as are asked for. It never waits for a
// port: a port whose station does not read loses frames, and counts them.
type LAN struct {
	name  string
	cable bool

	mu      sync.Mutex
	ports   []*Port
	table   table
	capture *Capture // nil: none
	closed  bool
}

// NewLAN makes a switch without ports.
func NewLAN(name string) *LAN {
	return &LAN{name: name, table: newTable(tableSize, tableAge)}
}

// NewCable makes a LAN for two stations without a switch between them: they hear
// all of each other, what switches keep to themselves (LACP, LLDP) as well.
func NewCable(name string) *LAN {
	l := NewLAN(name)
	l.cable = true
	return l
}

// Port adds a port. Its name is what captures show: "director.eth0". A closed
// LAN hands out closed ports.
func (l *LAN) Port(name string) *Port {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := newPort(l, name, rand.New(rand.NewPCG(seed(l.name, name), 0)))
	if l.closed {
		p.stop()
		return p
	}
	l.ports = append(l.ports, p)
	return p
}

// Capture records every frame that a station put on the LAN, once, under the
// name of the port that it came in by. It replaces an earlier capture; nil
// ends it.
func (l *LAN) Capture(c *Capture) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.capture = c
}

// Close unplugs everything and waits until nothing moves any more.
func (l *LAN) Close() {
	l.mu.Lock()
	ports := l.ports
	l.ports, l.closed = nil, true
	l.mu.Unlock()
	for _, p := range ports {
		p.stop()
	}
}

// forward is the switch: learn where the frame came from, send it where its
// destination was last seen, or everywhere else.
func (l *LAN) forward(from *Port, frame []byte, now time.Time) {
	header, ok := parseHeader(frame)
	if !ok {
		return
	}
	targets, capture := l.route(from, header, now)
	if capture != nil {
		capture.record(from.name, FromStation, frame, now)
	}
	for _, p := range targets {
		p.out.put(frame, now)
	}
}

// route decides under the lock, so that what follows holds nobody up.
func (l *LAN) route(from *Port, h header, now time.Time) ([]*Port, *Capture) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !h.source.isGroup() {
		l.table.learn(station{h.vlan, h.source}, from, now)
	}
	return l.targets(from, h, now), l.capture
}

func (l *LAN) targets(from *Port, h header, now time.Time) []*Port {
	if h.destination.isLinkLocal() && !l.cable {
		return nil
	}
	if !h.destination.isGroup() {
		if p := l.table.lookup(station{h.vlan, h.destination}, now); p == from {
			return nil // both on the same wire: it has heard
		} else if p != nil {
			return []*Port{p}
		}
	}
	return slices.DeleteFunc(slices.Clone(l.ports), func(p *Port) bool { return p == from })
}

// seed makes a port's losses the same in every run.
func seed(names ...string) uint64 {
	h := fnv.New64a()
	for _, name := range names {
		fmt.Fprintf(h, "%s\x00", name)
	}
	return h.Sum64()
}
