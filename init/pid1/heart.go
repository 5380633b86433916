package pid1

import (
	"errors"
	"fmt"
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
	dog     *watchdog.Dog // nil: none
	pulse   supervise.Pulse
	stopped bool // the machine ends: the dog is not petted any more
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
	if h.watchdog() == nil && h.m.WatchdogDir != "" {
		h.m.step("watchdog", h.arm)
	}
	ticker := time.NewTicker(h.m.Heartbeat.Tick)
	defer ticker.Stop()
	for n := 0; ; n++ {
		<-ticker.C
		action, pet := h.tick()
		h.act(action)
		if pet && n%h.interval() == 0 {
			h.pet()
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
	if !pet && !h.starved && h.dog != nil {
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
	h.pet()
}

func (h *heart) pet() {
	dog := h.watchdog()
	if dog == nil {
		return
	}
	if err := dog.Pet(); err != nil {
		h.m.say(journal.Warning, err.Error())
	}
}

func (h *heart) watchdog() *watchdog.Dog {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dog
}

// interval is a third of the watchdog's timeout, in ticks.
func (h *heart) interval() int {
	dog := h.watchdog()
	if dog == nil {
		return 1
	}
	return max(1, int(dog.Timeout/(3*h.m.Heartbeat.Tick)))
}

// silence is a number of ticks as time.
func (h *heart) silence(ticks int) time.Duration { return time.Duration(ticks) * h.m.Heartbeat.Tick }

// arm finds and arms the watchdog.
func (h *heart) arm() (string, error) {
	devices, err := watchdog.Devices(h.m.WatchdogDir)
	if err != nil {
		return "", err
	}
	device, err := watchdog.Choose(devices)
	if errors.Is(err, watchdog.ErrNone) {
		return "", fmt.Errorf("%w: %w", errAbsent, err)
	}
	if err != nil {
		return "", err
	}
	dog, err := watchdog.Arm(device, h.m.WatchdogTimeout)
	if err != nil {
		return "", err
	}
	h.mu.Lock()
	h.dog = dog
	h.mu.Unlock()
	if dog.Bit {
		h.m.say(journal.Warning, "the last reset of this machine was the watchdog's")
	}
	return fmt.Sprintf("%s (%s), %v", device.Name, device.Identity, dog.Timeout), nil
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
