// Package events remembers what happened to the machine and on whose behalf, for
// those who ask later, and wakes those who wait for news. It owns the events'
// numbers, how many are remembered, and the files that keep them for the next
// control plane; it must not know what follows from an event.
package events

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"dipper/appliance/api"
)

// maxKept is how many events are remembered; older ones are forgotten.
const maxKept = 4096

// The kinds of events.
const (
	Commit  = "commit"    // what runs, or is saved, is another
	Edit    = "candidate" // somebody begins to edit, or edits what others edit too
	Server  = "server"    // an operator said something of real servers
	Drift   = "drift"     // the table was edited by somebody else
	Session = "session"   // a login, its end, or one that was refused
	Command = "command"   // what somebody typed
)

// Record is what happened. Everything in it is in the log too. What a file keeps
// of it outlives the control plane, and not the machine.
type Record struct {
	clock func() time.Time
	log   *slog.Logger

	mu      sync.Mutex
	kept    []api.Event   // oldest first, numbered without a gap
	last    int           // number of the youngest; 0: none yet
	changed chan struct{} // closed and replaced with every event
	file    *file         // nil: nothing is kept
}

// New makes a Record without events, which ends with the process.
func New(now func() time.Time, log *slog.Logger) *Record {
	return &Record{clock: now, log: log, changed: make(chan struct{})}
}

// KeepIn goes on with the events that a file keeps, and keeps those to come.
func (e *Record) KeepIn(path string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	file, kept, err := openFile(path)
	if err != nil {
		e.log.Error("events will not outlive the control plane", "error", err)
		return
	}
	e.file, e.kept = file, kept
	if len(kept) > 0 {
		e.last = kept[len(kept)-1].Number
	}
}

// severity is an event's in the log. Whatever somebody says over SSH is kept off
// the consoles, where it would push the status away: they show what is worse
// than Debug.
func severity(kind string) slog.Level {
	if kind == Session || kind == Command {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// Now is the time of an event that happens now.
func (e *Record) Now() time.Time { return e.clock() }

// Add remembers that something happened on somebody's behalf.
func (e *Record) Add(ctx context.Context, kind, format string, values ...any) {
	event := api.Event{Time: e.Now(), Kind: kind, Actor: api.ActorOf(ctx), Text: oneLine(fmt.Sprintf(format, values...))}
	e.log.Log(ctx, severity(kind), kind+": "+event.Text, actorFields(event.Actor)...)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	event.Number = e.last
	if len(e.kept) == 2*maxKept {
		e.kept = append(e.kept[:0:0], e.kept[maxKept:]...)
	}
	e.kept = append(e.kept, event)
	if err := e.file.add(event); err != nil {
		e.log.Error("events from now on will not outlive the control plane", "error", err)
		e.file = nil
	}
	close(e.changed)
	e.changed = make(chan struct{})
}

// maxText bounds what one event says, in bytes: a stranger who tries to
// log in chooses his name.
const maxText = 4 << 10

// oneLine writes text so that it is one event wherever it is shown: what would
// begin another line, or steer a terminal, is escaped as Go has it.
func oneLine(text string) string {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "..."
	}
	if !strings.ContainsFunc(text, unprintable) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unprintable(r):
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// actorFields says in the log on whose behalf something happened.
func actorFields(a api.Actor) []any {
	var fields []any
	for _, f := range [][2]string{{"user", a.User}, {"key", a.Fingerprint}, {"from", a.From}} {
		if f[1] != "" {
			fields = append(fields, f[0], f[1])
		}
	}
	return fields
}

// since answers the events after a number, and a channel that is closed when
// there are more.
func (e *Record) since(number int) ([]api.Event, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	kept := e.kept[max(0, len(e.kept)-maxKept):]
	if known := number - (e.last - len(kept)); known > 0 {
		kept = kept[min(known, len(kept)):]
	}
	return kept[:len(kept):len(kept)], e.changed
}

// After gives the events after a number and, with follow, those to come.
func (e *Record) After(ctx context.Context, number int, follow bool) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		for {
			news, changed := e.since(number)
			for _, event := range news {
				if !yield(event, nil) {
					return
				}
				number = event.Number
			}
			if !follow {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}
