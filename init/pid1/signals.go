package pid1

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"dipper/init/pid1/journal"
	"dipper/init/pid1/line"
	"dipper/init/pid1/power"
)

// signals are what other processes and the kernel send to PID 1.
type signals struct {
	child chan os.Signal // SIGCHLD
	other chan os.Signal
}

// Standard signals end at 31; the real-time ones above kill no Go process.
const lastSignal = 31

// catchSignals takes over every signal: the kernel protects PID 1 only from
// those without a handler, and Go's own handlers exit for many. SIGURG is the
// runtime's tool for preemption, and ignored by it if it comes from outside.
func catchSignals() signals {
	s := signals{child: make(chan os.Signal, 1), other: make(chan os.Signal, 16)}
	signal.Notify(s.child, syscall.SIGCHLD)
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		switch n {
		case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGKILL, syscall.SIGSTOP:
		default:
			signal.Notify(s.other, n)
		}
	}
	return s
}

// endings are the signals that end the machine: what the kernel sends for
// Ctrl-Alt-Del, and what busybox's reboot, halt and poweroff send. A halted
// machine is of use to nobody, so halt switches it off.
var endings = map[os.Signal]string{
	syscall.SIGINT:  line.Reboot,
	syscall.SIGTERM: line.Reboot,
	syscall.SIGUSR1: line.PowerOff,
	syscall.SIGUSR2: line.PowerOff,
	syscall.SIGPWR:  line.PowerOff,
}

// handle does what a signal means.
func (m *machine) handle(s os.Signal) {
	if how, ends := endings[s]; ends {
		why := fmt.Sprintf("signal %v", s)
		if s == syscall.SIGINT {
			why = "Ctrl-Alt-Del"
		}
		m.end(request{how: how, why: why, insistent: true})
		return
	}
	if s == syscall.SIGQUIT {
		m.say(journal.Notice, "goroutines of process 1, as asked for by SIGQUIT:\n"+goroutines())
	}
}

// goroutines is what all goroutines do, up to 64 KiB of it.
func goroutines() string {
	buffer := make([]byte, 64<<10)
	return string(buffer[:runtime.Stack(buffer, true)])
}

// watchButton makes the power button end the machine. It begins when the control
// plane is up, because the boot waits for nothing that may come later: a press
// in between was counted by the kernel.
func (m *machine) watchButton() {
	var missed sync.Once
	for {
		err := m.watchOnce(func() { missed.Do(m.missedPress) })
		if errors.Is(err, power.ErrNone) {
			m.say(journal.Info, "power button: "+err.Error())
			return
		}
		// A full socket buffer is such an error.
		m.say(journal.Warning, fmt.Sprintf("power button: watching again: %v", err))
		time.Sleep(restartPause)
	}
}

// watchOnce subscribes, says so, and hands on what comes.
func (m *machine) watchOnce(listening func()) error {
	button, err := power.Listen()
	if err != nil {
		return err
	}
	listening()
	return button.Watch(context.Background(), m.pressed)
}

// missedPress looks for a press that came before anybody listened.
func (m *machine) missedPress() {
	switch before, err := power.Pressed(os.DirFS("/sys/firmware/acpi")); {
	case err != nil:
		m.say(journal.Warning, err.Error())
	case before:
		m.pressed()
	}
}

// pressed is what a press means. One that is told twice is one.
func (m *machine) pressed() {
	m.ask(request{how: line.PowerOff, why: "power button", insistent: true})
}

// The ways in which a machine ends.
const (
	Reboot   = line.Reboot
	PowerOff = line.PowerOff
)

// AskFor asks PID 1 from another process to end the machine.
func AskFor(how string) error {
	s := syscall.SIGTERM
	if how == PowerOff {
		s = syscall.SIGUSR2
	}
	if err := syscall.Kill(1, s); err != nil {
		return fmt.Errorf("%s: ask process 1: %w", how, err)
	}
	return nil
}
