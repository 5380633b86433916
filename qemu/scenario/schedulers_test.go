package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"dipper/appliance/api"
	"dipper/qemu/lab"
)

// schedulerServices has one virtual service per scheduler, each on the port of
// its own, and some whose real server web1 has thresholds. web1, web2 and web3
// have the weights that tell the schedulers apart.
const schedulerServices = `
services:
  rr:    {listen: "192.168.4.15:8001", scheduler: rr,   forward: dr, real-servers: [{address: 192.168.4.101, weight: 1}, {address: 192.168.4.102, weight: 2}, {address: 192.168.4.103, weight: 3}]}
  wrr:   {listen: "192.168.4.15:8002", scheduler: wrr,  forward: dr, real-servers: [{address: 192.168.4.101, weight: 1}, {address: 192.168.4.102, weight: 2}, {address: 192.168.4.103, weight: 3}]}
  lc:    {listen: "192.168.4.15:8003", scheduler: lc,   forward: dr, real-servers: [{address: 192.168.4.101, weight: 1}, {address: 192.168.4.102, weight: 2}, {address: 192.168.4.103, weight: 3}]}
  wlc:   {listen: "192.168.4.15:8004", scheduler: wlc,  forward: dr, real-servers: [{address: 192.168.4.101, weight: 1}, {address: 192.168.4.102, weight: 2}, {address: 192.168.4.103, weight: 3}]}
  sed:   {listen: "192.168.4.15:8005", scheduler: sed,  forward: dr, real-servers: [{address: 192.168.4.101, weight: 1}, {address: 192.168.4.102, weight: 2}, {address: 192.168.4.103, weight: 3}]}
  nq:    {listen: "192.168.4.15:8006", scheduler: nq,   forward: dr, real-servers: [{address: 192.168.4.101, weight: 1}, {address: 192.168.4.102, weight: 1}, {address: 192.168.4.103, weight: 10}]}
  sh:    {listen: "192.168.4.15:8007", scheduler: sh,   forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}, {address: 192.168.4.103}]}
  mh:    {listen: "192.168.4.15:8008", scheduler: mh,   forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}, {address: 192.168.4.103}]}
  fo:    {listen: "192.168.4.15:8009", scheduler: fo,   forward: dr, real-servers: [{address: 192.168.4.101, weight: 1}, {address: 192.168.4.102, weight: 2}, {address: 192.168.4.103, weight: 3}]}
  ovf:   {listen: "192.168.4.15:8010", scheduler: ovf,  forward: dr, real-servers: [{address: 192.168.4.101, weight: 1}, {address: 192.168.4.102, weight: 2}, {address: 192.168.4.103, weight: 3}]}
  few:   {listen: "192.168.4.15:8015", scheduler: fo,   forward: dr, real-servers: [{address: 192.168.4.101, weight: 2, upper-threshold: 4, lower-threshold: 2}, {address: 192.168.4.102, weight: 1}]}
  usual: {listen: "192.168.4.15:8016", scheduler: fo,   forward: dr, real-servers: [{address: 192.168.4.101, weight: 2, upper-threshold: 4}, {address: 192.168.4.102, weight: 1}]}
  one:   {listen: "192.168.4.15:8017", scheduler: fo,   forward: dr, real-servers: [{address: 192.168.4.101, weight: 2, upper-threshold: 1}, {address: 192.168.4.102, weight: 1}]}
  stay:  {listen: "192.168.4.15:8018", scheduler: fo,   forward: dr, persistence: {timeout: 1h}, real-servers: [{address: 192.168.4.101, weight: 2, upper-threshold: 1}, {address: 192.168.4.102, weight: 1}]}
  twos:  {listen: "192.168.4.15:8011", scheduler: twos, forward: dr, real-servers: [{address: 192.168.4.101, weight: 100}, {address: 192.168.4.102, weight: 100}]}
  dh:    {listen: ["192.168.4.21:8012", "192.168.4.22:8012", "192.168.4.23:8012", "192.168.4.24:8012"], scheduler: dh,    forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}, {address: 192.168.4.103}]}
  lblc:  {listen: ["192.168.4.21:8013", "192.168.4.22:8013", "192.168.4.23:8013", "192.168.4.24:8013"], scheduler: lblc,  forward: dr, real-servers: [{address: 192.168.4.101, weight: 2}, {address: 192.168.4.102, weight: 2}, {address: 192.168.4.103, weight: 2}]}
  lblcr: {listen: ["192.168.4.21:8014", "192.168.4.22:8014", "192.168.4.23:8014", "192.168.4.24:8014"], scheduler: lblcr, forward: dr, real-servers: [{address: 192.168.4.101, weight: 2}, {address: 192.168.4.102, weight: 2}, {address: 192.168.4.103, weight: 2}]}
`

