package session

import (
	"context"
	"slices"

	"dipper/appliance/api"
	"dipper/shell/grammar"
)

// Words that people type who live in Junos, VyOS, Cisco's shells, a Unix shell
// or ipvsadm. Where one means the same as a word of this shell, it is done; where
// it does not, the answer is what to type. None is offered: there is one way to
// say a thing, and this is how to learn it.

// instead are words that are answered with what to type.
func instead(hint string, words ...string) []*command {
	var all []*command
	for _, w := range words {
		all = append(all, &command{Name: w, Instead: hint, Hidden: true})
	}
	return all
}

// alias is another word for a command of a table.
func alias(table []*command, name, word string) *command {
	i := slices.IndexFunc(table, func(c *command) bool { return c.Name == name })
	other := *table[i]
	other.Name, other.Short, other.Hidden = word, "", true
	return &other
}

// hidden is a command of other machines' that this one knows too.
func hidden(c *command) *command {
	c.Hidden = true
	return c
}

// operationalHabits are words for what can be done outside of configuration
// mode.
func operationalHabits(table []*command) []*command {
	habits := []*command{
		alias(table, "exit", "logout"), alias(table, "reboot", "reload"),
		hidden(&command{Name: "edit", Role: api.Admin, Run: verb{do: configure}}),
		hidden(&command{Name: "write", Role: api.Admin, Bare: true, Run: verb{do: save}, Sub: append(
			instead(`"show configuration" shows what runs`, "terminal"),
			hidden(&command{Name: "memory", Run: verb{do: save}}),
		)}),
	}
	for _, words := range [][]*command{
		instead("type the rest alone", "do", "run"),
		instead(`"save" keeps the running configuration over a reboot; scp copies files`, "copy"),
		instead(`"configure" changes the configuration; there is no mode before it`, "enable"),
		instead(`"server ADDRESS disable" takes a real server out`, "disable"),
		instead(`"exit" leaves`, "end"),
		instead(`"configure", then "delete PATH" removes a setting`, "no"),
		instead(`"poweroff" turns the machine off, "reboot" starts it anew`, "shutdown", "halt", "request", "restart"),
		instead(`"capture INTERFACE [FILTER]" shows packets, "capture any" those of all interfaces`, "tcpdump", "tshark"),
		instead(`"show users" lists who is logged in`, "who", "w"),
		instead(`"show system" has time, uptime, load and memory`, "uptime", "date", "free"),
		instead(`the keys Up and Ctrl-R bring back what was typed; "show events kind command" has all of it`, "history"),
		instead(`there is no system shell; "debug PROGRAM" runs one of the image's programs`, "start", "bash", "shell", "sudo"),
		instead(`"debug PROGRAM ..." runs one of the image's programs`, "ip", "ls", "cat", "ps", "dmesg", "df", "mount", "uname"),
	} {
		habits = append(habits, words...)
	}
	for _, c := range configurationWords() {
		if !named(table, c.Name) && !named(habits, c.Name) {
			habits = append(habits, instead(`"configure" goes where it is`, c.Name)...)
		}
	}
	return habits
}

// configurationHabits are words for what can be done in configuration mode, and
// all that can be done outside of it.
func configurationHabits(table, everyday []*command) []*command {
	habits := []*command{
		alias(table, "run", "do"), alias(table, "quit", "end"), hidden(&command{Name: "abort", Run: verb{do: leaveAnyway}}),
		hidden(&command{Name: "status", Run: alias(everydayShow(everyday), "candidates", "status").Run}),
	}
	for _, c := range everyday {
		if !named(table, c.Name) {
			habits = append(habits, alias(everyday, c.Name, c.Name))
		}
	}
	for _, words := range [][]*command{
		instead(`you are there; "exit" leaves`, "configure"),
		instead(`"delete PATH" removes a setting`, "no", "unset", "remove"),
		instead(`"commit" keeps it over a reboot too; "save" is for what ipvsadm changed`, "write"),
		instead(`"commit confirmed 10m"`, "commit-confirm"),
		instead(`"quit" leaves configuration mode, then "exit"`, "logout"),
		instead(`"delete PATH" removes it, and "rollback" brings it back`, "deactivate", "activate", "protect", "wildcard"),
		instead(`"rename PATH to NAME" gives a thing another name, "set" a setting another value`, "replace"),
		instead(`settings begin with "set": set services web scheduler wlc`,
			"role", "hostname", "network", "interface", "interfaces", "services", "service", "management", "virtual-server"),
		instead(`"show" shows the candidate, "compare" what it changes`, "diff"),
	} {
		habits = append(habits, words...)
	}
	return habits
}

