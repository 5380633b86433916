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
	"dipper/shell/terminal"
)

// defaultInterval is how often a live display is renewed. The kernel's own
// rates are renewed every two seconds.
const defaultInterval = 2 * time.Second

// monitorTable is what may be looked at live.
func monitorTable() []*command {
	options := []grammar.Option{
		option("interval", "time between two displays (2s)", spanArg),
		option("count", "how many displays", grammar.Arg{Name: "number", Help: "how many displays", Check: isNumber(1, 1_000_000)}),
	}
	watch := func(name, help string, draw func(context.Context, *call, terminal.Size) ([]string, error)) *command {
		return &command{Name: name, Help: help, Options: options, Run: verb{live: true, do: func(ctx context.Context, c *call) error {
			return c.monitor(ctx, draw)
		}}}
	}
	return []*command{
		watch("services", "services and real servers", monitorServices),
		watch("rates", "packets, bytes and connections per second", monitorRates),
		watch("connections", "which clients, services and servers have most", monitorConnections),
		{Name: "log", Help: "the log", Run: verb{live: true, do: monitorLog}},
	}
}

// monitor renews a display until q, Ctrl-C or the end of count.
func (c *call) monitor(ctx context.Context, draw func(context.Context, *call, terminal.Size) ([]string, error)) error {
	every := defaultInterval
	if c.Has("interval") {
		every, _ = parseSpan(c.Value("interval")) // checked when it was read
	}
	left := -1
	if c.Has("count") {
		left, _ = strconv.Atoi(c.Value("count")) // checked when it was read
	}
	page := func(ctx context.Context, size terminal.Size) ([]string, error) {
		if left == 0 {
			return nil, terminal.ErrEnough
		}
		left--
		c.style.Now, c.style.Width = c.Now(), size.Width
		return draw(ctx, c, size)
	}
	if c.screen != nil {
		return ended(ctx, c.screen.Live(ctx, every, page))
	}
	for {
		lines, err := page(ctx, terminal.Size{})
		if err != nil {
			return ended(ctx, err)
		}
		for _, l := range append(lines, "") {
			if _, err := io.WriteString(c.out, l+"\n"); err != nil {
				return err
			}
		}
		if left == 0 {
			return nil
		}
		if pause(ctx, every); ctx.Err() != nil {
			return nil
		}
	}
}

// monitorLog shows the last lines, as many as have room, and those to come.
func monitorLog(ctx context.Context, c *call) error {
	lines := defaultLogTail
	if c.screen != nil {
		var stop func()
		ctx, stop = c.screen.UntilQuit(ctx)
		defer stop()
		lines = max(1, c.screen.Size().Height-2)
	}
	last, err := c.API.Log(ctx, lines)
	if err != nil {
		return ended(ctx, err)
	}
	for _, l := range last {
		if _, err := io.WriteString(c.out, cells.Safe(l)+"\n"); err != nil {
			return err
		}
	}
	return c.followLog(ctx)
}

// defaultLogTail is how many lines of the log come before those to come, where
// no window says how many have room.
const defaultLogTail = 10

// heading is the first line of a display.
func (c *call) heading(what string) string {
	c.mu.Lock()
	name := c.status.Hostname
	c.mu.Unlock()
	if name != "" {
		name += "  "
	}
	return c.style.Bold(fmt.Sprintf("%s%s  %s UTC", name, what, c.style.Now.UTC().Format(time.TimeOnly))) + c.quitHint()
}

func (c *call) quitHint() string {
	if c.screen == nil {
		return ""
	}
	return c.style.Paint(output.Faint, "  q quits")
}

// fitted cuts a display to the window and says what does not fit.
func fitted(lines []string, size terminal.Size) []string {
	if size.Height == 0 || len(lines) <= size.Height {
		return lines
	}
	hidden := len(lines) - size.Height + 1
	return append(lines[:size.Height-1:size.Height-1], fmt.Sprintf("... and %d more lines", hidden))
}

