package pid1

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"dipper/init/pid1/journal"
)

// restartPause is how long a part of PID 1 that panicked rests before it is
// run again, so that one that always panics does not fill the log.
const restartPause = time.Second

// safely runs a part of PID 1 in a goroutine of its own. A panic in it is a
// log line, and the part is run again; when it returns, it is over. Without
// this any panic would end PID 1, and with it the machine.
func (m *machine) safely(name string, part func()) {
	go func() {
		for !m.contained(name, part) {
			time.Sleep(restartPause)
		}
	}()
}

// contained runs part and tells whether it returned rather than panicked.
func (m *machine) contained(name string, part func()) (returned bool) {
	defer func() {
		if reason := recover(); reason != nil {
			m.say(journal.Error, fmt.Sprintf("BUG: panic in %s: %v\n%s", name, reason, debug.Stack()))
		}
	}()
	part()
	return true
}

// step runs one step of the boot, to the end or not, and records it. The
// detail it answers is for the record; an errAbsent is no failure.
func (m *machine) step(name string, work func() (detail string, err error)) {
	began := sinceBoot()
	outcome, detail := failed, "panic, see the log"
	m.contained(name, func() {
		var err error
		detail, err = work()
		outcome, detail = judge(detail, err)
	})
	m.steps.add(name, began, outcome, detail)
}

// judge makes the outcome of a step from what it answered.
func judge(detail string, err error) (string, string) {
	switch {
	case err == nil:
		return done, detail
	case errors.Is(err, errAbsent):
		return absent, oneLine(err)
	case detail == "":
		return failed, oneLine(err)
	}
	return failed, detail + "; " + oneLine(err)
}

// errAbsent is what a step answers that found nothing to do.
var errAbsent = errors.New("not on this machine")
