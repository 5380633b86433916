package scenario

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// TestFirstProcess reads back from a machine in service what PID 1 has done to
// it, with the kernel of the image: tests beside PID 1 run on another.
func TestFirstProcess(t *testing.T) {
	t.Parallel()
	d := alone(t, "s2-dr", "director")
	d.Node("director").Change = func(m *machine.Config) error {
		m.Watchdog = true
		return nil
	}
	c := lab.StartT(t, d)
	ctx := patience(t)
	director := c.Appliance("director")
	wantSteps(ctx, t, director)
	wantMounts(ctx, t, director)
	wantSettings(ctx, t, director)
	wantNoCores(ctx, t, director)
	wantNoneMayWrite(ctx, t, director)
	// What the kernel keeps from PID 1 (KILL and STOP), and what ends any other
	// program of Go: HUP, QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, PIPE, XCPU, SYS.
	for _, signal := range []string{"-9", "-19", "-1", "-3", "-4", "-5", "-6", "-7", "-8", "-11", "-13", "-24", "-31"} {
		if result, err := director.Run(ctx, "kill", signal, "1"); err != nil || result.Exit != 0 {
			t.Errorf("kill %s 1: %v, %+v", signal, err, result)
		}
	}
	restarted(ctx, t, c, "director")
	panics(ctx, t, c, "director")
}

// restarted kills the control plane and waits for the next, which only a PID 1
// that lives can start.
func restarted(ctx context.Context, t *testing.T, c *lab.Cluster, name string) {
	t.Helper()
	status, err := c.AwaitState(ctx, name, api.Serving)
	if err != nil {
		t.Fatal(err)
	}
	signal(ctx, t, c, name, "-9", status.PID)
	awaitSuccessor(ctx, t, c, name, status.PID)
}

// panics lets a kernel panic, which must announce its reboot.
func panics(ctx context.Context, t *testing.T, c *lab.Cluster, name string) {
	t.Helper()
	// There is no shell to write a c with, but a file that holds one: localhost.
	hosts := read(ctx, t, c.Appliance(name), "/etc/hosts")
	skip := fmt.Sprintf("skip=%d", strings.IndexByte(hosts, 'c'))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		// It may not live to answer.
		_, _ = c.Appliance(name).Run(ctx, "dd", "if=/etc/hosts", "of=/proc/sysrq-trigger", "bs=1", "count=1", skip)
	}()
	if _, err := c.Machine(name).Console().Expect(ctx, regexp.MustCompile(`Rebooting in 10 seconds`)); err != nil {
		t.Error(err)
	}
}

