package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dipper/appliance/api"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// mostSlower is how many times longer an edit may take, or another session's
// command, while the shell is as busy as people can make it. Without a bound on
// what sessions do at once the control plane was so slow that it was taken for
// dead.
const mostSlower = 30

// TestBusyShell has twenty sessions print a table of 10,000 services again and
// again, and five complete values as fast as they can. A weight is changed all
// the while, and another session gets its answers; how much later, is measured in
// the same guest.
func TestBusyShell(t *testing.T) {
	t.Parallel()
	v := newBusyVictim(t)
	v.joe.must("ipvsadm -R", manyRules())
	appliance := pidOf(v.joe.ctx, t, v.cluster, "director", "appliance")
	shell := v.process()

	const rounds = 5
	edit, answer := v.timed(rounds)
	v.run(`
for i in $(seq 20); do
	(yes 'show services' | ssh ` + sshOptions + ` admin@192.168.4.5 2>&1 | awk '/:1999 / { print; fflush() }' >> /tmp/shown; touch /tmp/ended) > /dev/null 2>&1 &
done
for i in $(seq 5); do
	(while :; do printf 'show service tcp-192\t\025'; done | TERM=vt100 ssh -tt ` + sshOptions + ` admin@192.168.4.5) > /dev/null 2>&1 &
done
until [ -s /tmp/shown ]; do [ ! -e /tmp/ended ] || exit 1; sleep 0.2; done`)
	busyEdit, busyAnswer := v.timed(rounds)
	v.run(`until [ "$(wc -l < /tmp/shown)" -ge 3 ]; do [ ! -e /tmp/ended ] || exit 1; sleep 0.2; done`)
	t.Logf("an edit takes %v, and %v beside a busy shell; a session's answer %v, and %v", edit, busyEdit, answer, busyAnswer)
	t.Logf("the shell has had %d KiB, %d before", v.process().memory>>10, shell.memory>>10)
	if busyEdit > mostSlower*edit || busyAnswer > mostSlower*answer {
		t.Errorf("others are slowed more than %d times", mostSlower)
	}
	if now := pidOf(v.joe.ctx, t, v.cluster, "director", "appliance"); now != appliance {
		t.Errorf("the control plane was restarted: process %d is %d now", appliance, now)
	}
	if now := v.process(); now.pid != shell.pid {
		t.Errorf("the shell was restarted: process %d is %d now", shell.pid, now.pid)
	}
}

// newBusyVictim is a director with room for many services and sessions.
func newBusyVictim(t *testing.T) *victim {
	t.Helper()
	key := newKey(t)
	d := &lab.Description{Name: "busy", Nodes: []*lab.Node{
		{Name: "client", LANs: []string{"outside"}, Peer: true, Script: "ip link set eth0 up\nip addr add 192.168.4.10/24 dev eth0\n"},
		{Name: "director", LANs: []string{"outside"}, Config: fmt.Appendf(nil, `role: director
hostname: lb1
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24]}
management:
  ssh:
    handshake-timeout: 10m
    max-per-address: 64
    max-per-minute: 1000
    users:
      admin: {role: admin, keys: [%q]}
`, readText(t, key+".pub")), Change: func(m *machine.Config) error {
			m.Memory = 256
			return nil
		}},
	}}
	c := lab.StartT(t, d)
	return &victim{t: t, cluster: c, joe: sit(patience(t), t, c, readText(t, key))}
}

// manyRules are 10,000 services with a real server each.
func manyRules() string {
	var rules strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&rules, "-A -t 192.168.4.15:%d -s wrr\n-a -t 192.168.4.15:%[1]d -r 10.1.%d.%d:80 -m -w 1\n", 1000+i, i/250, i%250+1)
	}
	return rules.String()
}

// run runs a script at the client.
func (v *victim) run(script string) string {
	v.t.Helper()
	out, err := v.cluster.Peer("client").Run(v.joe.ctx, script)
	if err != nil {
		v.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// timed gives the median of what an edit takes, and of what a session's answer
// takes from its login on, by the director's clock.
func (v *victim) timed(rounds int) (edit, answer time.Duration) {
	v.t.Helper()
	var edits, answers []time.Duration
	for i := range rounds {
		edits = append(edits, v.takes(func(ctx context.Context, director api.Operator) {
			if _, err := director.SetServer(ctx, api.ServerVerb{Server: "10.1.3.7:80", Verb: api.Weigh, Weight: 2 + i}); err != nil {
				v.t.Fatal(err)
			}
		}))
		answers = append(answers, v.takes(func(context.Context, api.Operator) { v.joe.must("show version", "") }))
	}
	slices.Sort(edits)
	slices.Sort(answers)
	return edits[rounds/2], answers[rounds/2]
}

func (v *victim) takes(do func(context.Context, api.Operator)) time.Duration {
	v.t.Helper()
	director := v.cluster.Appliance("director")
	clock := func() time.Duration {
		status, err := director.Status(v.joe.ctx)
		if err != nil {
			v.t.Fatal(err)
		}
		return time.Duration(status.Uptime)
	}
	began := clock()
	do(v.joe.ctx, director)
	return clock() - began
}
