package ipvsadm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/ipvs"
)

// The tests whose names begin with TestBeside run the same command lines by
// Debian's ipvsadm and by this package, beside each other, on one kernel. They
// change the IPVS table, the loopback's addresses and /etc of the machine that
// they run on: they only run in a machine made for it. What they share is here.

// beside returns the kernel, with an empty table and all that the rules of
// these tests need to be.
func beside(t *testing.T) *ipvs.Kernel {
	t.Helper()
	if os.Getenv(onOwnKernel) == "" {
		t.Skip("it changes the machine's IPVS table and /etc: TestOnOwnKernel runs this test in a machine made for it")
	}
	k, err := ipvs.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	real(t, "", "-C")
	return k
}

// outcome is what a program did.
type outcome struct {
	status      int
	out, errOut string
}

// runReal runs Debian's ipvsadm.
func runReal(in string, argv ...string) (outcome, error) {
	program := exec.Command("ipvsadm", argv...)
	var out, errOut bytes.Buffer
	program.Stdin, program.Stdout, program.Stderr = strings.NewReader(in), &out, &errOut
	err := program.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, err
	}
	return outcome{program.ProcessState.ExitCode(), out.String(), errOut.String()}, nil
}

// real runs Debian's ipvsadm, which must succeed, and returns what it prints.
func real(t *testing.T, in string, argv ...string) string {
	t.Helper()
	o, err := runReal(in, argv...)
	if err != nil || o.status != 0 || o.errOut != "" {
		t.Fatalf("ipvsadm %q: %v: %+v", argv, err, o)
	}
	return o.out
}

// kernelDirector is a Director over a kernel, with nothing in between.
type kernelDirector struct{ *ipvs.Kernel }

func (d kernelDirector) Connections(ctx context.Context) iter.Seq2[ipvs.Connection, error] {
	return d.Kernel.Connections(ctx, ipvs.ConnectionFilter{})
}

func (d kernelDirector) Edit(ctx context.Context, change func(*Editor) error) error {
	table, err := d.Observe(ctx)
	if err != nil {
		return err
	}
	timeouts, err := d.Timeouts(ctx)
	if err != nil {
		return err
	}
	daemons, err := d.Daemons(ctx)
	if err != nil {
		return err
	}
	e := NewEditor(State{Table: table, Timeouts: timeouts, Daemons: daemons})
	if err := change(e); err != nil {
		return err
	}
	if err := d.Apply(ctx, ipvs.Plan(table, e.State().Table)); err != nil {
		return err
	}
	return d.control(ctx, daemons, e)
}

// control puts into force what is not in the table.
func (d kernelDirector) control(ctx context.Context, before []ipvs.Daemon, e *Editor) error {
	var errs []error
	after := e.State().Daemons
	for _, daemon := range before {
		if !slices.Contains(after, daemon) {
			errs = append(errs, d.StopDaemon(ctx, daemon.State))
		}
	}
	for _, daemon := range after {
		if !slices.Contains(before, daemon) {
			errs = append(errs, d.StartDaemon(ctx, daemon))
		}
	}
	errs = append(errs, d.SetTimeouts(ctx, e.State().Timeouts))
	for _, key := range e.Zeroed {
		errs = append(errs, d.Zero(ctx, key))
	}
	return errors.Join(errs...)
}

// etcNames are the names of /etc/hosts, as the C library reads them.
type etcNames struct{ hosts string }

func (n etcNames) find(matches func(address netip.Addr, names []string) bool) (netip.Addr, string) {
	for line := range strings.Lines(n.hosts) {
		words := strings.Fields(line)
		if a := netip.MustParseAddr(words[0]); matches(a, words[1:]) {
			return a, words[1]
		}
	}
	return netip.Addr{}, ""
}

func (n etcNames) Address(host string) (netip.Addr, error) {
	a, _ := n.find(func(a netip.Addr, names []string) bool { return a.Is4() && slices.Contains(names, host) })
	if !a.IsValid() {
		return a, fmt.Errorf("names no host: %q", host)
	}
	return a, nil
}

func (n etcNames) Host(address netip.Addr) string {
	_, name := n.find(func(a netip.Addr, _ []string) bool { return a == address })
	return name
}