// secondDirector has the same mh service at a VIP of its own, its real servers
// written in another order.
const secondDirector = `role: director
hostname: director2
network: {interfaces: {eth0: {addresses: [192.168.4.6/24]}}}
services:
  mh: {listen: "192.168.4.16:8008", scheduler: mh, forward: dr, real-servers: [{address: 192.168.4.103}, {address: 192.168.4.101}, {address: 192.168.4.102}]}
`

// schedulerServer is a real server of all of them, whose page is its name.
func schedulerServer(name string, address int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "role: real-server\nhostname: %s\nnetwork: {interfaces: {eth0: {addresses: [192.168.4.%d/24]}}}\nvirtual-addresses:\n", name, address)
	for _, vip := range []int{15, 16, 21, 22, 23, 24} {
		fmt.Fprintf(&b, "  - {address: 192.168.4.%d, forward: dr}\n", vip)
	}
	b.WriteString("serve:\n")
	for port := 8001; port <= 8018; port++ {
		fmt.Fprintf(&b, "  - {protocol: http, port: %d, body: \"%s\\n\"}\n", port, name)
	}
	return []byte(b.String())
}

// schedulerClient has addresses 192.168.4.201 to .216 to ask from. hold asks
// for the page by a connection that stays open, again every few seconds, since the
// real servers close idle ones, and says who answered.
const schedulerClient = `
ip link set eth0 up
ip addr add 192.168.4.10/24 dev eth0
for i in $(seq 201 216); do ip addr add 192.168.4.$i/24 dev eth0; done
cat > /bin/hold <<'END'
#!/bin/sh
# hold NAME VIP:PORT
while printf 'GET / HTTP/1.1\r\nHost: vip\r\n\r\n'; do sleep 5; done |
    socat -t 1 - TCP4:$2 > /tmp/held.$1 2> /dev/null &
echo $! > /tmp/holder.$1
until tail -n 1 /tmp/held.$1 | grep '^web'; do sleep 0.05; done
END
chmod +x /bin/hold
`

// schedulerCluster is one LAN with three real servers and two directors that
// share no state.
func schedulerCluster() *lab.Description {
	lan := []string{"lan"}
	return &lab.Description{Name: "s6-schedulers", Nodes: []*lab.Node{
		{Name: "client", LANs: lan, Peer: true, Script: schedulerClient},
		{Name: "director", LANs: lan, Config: []byte("role: director\nhostname: director\nnetwork: {interfaces: {eth0: {addresses: [192.168.4.5/24]}}}" + schedulerServices)},
		{Name: "director2", LANs: lan, Config: []byte(secondDirector)},
		{Name: "web1", LANs: lan, Config: schedulerServer("web1", 101)},
		{Name: "web2", LANs: lan, Config: schedulerServer("web2", 102)},
		{Name: "web3", LANs: lan, Config: schedulerServer("web3", 103)},
	}}
}

// TestSchedulers shows each of the kernel's schedulers by traffic whose
// distribution only that scheduler gives.
func TestSchedulers(t *testing.T) {
	t.Parallel()
	d := schedulerCluster()
	c := lab.StartT(t, d)
	b := &schedulerBench{ctx: patience(t), d: d, c: c}
	for _, scheduler := range []struct {
		name string
		show func(*schedulerBench, *testing.T)
	}{
		{"rr takes turns whatever the weights", (*schedulerBench).rr},
		{"wrr serves as the weights say", (*schedulerBench).wrr},
		{"lc picks the least connections", (*schedulerBench).lc},
		{"wlc picks the least connections per weight", (*schedulerBench).wlc},
		{"sed counts the connection to come", (*schedulerBench).sed},
		{"nq serves the idle first, and then as sed", (*schedulerBench).nq},
		{"sh keeps a client at its real server", (*schedulerBench).sh},
		{"sh takes another real server for one that is drained, or refuses", (*schedulerBench).shFlags},
		{"mh does, too", (*schedulerBench).mhFlags},
		{"mh maps alike on two directors, and moves few", (*schedulerBench).mh},
		{"fo serves by the highest weight alone", (*schedulerBench).fo},
		{"ovf fills one before the next", (*schedulerBench).ovf},
		{"twos takes the less loaded of two random ones", (*schedulerBench).twos},
		{"dh keeps a destination at its real server", (*schedulerBench).dh},
		{"lblc gives a destination the least loaded, and keeps it there", (*schedulerBench).lblc},
		{"lblcr gives a busy destination a set", (*schedulerBench).lblcr},
		{"a full real server takes connections again below its lower threshold", (*schedulerBench).thresholds},
	} {
		t.Run(scheduler.name, func(t *testing.T) { scheduler.show(b, t) })
	}
}

