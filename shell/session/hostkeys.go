package session

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"dipper/appliance/api"
	"dipper/shell/cells"
	"dipper/shell/grammar"
	"dipper/shell/output"
)

// hostKeyCommand is host-key announce|replace|withdraw.
func hostKeyCommand() *command {
	sub := func(step api.HostKeyStep, help string, options ...grammar.Option) *command {
		return &command{Name: string(step), Help: help, Options: options, Run: verb{do: rotateHostKey}}
	}
	return &command{Name: "host-key", Help: "change the machine's SSH host key", Role: api.Admin, Sub: []*command{
		sub(api.HostKeyAnnounce, "make the next key and tell clients of it"),
		sub(api.HostKeyReplace, "put the announced key into use; the present one is gone", grammar.Option{Name: "--yes", Help: "without asking"}),
		sub(api.HostKeyWithdraw, "forget the announced key"),
	}}
}

func rotateHostKey(ctx context.Context, c *call) error {
	step := api.HostKeyStep(c.Command().Name)
	if step == api.HostKeyReplace {
		if err := c.mayReplace(ctx); err != nil {
			return err
		}
	}
	keys, err := c.API.RotateHostKey(ctx, step)
	if err != nil {
		return err
	}
	return drawHostKeys(c, keys)
}

// mayReplace says whom another host key would surprise, and asks.
func (c *call) mayReplace(ctx context.Context) error {
	keys, err := c.API.HostKeys(ctx)
	if err != nil {
		return err
	}
	if len(keys.Keys) < 2 || keys.Configured || c.Has("--yes") {
		return nil // the appliance says what is wrong
	}
	unaware := unaware(keys.Clients)
	switch {
	case len(keys.Clients) == 0:
		c.say(output.Warning, "nobody has logged in since %s was announced: nobody knows it yet", keys.Keys[1].Fingerprint)
	case len(unaware) > 0:
		c.say(output.Warning, "%d of %d clients have not learned the announced key, and will be warned of another one: %s",
			len(unaware), len(keys.Clients), strings.Join(unaware, ", "))
	}
	if c.screen == nil {
		return errors.New(`host-key replace: there is nobody to ask: add "--yes"`)
	}
	return c.confirmed(ctx, fmt.Sprintf("Put %s in the place of %s?", keys.Keys[1].Fingerprint, keys.Keys[0].Fingerprint))
}

// unaware names the clients that did not learn the next key.
func unaware(clients []api.HostKeyClient) []string {
	var names []string
	for _, k := range clients {
		if !k.Learned {
			names = append(names, cells.Safe(k.User+" from "+k.From))
		}
	}
	return names
}

func drawHostKeys(c *call, keys api.HostKeys) error {
	t := c.style.Table("Key", "Type", "Fingerprint", "Since")
	for _, k := range keys.Keys {
		use, since := "in use", "-"
		if k.Announced {
			use = "announced"
		}
		if !k.Since.IsZero() {
			since = c.style.Time(k.Since)
		}
		t.Row(use, k.Type, k.Fingerprint, since)
	}
	if err := t.Write(c.out); err != nil {
		return err
	}
	if len(keys.Keys) < 2 {
		return nil
	}
	c.printf("\n")
	clients := c.style.Table("Client", "From", "Announced key", "Last login")
	for _, k := range keys.Clients {
		knows := c.style.Paint(output.Warning, "not learned")
		if k.Learned {
			knows = "learned"
		}
		clients.Row(cells.Safe(k.User), cells.Safe(k.From), knows, c.style.Time(k.Last))
	}
	return c.table(clients, "nobody has logged in since the key was announced")
}
