package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/shell/grammar"
	"dipper/shell/output"
	"dipper/shell/packet"
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
		return 0, errors.New(`give either "for" or "until"`)
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

// program runs one of the machine's programs. Somebody at a terminal is asked
// for its input only when it reads some.
func (c *call) program(ctx context.Context, argv []string, reads bool) error {
	in := c.stdin
	if c.stdin == nil || c.screen != nil {
		in = bytes.NewReader(nil)
		if reads {
			text, err := c.conversation.text(ctx)
			if err != nil {
				return err
			}
			in = strings.NewReader(text)
		}
	}
	status, err := c.API.Program(ctx, argv, in, c.out, c.errOut)
	if err != nil {
		return err
	}
	if status != 0 {
		return exitStatus(status)
	}
	return nil
}

func debug(ctx context.Context, c *call) error {
	return c.program(ctx, append([]string{c.Value("program")}, c.Texts("arguments")...), false)
}

// hostArg is a machine to reach.
var hostArg = grammar.Arg{Name: "host", Help: "address or name", Kind: "server", Check: isHost}

func pingCommand() *command {
	return &command{
		Name: "ping", Help: "see whether a machine answers", Args: []grammar.Arg{hostArg},
		Options: []grammar.Option{
			option("count", "how often (5)", grammar.Arg{Name: "number", Help: "how often", Check: isNumber(1, 1_000_000)}),
			option("size", "bytes of each packet", grammar.Arg{Name: "bytes", Help: "bytes", Check: isNumber(0, 65_000)}),
		},
		Run: verb{do: ping, live: true},
	}
}

func ping(ctx context.Context, c *call) error {
	count := "5"
	if c.Has("count") {
		count = c.Value("count")
	}
	argv := []string{"ping", "-c", count}
	if c.Has("size") {
		argv = append(argv, "-s", c.Value("size"))
	}
	return c.program(ctx, append(argv, family(c.host())...), false)
}

// host is the host that was given, without a port that completion brought.
func (c *call) host() string {
	host := c.Value("host")
	if ap, err := netip.ParseAddrPort(host); err == nil {
		return ap.Addr().String()
	}
	return host
}

// family puts -6 before an IPv6 address.
func family(host string) []string {
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		return []string{"-6", host}
	}
	return []string{host}
}

func tracerouteCommand() *command {
	return &command{Name: "traceroute", Help: "see which way packets go", Args: []grammar.Arg{hostArg}, Run: verb{do: traceroute, live: true}}
}

func traceroute(ctx context.Context, c *call) error {
	return c.program(ctx, append([]string{"traceroute"}, family(c.host())...), false)
}

func captureCommand() *command {
	link := interfaceArg
	link.Values = []grammar.Value{{Word: anyInterface, Help: "all of them"}}
	link.Check = func(string) error { return nil } // the appliance knows the others
	return &command{
		Name: "capture", Help: "show packets; without a terminal, write them as pcap", Role: api.Operate,
		Args: []grammar.Arg{link, {Name: "filter", Help: "as for tcpdump: tcp port 80 and host 10.0.0.1; \"count 10\" first ends after 10", Optional: true, Verbatim: true}},
		Run:  verb{do: capture, live: true},
	}
}

// anyInterface stands for all interfaces.
const anyInterface = "any"

// capture shows packets until Ctrl-C, or after a number: "count N" may stand
// before the filter or behind it.
func capture(ctx context.Context, c *call) error {
	q := api.CaptureQuery{Interface: c.Value("interface"), Without: c.own()}
	words, count := cutCount(c.Words("filter"))
	if count != nil {
		n, err := strconv.Atoi(count.Text)
		if err != nil || n < 1 {
			return mistakeAt(*count, fmt.Sprintf("count: %q: expected a number of packets", count.Text), "")
		}
		q.Count = n
	}
	var filter []string
	for _, w := range words {
		filter = append(filter, w.Text)
	}
	q.Filter = strings.Join(filter, " ")
	out := c.out
	if c.screen != nil {
		printer := packet.NewPrinter(c.out)
		if q.Interface == anyInterface {
			printer.Links = c.links(ctx)
		}
		out = printer
	}
	err := c.API.Capture(ctx, q, out)
	if err != nil && ctx.Err() != nil {
		return nil // Ctrl-C is how it ends
	}
	if strings.ContainsAny(q.Filter, "()!&|") || len(strings.Fields(q.Filter)) != len(words) {
		return err // its words are not those of the line
	}
	return c.atPath(err, words, 0)
}

// cutCount takes "count N" from a filter, in which count is no word.
func cutCount(words []grammar.Word) (filter []grammar.Word, count *grammar.Word) {
	last := len(words) - 2
	switch {
	case last < 0:
		return words, nil
	case words[0].Text == "count":
		return words[2:], &words[1]
	case words[last].Text == "count":
		return words[:last], &words[last+1]
	}
	return words, nil
}

// own is a filter for what carries this session: each packet that is shown or
// written to its user would be another one to show.
func (c *call) own() string {
	if !c.Local.IsValid() || !c.Remote.IsValid() {
		return "" // at a console
	}
	end := func(a netip.AddrPort) string {
		return fmt.Sprintf("host %s and port %d", a.Addr().Unmap().WithZone(""), a.Port())
	}
	return fmt.Sprintf("tcp and %s and %s", end(c.Local), end(c.Remote))
}

// links are the names of interfaces by their index. Without them, numbers do.
func (c *call) links(ctx context.Context) map[int]string {
	interfaces, err := c.API.Interfaces(ctx)
	if err != nil {
		return nil
	}
	names := make(map[int]string, len(interfaces))
	for _, i := range interfaces {
		names[i.Index] = i.Name
	}
	return names
}

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

func terminalLength(_ context.Context, c *call) error {
	c.conversation.noMore = c.Value("lines") == "0"
	return nil
}

// helpText is what help says.
const helpText = `Words may be shortened as long as they are unique: "sh serv" is "show services".
  ?            what may come next, at any place of a line
  Tab          complete a word or a value
  Ctrl-C       end a command; Ctrl-D leave; Ctrl-R search what was typed
  a | match x  only lines with x (a regular expression); also except, count,
               first, last, json, exact, no-more
  a; b         two commands, the second only when the first succeeded

show status              what this machine is and how it is
show services            virtual services and real servers
monitor services         the same, live
server NAME drain        no new connections for a real server
configure                change the configuration:
  set, delete            change settings; the words are those of the boot config
  compare                what would change, down to the kernel's edits
  commit confirmed 10m   make it so, and undo it unless "confirm" comes in time
  rollback N             go back to a revision ("run show revisions")
`

func help(_ context.Context, c *call) error {
	c.printf("%s", helpText)
	return nil
}
