package pid1

import (
	"bufio"
	"errors"
	"fmt"
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
	case "cores":
		var l syscall.Rlimit
		_ = syscall.Getrlimit(syscall.RLIMIT_CORE, &l)
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
