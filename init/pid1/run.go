package pid1

import (
	"errors"
	"fmt"
	"os"
	"time"

	"dipper/init/pid1/children"
	"dipper/init/pid1/journal"
)

// machine is PID 1's state. What is not safe for concurrent use by itself is
// used by the main loop alone.
type machine struct {
	Options

	journal  *journal.Journal
	steps    *steps
	children *children.Children
	heart    *heart
	wards    []*ward
	signals  signals
	requests chan request  // to end the machine
	alone    chan struct{} // a token when no process is left
	up       chan struct{} // a token when the control plane is up

	booted bool
	rest   <-chan time.Time // when to start the rest, come what may; nil: it is started
	ending *request         // the one that is being served
	since  time.Time
}

// Run is PID 1. It returns only when it is called by another process.
func Run(o Options) error {
	if os.Getpid() != 1 {
		return errors.New("init is for process 1: the kernel starts it")
	}
	m := newMachine(o)
	for {
		m.contained("main loop", m.life)
		time.Sleep(restartPause)
	}
}

func newMachine(o Options) *machine {
	m := &machine{
		Options:  o,
		journal:  journal.New(sinceBoot),
		children: children.New(),
		requests: make(chan request, 16),
		alone:    make(chan struct{}, 1),
		up:       make(chan struct{}, 1),
	}
	m.steps = &steps{log: m.say}
	m.heart = newHeart(m)
	return m
}

// say writes a line of PID 1's own to the log.
func (m *machine) say(p journal.Priority, text string) { m.journal.Log(p, "init", text) }

// life boots, once, and then serves what comes, for ever.
func (m *machine) life() {
	if !m.booted {
		m.booted = true
		m.boot()
	}
	m.serve()
}

// boot brings the machine up to its control plane.
func (m *machine) boot() {
	began := sinceBoot()
	m.rest = time.After(m.HeadStart) // whatever goes wrong from here on
	m.signals = catchSignals()       // before any child can send one
	m.steps.took("kernel", 0, began, done, "")
	m.step("mounts", func() (string, error) {
		n, err := mountAll(m.Mounts)
		return fmt.Sprintf("%d mounted", n), err
	})
	m.step("log", m.openLog)
	m.step("kernel settings", func() (string, error) { return applySysctls(m.SysctlDir, m.Sysctls) })
	m.step("host", m.prepareHost)
	m.step("control plane", func() (string, error) { return m.startWards(true) })
	m.say(journal.Info, fmt.Sprintf("control plane started %s after the kernel, %s of them in init", round(sinceBoot()), round(sinceBoot()-began)))
}

// startRest starts what the control plane does not wait for, unless the machine
// ends already.
func (m *machine) startRest() {
	if m.rest == nil || m.ending != nil {
		return
	}
	m.rest = nil
	m.step("other children", func() (string, error) { return m.startWards(false) })
	m.safely("watchdog", m.heart.beat)
	m.safely("late steps", func() {
		m.step("late mounts", func() (string, error) {
			n, err := mountAll(m.LateMounts)
			return fmt.Sprintf("%d mounted", n), err
		})
		m.step("random numbers", waitForEntropy)
		m.step("crash records", m.crashRecords)
	})
	if m.PowerButton {
		m.safely("power button", m.watchButton)
	}
}

// serve is the main loop.
func (m *machine) serve() {
	// SIGCHLD merges with others of its kind; the tick finds what it missed.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-m.signals.child:
			m.reap()
		case <-tick.C:
			m.reap()
		case s := <-m.signals.other:
			m.handle(s)
		case r := <-m.requests:
			m.end(r)
		case <-m.up:
			m.startRest()
		case <-m.rest:
			m.startRest()
		}
	}
}

// reap takes in ended processes.
func (m *machine) reap() {
	if _, none := m.children.Reap(); none {
		select {
		case m.alone <- struct{}{}:
		default:
		}
	}
}
