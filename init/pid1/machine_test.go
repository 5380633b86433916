package pid1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests of a whole machine run PID 1 as PID 1: this test's executable is
// started in namespaces of its own, on an empty root file system, and becomes,
// by its name, PID 1 or one of its children, which do what the test tells them.

// TestMain is what the executable does under each of its names.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "prepare":
		fail(prepare(os.Args[1]))
	case "init":
		fail(Run(testMachine()))
	case "appliance":
		fail(fakeAppliance())
	case "shell":
		fail(fakeShell())
	case "orphanage":
		fail(orphanage())
	case "orphan":
		time.Sleep(50 * time.Millisecond) // long enough to lose its parent
		os.Exit(7)
	}
	os.Exit(m.Run())
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// headStart is the environment variable for a machine with another HeadStart.
const headStart = "DIPPER_TEST_HEADSTART"

// testMachine is a machine that stays within its namespaces: no settings of
// the kernel, no watchdog, no power button, and quick.
func testMachine() Options {
	o := Machine()
	o.Sysctls, o.LogSysctls = nil, nil
	o.LateMounts, o.PstoreDir = nil, ""
	o.KernelLog = "/dev/null"
	o.WatchdogDir, o.PowerButton = "", false
	o.Hostname = "test"
	o.OpenFiles = 4321
	o.Heartbeat = Heartbeat{Tick: 100 * time.Millisecond, Freeze: 20, Kill: 25, Patience: 1000}
	o.HeadStart = 100 * time.Millisecond
	if long, err := time.ParseDuration(os.Getenv(headStart)); err == nil {
		o.HeadStart = long
	}
	o.Deadlines.Withdraw, o.Deadlines.Terminate = 3*time.Second, 2*time.Second
	return o
}

// prepare makes root an empty file system with this executable as /init,
// leaves the host's behind, and becomes that init.
func prepare(root string) error {
	if os.Getpid() != 1 {
		return errors.New("prepare: not in a PID namespace of its own")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	if err := copyProgram(root); err != nil {
		return err
	}
	old := filepath.Join(root, "old")
	if err := os.MkdirAll(old, 0o755); err != nil {
		return err
	}
	if err := unix.PivotRoot(root, old); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host: %w", err)
	}
	return fmt.Errorf("exec: %w", syscall.Exec("/init", []string{"init"}, os.Environ()))
}

// copyProgram copies this executable and the libraries that a race detector
// needs.
func copyProgram(root string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	files := map[string]string{program: "/init"}
	// A static executable has no libraries, and ldd says so with an error.
	out, _ := exec.Command("ldd", program).Output()
	for _, field := range strings.Fields(string(out)) {
		if strings.HasPrefix(field, "/") {
			files[field] = field
		}
	}
	for from, to := range files {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		to = filepath.Join(root, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// controlled is where a fake child takes its orders.
func controlled(name string) string { return "/run/dipper/" + name + ".sock" }

// listenForOrders serves one connection after the other; each line is an order.
func listenForOrders(name string, obey func(order []string) (answer string)) error {
	path := controlled(name)
	_ = os.Remove(path) // of the one before
	l, err := net.Listen("unix", path+".new")
	if err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				fmt.Fprintln(conn, obey(strings.Fields(lines.Text())))
			}
		}()
	}
}

// fakeAppliance beats and does what it is told.
func fakeAppliance() error {
	line, err := Attach()
	if err != nil {
		return err
	}
	silent := make(chan struct{})
	go func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		for {
			select {
			case <-silent:
				return
			case <-ticker.C:
				line.Beat()
			}
		}
	}()
	stubborn := make(chan struct{})
	go func() {
		<-line.Withdraw()
		select {
		case <-stubborn:
		default:
			fmt.Println("VIPs withdrawn")
			os.Exit(0)
		}
	}()
	fmt.Println("appliance is here")
	return listenForOrders("appliance", func(order []string) string {
		switch order[0] {
		case "silence":
			close(silent)
		case "stubborn":
			close(stubborn)
		case "up":
			line.Up()
		case "end":
			if err := line.End(order[1]); err != nil {
				return err.Error()
			}
		case "garbage":
			return garbage()
		default:
			return obey(order)
		}
		return "ok"
	})
}

