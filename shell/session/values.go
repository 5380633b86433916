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

// isKeptRevision checks for the number of a revision that is kept.
func isKeptRevision(text string) error {
	if isNumber(1, 1<<30)(text) != nil {
		return fmt.Errorf("%q: expected the number of a revision, which show revisions lists", text)
	}
	return nil
}

// isConfiguration checks for the number of a configuration among those that have
// a name.
func isConfiguration(text string) error {
	if isNumber(0, 1<<30)(text) != nil {
		return fmt.Errorf("%q: expected running, saved, boot or the number of a revision, which show revisions lists", text)
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

// Bounds of a time span.
const (
	day       = 24 * time.Hour
	leastSpan = time.Second
	mostDays  = 366
)

// parseSpan reads a time span: "90s", "10m", "1h30m", "1d12h", and as Junos has
// it a bare number of minutes.
func parseSpan(text string) (time.Duration, error) {
	d, err := spanOf(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q: expected a time span such as 30s, 10m, 2h or 1d", text)
	case d < leastSpan || d > mostDays*day:
		return 0, fmt.Errorf("%q: expected a time span from %s to %dd", text, leastSpan, mostDays)
	}
	return d, nil
}

// spanOf reads a time span of any length; days, which time.ParseDuration does not
// know, stand first. As many as would be more than a Duration has are too many
// anyway.
func spanOf(text string) (time.Duration, error) {
	if n, err := strconv.Atoi(text); err == nil {
		text = strconv.Itoa(min(n, mostDays*24*60+1)) + "m"
	}
	days, rest, found := strings.Cut(text, "d")
	if !found {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || rest == "" {
		return time.Duration(min(n, mostDays+1)) * day, err
	}
	if strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
		return 0, strconv.ErrSyntax
	}
	d, err := time.ParseDuration(rest)
	return time.Duration(min(n, mostDays+1))*day + min(d, mostDays*day), err
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
