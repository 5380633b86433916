package pid1

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBoot(t *testing.T) {
	b := boot(t)
	for _, c := range []struct{ order, want string }{
		{"limit", "4321 4321"},
		{"cores", "0 0"},
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
