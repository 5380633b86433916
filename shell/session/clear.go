package session

import (
	"context"
	"errors"

	"dipper/appliance/api"
	"dipper/shell/grammar"
)

// clearCommand alone clears the screen, as people type it everywhere.
func clearCommand() *command {
	return &command{
		Name: "clear", Help: "clear the screen, reset counters, end connections",
		Bare: true, Run: verb{do: clearScreen, live: true}, Sub: clearTable(),
	}
}

// clearTable is what may be cleared.
func clearTable() []*command {
	options := []grammar.Option{option("service", "of one virtual service", serviceArg)}
	servers := append(options[:1:1], option("server", "of one real server", serverArg), grammar.Option{Name: "--yes", Help: "without asking"})
	return []*command{
		{Name: "counters", Help: "set counters back to 0", Role: api.Operate, Options: options, Run: verb{do: clearCounters}},
		{Name: "connections", Help: "end connections of a real server", Role: api.Operate, Options: servers, Run: verb{do: clearConnections}},
		{Name: "screen", Help: "this terminal's, as clear alone and Ctrl-L", Run: verb{do: clearScreen, live: true}},
	}
}

func clearCounters(ctx context.Context, c *call) error {
	return c.cleared(ctx, api.ClearQuery{What: "counters", Service: c.Value("service")})
}

func clearConnections(ctx context.Context, c *call) error {
	if !c.Has("service") && !c.Has("server") {
		return &grammar.Mistake{Start: c.End(), End: c.End(), Problem: "whose connections?", Hint: `"server ADDRESS", "service NAME", or both`}
	}
	if c.screen != nil && !c.Has("--yes") {
		if err := c.confirmed(ctx, "This ends connections. Go on?"); err != nil {
			return err
		}
	}
	return c.cleared(ctx, api.ClearQuery{What: "connections", Service: c.Value("service"), Server: c.Value("server")})
}

// cleared has the appliance clear something, and says how much that was.
func (c *call) cleared(ctx context.Context, q api.ClearQuery) error {
	n, err := c.API.Clear(ctx, q)
	if err != nil {
		return err
	}
	c.printf("%d cleared\n", n)
	return nil
}

func clearScreen(_ context.Context, c *call) error {
	if c.screen == nil || !c.screen.Clear() {
		return errors.New(`there is no screen to clear here; "clear counters" and "clear connections" clear what they say`)
	}
	return nil
}