func (b *schedulerBench) rr(t *testing.T) {
	answers := b.ask(t, 9, "192.168.4.15:8001")
	wantTally(t, "9 requests", answers, 3, 3, 3)
	if !slices.Equal(answers[:3], answers[3:6]) || !slices.Equal(answers[:3], answers[6:]) {
		t.Errorf("the turns differ: %v", answers)
	}
}

func (b *schedulerBench) wrr(t *testing.T) {
	wantTally(t, "12 requests", b.ask(t, 12, "192.168.4.15:8002"), 2, 4, 6)
}

// lc and wlc: who lost a connection gets the next one, in an order that no
// scheduler that takes turns would have. A closed connection counts as inactive,
// which weighs 1/256 of an active one (ip_vs.h, ip_vs_dest_conn_overhead).
func (b *schedulerBench) lc(t *testing.T) {
	b.refills(t, "lc", "192.168.4.15:8003", 3, [3]int{1, 1, 1})
}

func (b *schedulerBench) wlc(t *testing.T) {
	b.refills(t, "wlc", "192.168.4.15:8004", 6, [3]int{1, 2, 3})
}

// refills holds n connections, of which each real server must get its share,
// and then closes one connection at a time.
func (b *schedulerBench) refills(t *testing.T, service, at string, n int, share [3]int) {
	t.Helper()
	held := names(service, n)
	servers := b.hold(t, at, held...)
	wantTally(t, fmt.Sprintf("%d held connections", n), servers, share[0], share[1], share[2])
	for round, lost := range []string{"web2", "web1", "web1", "web3", "web1"} {
		i := slices.Index(servers, lost)
		if i < 0 {
			t.Fatalf("round %d: %s has no connection to lose: %v", round, lost, servers)
		}
		b.release(t, service, held[i])
		held[i] = fmt.Sprintf("%s-again%d", service, round)
		servers[i] = b.hold(t, at, held[i])[0]
		if servers[i] != lost {
			t.Errorf("round %d: %s lost a connection and %s got the next one", round, lost, servers[i])
		}
	}
	b.release(t, service, held...)
}

// sed: with weights 1:2:3, (active+1)/weight is 1, 1/2, 1/3: web1 stays idle
// for the first three, where wlc and nq would give it one.
func (b *schedulerBench) sed(t *testing.T) {
	held := names("sed", 3)
	wantTally(t, "3 held connections", b.hold(t, "192.168.4.15:8005", held...), 0, 1, 2)
	b.release(t, "sed", held...)
}

// nq: with weights 1:1:10, the first three go to idle real servers; as long as
// (active+1)/10 is below 2/1, all others go to web3: until it has 13, say. wlc
// would think again at 10.
func (b *schedulerBench) nq(t *testing.T) {
	first, more := names("nq-first", 3), names("nq-more", 12)
	wantTally(t, "the first 3 held connections", b.hold(t, "192.168.4.15:8006", first...), 1, 1, 1)
	wantTally(t, "12 more", b.hold(t, "192.168.4.15:8006", more...), 0, 0, 12)
	b.release(t, "nq", slices.Concat(first, more)...)
}

func (b *schedulerBench) sh(t *testing.T) {
	once, again := b.askFrom(t, "192.168.4.15:8007"), b.askFrom(t, "192.168.4.15:8007")
	if !slices.Equal(once, again) {
		t.Errorf("clients were moved: %v, then %v", once, again)
	}
	if len(tally(once)) < 2 {
		t.Errorf("sixteen clients share one real server: %v", once)
	}
}

func (b *schedulerBench) shFlags(t *testing.T) { b.flags(t, "sh", "192.168.4.15:8007") }
func (b *schedulerBench) mhFlags(t *testing.T) { b.flags(t, "mh", "192.168.4.15:8008") }

