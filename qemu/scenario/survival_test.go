package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// traffic is a connection through the VIP that carries data both ways for as
// long as a test does something to the director.
type traffic struct {
	ended chan error
	stop  func(context.Context) error
}

// startTraffic returns once the first bytes came back.
func (s Scenario) startTraffic(ctx context.Context, t *testing.T, c *lab.Cluster) *traffic {
	t.Helper()
	client := c.Peer("client")
	tr := &traffic{ended: make(chan error, 1)}
	go func() {
		_, err := client.Run(ctx, fmt.Sprintf(`
while [ ! -e /tmp/enough ]; do head -c 5000 /dev/urandom; sleep 0.1; done | tee /tmp/sent |
    timeout 3600 socat -t 120 - TCP:%s > /tmp/received
cmp /tmp/sent /tmp/received`, netip.AddrPortFrom(s.VIP, echoPort)))
		tr.ended <- err
	}()
	tr.stop = func(ctx context.Context) error {
		_, err := client.Run(ctx, "touch /tmp/enough")
		return err
	}
	if _, err := client.Run(ctx, "while [ ! -s /tmp/received ]; do sleep 0.1; done"); err != nil {
		t.Fatal(err)
	}
	return tr
}

// finish ends the traffic and wants every byte back that was sent.
func (tr *traffic) finish(ctx context.Context, t *testing.T) {
	t.Helper()
	if err := tr.stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-tr.ended; err != nil {
		t.Errorf("the connection through the VIP did not survive: %v", err)
	}
}

// signal sends a signal to a process of an appliance. The control plane, which
// passes it on, may not live to say that it did: then its successor says whether
// the process is gone, and if not, what was asked for had not begun.
func signal(ctx context.Context, t *testing.T, c *lab.Cluster, name, signal string, pid int) {
	t.Helper()
	const answerPatience = 5 * time.Second
	for ctx.Err() == nil {
		asked, cancel := context.WithTimeout(ctx, answerPatience)
		result, err := c.Appliance(name).Run(asked, "kill", signal, strconv.Itoa(pid))
		cancel()
		if err == nil && result.Exit != 0 {
			t.Fatalf("kill %s %d: %s", signal, pid, result.Stderr)
		}
		if err == nil || !lives(ctx, t, c, name, pid) {
			return
		}
	}
}

func lives(ctx context.Context, t *testing.T, c *lab.Cluster, name string, pid int) bool {
	t.Helper()
	if _, err := c.AwaitState(ctx, name, api.Serving); err != nil {
		t.Fatal(err)
	}
	result, err := c.Appliance(name).Run(ctx, "cat", fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return result.Exit == 0 // u-root's ls ends with 0 where nothing is, and says so where it would list it
}

// awaitSuccessor waits until another process than pid serves.
func awaitSuccessor(ctx context.Context, t *testing.T, c *lab.Cluster, name string, pid int) api.Status {
	t.Helper()
	for {
		status, err := c.AwaitState(ctx, name, api.Serving)
		if err != nil {
			t.Fatal(err)
		}
		if status.PID != pid {
			return status
		}
	}
}

// TestControlPlaneKilledUnderTraffic kills the director's control plane ten
// times: no connection notices, and no successor edits anything in the kernel.
func TestControlPlaneKilledUnderTraffic(t *testing.T) {
	for _, example := range []string{"s1-nat", "s2-dr-v6", "s3-tun"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			s := find(t, example)
			d := s.load(t)
			extend(t, d)
			c := lab.StartT(t, d)
			ctx := patience(t)
			status, err := c.AwaitState(ctx, "director", api.Serving)
			if err != nil {
				t.Fatal(err)
			}
			tr := s.startTraffic(ctx, t, c)
			for range 10 {
				signal(ctx, t, c, "director", "-9", status.PID)
				status = awaitSuccessor(ctx, t, c, "director", status.PID)
				if status.Edits != 0 {
					t.Errorf("the successor made %d edits of an unchanged kernel", status.Edits)
				}
			}
			tr.finish(ctx, t)
			expectNoReset(t, c)
		})
	}
}

