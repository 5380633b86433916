package session

import (
	"context"
	"strconv"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/shell/grammar"
	"dipper/shell/output"
)

// Bounds of what is shown of the connection table, which may have millions of
// entries.
const (
	defaultConnections = 200
	maxConnections     = 20_000
)

func connectionOptions() []grammar.Option {
	states := []grammar.Value{
		{Word: "ESTABLISHED", Help: "open"}, {Word: "SYN_RECV", Help: "being opened"}, {Word: "SYN_SENT", Help: "being opened"},
		{Word: "FIN_WAIT", Help: "being closed"}, {Word: "CLOSE_WAIT", Help: "being closed"}, {Word: "LAST_ACK", Help: "being closed"},
		{Word: "TIME_WAIT", Help: "closed, may still get packets"}, {Word: "CLOSE", Help: "closed"}, {Word: "UDP", Help: "of a UDP service"},
		{Word: "NONE", Help: "a template of persistence"},
	}
	return []grammar.Option{
		option("client", "of a client or a network of clients", grammar.Arg{Name: "address", Help: "address or network", Check: isAddress}),
		option("service", "of a virtual service", serviceArg),
		option("server", "to a real server", serverArg),
		option("protocol", "of a protocol", grammar.Arg{Name: "protocol", Help: "protocol", Values: []grammar.Value{{Word: "tcp"}, {Word: "udp"}, {Word: "sctp"}}}),
		option("state", "in a state", grammar.Arg{Name: "state", Help: "state, as the kernel calls it", Values: states, Check: func(string) error { return nil }}),
		option("limit", "how many at most", grammar.Arg{Name: "number", Help: "how many at most (200)", Check: isNumber(1, maxConnections)}),
	}
}

// connectionTable is an excerpt of the kernel's.
type connectionTable struct {
	Connections []api.Connection `json:"connections"`
	More        bool             `json:"more,omitempty"` // there are others that match
}

// connections answers those that match, sorted by service, client and server.
func connections(ctx context.Context, c *call) (connectionTable, error) {
	limit := defaultConnections
	if n, err := strconv.Atoi(c.Value("limit")); err == nil {
		limit = n
	}
	q := api.ConnectionQuery{
		Client: c.Value("client"), Service: c.Value("service"), Server: c.Value("server"),
		Protocol: c.Value("protocol"), State: c.Value("state"), Limit: limit + 1,
	}
	t := connectionTable{Connections: []api.Connection{}}
	for conn, err := range c.API.Connections(ctx, q) {
		if err != nil {
			return t, err
		}
		if len(t.Connections) == limit {
			t.More = true
			break
		}
		t.Connections = append(t.Connections, conn)
	}
	t.Connections = sortedBy(t.Connections, func(k api.Connection) string {
		return strings.Join([]string{k.Service, addressKey(k.Virtual), addressKey(k.Client), addressKey(k.Server)}, "\x00")
	})
	return t, nil
}

func drawConnections(c *call, table connectionTable) error {
	moods := map[string]output.Mood{"ESTABLISHED": output.Good, "SYN_RECV": output.Warning}
	t := c.style.Table("Service", "Protocol", "Client", "~Virtual", "Real server", "State", "~>Expires")
	for _, k := range table.Connections {
		state := c.style.Paint(moods[k.State], k.State)
		if k.Template {
			state = "persistence"
		}
		t.Row(orDash(k.Service), k.Protocol, k.Client, k.Virtual, k.Server, state, output.Duration(time.Duration(k.Expires)))
	}
	if err := c.table(t, "no connection matches"); err != nil {
		return err
	}
	if table.More {
		c.sentence("there are more: ask for some of them, or set a limit (up to %d)", maxConnections)
	}
	return nil
}
