package session

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"dipper/appliance/api"
	"dipper/shell/grammar"
	"dipper/shell/packet"
)

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
