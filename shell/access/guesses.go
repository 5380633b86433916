package access

import (
	"net/netip"
	"sync"
	"time"
)

// Rate is how often something may happen: Burst times at once, and once more
// after every Refill.
type Rate struct {
	Burst  int
	Refill time.Duration
}

// Guesses bounds how many passwords are looked at. Each costs a hash, which is
// made to be slow; the rest are wrong without being looked at, so that any
// number of guesses costs a bounded share of a processor. A right one is not
// counted.
type Guesses struct {
	mu   sync.Mutex
	all  bucket
	each buckets
}

// The rates of guesses.
var (
	guessesOfAll = Rate{Burst: 20, Refill: time.Second}
	guessesOfOne = Rate{Burst: 5, Refill: 10 * time.Second}
)

// NewGuesses makes a Guesses that has seen none.
func NewGuesses() *Guesses {
	return &Guesses{all: bucket{rate: guessesOfAll}, each: buckets{rate: guessesOfOne}}
}

// Allow reports whether one more password from an address may be looked at.
func (g *Guesses) Allow(from netip.Addr, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.each.of(from, now)
	if !one.has(now) || !g.all.has(now) {
		return false
	}
	one.used++
	g.all.used++
	return true
}

// Right takes back what Allow counted, for a password that was right.
func (g *Guesses) Right(from netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.each.of(from, now).back()
	g.all.back()
}

// bucket counts what happened lately.
type bucket struct {
	rate Rate
	used int
	at   time.Time // up to when used was lowered
}

// has reports whether there is room for one more.
func (b *bucket) has(now time.Time) bool {
	if forgotten := int(now.Sub(b.at) / b.rate.Refill); forgotten > 0 {
		b.used = max(0, b.used-forgotten)
		b.at = b.at.Add(time.Duration(forgotten) * b.rate.Refill)
	}
	if b.used == 0 {
		b.at = now
	}
	return b.used < b.rate.Burst
}

func (b *bucket) back() { b.used = max(0, b.used-1) }

// maxBuckets is how many addresses are told apart. Those beyond share one
// bucket, so that many addresses do not take memory.
const maxBuckets = 1024

// buckets are one bucket for each network that one person is likely to have.
type buckets struct {
	rate  Rate
	known map[netip.Prefix]*bucket
	rest  *bucket
}

func (b *buckets) of(from netip.Addr, now time.Time) *bucket {
	key := network(from)
	if found := b.known[key]; found != nil {
		return found
	}
	if len(b.known) >= maxBuckets {
		b.forget(now)
	}
	if len(b.known) >= maxBuckets {
		if b.rest == nil {
			b.rest = &bucket{rate: b.rate, at: now}
		}
		return b.rest
	}
	if b.known == nil {
		b.known = map[netip.Prefix]*bucket{}
	}
	b.known[key] = &bucket{rate: b.rate, at: now}
	return b.known[key]
}

// forget drops the buckets that count nothing any more.
func (b *buckets) forget(now time.Time) {
	for key, one := range b.known {
		if one.has(now); one.used == 0 {
			delete(b.known, key)
		}
	}
}

// network is what one attacker is taken to own: an IPv4 address, or an IPv6
// network of 64 bits.
func network(from netip.Addr) netip.Prefix {
	from = from.Unmap().WithZone("")
	bits := from.BitLen()
	if from.Is6() {
		bits = 64
	}
	// The zero Addr has no prefix; all of its kind share the zero Prefix.
	prefix, _ := from.Prefix(bits)
	return prefix
}
