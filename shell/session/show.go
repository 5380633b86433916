package session

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/shell/cells"
	"dipper/shell/grammar"
	"dipper/shell/output"
)

// showTable is what may be shown.
func showTable() []*command {
	lines := grammar.Arg{Name: "lines", Help: "how many lines", Check: isNumber(1, 100_000), Optional: true}
	table := []*command{
		show("arp", "neighbours of IPv4", arp, drawNeighbours),
		show("boot", "how the machine started, each step with its milliseconds", fetch(Appliance.Boot), drawBoot),
		show("candidates", "who changes the configuration at present", fetch(Appliance.Candidates), drawCandidates),
		show("changes", "what differs between the running and the saved configuration", fetch(Appliance.Changes), drawComparison),
		inTurn(showConfiguration()),
		with(show("connections", "the connection table", connections, drawConnections), connectionOptions()...),
		with(taking(show("events", "what happened", events, drawEvents), lines), grammar.Option{Name: "follow", Help: "and what is to come"},
			option("kind", "of one kind; without it, all but commands and logins", eventKindArg())),
		show("host-keys", "SSH host keys, and who knows the next one", fetch(Appliance.HostKeys), drawHostKeys),
		showInterfaces(),
		with(taking(show("log", "the log", logLines, drawLog), lines), grammar.Option{Name: "follow", Help: "and what is to come"}),
		show("neighbours", "the caches of ARP and ND", fetch(Appliance.Neighbours), drawNeighbours),
		inTurn(show("rates", "packets, bytes and connections per second", fetch(Appliance.Services), drawRates)),
		inTurn(taking(show("real-servers", "real servers over all services", realServers, drawRealServers), optional(serverArg))),
		showRevisions(),
		show("routes", "the routing table", fetch(Appliance.Routes), drawRoutes),
		inTurn(taking(show("service", "everything about one virtual service", service, drawService), serviceArg)),
		abbreviated("serv", inTurn(taking(show("services", "virtual services and their real servers", services, drawServices), optional(serviceArg)))),
		inTurn(show("statistics", "counters of services and real servers", fetch(Appliance.Services), drawStatistics)),
		show("status", "what this machine is and how it is", fetch(Appliance.Status), drawStatus),
		show("sysctls", "kernel settings that the appliance set", fetch(Appliance.Sysctls), drawSysctls),
		show("system", "the machine: memory, load, uptime, state volume", fetch(Appliance.System), drawSystem),
		show("timeouts", "the kernel's timeouts for connections", fetch(Appliance.Timeouts), drawTimeouts),
		show("users", "who is logged in", users, drawUsers),
		show("version", "version of image and kernel", version, drawVersion),
	}
	return append(table, showHabits(table)...)
}

// showInterfaces shows all or one.
func showInterfaces() *command {
	c := taking(show("interfaces", "network interfaces", interfaces, drawInterfaces), optional(interfaceArg))
	c.Bare, c.Sub = true, interfaceHabits(c.Run)
	return c
}

func interfaces(ctx context.Context, c *call) ([]api.Interface, error) {
	all, err := c.API.Interfaces(ctx)
	if err != nil || !c.Has("interface") {
		return all, err
	}
	word := c.Words("interface")[0]
	i := slices.IndexFunc(all, func(i api.Interface) bool { return i.Name == word.Text })
	if i < 0 {
		return nil, mistakeAt(word, fmt.Sprintf("there is no interface %q", word.Text), `"show interfaces" lists them`)
	}
	return all[i : i+1], nil
}

// fetch asks the appliance by one of its calls without arguments.
func fetch[T any](ask func(Appliance, context.Context) (T, error)) func(context.Context, *call) (T, error) {
	return func(ctx context.Context, c *call) (T, error) { return ask(c.API, ctx) }
}

func optional(a grammar.Arg) grammar.Arg {
	a.Optional = true
	return a
}

func (c *call) writeJSON(v any) error { return output.JSON(c.out, v) }

// table writes a table, or says that there is nothing.
func (c *call) table(t *output.Table, nothing string) error {
	if t.Len() == 0 {
		c.printf("%s\n", nothing)
		return nil
	}
	return t.Write(c.out)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return cells.Safe(s)
}

// paintState writes a machine's state.
func paintState(style output.Style, s api.State) string {
	moods := map[api.State]output.Mood{
		api.Serving: output.Good, api.Degraded: output.Warning, api.Maintenance: output.Warning, api.Stopping: output.Bad,
	}
	return style.Paint(moods[s], string(s))
}

