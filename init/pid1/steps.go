package pid1

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dipper/init/pid1/journal"
)

// The outcomes of a step.
const (
	done   = "done"
	absent = "absent"
	failed = "failed"
)

// bootStep is one step of the boot as a line of JSON in boot.json, to which
// the control plane appends its own. At and Took read like "1.5s".
type bootStep struct {
	Name    string `json:"name"`
	At      string `json:"at"` // begin, since the kernel's start
	Took    string `json:"took"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail,omitempty"`
}

// steps records the steps of the boot. Until its file can be opened, they wait.
type steps struct {
	log func(journal.Priority, string)

	mu      sync.Mutex
	path    string
	waiting []byte
}

// openIn makes the directory and writes the steps so far to its boot.json.
func (s *steps) openIn(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("boot steps: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.path = filepath.Join(dir, "boot.json")
	return s.write()
}

// add records a step that began at a time since the kernel's start and ends now.
func (s *steps) add(name string, began time.Duration, outcome, detail string) {
	s.took(name, began, sinceBoot()-began, outcome, detail)
}

// took records a step with its duration.
func (s *steps) took(name string, began, took time.Duration, outcome, detail string) {
	s.report(name, took, outcome, detail)
	line, err := json.Marshal(bootStep{
		Name: name, At: round(began), Took: round(took), Outcome: outcome, Detail: detail,
	})
	if err != nil {
		s.log(journal.Warning, fmt.Sprintf("step %s: %v", name, err))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(append(s.waiting, line...), '\n')
	if s.path == "" {
		return
	}
	if err := s.write(); err != nil {
		s.log(journal.Warning, err.Error())
	}
}

// report logs a step. One that went well is on no console: a line on a serial
// one takes milliseconds, and the machine waits for it.
func (s *steps) report(name string, took time.Duration, outcome, detail string) {
	p, text := journal.Debug, fmt.Sprintf("step=%q took=%s outcome=%s", name, round(took), outcome)
	if outcome == failed {
		p = journal.Error
	}
	if detail != "" {
		text += fmt.Sprintf(" detail=%q", detail)
	}
	s.log(p, text)
}

// write appends what waits, in one piece: another process appends too.
func (s *steps) write() error {
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("boot steps: %w", err)
	}
	_, err = f.Write(s.waiting)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("boot steps: %w", err)
	}
	s.waiting = nil
	return nil
}

// oneLine makes one line of joined errors.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func round(d time.Duration) string { return d.Round(time.Microsecond).String() }

// sinceBoot is the time since the kernel's start, as it stands in its log.
func sinceBoot() time.Duration {
	var now unix.Timespec
	// It fails only for a clock that does not exist.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return time.Duration(now.Nano())
}