// wantSteps compares PID 1's own steps. They run beside those of the control
// plane, and the last ones end when they like.
func wantSteps(ctx context.Context, t *testing.T, client *api.Client) {
	t.Helper()
	want := map[string]string{
		"mounts":          "6 mounted",
		"log":             "",
		"kernel settings": "22 of 24 as wanted, not in this kernel: kernel.io_uring_disabled vm.unprivileged_userfaultfd",
		"host":            "",
		"control plane":   "appliance",
		"other children":  "shell",
		"late mounts":     "3 mounted",
		"random numbers":  "ready",
		"crash records":   "none",
		"watchdog":        "watchdog0 (i6300ESB timer), 40s; watchdog1 (iTCO_wdt), 40s",
	}
	got := make(map[string]string)
	for len(got) < len(want) {
		steps, err := client.Boot(ctx)
		if err != nil {
			t.Fatalf("%v: PID 1's steps so far: %v", err, got)
		}
		for _, s := range steps {
			if s.Outcome == "failed" {
				t.Errorf("step %s failed: %s", s.Name, s.Detail)
			}
			if _, wanted := want[s.Name]; wanted {
				got[s.Name], _, _ = strings.Cut(s.Detail, ", waited")
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps of PID 1 (-want +got):\n%s", diff)
	}
}

// wantMounts compares everything that is mounted but the commands' file system,
// which comes with the first that is run. Sizes depend on the memory.
func wantMounts(ctx context.Context, t *testing.T, client *api.Client) {
	t.Helper()
	const want = `rootfs / rw
devtmpfs /dev rw,nosuid,noexec
devpts /dev/pts rw,nosuid,noexec
proc /proc rw,nosuid,nodev,noexec
sysfs /sys rw,nosuid,nodev,noexec
tmpfs /run rw,nosuid,nodev,noexec
tmpfs /tmp rw,nosuid,nodev,noexec
cgroup2 /sys/fs/cgroup rw,nosuid,nodev,noexec
pstore /sys/fs/pstore rw,nosuid,nodev,noexec
securityfs /sys/kernel/security rw,nosuid,nodev,noexec
squashfs /bbin ro,nosuid,nodev
`
	var got strings.Builder
	for line := range strings.Lines(read(ctx, t, client, "/proc/mounts")) {
		fields := strings.Fields(line)
		flags, _, _ := strings.Cut(fields[3], ",relatime")
		flags, _, _ = strings.Cut(flags, ",size=")
		got.WriteString(fields[2] + " " + fields[1] + " " + flags + "\n")
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}

// wantSettings reads what a machine in service must have: how it dies, and what
// it does not tell.
func wantSettings(ctx context.Context, t *testing.T, client *api.Client) {
	t.Helper()
	for path, want := range map[string]string{
		"kernel/panic":                     "10",
		"kernel/panic_on_oops":             "1",
		"kernel/softlockup_panic":          "1",
		"kernel/ctrl-alt-del":              "0",
		"kernel/sysrq":                     "176",
		"kernel/kptr_restrict":             "2",
		"kernel/dmesg_restrict":            "1",
		"kernel/perf_event_paranoid":       "3",
		"kernel/unprivileged_bpf_disabled": "1",
		"kernel/yama/ptrace_scope":         "2",
		"net/core/bpf_jit_harden":          "2",
		"user/max_user_namespaces":         "0",
		"dev/tty/ldisc_autoload":           "0",
		"fs/protected_regular":             "2",
		"fs/suid_dumpable":                 "0",
		"kernel/hostname":                  "director",
	} {
		if got := strings.TrimSpace(read(ctx, t, client, "/proc/sys/"+path)); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	// A link that is up and has no carrier says so; loopback says neither.
	if got := strings.TrimSpace(read(ctx, t, client, "/sys/class/net/lo/operstate")); got != "unknown" {
		t.Errorf("lo is %s", got)
	}
}

// wantNoCores looks at all that a core of a process that dies would need: a
// kernel that can write one, and a limit above 0 (core(5)). It would hold keys.
func wantNoCores(ctx context.Context, t *testing.T, client *api.Client) {
	t.Helper()
	if result, err := client.Run(ctx, "cat", "/proc/sys/kernel/core_pattern"); err != nil || result.Exit == 0 {
		t.Errorf("the kernel knows of cores: %v, %+v", err, result)
	}
	status, err := client.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, process := range map[string]string{"PID 1": "1", "the control plane": strconv.Itoa(status.PID), "a program": "self"} {
		limits := read(ctx, t, client, "/proc/"+process+"/limits")
		if !regexp.MustCompile(`(?m)^Max core file size +0 +0 +bytes`).MatchString(limits) {
			t.Errorf("%s may leave a core:\n%s", name, limits)
		}
	}
}

// wantNoneMayWrite finds what everybody may write to in the file systems that
// are there: device nodes, and /tmp.
func wantNoneMayWrite(ctx context.Context, t *testing.T, client *api.Client) {
	t.Helper()
	list := func(command ...string) []string {
		result, err := client.Run(ctx, command...)
		if err != nil || result.Exit != 0 {
			t.Fatalf("%q: %v, %+v", command, err, result)
		}
		return strings.Split(strings.TrimSpace(result.Stdout), "\n")
	}
	var open []string
	for _, dir := range list("ls", "/") {
		if dir == "proc" || dir == "sys" || dir == "bbin" {
			continue // the kernel's own, and one that nobody can write to
		}
		for _, line := range list("find", "-l", "/"+dir) {
			if everybodyWrites.MatchString(line) {
				open = append(open, line)
			}
		}
	}
	if len(open) != 1 || !strings.HasPrefix(open[0], "dtrwxrwxrwx\t") || !strings.HasSuffix(open[0], "\t/tmp") {
		t.Errorf("everybody may write to\n%s", strings.Join(open, "\n"))
	}
}

// everybodyWrites is a line of find about what is neither a link nor a device.
var everybodyWrites = regexp.MustCompile(`^[^LDbc\t]*[-rwx]{7}w.\t`)

// read answers a file of an appliance.
func read(ctx context.Context, t *testing.T, client *api.Client, path string) string {
	t.Helper()
	result, err := client.Run(ctx, "cat", path)
	if err != nil || result.Exit != 0 {
		t.Fatalf("cat %s: %v, %+v", path, err, result)
	}
	return result.Stdout
}
