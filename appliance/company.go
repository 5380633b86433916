package appliance

import (
	"maps"
	"sync"
)

// company are the sessions that are in a candidate, each in its process: the one
// that opened it and, of a shared one, those that joined. Callers without a
// session count as one.
type company struct {
	mu sync.Mutex
	of map[string]process
}

func (c *company) join(session string, shell process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[string]process)
	}
	c.of[session] = shell
}

// leave tells how many are left.
func (c *company) leave(session string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, session)
	return len(c.of)
}

func (c *company) has(session string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, in := c.of[session]
	return in
}

func (c *company) list() map[string]process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.of)
}
