package session

import (
	"context"
	"fmt"

	"dipper/appliance/api"
	"dipper/shell/cells"
)

// The kinds of events that are announced.
const (
	eventCommit    = "commit"
	eventPower     = "power"
	eventCandidate = "candidate"
)

// watchEvents announces what others do to the configuration and the machine.
func (c *conversation) watchEvents(ctx context.Context) {
	last := 0
	for e, err := range c.API.Events(ctx, 0, false) {
		if err != nil {
			break
		}
		last = e.Number
	}
	for ctx.Err() == nil {
		for e, err := range c.API.Events(ctx, last, true) {
			if err != nil {
				break
			}
			last = e.Number
			if !c.concerns(e) {
				continue
			}
			others := e.Actor.Session != c.Actor.Session
			if others {
				c.screen.Announce(announcement(e))
			}
			c.followCandidate(ctx, others && e.Kind == eventCommit)
		}
		pause(ctx, retryInterval)
	}
}

// concerns tells whether an event is announced: commits and the machine's end
// are to everybody who is logged in, and that somebody else begins to edit, or
// edits the shared candidate, to those who edit themselves.
func (c *conversation) concerns(e api.Event) bool {
	switch e.Kind {
	case eventCommit, eventPower:
		return true
	case eventCandidate:
		return c.edits().ID != ""
	}
	return false
}

// edits is the candidate of configuration mode as it was last seen, without an
// ID outside of it.
func (c *conversation) edits() api.Candidate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.editing
}

// sees notes how the candidate stands, unless something later is known: answers
// overtake each other. It reports whether the prompt is another one.
func (c *conversation) sees(k api.Candidate) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.editing
	if k.ID != before.ID || k.Edits < before.Edits {
		return false
	}
	c.editing = k
	return k.Changed != before.Changed
}

// followCandidate looks at the candidate after an event: a shared one is edited
// by others too.
func (c *conversation) followCandidate(ctx context.Context, committed bool) {
	id := c.edits().ID
	if id == "" {
		return
	}
	all, err := c.API.Candidates(ctx)
	if err != nil {
		return // the next edit tells, and the commit
	}
	for _, k := range all {
		if k.ID != id {
			continue
		}
		if c.sees(k) {
			c.screen.Refresh()
		}
		if committed {
			c.announceOutdated(k)
		}
	}
}

// announceOutdated says once that a commit went past the user's candidate, which
// can then not be committed as it is.
func (c *conversation) announceOutdated(k api.Candidate) {
	copied := fmt.Sprintf("%s of %d", k.ID, k.Base)
	if !k.Stale || copied == c.outdated {
		return
	}
	c.outdated = copied
	c.screen.Announce("*** your candidate is a copy of what ran before" + whatNow(k))
}

// whatNow says how to go on with a candidate that somebody was faster than.
func whatNow(k api.Candidate) string {
	if k.Changed {
		return `: "update" puts your changes on top of what runs now`
	}
	return `: "update" makes it one of what runs now`
}

// announcement is what others are told of an event.
func announcement(e api.Event) string {
	by := ""
	if e.Actor != (api.Actor{}) {
		by = who(e.Actor) + ": "
	}
	return "*** " + by + cells.Safe(e.Text)
}
