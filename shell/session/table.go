package session

import (
	"context"

	"dipper/appliance/api"
	"dipper/shell/grammar"
)

// Arguments that several commands take.
var (
	serviceArg   = grammar.Arg{Name: "service", Help: "name of a virtual service", Kind: "service"}
	serverArg    = grammar.Arg{Name: "server", Help: "real server: address, with or without port", Kind: "server"}
	interfaceArg = grammar.Arg{Name: "interface", Help: "network interface", Kind: "interface"}
	spanArg      = grammar.Arg{Name: "time", Help: "time span: 30s, 10m, 2h, 1d", Check: isSpan}
)

// table is what this session may type at present.
func (c *conversation) table() []*command {
	if c.candidate != nil {
		return configurationTable()
	}
	return operationalTable()
}

// operationalTable is the table of the commands outside of configuration mode.
func operationalTable() []*command {
	table := append(everydayTable(), []*command{
		{Name: "configure", Short: "conf", Help: "change the configuration", Role: api.Admin, Bare: true, Run: verb{do: configure},
			Sub: append(instead(`"configure" gives you a candidate of your own, and "show candidates" says who else has one`, "exclusive"),
				&command{Name: "shared", Help: "together with others, in one candidate", Run: verb{do: configure}},
				hidden(&command{Name: "terminal", Run: verb{do: configure}}), hidden(&command{Name: "private", Run: verb{do: configure}}))},
		loadAndCommit(),
		{Name: "exit", Help: "leave", Run: verb{do: exit}},
		{Name: "quit", Help: "leave", Run: verb{do: exit}},
	}...)
	return append(table, operationalHabits(table)...)
}

// everydayTable is what is the same in both modes, in configuration mode after
// "run".
func everydayTable() []*command {
	return []*command{
		{Name: "show", Help: "show what there is and how it is", Sub: showTable()},
		{Name: "monitor", Help: "show what happens, live", Sub: append(monitorTable(), instead(`"capture INTERFACE [FILTER]" shows packets`, "traffic")...)},
		serverCommand(),
		clearCommand(),
		{Name: "confirm", Help: "keep a commit that waits to be confirmed", Role: api.Admin, Run: verb{do: confirm}},
		{Name: "revert", Help: "undo a commit that waits to be confirmed", Role: api.Admin, Run: verb{do: revert}},
		{Name: "save", Help: "keep the running configuration over a reboot", Role: api.Admin, Run: verb{do: save},
			Options: []grammar.Option{{Name: "comment", Help: "why", Arg: &grammar.Arg{Name: "text", Help: "comment"}}}},
		{Name: "ipvsadm", Help: "ipvsadm's own language", Args: []grammar.Arg{{
			Name: "arguments", Help: "as for ipvsadm: -Ln, -a -t 192.168.4.15:80 -r 192.168.4.100", Kind: kindIPVSAdm, Optional: true, Verbatim: true,
		}}, Run: verb{do: ipvsadm}},
		pingCommand(), tracerouteCommand(), captureCommand(),
		{Name: "debug", Help: "run one of the image's programs", Role: api.Admin, Args: []grammar.Arg{
			{Name: "program", Help: "program", Kind: "program"},
			{Name: "arguments", Help: "its arguments", Optional: true, Verbatim: true},
		}, Run: verb{do: debug, live: true}},
		powerCommand(api.Reboot, "start the machine anew"),
		powerCommand(api.PowerOff, "turn the machine off"),
		{Name: "format", Help: "make a state volume", Role: api.Admin, Sub: []*command{{
			Name: "state-volume", Help: "make the volume on which revisions are kept",
			Args:    []grammar.Arg{{Name: "device", Help: "disk or partition: /dev/vda"}},
			Options: []grammar.Option{{Name: "overwrite", Help: "although it holds something"}, {Name: "--yes", Help: "without asking"}},
			Run:     verb{do: formatState},
		}}},
		hostKeyCommand(),
		{Name: "terminal", Help: "how this terminal is used", Sub: []*command{{
			Name: "length", Help: "lines of a page", Args: []grammar.Arg{{Name: "lines", Help: "0: no pages", Check: isNumber(0, 1000)}},
			Run: verb{do: terminalLength},
		}, {
			Name: "monitor", Instead: `"show log follow" shows what is to come`, Hidden: true,
		}, {
			Name: "width", Help: "accepted for other programs' sake", Args: []grammar.Arg{{Name: "columns", Help: "columns", Check: isNumber(0, 1000)}},
			Run: verb{do: func(context.Context, *call) error { return nil }},
		}}},
		{Name: "help", Help: "how to use this shell", Run: verb{do: help}},
	}
}

// showFlags are what every show understands.
func showFlags() []grammar.Option {
	return []grammar.Option{
		{Name: "--json", Help: "the answer as JSON"},
		{Name: "--exact", Help: "numbers in full"},
	}
}

// show makes a command that fetches something and draws it, or writes it as
// JSON.
func show[T any](name, help string, fetch func(context.Context, *call) (T, error), draw func(*call, T) error) *command {
	return &command{Name: name, Help: help, Options: showFlags(), Run: verb{json: true, do: func(ctx context.Context, c *call) error {
		if c.json && c.Has("follow") {
			return mistakeAt(c.Option("follow"), "what is to come is shown as text: there is no JSON of it", "")
		}
		answer, err := fetch(ctx, c)
		if err != nil {
			return err
		}
		if c.json {
			return c.writeJSON(answer)
		}
		return draw(c, answer)
	}}}
}

// with adds options to a command.
func with(c *command, options ...grammar.Option) *command {
	c.Options = append(options, c.Options...)
	return c
}

// taking adds an argument to a command.
func taking(c *command, args ...grammar.Arg) *command {
	c.Args = append(c.Args, args...)
	return c
}

// abbreviated gives a command an abbreviation that others begin with too.
func abbreviated(short string, c *command) *command {
	c.Short = short
	return c
}

// option is one with a value.
func option(name, help string, arg grammar.Arg) grammar.Option {
	return grammar.Option{Name: name, Help: help, Arg: &arg}
}

func terminalLength(_ context.Context, c *call) error {
	c.conversation.noMore = c.Value("lines") == "0"
	return nil
}
