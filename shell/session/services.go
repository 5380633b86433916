package session

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dipper/appliance/api"
	"dipper/shell/cells"
	"dipper/shell/output"
)

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

// drawServices shows services and, below each, its real servers. In the column
// of methods are those of scheduling and of forwarding, as ipvsadm has it.
func drawServices(c *call, services []api.Service) error {
	t := c.style.Table("Service", "Address", "~Method", ">Weight", "State", ">Active", "~>Inactive", "~>New/s", "~>In", "~>Out")
	for _, s := range services {
		active, inactive := connectionsOf(s)
		t.Row(orDash(s.Name), s.Protocol+" "+s.Listen, s.Scheduler, "", states(c.style, s), c.style.Count(active), c.style.Count(inactive),
			c.style.Count(s.Statistics.ConnectionRate), c.style.BitRate(s.Statistics.InByteRate), c.style.BitRate(s.Statistics.OutByteRate))
		for _, rs := range byAddress(s.RealServers) {
			t.Row("", "  "+rs.Address, rs.Forward, weight(rs), paintServer(c.style, rs),
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

// services are all, or the one that is asked for.
func services(ctx context.Context, c *call) ([]api.Service, error) {
	if !c.Has("service") {
		return c.API.Services(ctx)
	}
	s, err := service(ctx, c)
	return []api.Service{s}, err
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
	t := c.style.Table("Real server", "~Forward", ">Weight", "State", ">Active", ">Inactive", "~>Persistent", "~Limit", "Reason")
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

// realServers are the services with their real servers, or with one alone.
func realServers(ctx context.Context, c *call) ([]api.Service, error) {
	all, err := c.API.Services(ctx)
	if err != nil || !c.Has("server") {
		return all, err
	}
	word := c.Words("server")[0]
	found := []api.Service{}
	for _, s := range all {
		s.RealServers = slices.DeleteFunc(slices.Clone(s.RealServers), func(rs api.RealServer) bool {
			return rs.Address != word.Text && !strings.HasPrefix(rs.Address, word.Text+":") && !strings.HasPrefix(rs.Address, "["+word.Text+"]")
		})
		if len(s.RealServers) > 0 {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return nil, mistakeAt(word, fmt.Sprintf("there is no real server %q", word.Text), `"show real-servers" lists them`)
	}
	return found, nil
}

// drawRealServers shows every real server of every service, sorted by address.
func drawRealServers(c *call, services []api.Service) error {
	type row struct {
		api.RealServer
		service string
	}
	var rows []row
	for _, s := range services {
		for _, rs := range s.RealServers {
			rows = append(rows, row{rs, s.Name})
		}
	}
	rows = sortedBy(rows, func(r row) string { return addressKey(r.Address) })
	t := c.style.Table("Real server", "Service", "~Forward", ">Weight", "State", ">Active", "~>Inactive", "~>New/s", "Reason")
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
	t := style.Table("Service", "Address", ">New/s", "~>In pps", "~>Out pps", ">In", ">Out")
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
	t := c.style.Table("Service", "Address", ">Connections", "~>In packets", "~>Out packets", ">In", ">Out")
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
