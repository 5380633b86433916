package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"dipper/appliance/api"
)

// auditPatience bounds how long the control plane may take to note something.
const auditPatience = 5 * time.Second

// audit is something to be noted, and of whom.
type audit struct {
	actor api.Actor
	entry api.AuditEntry
}

// note has something noted. Nobody waits for it: a control plane that is away
// must not keep people out. What cannot be noted goes to the log.
func (s *SSH) note(actor api.Actor, text, result string) {
	a := audit{actor, api.AuditEntry{Kind: "session", Text: text, Result: result}}
	select {
	case s.audits <- a:
	default:
		s.logInstead(a, fmt.Errorf("%d others are waiting", cap(s.audits)))
	}
}

func (s *SSH) logInstead(a audit, err error) {
	s.Log.Warn("ssh: not among the events", "text", a.entry.Text, "result", a.entry.Result, "error", err)
}

// runAudits notes one thing after the other until ctx ends, and what is left
// then.
func (s *SSH) runAudits(ctx context.Context) {
	for {
		select {
		case a := <-s.audits:
			s.send(a)
		case <-ctx.Done():
			return
		}
	}
}

func (s *SSH) send(a audit) {
	ctx, cancel := context.WithTimeout(api.WithActor(context.Background(), a.actor), auditPatience)
	defer cancel()
	if err := s.Gate.Audit(ctx, a.entry); err != nil {
		s.logInstead(a, err)
	}
}

// refusals counts connections that were not let in, so that an attack is a few
// lines of the log and not all of it.
type refusals struct {
	mu       sync.Mutex
	paid     time.Time // when every one that was told has had its refusalPause
	silenced silence
}

// silence is what was not told one by one.
type silence struct {
	refused int // connections that were not let in
	looked  int // wrong passwords that were looked at: each cost a hash
}

// How many are told one by one: so many at once, and one more for every pause.
// An attack that lasts for days must not push what people did out of the events.
const (
	refusalsAtOnce = 10
	refusalPause   = time.Minute
)

// looked counts a wrong password that was looked at.
func (r *refusals) looked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silenced.looked++
}

// next reports whether one more is told, and what was not since the last.
func (r *refusals) next(now time.Time) (tell bool, silenced silence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.paid.Before(now) {
		r.paid = now
	}
	if r.paid.Add(refusalPause).Sub(now) > refusalsAtOnce*refusalPause {
		r.silenced.refused++
		return false, silence{}
	}
	r.paid = r.paid.Add(refusalPause)
	if r.silenced.refused > 0 {
		silenced, r.silenced = r.silenced, silence{}
	}
	return true, silenced
}

// refused notes a connection that was not let in. One that came and went
// without a word is a monitor's look at the port.
func (s *SSH) refused(from netip.Addr, user string, err error) {
	if user == "" && errors.Is(err, io.EOF) {
		return
	}
	tell, silenced := s.refusals.next(time.Now())
	if !tell {
		return
	}
	text := "login refused"
	if user != "" {
		text += fmt.Sprintf(" to user %q", user)
	}
	text += fmt.Sprintf(" from %v: %v", from, err)
	if silenced.refused > 0 {
		text += fmt.Sprintf(" (and %d more that were not told; %d wrong passwords were looked at)", silenced.refused, silenced.looked)
	}
	s.note(api.Actor{From: from.String()}, text, "denied")
}
