package ipvs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// The tests of the files named live need a kernel with IPVS and the right to make a
// network namespace, in which they leave no trace. The binary of "go test -c"
// runs alone, so that it can be taken into a machine that has such a kernel:
//
//	CGO_ENABLED=0 go test -c -o ipvs.test ./appliance/ipvs
//	./ipvs.test -test.run TestKernel -test.v

// skip skips the test, except where it must run.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv(onOwnKernel) != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// namespace makes an empty network namespace and returns an open file of it.
func namespace(t *testing.T) *os.File {
	t.Helper()
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		file, err := makeNamespace()
		made <- result{file, err}
	}()
	r := <-made
	if errors.Is(r.err, unix.EPERM) {
		skip(t, "no right to make a network namespace")
	}
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { _ = r.file.Close() })
	return r.file
}

// makeNamespace moves the calling thread into a new network namespace, and
// puts its loopback link up: without a local routing table the kernel takes
// no address for unicast.
func makeNamespace() (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(socket)
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return nil, err
	}
	up.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, up); err != nil {
		return nil, fmt.Errorf("set lo up: %w", err)
	}
	return os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
}

// live opens the IPVS table of a new network namespace.
func live(t *testing.T) (*Kernel, *os.File) {
	t.Helper()
	probe, err := Open()
	if errors.Is(err, ErrNoIPVS) {
		skip(t, "this kernel has no IPVS: TestOnOwnKernel runs this test on one that has")
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = probe.Close()
	space := namespace(t)
	k, err := openIn(int(space.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	k.openTable = func(name string) (file io.ReadCloser, err error) {
		err = within(space, func() error {
			file, err = os.Open(fmt.Sprintf("/proc/self/task/%d/net/%s", unix.Gettid(), name))
			return err
		})
		return file, err
	}
	t.Cleanup(func() { _ = k.Close() })
	return k, space
}

// load makes the table desired, and reads it back.
func load(t *testing.T, k *Kernel, desired Table) Table {
	t.Helper()
	observed, err := k.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Apply(t.Context(), Plan(observed, desired)); err != nil {
		t.Fatalf("from\n%sto\n%s%v", observed, desired, err)
	}
	reached, err := k.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return reached
}

// ipvsadm runs the real one in a network namespace.
func ipvsadm(t *testing.T, space *os.File, arguments ...string) string {
	t.Helper()
	return command(t, space, "ipvsadm", arguments...)
}

// command runs a program in a network namespace: in that of the thread that
// starts it.
func command(t *testing.T, space *os.File, program string, arguments ...string) string {
	t.Helper()
	var out []byte
	err := within(space, func() (err error) {
		out, err = exec.CommandContext(t.Context(), program, arguments...).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, arguments, err, out)
	}
	return string(out)
}

// within does something on a thread in a network namespace.
func within(space *os.File, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}
