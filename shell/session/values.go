package session

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// isNumber checks for a number within bounds.
func isNumber(least, most int) func(string) error {
	return func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%q: expected a number from %d to %d", text, least, most)
		}
		return nil
	}
}

// isRevision checks for the number of a revision, 0 being what runs.
func isRevision(text string) error {
	if isNumber(0, 1<<30)(text) != nil {
		return fmt.Errorf("%q: expected the number of a revision, which show revisions lists, or boot", text)
	}
	return nil
}

func isExpression(text string) error {
	if _, err := regexp.Compile(text); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	return nil
}

// isAddress checks for an address or a prefix.
func isAddress(text string) error {
	if _, err := netip.ParseAddr(text); err == nil {
		return nil
	}
	if _, err := netip.ParsePrefix(text); err != nil {
		return fmt.Errorf("%q: expected an address or a network, such as 192.168.4.0/24", text)
	}
	return nil
}

// isHost checks for what may be a host and is no option of a program.
func isHost(text string) error {
	if text == "" || strings.HasPrefix(text, "-") {
		return fmt.Errorf("%q: expected an address or a name", text)
	}
	return nil
}

// parseSpan reads a time span: "90s", "10m", "1h30m", and as Junos has it a
// bare number of minutes.
func parseSpan(text string) (time.Duration, error) {
	if n, err := strconv.Atoi(text); err == nil {
		text = strconv.Itoa(n) + "m"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > 366*24*time.Hour {
		return 0, fmt.Errorf("%q: expected a time span such as 30s, 10m or 2h", text)
	}
	return d, nil
}

func isSpan(text string) error {
	_, err := parseSpan(text)
	return err
}

// parseMoment reads a time to come: "15:04" of today or tomorrow, or a date
// with a time. All are UTC.
func parseMoment(text string, now time.Time) (time.Time, error) {
	now = now.UTC()
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			t = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
			if !t.After(now) {
				t = t.AddDate(0, 0, 1)
			}
			return t, nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.DateTime, "2006-01-02 15:04", time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			if !t.After(now) {
				return t, fmt.Errorf("%q is over: it is %s UTC", text, now.Format(time.DateTime))
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: expected a time (UTC) such as 15:04 or 2026-11-21T15:04", text)
}
