package children

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// adopt makes the test the one that orphans fall to, as PID 1 is.
func adopt(t *testing.T) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}

// sh starts a shell script with its output going to file.
func sh(t *testing.T, c *Children, script string, file *os.File) *Process {
	t.Helper()
	p, err := c.Start(Command{
		Path: "/bin/sh", Argv: []string{"child", "-c", script},
		Files: []uintptr{file.Fd(), file.Fd(), file.Fd()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reapUntil reaps on SIGCHLD until what is awaited has happened.
func reapUntil(t *testing.T, c *Children, happened func(orphans int, none bool) bool) {
	t.Helper()
	child := make(chan os.Signal, 1)
	signal.Notify(child, syscall.SIGCHLD)
	defer signal.Stop(child)
	for orphans := 0; ; {
		n, none := c.Reap()
		orphans += n
		if happened(orphans, none) {
			return
		}
		select {
		case <-child:
		case <-time.After(time.Minute):
			t.Fatalf("waited in vain; %d orphans, none left: %v", orphans, none)
		}
	}
}

func ended(p *Process) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

func null(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestStatuses(t *testing.T) {
	c, f := New(), null(t)
	five := sh(t, c, "exit 5", f)
	killed := sh(t, c, "kill -9 $$", f)
	reapUntil(t, c, func(_ int, none bool) bool { return none })
	if !ended(five) || five.Status().ExitStatus() != 5 {
		t.Errorf("status %v, want exit 5", five.Status())
	}
	if !ended(killed) || killed.Status().Signal() != syscall.SIGKILL {
		t.Errorf("status %v, want a kill", killed.Status())
	}
	if err := five.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to nobody: %v", err)
	}
}

// TestOrphansAreNotOurs wants an orphan to be reaped without being taken for a
// child, whatever the order.
func TestOrphansAreNotOurs(t *testing.T) {
	adopt(t)
	c, f := New(), null(t)
	parent := sh(t, c, "for i in 1 2 3; do setsid sleep 0.05 & done; exit 3", f)
	reapUntil(t, c, func(orphans int, none bool) bool { return orphans == 3 && none })
	if !ended(parent) || parent.Status().ExitStatus() != 3 {
		t.Errorf("status %v, want exit 3", parent.Status())
	}
}

// TestGroupGoesWithItsLeader wants what a child left in its process group to
// end with it.
func TestGroupGoesWithItsLeader(t *testing.T) {
	adopt(t)
	c, f := New(), null(t)
	p := sh(t, c, "sleep 3600 & exit 0", f)
	reapUntil(t, c, func(orphans int, none bool) bool { return orphans == 1 && none })
	if !ended(p) {
		t.Error("the leader is not reaped")
	}
}

func TestSignalGroup(t *testing.T) {
	adopt(t)
	c, f := New(), null(t)
	p := sh(t, c, "sleep 3600 & wait", f)
	if err := p.SignalGroup(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	reapUntil(t, c, func(_ int, none bool) bool { return none })
	if p.Status().Signal() != syscall.SIGTERM {
		t.Errorf("status %v", p.Status())
	}
}

func TestStartOfNothing(t *testing.T) {
	c := New()
	_, err := c.Start(Command{Path: "/nowhere", Argv: []string{"appliance"}})
	if !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), "start /nowhere as appliance") {
		t.Errorf("error %v", err)
	}
	if orphans, none := c.Reap(); orphans != 0 || !none {
		t.Errorf("after a failed start: %d orphans, none left %v", orphans, none)
	}
}
