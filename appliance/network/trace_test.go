package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// traced writes a trace as text: who answered the probes of each hop.
func traced(t *testing.T, to string, o TraceOptions) string {
	t.Helper()
	var b strings.Builder
	err := Trace(t.Context(), netip.MustParseAddr(to), o, func(h Hop) error {
		fmt.Fprintf(&b, "%d", h.Limit)
		for _, p := range h.Probes {
			switch {
			case !p.From.IsValid():
				b.WriteString(" *")
			case p.Took <= 0:
				t.Errorf("hop %d took %s", h.Limit, p.Took)
			default:
				fmt.Fprintf(&b, " %s", p.From)
			}
			if p.Refused != nil {
				fmt.Fprintf(&b, " (%v)", p.Refused)
			}
		}
		fmt.Fprintf(&b, " %v\n", h.Arrived())
		return nil
	})
	if err != nil {
		t.Errorf("to %s: %v", to, err)
	}
	return b.String()
}

// TestTrace goes through a router to a machine behind it.
func TestTrace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	tool(t, "ip", "iproute2")
	router, far := newNeighbour(t, "wan0"), newNeighbour(t, "unused")
	router.run("ip link add far0 type veth peer name near0 netns " + far.pid)
	for _, line := range []string{
		"ip addr add 10.0.1.2/24 dev peer", "ip addr add 10.0.2.1/24 dev far0",
		"ip addr add fd00:1::2/64 dev peer nodad", "ip addr add fd00:2::1/64 dev far0 nodad",
		"ip link set far0 up", "ip route add unreachable 10.0.3.0/24", "ip route add blackhole 10.0.4.0/24",
		"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 net.ipv4.icmp_msgs_per_sec=10000",
	} {
		router.run(line)
	}
	for _, line := range []string{
		"ip addr add 10.0.2.9/24 dev near0", "ip addr add fd00:2::9/64 dev near0 nodad", "ip link set near0 up",
		"ip route add default via 10.0.2.1", "ip -6 route add default via fd00:2::1",
		"sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0",
	} {
		far.run(line)
	}
	for _, line := range []string{
		"ip link set lo up", "ip addr add 10.0.1.1/24 dev wan0", "ip addr add fd00:1::1/64 dev wan0 nodad", "ip link set wan0 up",
		"ip route add default via 10.0.1.2", "ip -6 route add default via fd00:1::2",
	} {
		run(t, line)
	}
	patient := TraceOptions{Hops: 4, Wait: 30 * time.Second}
	for to, want := range map[string]string{
		"10.0.1.2":  "1 10.0.1.2 10.0.1.2 10.0.1.2 true\n",
		"10.0.2.9":  "1 10.0.1.2 10.0.1.2 10.0.1.2 false\n2 10.0.2.9 10.0.2.9 10.0.2.9 true\n",
		"fd00:2::9": "1 fd00:1::2 fd00:1::2 fd00:1::2 false\n2 fd00:2::9 fd00:2::9 fd00:2::9 true\n",
	} {
		if got := traced(t, to, patient); got != want {
			t.Errorf("to %s:\n%swant\n%s", to, got, want)
		}
	}
	// The router says so to whom it has said little before (net/ipv4/route.c,
	// ip_error), and then the trace ends.
	if got := traced(t, "10.0.3.9", TraceOptions{Hops: 30, Wait: time.Second}); !strings.Contains(got, "10.0.1.2 (no route to host)") || strings.Count(got, "\n") == 30 {
		t.Errorf("to a network that the router does not reach:\n%s", got)
	}
	// Of what is swallowed nobody hears, and the trace ends all the same.
	if got, want := traced(t, "10.0.4.9", TraceOptions{Hops: 2, Wait: 50 * time.Millisecond}), "1 * * * false\n2 * * * false\n"; got != want {
		t.Errorf("into a black hole:\n%swant\n%s", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Trace(ctx, netip.MustParseAddr("10.0.4.9"), patient, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("when nobody wants it any more: %v", err)
	}
	run(t, "ip route del default")
	if err := Trace(t.Context(), netip.MustParseAddr("10.0.2.9"), patient, nil); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("without a route: %v", err)
	}
}
