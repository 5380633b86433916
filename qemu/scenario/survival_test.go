package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dipper/appliance/api"
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
    timeout 900 socat -t 120 - TCP:%s > /tmp/received
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
// passes it on, may not live to say that it did.
func signal(ctx context.Context, t *testing.T, c *lab.Cluster, name, signal string, pid int) {
	t.Helper()
	const answerPatience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	result, err := c.Appliance(name).Run(ctx, "kill", signal, strconv.Itoa(pid))
	if err == nil && result.Exit != 0 {
		t.Fatalf("kill %s %d: %s", signal, pid, result.Stderr)
	}
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
	report, err := s.Show(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, fact := range report.Failed() {
		t.Errorf("not so: %s: %v", fact.Claim, fact.Denial)
	}
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
	report, err := s.Show(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, fact := range report.Failed() {
		t.Errorf("not so: %s: %v", fact.Claim, fact.Denial)
	}
	meminfo, err := c.Appliance("director").Run(ctx, "cat", "/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("after traffic:\n%.90s", meminfo.Stdout)
	if strings.Contains(c.Machine("director").Console().Output(), "Out of memory") {
		t.Error("the kernel killed a process for want of memory")
	}
}