// writeEtc gives the C library the names that this package is given.
func writeEtc(t *testing.T, hosts string) {
	t.Helper()
	var services strings.Builder
	for line := range strings.Lines(registeredPorts) {
		services.WriteString(line)
	}
	for name, text := range map[string]string{
		"/etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n" + hosts,
		"/etc/services":      services.String(),
		"/etc/nsswitch.conf": "hosts: files\nservices: files\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runOurs runs this package over the kernel.
func runOurs(t *testing.T, k *ipvs.Kernel, names Names, in string, argv ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	status := Run(t.Context(), kernelDirector{k}, names, argv, strings.NewReader(in), &out, &errOut)
	return outcome{status, out.String(), errOut.String()}
}

// TestBesideRestore loads what Debian's program saved, and what this package
// saved, by this package, and saves it again.
func TestBesideRestore(t *testing.T) {
	k := beside(t)
	writeEtc(t, hostNames)
	addresses(t)
	if o := runOurs(t, k, nil, everything, "-R"); o.status != 0 {
		t.Fatal(o)
	}
	saved := runOurs(t, k, nil, "", "-Sn").out
	for _, rules := range []string{everything, saved} {
		real(t, "", "-C")
		real(t, rules, "-R")
		if diff := cmp.Diff(rulesOf(saved), rulesOf(runOurs(t, k, nil, "", "-Sn").out)); diff != "" {
			t.Errorf("what this package (-) and Debian's program (+) make of the same rules:\n%s", diff)
		}
	}
}

// TestBesideDaemons starts and stops connection synchronisation by this
// package, and lists and saves what runs.
func TestBesideDaemons(t *testing.T) {
	k := beside(t)
	for _, line := range []string{"link add sync0 type dummy", "link set sync0 up", "address add 10.77.0.1/24 dev sync0", "route add 224.0.0.0/4 dev sync0"} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	real(t, "", "--set", "900", "120", "300")
	sameListing(t, k, nil, "-L", "--daemon")
	for _, line := range []string{
		"--start-daemon master --mcast-interface sync0 --syncid 5",
		"--start-daemon backup --mcast-interface sync0 --mcast-group 224.0.0.99 --mcast-port 9000 --mcast-ttl 3 --sync-maxlen 1400",
		"--stop-daemon master",
		"--start-daemon master --mcast-interface sync0 --mcast-group ff05::1:2 --syncid 255",
	} {
		if o := runOurs(t, k, nil, "", strings.Fields(line)...); o != (outcome{}) {
			t.Errorf("ipvsadm %s: %+v", line, o)
		}
		sameListing(t, k, nil, "-L", "--daemon")
	}
	refused := runOurs(t, k, nil, "", "--start-daemon", "backup", "--mcast-interface", "sync0")
	if want, _ := runReal("", "--start-daemon", "backup", "--mcast-interface", "sync0"); refused.status != want.status || !strings.HasPrefix(refused.errOut, strings.TrimSpace(want.errOut)) {
		t.Errorf("a second daemon: Debian's %+v, ours %+v", want, refused)
	}
	whole := runOurs(t, k, nil, "", "-Sn", "--all").out
	listed := real(t, "", "-L", "--daemon")
	for _, state := range []string{"master", "backup"} {
		real(t, "", "--stop-daemon", state)
	}
	real(t, "", "--set", "1", "2", "3")
	real(t, whole, "-R") // Debian's program reads what only this one writes
	if got := real(t, "", "-L", "--daemon"); got != listed {
		t.Errorf("saved %q, and restored by Debian's program:\n%swant:\n%s", whole, got, listed)
	}
	if got := real(t, "", "-L", "--timeout"); got != "Timeout (tcp tcpfin udp): 900 120 300\n" {
		t.Error(got)
	}
	for _, state := range []string{"master", "backup"} {
		if o := runOurs(t, k, nil, "", "--stop-daemon", state); o != (outcome{}) {
			t.Errorf("stop %s: %+v", state, o)
		}
	}
	sameListing(t, k, nil, "-L", "--daemon")
}

// rulesOf are the lines of saved rules in an order that says nothing: that of
// ipvsadm depends on the kernel's.
func rulesOf(saved string) []string { return slices.Sorted(strings.Lines(saved)) }
