package pid1

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"dipper/init/pid1/journal"
	"dipper/init/pid1/supervise"
	"dipper/init/pid1/watchdog"
)

// heart hears the beats of the control plane, ends it when it is frozen, and
// pets the watchdog while it lives.
type heart struct {
	m *machine

	mu      sync.Mutex
	dogs    []*watchdog.Dog
	pulse   supervise.Pulse
	stopped bool // the machine ends: the dogs are not petted any more
	starved bool // said that it is not petted
}

func newHeart(m *machine) *heart {
	return &heart{m: m, pulse: supervise.Pulse{
		Freeze: m.Heartbeat.Freeze, Kill: m.Heartbeat.Kill, Patience: m.Heartbeat.Patience,
	}}
}

// heard takes note of a beat.
func (h *heart) heard() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pulse.Beat()
}

// started takes note of a start of the control plane.
func (h *heart) started() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pulse.Started()
}

// beat is the goroutine that ticks.
func (h *heart) beat() {
	if len(h.watchdogs()) == 0 && h.m.WatchdogDir != "" {
		h.m.step("watchdog", h.arm)
	}
	ticker := time.NewTicker(h.m.Heartbeat.Tick)
	defer ticker.Stop()
	for n := 0; ; n++ {
		<-ticker.C
		action, pet := h.tick()
		h.act(action)
		if pet {
			h.pet(n)
		}
	}
}

// tick asks the pulse.
func (h *heart) tick() (action supervise.Action, pet bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	action, pet = h.pulse.Tick(h.m.vitalRuns())
	if h.stopped {
		return supervise.Nothing, false
	}
	if !pet && !h.starved && len(h.dogs) > 0 {
		h.m.say(journal.Error, fmt.Sprintf("no sign of life of the control plane for %v: the watchdog is left alone and will reset the machine", h.silence(h.pulse.Patience)))
	}
	h.starved = !pet
	return action, pet
}

// act does to a frozen control plane what the pulse says.
func (h *heart) act(action supervise.Action) {
	var err error
	switch action {
	case supervise.Dump:
		h.m.say(journal.Error, fmt.Sprintf("the control plane has been silent for %v: asking for its goroutines and ending it", h.silence(h.pulse.Freeze)))
		err = h.m.signalVital(false, syscall.SIGQUIT)
	case supervise.End:
		h.m.say(journal.Error, "the control plane does not end: killing it")
		err = h.m.signalVital(true, syscall.SIGKILL)
	}
	if err != nil {
		h.m.say(journal.Warning, err.Error())
	}
}

// stop pets the watchdog a last time: the machine has its timeout to end.
func (h *heart) stop() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.pet(0)
}

// pet pets each watchdog whose turn it is in the nth tick: three times within
// its timeout.
func (h *heart) pet(n int) {
	for _, dog := range h.watchdogs() {
		if n%max(1, int(dog.Timeout/(3*h.m.Heartbeat.Tick))) != 0 {
			continue
		}
		if err := dog.Pet(); err != nil {
			h.m.say(journal.Warning, err.Error())
		}
	}
}

func (h *heart) watchdogs() []*watchdog.Dog {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dogs
}

// silence is a number of ticks as time.
func (h *heart) silence(ticks int) time.Duration { return time.Duration(ticks) * h.m.Heartbeat.Tick }

// arm finds and arms the watchdogs.
func (h *heart) arm() (string, error) {
	found, err := watchdog.Devices(h.m.WatchdogDir)
	if err != nil {
		return "", err
	}
	devices, err := watchdog.Choose(found)
	if errors.Is(err, watchdog.ErrNone) {
		return "", fmt.Errorf("%w: %w", errAbsent, err)
	}
	if err != nil {
		return "", err
	}
	var names []string
	var problems []error
	for _, d := range devices {
		dog, err := watchdog.Arm("/dev", d, h.m.WatchdogTimeout)
		problems = append(problems, err)
		if dog != nil {
			h.keep(dog)
			names = append(names, dog.String())
		}
	}
	return strings.Join(names, "; "), errors.Join(problems...)
}

// keep adds an armed watchdog to those that are petted.
func (h *heart) keep(dog *watchdog.Dog) {
	if dog.Bit {
		h.m.say(journal.Warning, fmt.Sprintf("the last reset of this machine was the watchdog's: %s", dog.Name))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dogs = append(h.dogs, dog)
}

// vitalRuns tells whether the control plane is running at the moment.
func (m *machine) vitalRuns() bool {
	for _, w := range m.wards {
		if w.Vital {
			return w.supervisor.Current() != nil
		}
	}
	return false
}