// expectNoReset reads the captures: no TCP connection was refused or reset.
func expectNoReset(t *testing.T, c *lab.Cluster) {
	t.Helper()
	packets, err := packetsSince(c, map[string]int{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		if tcp := p.tcp(); tcp != nil && tcp.RST {
			t.Errorf("a reset from %s: %v", p.From, p)
			return
		}
	}
}

// TestOtherProcessesKilledUnderTraffic kills what else runs: the director's
// console, and each real server's control plane, whose responder has new
// connections back at once, and keeps none of the old.
func TestOtherProcessesKilledUnderTraffic(t *testing.T) {
	t.Parallel()
	s := find(t, "s2-dr")
	d := s.load(t)
	extend(t, d)
	c := lab.StartT(t, d)
	ctx := patience(t)
	tr := s.startTraffic(ctx, t, c)
	shell := pidOf(ctx, t, c, "director", "shell")
	signal(ctx, t, c, "director", "-9", shell)
	for pidOf(ctx, t, c, "director", "shell") == shell {
		if ctx.Err() != nil {
			t.Fatal("the console is not started again")
		}
	}
	tr.finish(ctx, t)

	for _, server := range s.Servers {
		status, err := c.AwaitState(ctx, server.Name, api.Serving)
		if err != nil {
			t.Fatal(err)
		}
		signal(ctx, t, c, server.Name, "-9", status.PID)
		status = awaitSuccessor(ctx, t, c, server.Name, status.PID)
		if status.Edits != 0 {
			t.Errorf("%s: the successor made %d edits of an unchanged kernel", server.Name, status.Edits)
		}
	}
	s.holds(ctx, t, c)
}

// pidOf finds a process by its name; 0 if there is none.
func pidOf(ctx context.Context, t *testing.T, c *lab.Cluster, machine, name string) int {
	t.Helper()
	result, err := c.Appliance(machine).Run(ctx, "pidof", name)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(firstWord(result.Stdout))
	if err != nil && result.Exit == 0 {
		t.Fatalf("pidof %s: %q", name, result.Stdout)
	}
	return pid
}

// TestFrozenControlPlane stops the director's control plane without ending it:
// init notices, replaces it, and no connection is harmed.
func TestFrozenControlPlane(t *testing.T) {
	t.Parallel()
	s := find(t, "s2-dr")
	d := s.load(t)
	extend(t, d)
	c := lab.StartT(t, d)
	ctx := patience(t)
	status, err := c.AwaitState(ctx, "director", api.Serving)
	if err != nil {
		t.Fatal(err)
	}
	tr := s.startTraffic(ctx, t, c)
	signal(ctx, t, c, "director", "-19", status.PID) // SIGSTOP
	awaitSuccessor(ctx, t, c, "director", status.PID)
	tr.finish(ctx, t)
	expectNoReset(t, c)
}

// alone is one appliance of an example, in a LAN of its own.
func alone(t *testing.T, example, name string) *lab.Description {
	t.Helper()
	d := find(t, example).load(t)
	n := d.Node(name)
	return &lab.Description{Name: d.Name + "-" + name, Nodes: []*lab.Node{n}}
}

func ends(reason string) func(machine.Event) bool {
	return func(e machine.Event) bool { return e.Name == "SHUTDOWN" && e.Data["reason"] == reason }
}

// TestOrderlyEnds ends a machine in every orderly way. It withdraws its VIP
// before anything else, and goes down by itself.
func TestOrderlyEnds(t *testing.T) {
	for _, test := range []struct {
		name, reason string // as QEMU's event says
		says         string // the kernel's last words
		end          func(context.Context, *lab.Cluster) error
	}{
		{"power button", "guest-shutdown", "reboot: Power down", func(ctx context.Context, c *lab.Cluster) error {
			return c.Machine("director").PowerButton(ctx)
		}},
		{"ctrl-alt-del", "guest-reset", "reboot: Restarting system", func(ctx context.Context, c *lab.Cluster) error {
			return c.Machine("director").CtrlAltDel(ctx)
		}},
		{"power off by the control socket", "guest-shutdown", "reboot: Power down", func(ctx context.Context, c *lab.Cluster) error {
			return c.Appliance("director").End(ctx, api.PowerOff)
		}},
		{"reboot by the control socket", "guest-reset", "reboot: Restarting system", func(ctx context.Context, c *lab.Cluster) error {
			return c.Appliance("director").End(ctx, api.Reboot)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := lab.StartT(t, alone(t, "s2-dr", "director"))
			ctx := patience(t)
			if err := test.end(ctx, c); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Machine("director").Await(ctx, ends(test.reason)); err != nil {
				t.Fatal(err)
			}
			vip := regexp.QuoteMeta(find(t, "s2-dr").VIP.String())
			order := regexp.MustCompile(`(?s)withdraw: ip addr del ` + vip + `/32 dev eth0.*` + test.says)
			if _, err := c.Machine("director").Console().Expect(ctx, order); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPowerButtonWhileItBoots presses it as soon as anybody answers at all,
// which is before PID 1 listens to it: the kernel has counted the press.
func TestPowerButtonWhileItBoots(t *testing.T) {
	t.Parallel()
	d := alone(t, "s2-dr", "director")
	d.Nodes[0].Ready = []api.State{api.Booting, api.Applying, api.Serving}
	c := lab.StartT(t, d)
	ctx := patience(t)
	if err := c.Machine("director").PowerButton(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Machine("director").Await(ctx, ends("guest-shutdown")); err != nil {
		t.Fatal(err)
	}
}

// TestWatchdogBites hangs init itself: by freezing it with the kernel's control
// groups, as a bug of the kernel or of init would. The hardware resets the
// machine.
func TestWatchdogBites(t *testing.T) {
	t.Parallel()
	d := alone(t, "s2-dr", "director")
	d.Node("director").Change = func(m *machine.Config) error {
		m.Watchdog = true
		return nil
	}
	c := lab.StartT(t, d)
	ctx := patience(t)
	director := c.Appliance("director")
	const group = "/sys/fs/cgroup/hung"
	for _, argv := range [][]string{
		{"mkdir", group},
		// There is no shell to write a 1 with, but files that hold one: the
		// process, which is init, and then what is to become of it.
		{"dd", "if=/proc/sys/net/ipv4/conf/default/secure_redirects", "of=" + group + "/cgroup.procs"},
		{"dd", "if=/proc/sys/net/ipv4/conf/default/secure_redirects", "of=" + group + "/cgroup.freeze"},
	} {
		result, err := director.Run(ctx, argv...)
		if err != nil || result.Exit != 0 {
			t.Fatalf("%q: %v, %+v", argv, err, result)
		}
	}
	event, err := c.Machine("director").Await(ctx, func(e machine.Event) bool { return e.Name == "WATCHDOG" })
	if err != nil {
		t.Fatal(err)
	}
	if event.Data["action"] != "reset" {
		t.Errorf("the watchdog did %v, want a reset", event.Data["action"])
	}
}

// TestSmallMachine serves from a director with 128 MiB, and has some to spare.
func TestSmallMachine(t *testing.T) {
	t.Parallel()
	s := find(t, "s2-dr")
	d := s.load(t)
	d.Node("director").Change = func(m *machine.Config) error {
		m.Memory = 128
		return nil
	}
	c := lab.StartT(t, d)
	ctx := patience(t)
	s.holds(ctx, t, c)
	meminfo, err := c.Appliance("director").Run(ctx, "cat", "/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("after traffic:\n%.90s", meminfo.Stdout)
	t.Run("a table larger than its memory", func(t *testing.T) {
		b := &tableBench{s, ctx, c.Appliance("director")}
		b.refused(t, d.Node("director").Config)
		n := b.accepted(t, d.Node("director").Config)
		s.holds(ctx, t, c)
		b.replaced(t, d.Node("director").Config, n)
	})
	if strings.Contains(c.Machine("director").Console().Output(), "Out of memory") {
		t.Error("the kernel killed a process for want of memory")
	}
}

// tableBench gives a director tables of a large service.
type tableBench struct {
	s        Scenario
	ctx      context.Context
	director *api.Client
}

// servers are so many lines of real servers, each of them made by a format from
// the last three bytes of an address.
func servers(n int, format string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, format, i>>16&0xff, i>>8&0xff, i&0xff)
	}
	return b.String()
}

// large adds a service with so many real servers to a configuration, and a way
// to them.
func (b *tableBench) large(t *testing.T, yaml []byte, n int) []byte {
	t.Helper()
	yaml = replace(t, yaml, "network:\n", fmt.Sprintf("network:\n  routes: [{to: 10.0.0.0/8, via: %s}]\n", b.s.Servers[0].RIP))
	return fmt.Appendf(yaml, "\n  large:\n    listen: \"%s\"\n    forward: tun\n    real-servers:\n%s",
		netip.AddrPortFrom(b.s.VIP, 9000), servers(n, "      - {address: 10.%d.%d.%d, weight: 100}\n"))
}

// rules are the kernel's table, and which process looks after it.
func (b *tableBench) rules(t *testing.T) string {
	t.Helper()
	status, err := b.director.Status(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var rules, errOut strings.Builder
	if exit, err := b.director.Program(b.ctx, []string{"ipvsadm", "-Sn"}, strings.NewReader(""), &rules, &errOut); err != nil || exit != 0 {
		t.Fatalf("status %d, %v: %s", exit, err, errOut.String())
	}
	return fmt.Sprintf("%s by process %d:\n%s", status.State, status.PID, rules.String())
}

// refused: more real servers than any memory of this size holds, in either
// language.
func (b *tableBench) refused(t *testing.T, yaml []byte) {
	t.Helper()
	const far = 80_000
	before := b.rules(t)
	_, err := b.director.Apply(b.ctx, b.large(t, yaml, far))
	var no *api.Error
	if !errors.As(err, &no) || len(no.Details) != 1 || !regexp.MustCompile(`^control socket:1:1: the table needs about [0-9]+ MiB of memory, and [0-9]+ MiB are free: expected fewer services and real servers, or a machine with more memory`).MatchString(no.Details[0]) {
		t.Errorf("the configuration: got %.1000v", err)
	}
	var out, errOut strings.Builder
	service := netip.AddrPortFrom(b.s.VIP, 9000).String()
	in := strings.NewReader("-A -t " + service + "\n" + servers(far, "-a -t "+service+" -r 10.%d.%d.%d -i -w 100\n"))
	_, err = b.director.Program(b.ctx, []string{"ipvsadm", "-R"}, in, &out, &errOut)
	if err == nil || !regexp.MustCompile(`ipvsadm -R: more than [0-9]+ bytes of rules; nothing was changed: a table of them does not fit [0-9]+ MiB of free memory`).MatchString(err.Error()) {
		t.Errorf("the rules: got %.1000v, %.1000s", err, errOut.String())
	}
	if after := b.rules(t); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

// accepted: nearly as many as there is room for, which then do fit.
func (b *tableBench) accepted(t *testing.T, yaml []byte) (servers int) {
	t.Helper()
	free := func() uint64 {
		t.Helper()
		system, err := b.director.System(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return system.MemoryFree
	}
	n, before := 1000, free()
	for config.MemoryFor(len(b.large(t, yaml, n+500))) < before*9/10 {
		n += 500
	}
	process, _, _ := strings.Cut(b.rules(t), "\n")
	if _, err := b.director.Apply(b.ctx, b.large(t, yaml, n)); err != nil {
		t.Fatalf("%d real servers, %d KiB free: %.1000v", n, before>>10, err)
	}
	t.Logf("%d real servers: %d KiB of memory were free before, %d KiB are after", n, before>>10, free()>>10)
	rules := b.rules(t)
	if got := strings.Count(rules, "\n-a "); !strings.HasPrefix(rules, process) || got != n+len(b.s.Servers) {
		t.Errorf("before, %s\n%d real servers are in the table, want %d:\n%.500s", process, got, n+len(b.s.Servers), rules)
	}
	return n
}

// replaced: another table as large as the one that nearly fills the machine, with
// none of its real servers, of which the kernel has both for a moment. Who
// says that there is no room to read it leaves all as it is, and one entry can
// still be edited; who takes it has all of it. The control plane lives either way.
func (b *tableBench) replaced(t *testing.T, yaml []byte, n int) {
	t.Helper()
	before := b.rules(t)
	process, _, _ := strings.Cut(before, "\n")
	next, first := bytes.ReplaceAll(b.large(t, yaml, n), []byte("address: 10.0."), []byte("address: 10.1.")), "10.0.0.1"
	_, err := b.director.Apply(b.ctx, next)
	switch after := b.rules(t); {
	case err == nil:
		t.Logf("another of %d real servers takes its place", n)
		first = "10.1.0.1"
		if got := strings.Count(after, " -r 10.1."); !strings.HasPrefix(after, process) || got != n {
			t.Errorf("before, %s\n%d other real servers are in the table, want %d:\n%.500s", process, got, n, after)
		}
	default:
		t.Logf("another of %d real servers: %.1000v", n, err)
		var no *api.Error
		if !errors.As(err, &no) || len(no.Details) != 1 || !regexp.MustCompile(`^control socket:1:1: the table needs about [0-9]+ MiB of memory, and [0-9]+ MiB are free: `).MatchString(no.Details[0]) {
			t.Errorf("another table: got %.1000v", err)
		}
		if after != before {
			t.Errorf("before:\n%.500s\nafter:\n%.500s", before, after)
		}
	}
	var errOut strings.Builder
	edit := []string{"ipvsadm", "-e", "-t", netip.AddrPortFrom(b.s.VIP, 9000).String(), "-r", first, "-i", "-w", "7"}
	if exit, err := b.director.Program(b.ctx, edit, strings.NewReader(""), io.Discard, &errOut); err != nil || exit != 0 {
		t.Errorf("one entry: status %d, %v: %s", exit, err, errOut.String())
	}
	edited := regexp.MustCompile(`(?m) -r ` + regexp.QuoteMeta(first) + `:.* -w 7( |$)`)
	if after := b.rules(t); !strings.HasPrefix(after, process) || !edited.MatchString(after) {
		t.Errorf("before, %s\none entry was edited:\n%.500s", process, after)
	}
}