// garbage writes every byte that is no message to the line, again and again,
// faster than it is read.
func garbage() string {
	var all []byte
	for b := range 256 {
		if b != 'r' && b != 'p' {
			all = append(all, byte(b))
		}
	}
	for range 200 {
		_, _ = unix.Write(lineFD, all) // a full socket is part of the test
	}
	return "ok"
}

// fakeShell does what it is told.
func fakeShell() error {
	return listenForOrders("shell", obey)
}

// obey does what both children can do.
func obey(order []string) string {
	switch order[0] {
	case "pid":
		return strconv.Itoa(os.Getpid())
	case "exit":
		code, _ := strconv.Atoi(order[1])
		os.Exit(code)
	case "panic":
		go panic("told to")
		select {}
	case "kill":
		n, _ := strconv.Atoi(order[1])
		_ = syscall.Kill(os.Getpid(), syscall.Signal(n))
	case "orphans":
		return orphans(order[1])
	case "flood":
		for range 20_000 {
			fmt.Println("flood", strings.Repeat("x", 80))
		}
	case "limit":
		var l syscall.Rlimit
		_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
		return fmt.Sprint(l.Cur, l.Max)
	case "file":
		text, err := os.ReadFile(order[1])
		if err != nil {
			return err.Error()
		}
		return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", " ")
	case "zombies":
		return processes("Z")
	case "stopped":
		return processes("T")
	}
	return "ok"
}

// orphans starts a process that starts n others in sessions of their own and
// leaves them to PID 1. It is waited for by its own parent, which is us.
func orphans(n string) string {
	cmd := exec.Command("/proc/self/exe", n)
	cmd.Args[0] = "orphanage"
	out, err := cmd.Output()
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", " ")
}

func orphanage() error {
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	for range n {
		cmd := exec.Command("/proc/self/exe")
		cmd.Args[0] = "orphan"
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return err
		}
		fmt.Println(cmd.Process.Pid)
	}
	os.Exit(0)
	return nil
}

// processes lists the processes in a state: Z has ended and nobody reaped it.
func processes(state string) string {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	found := "none"
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), ") "+state+" ") {
			found += " " + strings.TrimSpace(string(text))
		}
	}
	return found
}

// bench is a machine under test.
type bench struct {
	t   *testing.T
	cmd *exec.Cmd
	log *os.File // held open: it outlives the machine
	end chan error
}

// boot starts a machine and waits for its children.
func boot(t *testing.T) *bench {
	t.Helper()
	b := start(t)
	b.eventually("the children to take orders", func() bool {
		return b.try("appliance", "pid") != "" && b.try("shell", "pid") != ""
	})
	if err := b.openLog(); err != nil {
		t.Fatal(err)
	}
	return b
}

// openLog opens the machine's log, to read it even when the machine is gone.
func (b *bench) openLog() (err error) {
	b.log, err = os.Open(b.path("/run/dipper/log"))
	return err
}

// start starts a machine.
func start(t *testing.T) *bench {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to make namespaces and mounts")
	}
	b := &bench{t: t, end: make(chan error, 1)}
	b.cmd = exec.Command("/proc/self/exe", t.TempDir())
	b.cmd.Args[0] = "prepare"
	b.cmd.Stdout, b.cmd.Stderr = os.Stdout, os.Stderr
	// PID 1's output is nobody's: a race must be its end to be seen.
	b.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	b.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { b.end <- b.cmd.Wait() }()
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill() // it may have ended as it should
		if b.log != nil {
			if t.Failed() {
				t.Logf("log of the machine:\n%s", b.text())
			}
			_ = b.log.Close()
		}
	})
	return b
}

// path is a path of the machine as seen from here.
func (b *bench) path(p string) string {
	return fmt.Sprintf("/proc/%d/root%s", b.cmd.Process.Pid, p)
}

