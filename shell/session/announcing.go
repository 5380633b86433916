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
			if c.concerns(e) && e.Actor.Session != c.Actor.Session {
				c.screen.Announce(announcement(e))
				c.announceOutdated(ctx, e)
			}
		}
		pause(ctx, retryInterval)
	}
}

// concerns tells whether an event is announced: commits and the machine's end
// are to everybody who is logged in, and that somebody else begins to edit to
// those who do so themselves.
func (c *conversation) concerns(e api.Event) bool {
	switch e.Kind {
	case eventCommit, eventPower:
		return true
	case eventCandidate:
		return c.edits() != ""
	}
	return false
}

// edits is the candidate of configuration mode, "" outside of it.
func (c *conversation) edits() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.editing
}

// announceOutdated says once that a commit went past the user's candidate, which
// can then not be committed as it is.
func (c *conversation) announceOutdated(ctx context.Context, e api.Event) {
	id := c.edits()
	if e.Kind != eventCommit || id == "" {
		return
	}
	all, err := c.API.Candidates(ctx)
	if err != nil {
		return // the commit will say so
	}
	for _, k := range all {
		copied := fmt.Sprintf("%s of %d", k.ID, k.Base)
		if k.ID != id || !k.Stale || copied == c.outdated {
			continue
		}
		c.outdated = copied
		c.screen.Announce("*** your candidate is a copy of what ran before" + whatNow(k))
	}
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
