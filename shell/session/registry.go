package session

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"dipper/appliance/api"
	"dipper/shell/terminal"
)

// Registry knows the sessions of this shell process and what its users typed.
// The zero Registry is empty.
type Registry struct {
	tables    turns
	mu        sync.Mutex
	next      int
	present   map[int]*Presence
	histories map[string]*terminal.History
}

// Presence is a session that is there.
type Presence struct {
	Actor    api.Actor `json:"actor"`
	Since    time.Time `json:"since"`
	Active   time.Time `json:"active"`          // when its last command began
	Doing    string    `json:"doing,omitempty"` // the command that runs
	Terminal bool      `json:"terminal"`        // somebody sits there
	announce func(string)
	end      context.CancelFunc
}

// enter adds a session and answers how to change it.
func (r *Registry) enter(p Presence) (change func(func(*Presence)), leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.present == nil {
		r.present = map[int]*Presence{}
	}
	r.next++
	number := r.next
	r.present[number] = &p
	change = func(f func(*Presence)) {
		r.mu.Lock()
		defer r.mu.Unlock()
		f(&p)
	}
	leave = func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.present, number)
	}
	return change, leave
}

// Sessions lists who is there, longest first.
func (r *Registry) Sessions() []Presence {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Presence
	for _, p := range r.present {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b Presence) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Actor.Session, b.Actor.Session))
	})
	return all
}

// Announce shows a message to every session with a terminal but one.
func (r *Registry) Announce(message, except string) {
	for _, p := range r.Sessions() {
		if p.announce != nil && p.Actor.Session != except {
			p.announce(message)
		}
	}
}

// maxHistories bounds how many users' histories are kept.
const maxHistories = 100

// history is what a user typed, in any session.
func (r *Registry) history(user string) *terminal.History {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.histories[user]; h != nil {
		return h
	}
	if r.histories == nil || len(r.histories) >= maxHistories {
		r.histories = map[string]*terminal.History{}
	}
	r.histories[user] = &terminal.History{}
	return r.histories[user]
}
