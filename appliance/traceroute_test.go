package appliance

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dipper/appliance/network"
)

func TestTraceroute(t *testing.T) {
	router, far := netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("10.0.2.9")
	way := []network.Hop{
		{Limit: 1, Probes: []network.Probe{{From: router, Took: 412 * time.Microsecond}, {}, {From: router, Took: time.Millisecond}}},
		{Limit: 2, Probes: []network.Probe{{}, {}, {}}},
		{Limit: 3, Probes: []network.Probe{{From: router, Refused: unix.EHOSTUNREACH, Took: time.Millisecond}, {From: far, Took: 12 * time.Millisecond, Arrived: true}}},
	}
	const head = "traceroute to 10.0.2.9, 30 routers at most\n"
	const first = " 1  10.0.1.2  0.412 ms *  1.000 ms\n 2  * * *\n"
	for _, tt := range []struct {
		argv        []string
		hops        []network.Hop
		err         error
		out, errOut string
		status      int
	}{
		{argv: []string{"10.0.2.9"}, hops: way, out: head + first + " 3  10.0.1.2  1.000 ms (no route to host) 10.0.2.9  12.000 ms\n"},
		{argv: []string{"10.0.2.9"}, hops: way[:2], out: head + first, status: 1},
		{argv: []string{"10.0.2.9"}, err: errors.New("trace 10.0.2.9: network is unreachable"), out: head,
			errOut: "traceroute: trace 10.0.2.9: network is unreachable\n", status: 1},
		{argv: []string{"-m", "0", "10.0.2.9"}, errOut: "usage: traceroute [-6] [-m ROUTERS] HOST\n", status: 2},
		{errOut: "usage: traceroute [-6] [-m ROUTERS] HOST\n", status: 2},
	} {
		c := serveBackend(t, &backend{trace: func(_ context.Context, to netip.Addr, o network.TraceOptions, each func(network.Hop) error) error {
			if to != far || o.Hops != traceHops {
				t.Errorf("traced %s with %+v", to, o)
			}
			for _, h := range tt.hops {
				if err := each(h); err != nil {
					return err
				}
			}
			return tt.err
		}})
		var out, errOut bytes.Buffer
		status, err := c.Program(t.Context(), append([]string{"traceroute"}, tt.argv...), nil, &out, &errOut)
		if err != nil || status != tt.status || out.String() != tt.out || errOut.String() != tt.errOut {
			t.Errorf("%q: %d, %v\n%s%s", tt.argv, status, err, &out, &errOut)
		}
	}
}