// flags: the clients of a drained real server are served by others, by the flag
// fallback, which is the default, and refused without it; others stay. By the
// flag port, one client is at several.
func (b *schedulerBench) flags(t *testing.T, scheduler, at string) {
	t.Helper()
	verb := func(v api.Verb) {
		t.Helper()
		if _, err := b.c.Appliance("director").SetServer(b.ctx, api.ServerVerb{Service: scheduler, Server: "192.168.4.101", Verb: v}); err != nil {
			t.Fatal(err)
		}
	}
	given := fmt.Sprintf("scheduler: %s,   forward", scheduler)
	ask := func() []string {
		t.Helper()
		return b.run(t, "for i in $(seq 201 208); do curl -sS --max-time 60 --interface 192.168.4.$i http://%s/ || echo $?; done", at)
	}
	before := ask()
	if !slices.Contains(before, "web1") {
		t.Fatalf("none of eight clients is at web1: %v", before)
	}
	verb(api.Drain)
	for i, now := range ask() {
		if now == "web1" || before[i] != "web1" && now != before[i] {
			t.Errorf("web1 was drained, and client %d went from %s to %s", i, before[i], now)
		}
	}
	b.change(t, given, fmt.Sprintf("scheduler: %s, scheduler-flags: [],   forward", scheduler))
	for i, now := range ask() {
		if want := strings.Replace(before[i], "web1", refused, 1); now != want {
			t.Errorf("without fallback, client %d got %s, want %s", i, now, want)
		}
	}
	verb(api.Enable)
	b.change(t, "scheduler-flags: [],   forward", "scheduler-flags: [port],   forward")
	if n := tally(b.ask(t, 12, at)); len(n) < 2 {
		t.Errorf("with port, twelve connections of one client went to %v", n)
	}
	b.change(t, fmt.Sprintf("scheduler: %s, scheduler-flags: [port],   forward", scheduler), given)
}

func (b *schedulerBench) mh(t *testing.T) {
	here, there := b.askFrom(t, "192.168.4.15:8008"), b.askFrom(t, "192.168.4.16:8008")
	if !slices.Equal(here, there) {
		t.Errorf("two directors map differently: %v and %v", here, there)
	}
	if n := tally(here); len(n) < 3 {
		t.Errorf("sixteen clients on three real servers: %v", n)
	}
	const all = "scheduler: mh,   forward: dr, real-servers: [{address: 192.168.4.101}, {address: 192.168.4.102}, {address: 192.168.4.103}]"
	b.change(t, all, strings.Replace(all, ", {address: 192.168.4.103}", "", 1))
	moved := 0
	for i, server := range b.askFrom(t, "192.168.4.15:8008") {
		if server == "web3" {
			t.Errorf("client %d is still served by web3, which left", i)
		}
		if here[i] != "web3" && here[i] != server {
			moved++
		}
	}
	// Hashing modulo the number of real servers would move half of them.
	if moved > 3 {
		t.Errorf("%d of 16 clients were moved though their real server stayed", moved)
	}
}

func (b *schedulerBench) fo(t *testing.T) {
	wantTally(t, "6 requests", b.ask(t, 6, "192.168.4.15:8009"), 0, 0, 6)
	const servers = "scheduler: fo,   forward: dr, real-servers: [{address: 192.168.4.101, weight: 1}, {address: 192.168.4.102, weight: 2}, {address: 192.168.4.103, weight: 3}]"
	b.change(t, servers, strings.Replace(servers, "weight: 3", "weight: 0", 1))
	wantTally(t, "6 requests after web3 was drained", b.ask(t, 6, "192.168.4.15:8009"), 0, 6, 0)
}

// ovf: a real server takes connections until it has more than its weight of
// them (ip_vs_ovf.c), which is one above what its documentation says.
func (b *schedulerBench) ovf(t *testing.T) {
	held := names("ovf", 9)
	servers := b.hold(t, "192.168.4.15:8010", held...)
	if want := strings.Fields("web3 web3 web3 web3 web2 web2 web2 web1 web1"); !slices.Equal(servers, want) {
		t.Errorf("9 held connections went to %v, want %v", servers, want)
	}
	b.release(t, "ovf", held...)
}

