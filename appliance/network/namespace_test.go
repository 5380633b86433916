package network

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Tests against the running kernel live in network namespaces of their own:
// the test binary runs itself again for one test in a new namespace, because
// a goroutine cannot take its threads into one.

const inside = "DIPPER_TEST_NAMESPACE"

// inNamespace is true in the namespace. Outside, it runs the calling test in
// one, reports the outcome and is false.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		return true
	}
	if os.Geteuid() != 0 {
		skip(t, "network namespaces need root")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout="+timeLeft(t).String())
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	// The death signal comes when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("in a namespace: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("in a namespace:\n%s", out)
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")):
		t.Fatalf("in a namespace the test did not run:\n%s", out)
	case testing.Verbose():
		t.Logf("in a namespace:\n%s", out)
	}
	return false
}

// timeLeft is how long a test may still take, however slow the machine: as long
// as all of them together, less a moment to tell that it was too long.
func timeLeft(t *testing.T) time.Duration {
	deadline, limited := t.Deadline()
	if !limited {
		return 0 // for ever
	}
	return max(time.Second, time.Until(deadline)-10*time.Second)
}

// skip skips with a reason, unless the place must have what is missing.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("DIPPER_LAB") == "require" {
		t.Fatal("must not be skipped here: " + reason)
	}
	t.Skip(reason)
}

// tool skips when a program that the test needs is not installed.
func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		skip(t, name+" is missing: apt-get install "+pkg)
	}
	return path
}

// run runs one command line and returns what it printed.
func run(t *testing.T, line string) string {
	t.Helper()
	words := strings.Fields(line)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

// onOwnKernel is set where this package's tests run on the project's kernel.
const onOwnKernel = "DIPPER_TEST_OWN_KERNEL"

// kernelDoes skips when the running kernel refuses a command that the
// project's does not: TestOnOwnKernel runs the test there.
func kernelDoes(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err == nil {
		return
	}
	reason := "this kernel refuses " + line + ": " + strings.TrimSpace(string(out))
	if os.Getenv(onOwnKernel) != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// neighbour is another machine on the same wire: a namespace of its own.
type neighbour struct {
	t   *testing.T
	pid string
}

// newNeighbour makes a veth pair: link here, link "peer" there.
func newNeighbour(t *testing.T, link string) neighbour {
	t.Helper()
	cmd := exec.Command("unshare", "-n", "sh", "-c", "echo there; exec sleep infinity")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone already
		_ = cmd.Wait()         // killed
	})
	n := neighbour{t, strconv.Itoa(cmd.Process.Pid)}
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil {
		t.Fatalf("the neighbour's namespace did not come: %q, %v", line, err)
	}
	run(t, "ip link add "+link+" type veth peer name peer netns "+n.pid)
	n.run("ip link set lo up")
	n.run("ip link set peer up")
	return n
}

func (n neighbour) run(line string) string {
	n.t.Helper()
	out, err := n.command(line).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

// command prepares a command in the neighbour's namespace.
func (n neighbour) command(line string) *exec.Cmd {
	n.t.Helper()
	words := strings.Fields(line)
	// By its path, or a busybox that has nsenter would run its own ip.
	program, err := exec.LookPath(words[0])
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command("nsenter", append([]string{"-t", n.pid, "-n", program}, words[1:]...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}
