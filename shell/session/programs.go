package session

import (
	"bytes"
	"context"
	"net/netip"
	"strings"

	"dipper/shell/grammar"
)

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