// everydayShow is what show can show.
func everydayShow(everyday []*command) []*command {
	i := slices.IndexFunc(everyday, func(c *command) bool { return c.Name == "show" })
	return everyday[i].Sub
}

func named(table []*command, name string) bool {
	return slices.ContainsFunc(table, func(c *command) bool { return c.Name == name })
}

// showHabits are words for what can be shown.
func showHabits(table []*command) []*command {
	var habits []*command
	for _, pair := range [][2]string{
		{"neighbours", "neighbors"}, {"log", "logging"}, {"configuration", "running-config"}, {"services", "virtual-servers"},
		{"services", "virtual-services"}, {"real-servers", "servers"}, {"revisions", "commits"}, {"system", "clock"}, {"system", "uptime"},
		{"system", "memory"}, {"system", "hardware"}, {"system", "environment"}, {"system", "date"},
	} {
		habits = append(habits, alias(table, pair[0], pair[1]))
	}
	for _, family := range []string{"ip", "ipv6"} {
		habits = append(habits, &command{Name: family, Hidden: true, Sub: []*command{
			alias(table, "routes", "route"), alias(table, "interfaces", "interfaces"), alias(table, "arp", "arp"), alias(table, "neighbours", "neighbors"),
		}})
	}
	for _, words := range [][]*command{
		instead(`"show configuration of saved" is what the machine boots with`, "startup-config"),
		instead(`the keys Up and Ctrl-R bring back what was typed; "show events kind command" has all of it`, "history"),
		instead(`"show events kind command" is the audit log`, "audit"),
		instead(`"show users" is who is logged in, "show connections" the connection table`, "sessions"),
		instead(`"show status" has the VIPs, "show services" what is behind them`, "vips"),
	} {
		habits = append(habits, words...)
	}
	return habits
}

// interfaceHabits are how much others' machines tell of interfaces.
func interfaceHabits(run verb) []*command {
	var all []*command
	for _, word := range []string{"brief", "terse", "detail", "status", "statistics"} {
		all = append(all, &command{Name: word, Hidden: true, Options: showFlags(), Run: run})
	}
	return all
}

// filterHabits are filters as others call them.
func filterHabits(table []*filter) []*filter {
	var habits []*filter
	for _, pair := range [][2]string{{"match", "include"}, {"match", "grep"}, {"except", "exclude"}, {"first", "head"}, {"last", "tail"}} {
		i := slices.IndexFunc(table, func(f *filter) bool { return f.Name == pair[0] })
		other := *table[i]
		other.Name, other.Hidden = pair[1], true
		habits = append(habits, &other)
	}
	for _, pair := range [][2]string{
		{"wc", `"count" counts lines`}, {"more", "long output comes in pages by itself"}, {"less", "long output comes in pages by itself"},
		{"begin", `"/" within the pages goes to what follows it`}, {"find", `"/" within the pages goes to what follows it`},
	} {
		habits = append(habits, &filter{Name: pair[0], Instead: pair[1], Hidden: true})
	}
	return habits
}

// leaveAnyway leaves configuration mode and forgets what was not committed, but
// for what is others' too.
func leaveAnyway(ctx context.Context, c *call) error {
	if c.candidate.Changed && !c.candidate.Shared {
		if err := c.edit(ctx, api.Edit{Kind: api.EditDiscard}); err != nil {
			return err
		}
	}
	return exitConfiguration(ctx, c)
}

// candidateHint says where to look for what somebody asks the candidate for
// that is no part of a configuration.
func candidateHint(words []grammar.Word) string {
	if len(words) == 0 {
		return ""
	}
	if _, err := grammar.Parse(showTable(), "", grammar.Stage{Words: words, End: words[len(words)-1].End}); err != nil {
		return ""
	}
	return `"run show" shows what is outside of the candidate`
}
