package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"dipper/appliance/api"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// traffic downloads one file after the other through the service until it is
// told to stop, and wants each of them whole.
type traffic struct {
	cluster *lab.Cluster
	result  chan error
}

// downloads starts traffic through the file service that extend adds.
func (s Scenario) downloads(ctx context.Context, t *testing.T, c *lab.Cluster) *traffic {
	t.Helper()
	sum, err := c.Appliance(s.Servers[0].Name).Run(ctx, "shasum", "-a", "256", file)
	if err != nil {
		t.Fatal(err)
	}
	tr := &traffic{cluster: c, result: make(chan error, 1)}
	script := fmt.Sprintf(`
until [ -e /tmp/stop ]; do
	curl -sS --max-time 600 -o /tmp/got http://%s/
	echo "%s  /tmp/got" | sha256sum -c
done`, netip.AddrPortFrom(s.VIP, filePort), firstWord(sum.Stdout))
	go func() {
		out, err := c.Peer("client").Run(ctx, script)
		if err == nil && !strings.Contains(out, "/tmp/got: OK") {
			err = fmt.Errorf("not one download: %q", out)
		}
		tr.result <- err
	}()
	return tr
}

// stop ends the traffic after the download that is under way.
func (tr *traffic) stop(ctx context.Context, t *testing.T) {
	t.Helper()
	if _, err := tr.cluster.Peer("client").Run(ctx, "touch /tmp/stop"); err != nil {
		t.Fatal(err)
	}
	if err := <-tr.result; err != nil {
		t.Errorf("a download was disturbed: %v", err)
	}
}

// kill ends a process of the appliance as the kernel would that is out of
// memory, and waits for the supervisor to have another one.
func kill(ctx context.Context, t *testing.T, c *lab.Cluster, name, process string) {
	t.Helper()
	before := pid(ctx, t, c, name, process)
	// The control plane that carries this out may not live to answer.
	_, err := c.Appliance(name).Run(ctx, "kill", "-9", strconv.Itoa(before))
	if err != nil && process != "appliance" {
		t.Fatal(err)
	}
	for pid(ctx, t, c, name, process) == before {
	}
}

// pid asks until there is a process of that name.
func pid(ctx context.Context, t *testing.T, c *lab.Cluster, name, process string) int {
	t.Helper()
	for ctx.Err() == nil {
		found, err := c.Appliance(name).Run(ctx, "pidof", process)
		if err != nil {
			continue // the control plane is between two lives
		}
		if n, err := strconv.Atoi(strings.TrimSpace(found.Stdout)); err == nil {
			return n
		}
	}
	t.Fatalf("%s: no process %q: %v", name, process, ctx.Err())
	return 0
}

// TestKilledUnderTraffic kills what can be killed on a director while files
// are downloaded through it: the control plane ten times, then the console.
func TestKilledUnderTraffic(t *testing.T) {
	s := find(t, "s1-nat")
	d := s.load(t)
	extend(t, d)
	c := lab.StartT(t, d)
	ctx := patience(t)
	tr := s.downloads(ctx, t, c)
	for range 10 {
		kill(ctx, t, c, "director", "appliance")
		status, err := c.AwaitState(ctx, "director", api.Serving)
		if err != nil {
			t.Fatal(err)
		}
		if status.Edits != 0 {
			t.Errorf("a restarted control plane made %d kernel edits, want none", status.Edits)
		}
	}
	kill(ctx, t, c, "director", "shell")
	kill(ctx, t, c, "web1", "shell")
	tr.stop(ctx, t)
}

// ending is how the director of a cluster is told to end.
type ending struct {
	name string
	tell func(context.Context, *lab.Cluster) error
	says string // the kernel's last words
}

// TestCleanEnd ends machines in every way that is not a failure. They withdraw
// their VIPs before anything else.
func TestCleanEnd(t *testing.T) {
	for _, e := range []ending{
		{"power button", func(ctx context.Context, c *lab.Cluster) error { return c.Machine("director").PowerButton(ctx) }, "reboot: Power down"},
		{"ctrl-alt-del", func(ctx context.Context, c *lab.Cluster) error { return c.Machine("director").CtrlAltDel(ctx) }, "reboot: Restarting system"},
		{"poweroff", func(ctx context.Context, c *lab.Cluster) error { return c.Appliance("director").End(ctx, api.PowerOff) }, "reboot: Power down"},
		{"reboot", func(ctx context.Context, c *lab.Cluster) error { return c.Appliance("director").End(ctx, api.Reboot) }, "reboot: Restarting system"},
	} {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			c := lab.StartT(t, alone(t, nil))
			ctx := patience(t)
			if err := e.tell(ctx, c); err != nil {
				t.Fatal(err)
			}
			select {
			case <-c.Machine("director").Ended():
			case <-ctx.Done():
				t.Fatal("the machine did not end")
			}
			order := regexp.MustCompile(`(?s)withdraw: ip addr del 192\.168\.4\.15/32 dev eth0.*` + regexp.QuoteMeta(e.says))
			if said := c.Machine("director").Console().Output(); !order.MatchString(said) {
				t.Errorf("the console does not say %v:\n%s", order, said)
			}
		})
	}
}

// alone is the director of s2-dr without a cluster.
func alone(t *testing.T, change func(*machine.Config) error) *lab.Description {
	t.Helper()
	d := find(t, "s2-dr").load(t)
	d.Nodes = []*lab.Node{d.Node("director")}
	d.Nodes[0].Change = change
	return d
}

// TestWatchdogBites freezes PID 1 itself, by which nobody pets the watchdog any
// more: the hardware resets the machine.
func TestWatchdogBites(t *testing.T) {
	c := lab.StartT(t, alone(t, func(m *machine.Config) error {
		m.Watchdog = true
		return nil
	}))
	ctx := patience(t)
	for _, argv := range [][]string{
		{"mkdir", "/sys/fs/cgroup/frozen"},
		// Both files want a 1: the number of the process, and the word to freeze.
		// Nothing of the image writes a given text to a file, but any file that
		// holds the text can be copied.
		{"dd", "if=/proc/sys/kernel/panic_on_oops", "of=/sys/fs/cgroup/frozen/cgroup.procs"},
		{"dd", "if=/proc/sys/kernel/panic_on_oops", "of=/sys/fs/cgroup/frozen/cgroup.freeze"},
	} {
		if res, err := c.Appliance("director").Run(ctx, argv...); err != nil || res.Exit != 0 {
			t.Fatalf("%q: %v, %+v", argv, err, res)
		}
	}
	event, err := c.Machine("director").Await(ctx, func(e machine.Event) bool { return e.Name == "WATCHDOG" })
	if err != nil {
		t.Fatalf("nothing bit: %v", err)
	}
	t.Logf("%+v", event)
}

// TestSmallMachine serves from a director with 128 MiB of memory.
func TestSmallMachine(t *testing.T) {
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
	if err := outOfMemory(c.Machine("director").Console().Output()); err != nil {
		t.Error(err)
	}
}

func outOfMemory(console string) error {
	if strings.Contains(console, "Out of memory") {
		return errors.New("the kernel killed a process for want of memory")
	}
	return nil
}
