package appliance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dipper/appliance/api"
)

// bootLog is the machine's boot, step by step: a file of JSON lines, to which
// PID 1 and the control plane both append.
type bootLog struct {
	path   string
	uptime func() time.Duration // since the kernel's start
}

// add appends a step.
func (b bootLog) add(step Step) error {
	step.At = api.Duration(b.uptime() - time.Since(step.Started))
	line, err := json.Marshal(step.BootStep)
	if err != nil {
		return fmt.Errorf("boot log: %w", err)
	}
	f, err := os.OpenFile(b.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("boot log: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("boot log: %w", err)
	}
	return nil
}

// steps answers all steps so far.
func (b bootLog) steps() ([]api.BootStep, error) {
	text, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("boot log: %w", err)
	}
	var all []api.BootStep
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var step api.BootStep
		if err := json.Unmarshal(lines.Bytes(), &step); err != nil {
			return nil, fmt.Errorf("boot log: line %d: %w", len(all)+1, err)
		}
		all = append(all, step)
	}
	return all, lines.Err()
}

// SinceKernelStart is the time since the kernel's clocks started, suspended
// time included.
func SinceKernelStart() time.Duration {
	var ts unix.Timespec
	// clock_gettime fails only for a clock that does not exist.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}