// try gives a child an order and answers what it said, or "".
func (b *bench) try(child, order string) string {
	conn, err := net.Dial("unix", b.path(controlled(child)))
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintln(conn, order); err != nil {
		return ""
	}
	answer, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(answer)
}

// order gives a child an order, and waits until it is there to take it.
func (b *bench) order(child, order string) (answer string) {
	b.t.Helper()
	b.eventually(child+" to answer to "+order, func() bool {
		answer = b.try(child, order)
		return answer != ""
	})
	return answer
}

// fell gives a child an order that it does not survive and waits for the next.
func (b *bench) fell(child, order string) {
	b.t.Helper()
	before := b.order(child, "pid")
	b.try(child, order)
	b.eventually(child+" to be started again after "+order, func() bool {
		now := b.try(child, "pid")
		return now != "" && now != before
	})
}

// stop stops a child, so that it takes no signal but SIGKILL.
func (b *bench) stop(child string) {
	b.t.Helper()
	pid := b.order(child, "pid")
	conn, err := net.Dial("unix", b.path(controlled(child)))
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintln(conn, "kill 19"); err != nil { // nothing will answer
		b.t.Fatal(err)
	}
	b.eventually(child+" to be stopped", func() bool {
		return strings.Contains(b.order("appliance", "stopped"), " "+pid+" (")
	})
}

// patience is for what takes milliseconds; a shared machine may take longer.
const patience = time.Minute