func drawBoot(c *call, steps []api.BootStep) error {
	t := c.style.Table("~>At", ">Took", "Step", "Outcome", "Detail")
	moods := map[string]output.Mood{"failed": output.Bad, "stopped": output.Warning, "absent": output.Faint, "found": output.Good}
	inOrder := slices.SortedStableFunc(slices.Values(steps), func(a, b api.BootStep) int { return cmp.Compare(a.At, b.At) })
	for _, s := range inOrder {
		t.Row(output.Milliseconds(time.Duration(s.At)), output.Milliseconds(time.Duration(s.Took)), cells.Safe(s.Name),
			c.style.Paint(moods[s.Outcome], s.Outcome), cells.Safe(s.Detail))
	}
	return c.table(t, "no steps are known")
}

func drawStatus(c *call, s api.Status) error {
	f := c.style.Facts()
	f.Add("name", orDash(s.Hostname))
	f.Add("role", orDash(s.Role))
	f.Add("state", paintState(c.style, s.State)+" since "+c.style.Time(s.Since))
	f.Add("problems", safe(s.Problems)...)
	f.Add("what to do", safe(s.Advice)...)
	f.Add("configuration", orDash(s.Source))
	if !s.ConfirmBy.IsZero() {
		f.Add("to be confirmed", c.style.Time(s.ConfirmBy))
	}
	f.Add("saved", yesNo(!s.Unsaved))
	f.Add("state volume", yesNo(!s.Volatile))
	f.Add("addresses", s.Addresses...)
	f.Add("VIPs", s.VIPs...)
	if s.HostKey != "" {
		f.Add("SSH host key", s.HostKey)
	}
	if s.NextHostKey != "" {
		f.Add("announced key", s.NextHostKey)
	}
	f.Add("kernel edits", c.style.Count(uint64(s.Edits)))
	f.Add("uptime", output.Duration(time.Duration(s.Uptime).Round(time.Second)))
	return f.Write(c.out)
}

