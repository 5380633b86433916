package session

import (
	"cmp"
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
	"dipper/shell/output"
)

// showTable is what may be shown.
func showTable() []*command {
	lines := grammar.Arg{Name: "lines", Help: "how many lines", Check: isNumber(1, 100_000), Optional: true}
	return []*command{
		show("arp", "neighbours of IPv4", arp, drawNeighbours),
		show("boot", "how the machine started, each step with its milliseconds", fetch(Appliance.Boot), drawBoot),
		show("candidates", "who changes the configuration at present", fetch(Appliance.Candidates), drawCandidates),
		show("changes", "what differs between the running and the saved configuration", fetch(Appliance.Changes), drawComparison),
		showConfiguration(),
		with(show("connections", "the connection table", connections, drawConnections), connectionOptions()...),
		with(taking(show("events", "what happened", events, drawEvents), lines), grammar.Option{Name: "follow", Help: "and what is to come"},
			option("kind", "of one kind; without it, all but commands and logins", eventKindArg())),
		show("interfaces", "network interfaces", fetch(Appliance.Interfaces), drawInterfaces),
		with(taking(show("log", "the log", logLines, drawLog), lines), grammar.Option{Name: "follow", Help: "and what is to come"}),
		show("neighbours", "the caches of ARP and ND", fetch(Appliance.Neighbours), drawNeighbours),
		show("rates", "packets, bytes and connections per second", fetch(Appliance.Services), drawRates),
		taking(show("real-servers", "real servers over all services", fetch(Appliance.Services), drawRealServers), optional(serverArg)),
		showRevisions(),
		show("routes", "the routing table", fetch(Appliance.Routes), drawRoutes),
		taking(show("service", "everything about one virtual service", service, drawService), serviceArg),
		show("services", "virtual services and their real servers", fetch(Appliance.Services), drawServices),
		show("statistics", "counters of services and real servers", fetch(Appliance.Services), drawStatistics),
		show("status", "what this machine is and how it is", fetch(Appliance.Status), drawStatus),
		show("sysctls", "kernel settings that the appliance set", fetch(Appliance.Sysctls), drawSysctls),
		show("system", "the machine: memory, load, uptime, state volume", fetch(Appliance.System), drawSystem),
		show("timeouts", "the kernel's timeouts for connections", fetch(Appliance.Timeouts), drawTimeouts),
		show("users", "who is logged in", users, drawUsers),
		show("version", "version of image and kernel", version, drawVersion),
	}
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

// paintServer writes a real server's state.
func paintServer(style output.Style, rs api.RealServer) string {
	moods := map[string]output.Mood{"up": output.Good, "drained": output.Warning, "disabled": output.Warning, "down": output.Bad}
	state := rs.State
	if state == "" {
		state = "-"
	}
	return style.Paint(moods[state], cells.Safe(state))
}

// weight writes a real server's weight, and the configured one when another
// holds.
func weight(rs api.RealServer) string {
	if rs.Weight == rs.Configured {
		return strconv.Itoa(int(rs.Weight))
	}
	if rs.Weight > rs.Configured {
		return fmt.Sprintf("%d for %d", rs.Weight, rs.Configured)
	}
	return fmt.Sprintf("%d of %d", rs.Weight, rs.Configured)
}

func drawServices(c *call, services []api.Service) error {
	t := c.style.Table("Service", "Address", "Scheduler", "Forward", ">Weight", "State", ">Active", ">Inactive", ">New/s", ">In", ">Out")
	for _, s := range services {
		active, inactive := connectionsOf(s)
		t.Row(orDash(s.Name), s.Protocol+" "+s.Listen, s.Scheduler, "", "", states(c.style, s), c.style.Count(active), c.style.Count(inactive),
			c.style.Count(s.Statistics.ConnectionRate), c.style.BitRate(s.Statistics.InByteRate), c.style.BitRate(s.Statistics.OutByteRate))
		for _, rs := range byAddress(s.RealServers) {
			t.Row("", "  "+rs.Address, "", rs.Forward, weight(rs), paintServer(c.style, rs),
				c.style.Count(uint64(rs.ActiveConnections)), c.style.Count(uint64(rs.InactiveConnections)),
				c.style.Count(rs.Statistics.ConnectionRate), c.style.BitRate(rs.Statistics.InByteRate), c.style.BitRate(rs.Statistics.OutByteRate))
		}
	}
	return c.table(t, "there are no virtual services")
}

// byAddress sorts real servers, which the kernel has in an order of its own.
func byAddress(servers []api.RealServer) []api.RealServer {
	return sortedBy(servers, func(rs api.RealServer) string { return addressKey(rs.Address) })
}

// sortedBy sorts by a key, which is made once for each item.
func sortedBy[T any](items []T, key func(T) string) []T {
	type keyed struct {
		key  string
		item T
	}
	all := make([]keyed, len(items))
	for i, item := range items {
		all[i] = keyed{key(item), item}
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
	sorted := make([]T, len(all))
	for i, k := range all {
		sorted[i] = k.item
	}
	return sorted
}

// connectionsOf adds up a service's connections.
func connectionsOf(s api.Service) (active, inactive uint64) {
	for _, rs := range s.RealServers {
		active += uint64(rs.ActiveConnections)
		inactive += uint64(rs.InactiveConnections)
	}
	return active, inactive
}

// states says how many of a service's real servers take connections.
func states(style output.Style, s api.Service) string {
	up := 0
	for _, rs := range s.RealServers {
		if rs.Weight > 0 {
			up++
		}
	}
	mood := output.Good
	if up < len(s.RealServers) {
		mood = output.Warning
	}
	if up == 0 {
		mood = output.Bad
	}
	return style.Paint(mood, fmt.Sprintf("%d of %d", up, len(s.RealServers)))
}

// service finds the service that is asked for, by its name or address.
func service(ctx context.Context, c *call) (api.Service, error) {
	services, err := c.API.Services(ctx)
	if err != nil {
		return api.Service{}, err
	}
	word := c.Words("service")[0]
	i := slices.IndexFunc(services, func(s api.Service) bool { return s.Name == word.Text || s.Listen == word.Text })
	if i < 0 {
		return api.Service{}, mistakeAt(word, fmt.Sprintf("there is no service %q", word.Text), `"show services" lists them`)
	}
	return services[i], nil
}

func drawService(c *call, s api.Service) error {
	f := c.style.Facts()
	f.Add("service", orDash(s.Name))
	f.Add("address", s.Protocol+" "+s.Listen)
	f.Add("scheduler", strings.Join(append([]string{s.Scheduler}, s.Flags...), ", "))
	if s.Persistence != "" {
		f.Add("persistence", s.Persistence)
	}
	f.Add("real servers", states(c.style, s)+" take connections")
	f.Add("connections", c.style.Count(s.Statistics.Connections)+", "+c.style.Count(s.Statistics.ConnectionRate)+"/s")
	f.Add("in", traffic(c.style, s.Statistics.InPackets, s.Statistics.InBytes, s.Statistics.InPacketRate, s.Statistics.InByteRate))
	f.Add("out", traffic(c.style, s.Statistics.OutPackets, s.Statistics.OutBytes, s.Statistics.OutPacketRate, s.Statistics.OutByteRate))
	if err := f.Write(c.out); err != nil {
		return err
	}
	c.printf("\n")
	t := c.style.Table("Real server", "Forward", ">Weight", "State", ">Active", ">Inactive", ">Persistent", "Limit", "Reason")
	for _, rs := range byAddress(s.RealServers) {
		t.Row(rs.Address, rs.Forward, weight(rs), paintServer(c.style, rs), c.style.Count(uint64(rs.ActiveConnections)),
			c.style.Count(uint64(rs.InactiveConnections)), c.style.Count(uint64(rs.PersistentConnections)), limits(rs), cells.Safe(rs.Reason))
	}
	return c.table(t, "there are no real servers: clients are refused")
}

func limits(rs api.RealServer) string {
	if rs.UpperThreshold == 0 {
		return ""
	}
	return fmt.Sprintf("%d, again below %d", rs.UpperThreshold, rs.LowerThreshold)
}

func traffic(style output.Style, packets, bytes, packetRate, byteRate uint64) string {
	return fmt.Sprintf("%s packets, %s; %s/s, %s", style.Count(packets), style.Bytes(bytes), style.Count(packetRate), style.BitRate(byteRate))
}

// drawRealServers shows every real server of every service, sorted by address.
func drawRealServers(c *call, services []api.Service) error {
	type row struct {
		api.RealServer
		service string
	}
	var rows []row
	wanted := c.Value("server")
	for _, s := range services {
		for _, rs := range s.RealServers {
			if wanted == "" || rs.Address == wanted || strings.HasPrefix(rs.Address, wanted+":") || strings.HasPrefix(rs.Address, "["+wanted+"]") {
				rows = append(rows, row{rs, s.Name})
			}
		}
	}
	rows = sortedBy(rows, func(r row) string { return addressKey(r.Address) })
	t := c.style.Table("Real server", "Service", "Forward", ">Weight", "State", ">Active", ">Inactive", ">New/s", "Reason")
	for _, r := range rows {
		t.Row(r.Address, orDash(r.service), r.Forward, weight(r.RealServer), paintServer(c.style, r.RealServer),
			c.style.Count(uint64(r.ActiveConnections)), c.style.Count(uint64(r.InactiveConnections)),
			c.style.Count(r.Statistics.ConnectionRate), cells.Safe(r.Reason))
	}
	return c.table(t, "there are no real servers")
}

func drawRates(c *call, services []api.Service) error {
	return c.table(ratesTable(c.style, services), "there are no virtual services")
}

func ratesTable(style output.Style, services []api.Service) *output.Table {
	t := style.Table("Service", "Address", ">New/s", ">In packets/s", ">Out packets/s", ">In", ">Out")
	row := func(name, address string, s api.Statistics) {
		t.Row(name, address, style.Count(s.ConnectionRate), style.Count(s.InPacketRate), style.Count(s.OutPacketRate),
			style.BitRate(s.InByteRate), style.BitRate(s.OutByteRate))
	}
	for _, s := range services {
		row(orDash(s.Name), s.Protocol+" "+s.Listen, s.Statistics)
		for _, rs := range byAddress(s.RealServers) {
			row("", "  "+rs.Address, rs.Statistics)
		}
	}
	return t
}

func drawStatistics(c *call, services []api.Service) error {
	t := c.style.Table("Service", "Address", ">Connections", ">In packets", ">Out packets", ">In", ">Out")
	row := func(name, address string, s api.Statistics) {
		t.Row(name, address, c.style.Count(s.Connections), c.style.Count(s.InPackets), c.style.Count(s.OutPackets),
			c.style.Bytes(s.InBytes), c.style.Bytes(s.OutBytes))
	}
	for _, s := range services {
		row(orDash(s.Name), s.Protocol+" "+s.Listen, s.Statistics)
		for _, rs := range byAddress(s.RealServers) {
			row("", "  "+rs.Address, rs.Statistics)
		}
	}
	return c.table(t, "there are no virtual services")
}

func drawBoot(c *call, steps []api.BootStep) error {
	t := c.style.Table(">At", ">Took", "Step", "Outcome", "Detail")
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
	t := c.style.Table("Interface", "State", "Addresses", ">MTU", ">Speed", ">In", ">Out", ">Errors", ">Drops", "MAC", "Kind")
	for _, i := range interfaces {
		speed := ""
		if i.Speed > 0 {
			speed = c.style.BitRate(uint64(i.Speed) * 1_000_000 / 8)
		}
		addresses := append(slices.Clone(i.Addresses), lease(i)...)
		first := strings.Join(addresses[:min(1, len(addresses))], "")
		t.Row(i.Name, link(c.style, i), first, strconv.Itoa(i.MTU), speed, c.style.Bytes(i.InBytes), c.style.Bytes(i.OutBytes),
			c.style.Count(i.InErrors+i.OutErrors), c.style.Count(i.InDrops+i.OutDrops), i.MAC, i.Kind)
		for _, a := range addresses[min(1, len(addresses)):] {
			t.Row("", "", a)
		}
	}
	return c.table(t, "there are no interfaces")
}

func lease(i api.Interface) []string {
	if i.Lease == "" {
		return nil
	}
	return []string{"lease: " + cells.Safe(i.Lease)}
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
	t := c.style.Table("To", "Via", "Interface", "Source", ">Metric", "Made by", "Table")
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
	t := c.style.Table("User", "Role", "From", "Since", "Idle", "Doing")
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
		{Word: "all", Help: "of every kind"}, {Word: "boot"}, {Word: "command", Help: "the audit log"}, {Word: "commit"}, {Word: "drift", Help: "what others changed in the kernel"},
		{Word: "link"}, {Word: "refused", Help: "what the kernel refused"}, {Word: "server", Help: "drained, disabled, enabled, weighed"}, {Word: "session", Help: "logins"},
	}, Check: func(string) error { return nil }}
}

// wantsEvent reports whether an event is of the kind that was asked for.
func (c *call) wantsEvent(e api.Event) bool {
	switch kind := c.Value("kind"); kind {
	case "":
		return e.Kind != "command" && e.Kind != "session"
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
	c.printf("%s  %-8s  %s%s\n", e.Time.UTC().Format(time.DateTime), e.Kind, by, cells.Safe(e.Text))
}

// addressKey sorts addresses as people count: 192.168.4.9 before 192.168.4.10.
func addressKey(address string) string {
	var b strings.Builder
	digits := 0
	for i := range len(address) + 1 {
		if i < len(address) && address[i] >= '0' && address[i] <= '9' {
			digits++
			continue
		}
		if digits > 0 {
			b.WriteString(strings.Repeat("0", max(0, 10-digits)) + address[i-digits:i])
			digits = 0
		}
		if i < len(address) {
			b.WriteByte(address[i])
		}
	}
	return b.String()
}