func (b *bench) eventually(what string, happened func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !happened() {
		select {
		case <-poll.C:
		case err := <-b.end:
			b.end <- err
			b.t.Fatalf("the machine ended while waiting for %s: %v", what, err)
		case <-ctx.Done():
			b.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// text is the machine's log.
func (b *bench) text() string {
	text, err := io.ReadAll(io.NewSectionReader(b.log, 0, 1<<20))
	if err != nil {
		b.t.Error(err)
	}
	return string(text)
}

// says waits for a line of the log.
func (b *bench) says(line string) {
	b.t.Helper()
	b.eventually("the log to say "+line, func() bool { return strings.Contains(b.text(), line) })
}

// ends waits for the machine's end and answers the signal by which the kernel
// shows it: SIGHUP for a restart, SIGINT for a power off (kernel/pid_namespace.c,
// reboot_pid_ns).
func (b *bench) ends() syscall.Signal {
	b.t.Helper()
	select {
	case <-b.end:
	case <-time.After(patience):
		b.t.Fatal("the machine does not end")
	}
	status, ok := b.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		b.t.Fatalf("the machine ended with %v", b.cmd.ProcessState)
	}
	return status.Signal()
}

// alive asks both children and PID 1 itself.
func (b *bench) alive() {
	b.t.Helper()
	b.order("appliance", "pid")
	b.order("shell", "pid")
	b.eventually("no zombie to be left", func() bool { return b.try("shell", "zombies") == "none" })
}

func TestBoot(t *testing.T) {
	b := boot(t)
	for _, c := range []struct{ order, want string }{
		{"limit", "4321 4321"},
		{"file /proc/sys/kernel/hostname", "test"},
		{"file /proc/self/oom_score_adj", "0"},
		{"file /sys/class/net/lo/operstate", "unknown"}, // what lo says when it is up
		{"zombies", "none"},
	} {
		if got := b.order("appliance", c.order); got != c.want {
			t.Errorf("%s: %q, want %q", c.order, got, c.want)
		}
	}
	if got := b.order("shell", "file /proc/self/oom_score_adj"); got != "500" {
		t.Errorf("the shell's oom_score_adj is %s", got)
	}
	mounted := b.order("shell", "file /proc/self/mounts")
	for _, want := range []string{
		"proc /proc proc rw,nosuid,nodev,noexec", "sysfs /sys sysfs rw,nosuid,nodev,noexec",
		"devtmpfs /dev devtmpfs rw,nosuid,noexec", "devpts /dev/pts devpts rw,nosuid,noexec",
		"tmpfs /run tmpfs rw,nosuid,nodev,noexec", "tmpfs /tmp tmpfs rw,nosuid,nodev,noexec",
	} {
		if !strings.Contains(mounted, want) {
			t.Errorf("not mounted: %q", want)
		}
	}
	steps := b.order("shell", "file /run/dipper/boot.json")
	for _, name := range []string{"kernel", "mounts", "log", "kernel settings", "host", "control plane", "other children"} {
		if !strings.Contains(steps, `{"name":"`+name+`","at":"`) {
			t.Errorf("boot.json lacks the step %q: %s", name, steps)
		}
	}
	if strings.Contains(steps, `"outcome":"failed"`) {
		t.Errorf("a step failed: %s", steps)
	}
}

// TestOthersWaitForTheControlPlane: the control plane has the machine for itself
// until it says that it is up, once or more. In all other tests it says nothing,
// and the others start nevertheless.
func TestOthersWaitForTheControlPlane(t *testing.T) {
	t.Setenv(headStart, "1h")
	b := start(t)
	b.order("appliance", "pid")
	b.eventually("its log", func() bool { return b.openLog() == nil })
	if b.try("shell", "pid") != "" || strings.Contains(b.text(), "other children") {
		t.Error("the shell did not wait")
	}
	b.order("appliance", "up")
	first := b.order("shell", "pid")
	b.order("appliance", "up")
	b.fell("appliance", "exit 1") // its successor says so, too
	b.order("appliance", "up")
	if again := b.order("shell", "pid"); again != first {
		t.Errorf("the shell was process %s and is %s", first, again)
	}
	if n := strings.Count(b.order("appliance", "file /run/dipper/boot.json"), `"other children"`); n != 1 {
		t.Errorf("the others were started %d times", n)
	}
}

// TestChildrenDie kills each child in each way and wants the next one, the
// reason in the log, and nothing left behind.
func TestChildrenDie(t *testing.T) {
	b := boot(t)
	for _, death := range []struct{ order, line string }{
		{"exit 3", "exited with status 3"},
		{"exit 0", "exited with status 0"},
		{"kill 9", "killed by signal 9 (killed)"},
		{"kill 11", "it said: SIGSEGV: segmentation violation"},
		{"panic", "it said: panic: told to"},
	} {
		for _, child := range []string{"appliance", "shell"} {
			b.fell(child, death.order)
		}
		b.says(death.line)
	}
	b.alive()
}

// TestOrphans wants the processes that lost their parents to be reaped, and
// their parents' own to be left to them: orphans() waits for its child.
func TestOrphans(t *testing.T) {
	b := boot(t)
	for range 5 {
		pids := strings.Fields(b.order("appliance", "orphans 40"))
		if len(pids) != 40 {
			t.Fatalf("orphans: %q", pids)
		}
		for _, pid := range pids {
			b.eventually("orphan "+pid+" to go", func() bool {
				_, err := os.Stat(b.path("/proc/" + pid))
				return errors.Is(err, os.ErrNotExist)
			})
		}
	}
	b.fell("appliance", "exit 5") // whose status is still ours
	b.says("exited with status 5")
	b.alive()
}

// TestFreeze wants a control plane that is silent, or stopped, to be ended.
func TestFreeze(t *testing.T) {
	b := boot(t)
	b.fell("appliance", "silence")
	b.says("has been silent for 2s: asking for its goroutines and ending it")
	b.says("goroutine ") // the dump
	b.fell("appliance", "kill 19")
	b.says("the control plane does not end: killing it")
	b.alive()
}

// TestEverySignal sends PID 1 every signal that does not end the machine.
func TestEverySignal(t *testing.T) {
	b := boot(t)
	for n := syscall.Signal(1); n < 64; n++ {
		if _, ends := endings[n]; ends || n == syscall.SIGKILL || n == syscall.SIGSTOP {
			continue
		}
		for range 3 {
			if err := b.cmd.Process.Signal(n); err != nil {
				t.Fatalf("%v: %v", n, err)
			}
		}
	}
	b.says("goroutines of process 1, as asked for by SIGQUIT")
	b.alive()
}

// TestGarbage feeds the line and the log what nobody expects.
func TestGarbage(t *testing.T) {
	b := boot(t)
	b.order("appliance", "garbage")
	b.says("appliance: ")
	b.says("unknown messages")
	b.order("shell", "flood")
	b.order("appliance", "flood")
	b.alive()
}

// TestEnd ends the machine in each way: the VIPs are withdrawn before anything
// else, and the kernel is asked for what was wanted.
func TestEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(b *bench)
		why  string
		want syscall.Signal
	}{
		{"Ctrl-Alt-Del", func(b *bench) { b.signal(syscall.SIGINT) }, "reboot: Ctrl-Alt-Del", syscall.SIGHUP},
		{"reboot command", func(b *bench) { b.signal(syscall.SIGTERM) }, "reboot: signal terminated", syscall.SIGHUP},
		{"poweroff command", func(b *bench) { b.signal(syscall.SIGUSR2) }, "poweroff: signal", syscall.SIGINT},
		{"control plane, reboot", func(b *bench) { b.try("appliance", "end reboot") }, "reboot: asked for by appliance", syscall.SIGHUP},
		{"control plane, poweroff", func(b *bench) { b.try("appliance", "end poweroff") }, "poweroff: asked for by appliance", syscall.SIGINT},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := boot(t)
			tt.end(b)
			if got := b.ends(); got != tt.want {
				t.Errorf("ended by %v, want %v", got, tt.want)
			}
			b.saysInOrder(tt.why, "appliance: VIPs withdrawn", "appliance: exited with status 0", "shell: killed by signal 15", " now")
		})
	}
}

