package ether

import "time"

const (
	tableSize = 4096
	tableAge  = 300 * time.Second // IEEE 802.1D, table 7-5: recommended default
)

// station is who a table entry is about. The same address may live behind
// different ports in different VLANs.
type station struct {
	vlan    uint16
	address mac
}

// table remembers behind which port a station was last heard. It holds at most
// size stations: the one not heard for longest makes room. Not safe for
// concurrent use.
type table struct {
	size    int
	age     time.Duration
	entries map[station]entry
}

type entry struct {
	port *Port
	seen time.Time
}

func newTable(size int, age time.Duration) table {
	return table{size: size, age: age, entries: make(map[station]entry)}
}

func (t *table) learn(s station, p *Port, now time.Time) {
	if _, known := t.entries[s]; !known && len(t.entries) >= t.size {
		t.evict()
	}
	t.entries[s] = entry{p, now}
}

// lookup is nil for a station unknown or not heard for too long.
func (t *table) lookup(s station, now time.Time) *Port {
	e, ok := t.entries[s]
	if !ok {
		return nil
	}
	if now.Sub(e.seen) > t.age {
		delete(t.entries, s)
		return nil
	}
	return e.port
}

func (t *table) evict() {
	var oldest station
	first := true
	for s, e := range t.entries {
		if first || e.seen.Before(t.entries[oldest].seen) {
			oldest, first = s, false
		}
	}
	delete(t.entries, oldest)
}
