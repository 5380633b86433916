package session

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/shell/cells"
	"dipper/shell/grammar"
)

// defaultLines is how much of the log or the events is shown.
const defaultLines = 50

func (c *call) wantedLines() int {
	if n, err := strconv.Atoi(c.Value("lines")); err == nil {
		return n
	}
	return defaultLines
}

func logLines(ctx context.Context, c *call) ([]string, error) { return c.API.Log(ctx, c.wantedLines()) }

func drawLog(c *call, lines []string) error {
	for _, l := range lines {
		if _, err := io.WriteString(c.out, cells.Safe(l)+"\n"); err != nil {
			return err
		}
	}
	if !c.Has("follow") {
		return nil
	}
	return c.followLog(c.asking)
}

func (c *call) followLog(ctx context.Context) error {
	for l, err := range c.API.FollowLog(ctx) {
		if err != nil {
			return ended(ctx, err)
		}
		if _, err := io.WriteString(c.out, cells.Safe(l)+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// ended forgets an error that only says that the user pressed Ctrl-C.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// eventKindArg is a kind of events.
func eventKindArg() grammar.Arg {
	return grammar.Arg{Name: "kind", Help: "kind", Values: []grammar.Value{
		{Word: "all", Help: "of every kind"}, {Word: "candidate", Help: "who began to configure"}, {Word: "command", Help: "the audit log"}, {Word: "commit", Help: "what runs, or is saved, is another"},
		{Word: "drift", Help: "what others changed in the kernel"}, {Word: "server", Help: "drained, disabled, enabled, weighed"}, {Word: "session", Help: "logins"},
	}}
}

// wantsEvent reports whether an event is of the kind that was asked for.
func (c *call) wantsEvent(e api.Event) bool {
	switch kind := c.Value("kind"); kind {
	case "":
		return e.Kind != "command" && e.Kind != "session" && e.Kind != eventCandidate
	case "all":
		return true
	default:
		return e.Kind == kind
	}
}

// events answers the last ones.
func events(ctx context.Context, c *call) ([]api.Event, error) {
	all := []api.Event{}
	n := c.wantedLines()
	for e, err := range c.API.Events(ctx, 0, false) {
		if err != nil {
			return nil, err
		}
		if !c.wantsEvent(e) {
			continue
		}
		if all = append(all, e); len(all) > 2*n {
			all = slices.Clone(all[len(all)-n:])
		}
	}
	return all[max(0, len(all)-n):], nil
}

func drawEvents(c *call, events []api.Event) error {
	last := 0
	for _, e := range events {
		last = e.Number
		c.event(e)
	}
	if !c.Has("follow") {
		return nil
	}
	for e, err := range c.API.Events(c.asking, last, true) {
		if err != nil {
			return ended(c.asking, err)
		}
		if c.wantsEvent(e) {
			c.event(e)
		}
	}
	return nil
}

func (c *call) event(e api.Event) {
	by := ""
	if e.Actor != (api.Actor{}) {
		by = who(e.Actor) + ": "
	}
	head := fmt.Sprintf("%s  %-9s  ", e.Time.UTC().Format(time.DateTime), e.Kind)
	for _, part := range cells.Wrap(by+cells.Safe(e.Text), c.style.Width-len(head)) {
		c.printf("%s%s\n", head, part)
		head = strings.Repeat(" ", len(head))
	}
}
