package session

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"dipper/appliance/api"
	"dipper/shell/grammar"
)

// ipvsadm runs the appliance's ipvsadm with the words as they are.
func ipvsadm(ctx context.Context, c *call) error {
	argv := append([]string{"ipvsadm"}, c.Texts("arguments")...)
	if need := ipvsadmRole(argv[1:]); !grammar.Allows(c.Actor.Role, need) {
		words := c.Words("arguments")
		return &grammar.Refused{Need: need, Mistake: grammar.Mistake{
			Start: words[0].Start, End: words[0].End,
			Problem: fmt.Sprintf("ipvsadm %s: this needs the role %s, and yours is %s", words[0].Text, need, c.Actor.Role),
			Hint:    "-L shows the table",
		}}
	}
	run := func() error { return c.program(ctx, argv, restores(argv)) }
	if ipvsadmRole(argv[1:]) == api.Viewer { // -L, -S: the table
		return c.inTurn(ctx, run)
	}
	return run()
}

// ipvsadmRole is the role that an ipvsadm command needs: everybody may look.
func ipvsadmRole(args []string) api.Role {
	if len(args) == 0 {
		return api.Viewer
	}
	first := args[0]
	switch first {
	case "--list", "--save", "--help", "--version":
		return api.Viewer
	case "--zero":
		return api.Operate
	}
	if len(first) > 1 && first[0] == '-' && first[1] != '-' {
		switch {
		case strings.ContainsAny(first[1:2], "LlSh"):
			return api.Viewer
		case first[1] == 'Z':
			return api.Operate
		}
	}
	return api.Admin
}

// restores reports whether ipvsadm reads rules from its standard input.
func restores(argv []string) bool {
	return len(argv) > 1 && (argv[1] == "-R" || argv[1] == "--restore")
}

// ipvsadmCommand is what ipvsadm does by its first word, and the options that
// completion offers after it. "ipvsadm -h" has them all.
type ipvsadmCommand struct{ word, long, help, options string }

func ipvsadmCommands() []ipvsadmCommand {
	const service = "-t -u --sctp-service -f"
	return []ipvsadmCommand{
		{"-A", "--add-service", "add a virtual service", service + " -s -p -M -o -b"},
		{"-E", "--edit-service", "give a virtual service other options", service + " -s -p -M -o -b"},
		{"-D", "--delete-service", "delete a virtual service", service},
		{"-a", "--add-server", "add a real server", service + " -r -g -i -m -w -x -y"},
		{"-e", "--edit-server", "give a real server other options", service + " -r -g -i -m -w -x -y"},
		{"-d", "--delete-server", "delete a real server", service + " -r"},
		{"-C", "--clear", "delete all", ""},
		{"-R", "--restore", "read rules, as -S writes them", ""},
		{"-L", "--list", "the table", service + " -n -c --stats --rate --thresholds --persistent-conn --timeout --daemon --exact --json"},
		{"-S", "--save", "the table as rules", "-n --all"},
		{"-Z", "--zero", "set counters back to 0", service},
		{"--set", "--set", "timeouts in seconds: tcp, tcpfin, udp", ""},
		{"--start-daemon", "--start-daemon", "master or backup of the synchronisation", "--mcast-interface --syncid"},
		{"--stop-daemon", "--stop-daemon", "master or backup of the synchronisation", ""},
		{"-h", "--help", "all options", ""},
	}
}

// ipvsadmOptions tells what the options are that completion offers.
var ipvsadmOptions = [...][2]string{
	{"-t", "virtual service: VIP:PORT of TCP"}, {"-u", "virtual service: VIP:PORT of UDP"}, {"--sctp-service", "virtual service: VIP:PORT of SCTP"},
	{"-f", "virtual service: firewall mark"}, {"-s", "scheduler"}, {"-p", "persistence, in seconds (360)"}, {"-M", "netmask of persistence"},
	{"-o", "one-packet scheduling"}, {"-b", "flags of the scheduler"}, {"-r", "real server"}, {"-g", "forward by direct routing"},
	{"-i", "forward through a tunnel"}, {"-m", "forward by NAT"}, {"-w", "weight"}, {"-x", "upper threshold"}, {"-y", "lower threshold"},
	{"-n", "numbers, no names"}, {"-c", "connections"}, {"--stats", "counters"}, {"--rate", "per second"}, {"--thresholds", "limits of connections"},
	{"--persistent-conn", "persistent connections"}, {"--timeout", "timeouts of the kernel"}, {"--daemon", "synchronisation daemons"},
	{"--exact", "numbers in full"}, {"--json", "as JSON"}, {"--all", "timeouts and daemons too"},
	{"--mcast-interface", "interface of the synchronisation"}, {"--syncid", "number of the synchronisation"},
}

// ipvsadmWords are what may come after words of ipvsadm's: its commands, as far as
// a role may use them, options of the one that stands first, or else names of a
// kind that the appliance knows.
func ipvsadmWords(role api.Role, before []string) (words []api.Completion, names string) {
	if len(before) == 0 {
		for _, k := range ipvsadmCommands() {
			if grammar.Allows(role, ipvsadmRole([]string{k.word})) {
				words = append(words, api.Completion{Word: k.word, Help: k.help})
			}
		}
		return words, ""
	}
	switch last := before[len(before)-1]; last {
	case "-s", "--scheduler":
		return nil, "scheduler"
	case "-r", "--real-server":
		return nil, "server"
	case "-t", "-u", "--sctp-service", "-f", "-M", "-b", "-w", "-x", "-y", "--mcast-interface", "--syncid":
		return nil, "" // its value
	}
	offered := ipvsadmOptionsOf(before[0])
	for _, o := range ipvsadmOptions {
		if slices.Contains(offered, o[0]) && !slices.ContainsFunc(before, func(w string) bool { return excludes(w, o[0]) }) {
			words = append(words, api.Completion{Word: o[0], Help: o[1]})
		}
	}
	return words, ""
}

// ipvsadmOptionsOf are the options of a command, which may have letters of some
// bundled behind its own: -Ln.
func ipvsadmOptionsOf(first string) []string {
	for _, k := range ipvsadmCommands() {
		if first == k.long || len(k.word) == 2 && strings.HasPrefix(first, k.word) {
			return strings.Fields(k.options)
		}
	}
	return nil
}

// excludes reports whether an option is of no use after a word: it is there, or
// another of those of which one alone may be.
func excludes(word, option string) bool {
	for _, alone := range []string{"-t -u --sctp-service -f", "-g -i -m"} {
		if one := strings.Fields(alone); slices.Contains(one, option) && slices.Contains(one, word) {
			return true
		}
	}
	bundled := len(option) == 2 && len(word) > 2 && word[0] == '-' && word[1] != '-' && strings.Contains(word[2:], option[1:])
	return word == option || bundled
}