// TestStubbornEnd wants the machine to end although the control plane does not
// withdraw and nobody listens to SIGTERM.
func TestStubbornEnd(t *testing.T) {
	b := boot(t)
	b.order("appliance", "stubborn")
	b.stop("shell") // SIGTERM is of no use to a stopped process
	b.signal(syscall.SIGINT)
	if got := b.ends(); got != syscall.SIGHUP {
		t.Errorf("ended by %v", got)
	}
	b.saysInOrder("Ctrl-Alt-Del", "appliance has not withdrawn the VIPs in 3s", "some processes do not end: killing them", "reboot now")
}

// TestPatientEnd wants a program that asks twice to be no reason for haste.
func TestPatientEnd(t *testing.T) {
	b := boot(t)
	b.order("appliance", "stubborn")
	b.try("appliance", "end reboot")
	b.says("reboot: asked for by appliance")
	go func() {
		for b.try("appliance", "end reboot") != "" {
			time.Sleep(100 * time.Millisecond)
		}
	}()
	if got := b.ends(); got != syscall.SIGHUP {
		t.Errorf("ended by %v", got)
	}
	b.saysInOrder("appliance has not withdrawn the VIPs in 3s", "reboot now")
}

// TestForcedEnd wants a second Ctrl-Alt-Del to mean now.
func TestForcedEnd(t *testing.T) {
	b := boot(t)
	b.order("appliance", "stubborn")
	b.signal(syscall.SIGINT)
	b.says("reboot: Ctrl-Alt-Del")
	go func() { // a key that is held down, at first within the time that is forgiven
		for b.cmd.Process.Signal(syscall.SIGINT) == nil {
			time.Sleep(100 * time.Millisecond)
		}
	}()
	if got := b.ends(); got != syscall.SIGHUP {
		t.Errorf("ended by %v", got)
	}
	b.saysInOrder("Ctrl-Alt-Del again: not waiting any longer")
	if strings.Contains(b.text(), "has not withdrawn") {
		t.Error("the deadline was waited for")
	}
}

func (b *bench) signal(s syscall.Signal) {
	b.t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		b.t.Fatal(err)
	}
}

// saysInOrder wants the log of an ended machine to hold texts in an order.
func (b *bench) saysInOrder(texts ...string) {
	b.t.Helper()
	rest := b.text()
	for _, text := range texts {
		_, after, found := strings.Cut(rest, text)
		if !found {
			b.t.Errorf("the log lacks %q, or has it too early:\n%s", text, b.text())
			return
		}
		rest = after
	}
}
