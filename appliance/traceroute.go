package appliance

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"dipper/appliance/network"
)

// Trace finds the way to an address, hop by hop.
type Trace func(ctx context.Context, to netip.Addr, o network.TraceOptions, each func(network.Hop) error) error

// What a traceroute does when it is not told otherwise.
const (
	traceHops = 30
	traceWait = time.Second
)

// traceroute shows the way to a host, each hop as soon as it is known. The exit
// status is 1 when the host was not reached.
func (b *backend) traceroute(ctx context.Context, argv []string, out, errOut io.Writer) (int, error) {
	flags := flag.NewFlagSet("traceroute", flag.ContinueOnError)
	flags.SetOutput(errOut)
	only6 := flags.Bool("6", false, "IPv6 alone")
	hops := flags.Int("m", traceHops, "routers at most, 1 to 255")
	if err := flags.Parse(argv); err != nil {
		return 2, nil // Parse has said why
	}
	if flags.NArg() != 1 || *hops < 1 || *hops > 255 {
		_, err := fmt.Fprintln(errOut, "usage: traceroute [-6] [-m ROUTERS] HOST")
		return 2, err
	}
	to, err := lookHost(ctx, flags.Arg(0), *only6)
	if err != nil {
		_, err = fmt.Fprintf(errOut, "traceroute: %v\n", err)
		return 1, err
	}
	if _, err := fmt.Fprintf(out, "traceroute to %s, %d routers at most\n", to, *hops); err != nil {
		return 1, err
	}
	status := 1
	err = b.trace(ctx, to, network.TraceOptions{Hops: *hops, Wait: traceWait}, func(h network.Hop) error {
		if h.Arrived() {
			status = 0
		}
		_, err := io.WriteString(out, hopLine(h))
		return err
	})
	if err != nil && ctx.Err() == nil {
		_, err = fmt.Fprintf(errOut, "traceroute: %v\n", err)
	}
	return status, errors.Join(err, ctx.Err())
}

// lookHost answers the address of a host, of IPv4 if it has one.
func lookHost(ctx context.Context, host string, only6 bool) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolvePatience)
	defer cancel()
	kind := "ip4"
	if only6 {
		kind = "ip6"
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, kind, host)
	if err != nil && !only6 {
		found, err = net.DefaultResolver.LookupNetIP(ctx, "ip6", host)
	}
	if err != nil {
		return netip.Addr{}, err
	}
	return found[0].Unmap(), nil
}

// hopLine is a hop as traceroute(8) has it: an address before the times of the
// probes that it answered, "*" for one that nobody did.
func hopLine(h network.Hop) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%2d ", h.Limit)
	var from netip.Addr
	for _, p := range h.Probes {
		if !p.From.IsValid() {
			b.WriteString(" *")
			continue
		}
		if p.From != from {
			from = p.From
			fmt.Fprintf(&b, " %s", from)
		}
		fmt.Fprintf(&b, "  %.3f ms", float64(p.Took)/float64(time.Millisecond))
		if p.Refused != nil {
			fmt.Fprintf(&b, " (%v)", p.Refused)
		}
	}
	b.WriteByte('\n')
	return b.String()
}
