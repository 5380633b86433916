package scenario

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"dipper/appliance/api"
	"dipper/qemu/lab"
)

// refused is curl's status for a connection that is (curl(1)).
const refused = "7"

// schedulerBench asks the services of the cluster.
type schedulerBench struct {
	ctx context.Context
	d   *lab.Description
	c   *lab.Cluster
}

func (b *schedulerBench) run(t *testing.T, script string, arguments ...any) []string {
	t.Helper()
	out, err := b.c.Peer("client").Run(b.ctx, fmt.Sprintf(script, arguments...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(out)
}

// ask sends n requests, each by a connection of its own.
func (b *schedulerBench) ask(t *testing.T, n int, at string) []string {
	t.Helper()
	return b.run(t, "for _ in $(seq %d); do curl -sS --max-time 60 http://%s/; done", n, at)
}

// askFrom asks once from each of the client's sixteen addresses.
func (b *schedulerBench) askFrom(t *testing.T, at string) []string {
	t.Helper()
	return b.run(t, "for i in $(seq 201 216); do curl -sS --max-time 60 --interface 192.168.4.$i http://%s/; done", at)
}

// hold opens connections that stay open, by their names, and answers the real
// servers that they got.
func (b *schedulerBench) hold(t *testing.T, at string, names ...string) []string {
	t.Helper()
	return b.run(t, "for n in %s; do hold $n %s; done", strings.Join(names, " "), at)
}

// release ends held connections, and waits until the director has seen it.
func (b *schedulerBench) release(t *testing.T, service string, names ...string) {
	t.Helper()
	want := b.active(t, service) - len(names)
	b.run(t, "for n in %s; do kill $(cat /tmp/holder.$n); done", strings.Join(names, " "))
	for b.active(t, service) > want {
		if b.ctx.Err() != nil {
			t.Fatalf("%s: the director still counts the connections that were closed", service)
		}
	}
}

// active counts a service's active connections.
func (b *schedulerBench) active(t *testing.T, service string) int {
	t.Helper()
	n := 0
	for _, rs := range b.service(t, service).RealServers {
		n += int(rs.ActiveConnections)
	}
	return n
}

func (b *schedulerBench) service(t *testing.T, name string) api.Service {
	t.Helper()
	services, err := b.c.Appliance("director").Services(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(services, func(s api.Service) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("the director has no service %s", name)
	}
	return services[i]
}

// change edits the director's configuration while it runs.
func (b *schedulerBench) change(t *testing.T, old, text string) {
	t.Helper()
	director := b.d.Node("director")
	director.Config = replace(t, director.Config, old, text)
	if _, err := b.c.Appliance("director").Apply(b.ctx, director.Config); err != nil {
		t.Fatal(err)
	}
}

// tally counts how often each real server answered.
func tally(answers []string) map[string]int {
	n := make(map[string]int)
	for _, a := range answers {
		n[a]++
	}
	return n
}

func wantTally(t *testing.T, what string, answers []string, web1, web2, web3 int) {
	t.Helper()
	want := map[string]int{"web1": web1, "web2": web2, "web3": web3}
	maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
	if got := tally(answers); !maps.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return all
}

func (b *schedulerBench) destinations(port int) []string {
	var all []string
	for vip := 21; vip <= 24; vip++ {
		all = append(all, fmt.Sprintf("192.168.4.%d:%d", vip, port))
	}
	return all
}

// held opens as many connections as real servers are wanted, and returns their
// names.
func (b *schedulerBench) held(t *testing.T, at, prefix string, want ...string) []string {
	t.Helper()
	held := names(prefix, len(want))
	if got := b.hold(t, at, held...); !slices.Equal(got, want) {
		t.Errorf("%s: connections went to %v, want %v", at, got, want)
	}
	return held
}

// expire closes a connection to web1, and waits until it has no more than so
// many, and those that others closed are forgotten too.
func (b *schedulerBench) expire(t *testing.T, service, name string, left int) {
	t.Helper()
	b.run(t, "kill $(cat /tmp/holder.%s)", name)
	for {
		servers := b.service(t, service).RealServers
		web1 := servers[slices.IndexFunc(servers, func(r api.RealServer) bool { return strings.HasPrefix(r.Address, "192.168.4.101:") })]
		if int(web1.ActiveConnections+web1.InactiveConnections) <= left {
			return
		}
		if b.ctx.Err() != nil {
			t.Fatalf("%s: web1 still has %d connections, and %d inactive ones, want %d", service, web1.ActiveConnections, web1.InactiveConnections, left)
		}
	}
}

func sameKeys(a, b map[string]int) bool {
	return slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
}
