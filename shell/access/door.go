package access

import (
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Limits are how many connections there may be.
type Limits struct {
	Connections int // of people who logged in
	PerAddress  int // from one address, logged in or not
	Strangers   int // not logged in yet
	PerMinute   int // new ones from one address; as many may come at once
}

// Why a connection is not taken.
var (
	ErrTooMany     = errors.New("too many connections")
	ErrTooManyHere = errors.New("too many connections from this address")
	ErrTooFast     = errors.New("too many new connections in a short time")
)

// arrivalsOfAll bounds new connections: each costs a key exchange.
var arrivalsOfAll = Rate{Burst: 200, Refill: 20 * time.Millisecond}

// What is left beyond arrivalsOfMany is for addresses of which few came lately,
// so that some that come as often as they may shut out nobody new.
const (
	arrivalsOfMany = 150
	fewArrivals    = 3
)

// Door counts connections.
type Door struct {
	mu        sync.Mutex
	limits    Limits
	known     int
	strangers []*Visitor // the oldest first
	each      map[netip.Prefix]int
	all       bucket
	rates     buckets
}

// Visitor is one connection.
type Visitor struct {
	door  *Door
	key   netip.Prefix
	evict func()
	state visit
}

type visit int

const (
	stranger visit = iota
	known
	gone
)

// NewDoor makes a Door that nobody has come through.
func NewDoor() *Door {
	return &Door{each: map[netip.Prefix]int{}, all: bucket{rate: arrivalsOfAll}, rates: buckets{rate: Rate{Refill: time.Minute}}}
}

// SetLimits changes the limits for those who come from now on.
func (d *Door) SetLimits(l Limits) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.PerMinute != d.limits.PerMinute {
		d.rates = buckets{rate: Rate{Burst: l.PerMinute, Refill: time.Minute / time.Duration(max(l.PerMinute, 1))}}
	}
	d.limits = l
}

// Enter lets a connection in as a stranger. When there are too many strangers
// already, one of them has to go: the oldest of the address that has most of
// them; and when there are too many connections from the newcomer's address,
// the oldest of its strangers. So who holds connections open before login shuts
// out nobody. evict is called for the Visitor who has to go; he must Leave soon.
func (d *Door) Enter(from netip.Addr, now time.Time, evict func()) (*Visitor, error) {
	v := &Visitor{door: d, key: network(from), evict: evict}
	out, err := d.enter(v, from, now)
	if out != nil {
		out.evict()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (d *Door) enter(v *Visitor, from netip.Addr, now time.Time) (out *Visitor, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.rates.of(from, now)
	if !one.has(now) || !d.all.has(now) || one.used >= fewArrivals && d.all.used >= arrivalsOfMany {
		return nil, ErrTooFast
	}
	switch {
	case d.limits.Strangers < 1:
		return nil, ErrTooMany
	case d.each[v.key] >= d.limits.PerAddress:
		if out = d.oldest(v.key); out == nil {
			return nil, ErrTooManyHere
		}
	case len(d.strangers) >= d.limits.Strangers:
		out = d.oldest(d.crowding())
	}
	one.used++
	d.all.used++
	if out != nil {
		d.remove(out)
	}
	d.strangers = append(d.strangers, v)
	d.each[v.key]++
	return out, nil
}

// crowding is the address that has most strangers.
func (d *Door) crowding() netip.Prefix {
	counts := map[netip.Prefix]int{}
	most := d.strangers[0].key
	for _, v := range d.strangers {
		if counts[v.key]++; counts[v.key] > counts[most] {
			most = v.key
		}
	}
	return most
}

// oldest is the stranger who came first from an address; nil: there is none.
func (d *Door) oldest(key netip.Prefix) *Visitor {
	for _, v := range d.strangers {
		if v.key == key {
			return v
		}
	}
	return nil
}

// Known tells that the visitor logged in.
func (v *Visitor) Known() error {
	v.door.mu.Lock()
	defer v.door.mu.Unlock()
	switch {
	case v.state == known:
		return nil
	case v.state == gone || v.door.known >= v.door.limits.Connections:
		return ErrTooMany
	}
	v.door.takeStranger(v)
	v.state = known
	v.door.known++
	return nil
}

// Leave tells that the connection is closed. It may be called again.
func (v *Visitor) Leave() {
	v.door.mu.Lock()
	defer v.door.mu.Unlock()
	v.door.remove(v)
}

func (d *Door) remove(v *Visitor) {
	switch v.state {
	case gone:
		return
	case known:
		d.known--
	case stranger:
		d.takeStranger(v)
	}
	v.state = gone
	if d.each[v.key]--; d.each[v.key] == 0 {
		delete(d.each, v.key)
	}
}

func (d *Door) takeStranger(v *Visitor) {
	for i, s := range d.strangers {
		if s == v {
			d.strangers = append(d.strangers[:i], d.strangers[i+1:]...)
			return
		}
	}
}