func safe(texts []string) []string {
	var all []string
	for _, t := range texts {
		all = append(all, cells.Safe(t))
	}
	return all
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func drawInterfaces(c *call, interfaces []api.Interface) error {
	t := c.style.Table("Interface", "State", "Addresses", ">Errors", ">Drops", "~>In", "~>Out", "~>MTU", "~>Speed", "~MAC", "~Kind")
	for _, i := range interfaces {
		speed := ""
		if i.Speed > 0 {
			speed = c.style.BitRate(uint64(i.Speed) * 1_000_000 / 8)
		}
		addresses := append(slices.Clone(i.Addresses), c.lease(i)...)
		first := strings.Join(addresses[:min(1, len(addresses))], "")
		t.Row(i.Name, link(c.style, i), first, c.style.Count(i.InErrors+i.OutErrors), c.style.Count(i.InDrops+i.OutDrops),
			c.style.Bytes(i.InBytes), c.style.Bytes(i.OutBytes), strconv.Itoa(i.MTU), speed, i.MAC, i.Kind)
		for _, a := range addresses[min(1, len(addresses)):] {
			t.Row("", "", a)
		}
	}
	return c.table(t, "there are no interfaces")
}

// lease writes what a DHCP server gave, on several lines where a window is
// narrow.
func (c *call) lease(i api.Interface) []string {
	if i.Lease == "" {
		return nil
	}
	const narrow, room = 120, 25 // cells; the room is that of an IPv6 address of the link
	if c.style.Width == 0 || c.style.Width >= narrow {
		return []string{"lease: " + cells.Safe(i.Lease)}
	}
	return cells.Wrap("lease: "+cells.Safe(i.Lease), room)
}

func link(style output.Style, i api.Interface) string {
	switch {
	case !i.Up:
		return style.Paint(output.Faint, "off")
	case !i.Carrier:
		return style.Paint(output.Bad, "no carrier")
	}
	return style.Paint(output.Good, "up")
}

func drawRoutes(c *call, routes []api.Route) error {
	t := c.style.Table("To", "Via", "Interface", "~Source", "~>Metric", "~Made by", "~Table")
	for _, r := range routes {
		to := r.To
		if to == "0.0.0.0/0" || to == "::/0" {
			to = "default"
		}
		t.Row(to, r.Via, r.Interface, r.Source, strconv.Itoa(r.Metric), r.Protocol, r.Table)
	}
	return c.table(t, "there are no routes")
}

// arp is the neighbours of IPv4.
func arp(ctx context.Context, c *call) ([]api.Neighbour, error) {
	all, err := c.API.Neighbours(ctx)
	return slices.DeleteFunc(all, func(n api.Neighbour) bool { return strings.Contains(n.Address, ":") }), err
}

func drawNeighbours(c *call, neighbours []api.Neighbour) error {
	moods := map[string]output.Mood{"reachable": output.Good, "permanent": output.Good, "failed": output.Bad, "incomplete": output.Warning}
	t := c.style.Table("Address", "MAC", "Interface", "State")
	for _, n := range neighbours {
		t.Row(n.Address, n.MAC, n.Interface, c.style.Paint(moods[n.State], n.State))
	}
	return c.table(t, "the caches are empty")
}

func drawSysctls(c *call, sysctls []api.Sysctl) error {
	t := c.style.Table("Setting", "Value", "Wanted")
	for _, s := range sysctls {
		value := cells.Safe(s.Value)
		if s.Value != s.Want {
			value = c.style.Paint(output.Bad, value)
		}
		t.Row(s.Name, value, cells.Safe(s.Want))
	}
	return c.table(t, "the appliance set none")
}

func drawSystem(c *call, s api.System) error {
	f := c.style.Facts()
	f.Add("name", orDash(s.Hostname))
	f.Add("version", s.Version)
	f.Add("kernel", s.Kernel)
	if s.Machine != "" {
		f.Add("machine", cells.Safe(s.Machine))
	}
	f.Add("processors", strconv.Itoa(s.Processors))
	f.Add("load", fmt.Sprintf("%.2f %.2f %.2f", s.Load[0], s.Load[1], s.Load[2]))
	f.Add("memory", fmt.Sprintf("%s of %s free", c.style.Bytes(s.MemoryFree), c.style.Bytes(s.MemoryTotal)))
	for _, t := range s.Temperatures {
		f.Add("temperature", fmt.Sprintf("%s %.0f °C", cells.Safe(t.Sensor), t.Celsius))
	}
	f.Add("uptime", output.Duration(time.Duration(s.Uptime).Round(time.Second)))
	f.Add("time", s.Time.UTC().Format(time.DateTime)+" UTC")
	f.Add("state volume", stateVolume(c.style, s.State))
	f.Add("command line", cells.Safe(s.CommandLine))
	return f.Write(c.out)
}

func stateVolume(style output.Style, v api.StateVolume) string {
	switch {
	case v.Error != "":
		return style.Paint(output.Bad, cells.Safe(v.Device+": "+v.Error))
	case v.Device == "":
		return style.Paint(output.Warning, `none: nothing is kept over a reboot; "format state-volume" makes one`)
	}
	return fmt.Sprintf("%s, %s of %s free", cells.Safe(v.Device), style.Bytes(v.Free), style.Bytes(v.Size))
}

func drawTimeouts(c *call, t api.Timeouts) error {
	f := c.style.Facts()
	for _, row := range []struct {
		name string
		d    api.Duration
	}{{"tcp", t.TCP}, {"tcp after FIN", t.TCPFin}, {"udp", t.UDP}} {
		f.Add(row.name, output.Duration(time.Duration(row.d)))
	}
	return f.Write(c.out)
}

// versions is what show version answers.
type versions struct {
	Version string `json:"version"`
	Kernel  string `json:"kernel"`
}

func version(ctx context.Context, c *call) (versions, error) {
	s, err := c.API.System(ctx)
	return versions{s.Version, s.Kernel}, err
}

func drawVersion(c *call, v versions) error {
	f := c.style.Facts()
	f.Add("Dipper", v.Version)
	f.Add("kernel", v.Kernel)
	return f.Write(c.out)
}

// users are the sessions of this shell.
func users(_ context.Context, c *call) ([]Presence, error) {
	if c.Registry == nil {
		return []Presence{}, nil
	}
	return c.Registry.Sessions(), nil
}

func drawUsers(c *call, sessions []Presence) error {
	t := c.style.Table("User", "~Role", "From", "~Since", "Idle", "Doing")
	for _, p := range sessions {
		doing := p.Doing
		if p.Actor.Session == c.Actor.Session && doing != "" {
			doing = c.style.Paint(output.Faint, "(this session)")
		}
		t.Row(orDash(p.Actor.User), orDash(string(p.Actor.Role)), orDash(p.Actor.From), c.style.Time(p.Since),
			output.Duration(c.style.Now.Sub(p.Active).Round(time.Second)), doing)
	}
	return c.table(t, "nobody is logged in")
}