// twos: of two real servers, one that is loaded is taken only when both random
// choices fall on it: for a quarter of the connections, 25 of 100 with a
// standard deviation of 4.3. lc would never take it, rr for half of them. Each
// choice is a random number from 0 to the sum of the weights (ip_vs_twos.c): of
// two weights of 1, two of the three numbers are the first real server's.
func (b *schedulerBench) twos(t *testing.T) {
	held := names("twos", 12)
	servers := b.hold(t, "192.168.4.15:8011", held...)
	var loaded, others []string
	for i, server := range servers {
		if server == "web1" {
			loaded = append(loaded, held[i])
		} else {
			others = append(others, held[i])
		}
	}
	if len(loaded) == 0 || len(others) == 0 {
		t.Fatalf("12 held connections went to %v", servers)
	}
	b.release(t, "twos", others...)
	if n := tally(b.ask(t, 100, "192.168.4.15:8011"))["web1"]; n < 6 || n > 44 {
		t.Errorf("the loaded real server got %d of 100 requests, want about 25", n)
	}
	b.release(t, "twos", loaded...)
}

func (b *schedulerBench) dh(t *testing.T) {
	served := make(map[string]bool)
	for _, at := range b.destinations(8012) {
		n := tally(b.askFrom(t, at))
		if len(n) != 1 {
			t.Errorf("%s is served by %v, want one real server", at, n)
		}
		for server := range n {
			served[server] = true
		}
	}
	if len(served) < 2 {
		t.Errorf("four destinations share one real server: %v", served)
	}
}

// lblc: each of three destinations that are in use got the real server that
// was least loaded when it came, which is another one each; there it stays.
func (b *schedulerBench) lblc(t *testing.T) {
	var held, servers []string
	for i, at := range b.destinations(8013)[:3] {
		held = append(held, fmt.Sprintf("lblc%d", i))
		servers = append(servers, b.hold(t, at, held[i])...)
	}
	wantTally(t, "three destinations", servers, 1, 1, 1)
	for i, at := range b.destinations(8013)[:3] {
		if n := tally(b.ask(t, 3, at)); n[servers[i]] != 3 {
			t.Errorf("%s was given %s and is served by %v", at, servers[i], n)
		}
	}
	b.release(t, "lblc", held...)
}

// lblcr: a destination whose real server holds more than its weight while
// another is idle gets that one too, and then both serve it: when the first is
// less loaded again, it is taken, where lblc would stay with the second.
func (b *schedulerBench) lblcr(t *testing.T) {
	at := b.destinations(8014)[0]
	first, second := names("lblcr-first", 3), names("lblcr-second", 2)
	before, after := tally(b.hold(t, at, first...)), tally(b.hold(t, at, second...))
	if len(before) != 1 || len(after) != 1 || maps.Equal(before, after) {
		t.Fatalf("three connections went to %v, two more to %v: want one real server and then another", before, after)
	}
	b.release(t, "lblcr", first...)
	if next := tally(b.ask(t, 1, at)); !sameKeys(next, before) {
		t.Errorf("the set's less loaded real server is %v, and %v served", before, next)
	}
	b.release(t, "lblcr", second...)
}

// thresholds: fo gives every connection to web1, unless that is full. It is so
// from its upper threshold on, and until it has less than the lower one, which
// is three quarters of the upper one where none is given (ip_vs_ctl.c,
// __ip_vs_dest_update_overload). A persistent client stays with a full one.
func (b *schedulerBench) thresholds(t *testing.T) {
	b.held(t, "192.168.4.15:8018", "stay", "web1")
	if got := b.askFrom(t, "192.168.4.15:8018"); !maps.Equal(tally(got), map[string]int{"web2": 16}) {
		t.Errorf("other clients of a full real server were answered by %v", tally(got))
	}
	b.held(t, "192.168.4.15:8018", "stay-again", "web1")
	b.release(t, "one", b.held(t, "192.168.4.15:8017", "one", "web1")...)
	if got := b.ask(t, 1, "192.168.4.15:8017")[0]; got != "web2" {
		t.Errorf("%s answered while web1 had a connection that was closed and had not expired", got)
	}
	b.change(t, "services:\n", "ipvs: {timeouts: {tcp-fin: 1s}}\nservices:\n")
	for _, service := range []struct {
		name, at string
		lower    int
	}{{"few", "192.168.4.15:8015", 2}, {"usual", "192.168.4.15:8016", 3}} {
		held := b.held(t, service.at, service.name, "web1", "web1", "web1", "web1", "web2")
		for left := 3; left >= service.lower; left-- {
			b.expire(t, service.name, held[left], left)
			b.held(t, service.at, fmt.Sprint(service.name, "-beside", left), "web2")
		}
		b.expire(t, service.name, held[service.lower-1], service.lower-1)
		b.held(t, service.at, service.name+"-again", slices.Concat(slices.Repeat([]string{"web1"}, 5-service.lower), []string{"web2"})...)
	}
}
