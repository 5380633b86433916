package session

import (
	"context"
	"strconv"
	"time"

	"dipper/appliance/api"
	"dipper/shell/grammar"
)

// serverCommand is server NAME drain|disable|down|enable|weight.
func serverCommand() *command {
	options := []grammar.Option{
		option("service", "only in this virtual service", serviceArg),
		option("for", "back after a time", spanArg),
		option("until", "back at a time (UTC): 15:04 or 2026-11-21T15:04", grammar.Arg{Name: "moment", Help: "15:04 or 2026-11-21T15:04, UTC"}),
		showFlags()[0],
	}
	sub := func(verbName api.Verb, help string, args ...grammar.Arg) *command {
		return &command{Name: string(verbName), Help: help, Args: args, Options: options, Run: verb{do: setServer, json: true}}
	}
	enable := sub(api.Enable, "as configured")
	enable.Options = []grammar.Option{options[0], options[3]}
	return &command{
		Name: "server", Help: "drain, disable, enable or weigh a real server", Role: api.Operate, Args: []grammar.Arg{serverArg},
		Sub: []*command{
			sub(api.Drain, "no new connections; present ones go on"),
			sub(api.Disable, "take it out; its connections end"),
			sub(api.Down, "it has failed: what on-down of each service says"),
			enable,
			sub(api.Weigh, "give it another weight", grammar.Arg{Name: "weight", Help: "0 to 2147483647", Check: isNumber(0, 1<<31-1)}),
		},
	}
}

func setServer(ctx context.Context, c *call) error {
	v := api.ServerVerb{Server: c.Value("server"), Service: c.Value("service"), Verb: api.Verb(c.Command().Name)}
	v.Weight, _ = strconv.Atoi(c.Value("weight")) // checked when it was read
	span, err := c.howLong()
	if err != nil {
		return err
	}
	v.For = api.Duration(span)
	results, err := c.API.SetServer(ctx, v)
	if err != nil {
		return err
	}
	if c.json {
		return c.writeJSON(results)
	}
	t := c.style.Table("Service", "Real server", ">Weight", ">Was", ">Connections left", "Until")
	for _, r := range results {
		until := ""
		if !r.Until.IsZero() {
			until = c.style.Time(r.Until)
		}
		t.Row(orDash(r.Service), r.Server, strconv.Itoa(r.Weight), strconv.Itoa(r.Was), c.style.Count(uint64(r.Connections)), until)
	}
	return c.table(t, "nothing changed")
}

// howLong reads for and until.
func (c *call) howLong() (time.Duration, error) {
	switch {
	case c.Has("for") && c.Has("until"):
		return 0, mistakeAt(c.Option("until"), `give either "for" or "until"`, "")
	case c.Has("for"):
		return parseSpan(c.Value("for"))
	case c.Has("until"):
		word := c.Words("until")[0]
		moment, err := parseMoment(word.Text, c.Now())
		if err != nil {
			return 0, mistakeAt(word, "until: "+err.Error(), "")
		}
		return moment.Sub(c.Now()), nil
	}
	return 0, nil
}
