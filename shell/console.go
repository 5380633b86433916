// Package shell is how people run the machine: today the console's status
// block and the dipper command; it knows the appliance only through the
// control socket.
package shell

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"dipper/appliance/api"
)

// retryInterval is how long a console waits for a control plane that is not
// there: it is being restarted.
const retryInterval = time.Second

// Console writes a status block to w whenever the machine's status changes,
// until ctx ends.
func Console(ctx context.Context, w io.Writer, c *api.Client) error {
	revision, pid := -1, 0
	for ctx.Err() == nil {
		s, err := c.NextStatus(ctx, revision)
		if err != nil {
			if err := wait(ctx, retryInterval); err != nil {
				return nil
			}
			continue
		}
		if s.Revision == revision && s.PID == pid {
			continue // nothing new within the time that the server waits
		}
		revision, pid = s.Revision, s.PID
		if s.State == api.Booting || s.State == api.Applying {
			continue // soon over, and in the log
		}
		if _, err := io.WriteString(w, block(s)); err != nil {
			return fmt.Errorf("console: %w", err)
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// block renders the status as a few lines that start with the machine's name.
func block(s api.Status) string {
	var b strings.Builder
	line := func(name string, values ...string) {
		for _, v := range values {
			fmt.Fprintf(&b, "  %-12s %s\r\n", name, v)
			name = ""
		}
	}
	fmt.Fprintf(&b, "\r\n== %s == %s\r\n", orElse(s.Hostname, "dipper"), title(s))
	if s.Source != "" {
		line("config from", s.Source)
	}
	line("addresses", s.Addresses...)
	line("VIPs", s.VIPs...)
	line("problem", s.Problems...)
	line("what to do", s.Advice...)
	b.WriteString("\r\n")
	return b.String()
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