func monitorServices(ctx context.Context, c *call, size terminal.Size) ([]string, error) {
	services, err := c.API.Services(ctx)
	if err != nil {
		return nil, err
	}
	// The room for rates is always the same: columns that come and go with the
	// traffic cannot be watched.
	t := c.style.Table("Service", "Address", ">Weight", "State", ">Active", "~>New/s", "~>        In", "~>       Out", "~>Inactive")
	for _, s := range services {
		active, inactive := connectionsOf(s)
		t.Row(orDash(s.Name), s.Protocol+" "+s.Listen, "", states(c.style, s), c.style.Count(active), c.style.Count(s.Statistics.ConnectionRate),
			c.style.BitRate(s.Statistics.InByteRate), c.style.BitRate(s.Statistics.OutByteRate), c.style.Count(inactive))
		for _, rs := range byAddress(s.RealServers) {
			t.Row("", "  "+rs.Address, weight(rs), paintServer(c.style, rs), c.style.Count(uint64(rs.ActiveConnections)),
				c.style.Count(rs.Statistics.ConnectionRate), c.style.BitRate(rs.Statistics.InByteRate), c.style.BitRate(rs.Statistics.OutByteRate),
				c.style.Count(uint64(rs.InactiveConnections)))
		}
	}
	return fitted(append([]string{c.heading("services")}, t.Lines()...), size), nil
}

func monitorRates(ctx context.Context, c *call, size terminal.Size) ([]string, error) {
	services, err := c.API.Services(ctx)
	if err != nil {
		return nil, err
	}
	return fitted(append([]string{c.heading("rates")}, ratesTable(c.style, services).Lines()...), size), nil
}

// tally counts connections by something.
type tally map[string]int

// top are the keys with the highest counts.
func (t tally) top(n int) []string {
	keys := make([]string, 0, len(t))
	for k := range t {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(t[b], t[a]), cmp.Compare(a, b)) })
	return keys[:min(n, len(keys))]
}

// maxTallied bounds how many clients are told apart in one display.
const maxTallied = 20_000

// monitorConnections has its tables beside each other where a window is wide
// enough, and below each other otherwise.
func monitorConnections(ctx context.Context, c *call, size terminal.Size) ([]string, error) {
	total, clients, servers, stateOf := 0, tally{}, tally{}, tally{}
	for k, err := range c.API.Connections(ctx, api.ConnectionQuery{}) {
		if err != nil {
			return nil, err
		}
		total++
		servers[k.Service+keyGap+k.Server]++
		stateOf[k.State]++
		if client := hostOf(k.Client); len(clients) < maxTallied || clients[client] > 0 {
			clients[client]++
		}
	}
	tables := func(rows int) (all [][]string) {
		return [][]string{c.most(stateOf, rows, "State"), c.most(servers, rows, "Service", "Real server"), c.most(clients, rows, "Client")}
	}
	lines := []string{c.heading(fmt.Sprintf("%s connections", c.style.Count(uint64(total))))}
	if side, fits := output.Beside(tables(max(3, size.Height-3)), size.Width); fits {
		return fitted(append(append(lines, ""), side...), size), nil
	}
	rows := 10
	if size.Height > 0 {
		rows = max(3, (size.Height-8)/3)
	}
	for _, t := range tables(rows) {
		lines = append(append(lines, ""), t...)
	}
	return fitted(lines, size), nil
}

// most is a table of the highest counts; headings name the parts of a key.
func (c *call) most(t tally, rows int, headings ...string) []string {
	table := c.style.Table(append(headings, ">Connections")...)
	for _, key := range t.top(rows) {
		var row []string
		for part := range strings.SplitSeq(key, keyGap) {
			row = append(row, orDash(part))
		}
		table.Row(append(row, c.style.Count(uint64(t[key])))...)
	}
	return table.Lines()
}

// keyGap is between the parts of a tally's key.
const keyGap = "\x00"

// hostOf is an address without its port.
func hostOf(address string) string {
	for i := len(address) - 1; i >= 0; i-- {
		if address[i] == ':' {
			return address[:i]
		}
	}
	return address
}
