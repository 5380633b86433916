package pid1

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
