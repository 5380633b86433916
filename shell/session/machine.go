package session

import (
	"context"
	"errors"
	"fmt"

	"dipper/appliance/api"
	"dipper/shell/grammar"
	"dipper/shell/output"
)

// powerCommand is reboot or poweroff.
func powerCommand(how api.Power, text string) *command {
	return &command{
		Name: string(how), Help: text, Role: api.Admin,
		Options: []grammar.Option{{Name: "--yes", Help: "without asking"}, {Name: "force", Help: "without asking"}},
		Run:     verb{do: func(ctx context.Context, c *call) error { return end(ctx, c, how) }},
	}
}

// end ends the machine. It says what that interrupts, and asks.
func end(ctx context.Context, c *call, how api.Power) error {
	interrupted := c.interrupted(ctx)
	for _, l := range interrupted {
		c.say(output.Warning, "%s", l)
	}
	if !c.Has("--yes") && !c.Has("force") {
		if c.screen == nil {
			return fmt.Errorf("%s: there is nobody to ask: say \"%s --yes\"", how, how)
		}
		if err := c.confirmed(ctx, fmt.Sprintf("%s this machine now?", map[api.Power]string{api.Reboot: "Reboot", api.PowerOff: "Power off"}[how])); err != nil {
			return err
		}
	}
	if c.Registry != nil {
		c.Registry.Announce(fmt.Sprintf("*** %s: %s now", who(c.Actor), how), c.Actor.Session)
	}
	if err := c.API.End(ctx, how); err != nil {
		return err
	}
	c.printf("%s is under way\n", how)
	return nil
}

// interrupted says what the end of the machine would interrupt. What cannot be
// found out is left out: somebody may want to reboot for that very reason.
func (c *call) interrupted(ctx context.Context) []string {
	var lines []string
	if services, err := c.API.Services(ctx); err == nil {
		active := uint64(0)
		for _, s := range services {
			ofService, _ := connectionsOf(s)
			active += ofService
		}
		lines = append(lines, fmt.Sprintf("%d virtual services with %s active connections", len(services), c.style.Count(active)))
	}
	if c.Registry != nil {
		others := len(c.Registry.Sessions()) - 1
		if others > 0 {
			lines = append(lines, fmt.Sprintf("%d other sessions", others))
		}
	}
	if s, err := c.API.Status(ctx); err == nil && s.Unsaved {
		lines = append(lines, "the running configuration is not saved and would be lost")
	}
	if candidates, err := c.API.Candidates(ctx); err == nil {
		for _, k := range candidates {
			if k.Changed {
				lines = append(lines, "uncommitted changes of "+who(k.Owner))
			}
		}
	}
	return lines
}

func formatState(ctx context.Context, c *call) error {
	device := c.Value("device")
	if !c.Has("--yes") {
		if c.screen == nil {
			return errors.New(`format: there is nobody to ask: add "--yes"`)
		}
		if err := c.confirmed(ctx, fmt.Sprintf("Make %s the state volume?", device)); err != nil {
			return err
		}
	}
	if err := c.API.FormatState(ctx, device, c.Has("overwrite")); err != nil {
		return err
	}
	c.printf("%s is the state volume now\n", device)
	return nil
}
