package shell

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"dipper/appliance/api"
	"dipper/shell/cells"
)

// statusBoard hands the machine's status to the consoles. They show it when
// they come to it: one that stalls holds nobody up.
type statusBoard struct {
	mu      sync.Mutex
	status  api.Status
	known   bool
	changed chan struct{}
}

// statusSource tells the status when it changes.
type statusSource interface {
	NextStatus(ctx context.Context, revision int) (api.Status, error)
}

// follow keeps the board up to date until ctx ends.
func (b *statusBoard) follow(ctx context.Context, c statusSource) {
	revision, pid := -1, 0
	for ctx.Err() == nil {
		s, err := c.NextStatus(ctx, revision)
		if err != nil {
			pause(ctx, retryInterval)
			continue
		}
		if s.Revision == revision && s.PID == pid {
			continue // nothing new within the time that the server waits
		}
		revision, pid = s.Revision, s.PID
		if s.State == api.Booting || s.State == api.Applying {
			continue // soon over, and in the log
		}
		b.set(s)
	}
}

func (b *statusBoard) set(s api.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status, b.known = s, true
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// get answers the status, whether there is one yet, and what is closed when
// there is another.
func (b *statusBoard) get() (s api.Status, known bool, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.status, b.known, b.changed
}

// block renders the status as a few lines that start with the machine's name.
// oneTime is the password of a machine in maintenance.
func block(s api.Status, oneTime string) string {
	var b strings.Builder
	line := func(name string, values ...string) {
		for _, v := range values {
			if excerpt(v) {
				b.WriteString(printable(v) + "\n") // has its own columns
				continue
			}
			for _, part := range cells.Wrap(printable(v), screenWidth-16) {
				fmt.Fprintf(&b, "  %-12s %s\n", name, part)
				name = ""
			}
		}
	}
	fmt.Fprintf(&b, "\n== %s == %s\n", printable(orElse(s.Hostname, "dipper")), title(s))
	if s.Source != "" {
		line("config from", s.Source)
	}
	line("addresses", s.Addresses...)
	line("VIPs", held(s)...)
	if s.HostKey != "" {
		line("SSH key", s.HostKey)
	}
	if s.NextHostKey != "" {
		line("next SSH key", s.NextHostKey)
	}
	if oneTime != "" {
		line("SSH login", "admin, password "+oneTime)
	}
	line("problem", s.Problems...)
	line("warning", warnings(s)...)
	line("what to do", s.Advice...)
	b.WriteString("\n")
	return b.String()
}

// screenWidth is the narrowest that consoles have: a PC's in text mode.
const screenWidth = 80

// excerpt tells whether a line shows a line of the configuration, or points into
// one with a caret: "  12 |     scheduler: lcss".
func excerpt(line string) bool {
	number, _, found := strings.Cut(line, "| ")
	return found && strings.Trim(number, " 0123456789") == ""
}

// held are the VIPs with who answers for them on the network: a real server
// that has one too is silent about it.
func held(s api.Status) []string {
	who := "held by this machine"
	switch {
	case s.State == api.Stopping:
		who = "given up"
	case s.Role != "director":
		who = "held by the director; only what it sends here is taken"
	}
	var all []string
	for _, vip := range s.VIPs {
		all = append(all, vip+" "+who)
	}
	return all
}

// warnings are what an administrator should know who happens to pass by.
func warnings(s api.Status) []string {
	var w []string
	if !s.ConfirmBy.IsZero() {
		w = append(w, "the configuration returns to the one before at "+s.ConfirmBy.UTC().Format(time.TimeOnly)+" UTC, unless confirmed")
	}
	if s.Unsaved {
		w = append(w, "the running configuration is not saved")
	}
	if s.Volatile && s.Role != "" {
		w = append(w, "no state volume: nothing is kept over a reboot")
	}
	return w
}

// printable keeps what a config or a server says from moving the cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '.'
		}
		return r
	}, s)
}

func title(s api.Status) string {
	if s.Role == "" {
		return string(s.State)
	}
	return fmt.Sprintf("%s, %s", s.Role, s.State)
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
