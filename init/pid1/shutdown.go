package pid1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dipper/init/pid1/journal"
	"dipper/init/pid1/line"
)

// request is somebody's wish that the machine end.
type request struct {
	how string // line.Reboot or line.PowerOff
	why string // "power button"
	// insistent is a request that, made again, means "now, and never mind the
	// rest": a hand on a key or button, or a signal.
	insistent bool
}

// second is how much later than the first a request must come to be a second
// one: a key that is held down repeats itself.
const second = 2 * time.Second

// ask hands a request to the main loop. When many wait already, one more makes
// no difference.
func (m *machine) ask(r request) {
	select {
	case m.requests <- r:
	default:
	}
}

// end begins to end the machine, or cuts short an end that has begun.
func (m *machine) end(r request) {
	if m.ending == nil {
		m.ending, m.since = &r, time.Now()
		m.safely("shutdown", func() { m.shutdown(r) })
		return
	}
	if !r.insistent || time.Since(m.since) < second {
		return
	}
	m.say(journal.Warning, fmt.Sprintf("%s again: not waiting any longer", r.why))
	m.safely("forced end", func() { m.leave(r.how) })
}

// shutdown ends the machine in order: VIPs, processes, data, kernel. Each step
// has a deadline, and none keeps the next from being tried.
func (m *machine) shutdown(r request) {
	m.say(journal.Notice, fmt.Sprintf("%s: %s", r.how, r.why))
	m.heart.stop()
	for _, w := range m.wards {
		w.stop()
	}
	m.withdraw()
	m.endProcesses()
	m.syncDisks()
	m.unmountDisks()
	m.say(journal.Notice, fmt.Sprintf("%s now", r.how))
	m.leave(r.how)
}

// withdraw has the control plane withdraw the VIPs and exit.
func (m *machine) withdraw() {
	deadline := time.After(m.Deadlines.Withdraw)
	for _, w := range m.wards {
		_, l := w.latest()
		if !w.Vital || l == nil || w.supervisor.Current() == nil {
			continue
		}
		if err := l.Withdraw(); err != nil {
			m.say(journal.Error, fmt.Sprintf("%s cannot be asked to withdraw the VIPs: %v", w.Name, err))
			continue
		}
		select {
		case <-w.over:
		case <-deadline:
			m.say(journal.Error, fmt.Sprintf("%s has not withdrawn the VIPs in %v", w.Name, m.Deadlines.Withdraw))
		}
	}
}

// endProcesses ends every process but this one, first kindly.
func (m *machine) endProcesses() {
	select {
	case <-m.alone: // from an earlier time
	default:
	}
	if m.signalAll(syscall.SIGTERM, m.Deadlines.Terminate) {
		return
	}
	m.say(journal.Warning, "some processes do not end: killing them")
	if !m.signalAll(syscall.SIGKILL, m.Deadlines.Kill) {
		m.say(journal.Warning, "some processes cannot be killed")
	}
}

// signalAll sends a signal to all processes and tells whether they were gone
// in time. The main loop reaps them.
func (m *machine) signalAll(s syscall.Signal, deadline time.Duration) bool {
	if err := syscall.Kill(-1, s); errors.Is(err, syscall.ESRCH) {
		return true
	}
	select {
	case <-m.alone:
		return true
	case <-time.After(deadline):
		return false
	}
}

// syncDisks writes what is not on the disks yet. A dead disk can hold that up
// for ever, and must not hold up the rest.
func (m *machine) syncDisks() {
	synced := make(chan struct{})
	m.safely("sync", func() {
		defer close(synced)
		unix.Sync()
	})
	select {
	case <-synced:
	case <-time.After(m.Deadlines.Sync):
		m.say(journal.Error, fmt.Sprintf("the disks have not taken all data in %v", m.Deadlines.Sync))
	}
}

// unmountDisks unmounts what is on a device, so that it needs no check at the
// next boot.
func (m *machine) unmountDisks() {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		m.say(journal.Warning, err.Error())
		return
	}
	for _, dir := range deviceMounts(table) {
		if err := unmount(dir); err != nil {
			m.say(journal.Warning, err.Error())
		}
	}
}

// unmount unmounts a directory or, when it is in use, makes it read-only.
func unmount(dir string) error {
	err := unix.Unmount(dir, 0)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

// deviceMounts finds in /proc/self/mountinfo (proc_pid_mountinfo(5)) where
// devices are mounted, latest first, the order in which to unmount them.
func deviceMounts(mountinfo []byte) []string {
	var dirs []string
	lines := bufio.NewScanner(bytes.NewReader(mountinfo))
	for lines.Scan() {
		before, after, found := strings.Cut(lines.Text(), " - ")
		fields, source := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(source) < 2 || !strings.HasPrefix(source[1], "/dev/") {
			continue
		}
		if dir := unescape(fields[4]); dir != "/" {
			dirs = append(dirs, dir)
		}
	}
	slices.Reverse(dirs)
	return dirs
}

// unescape undoes the kernel's \ooo for blanks and backslashes in paths.
func unescape(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+3 < len(path) {
			if c, err := strconv.ParseUint(path[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// leave ends the kernel. It is tried for ever: what remains is the watchdog.
func (m *machine) leave(how string) {
	ctx, cancel := context.WithTimeout(context.Background(), m.Deadlines.Log)
	defer cancel()
	m.journal.Flush(ctx)
	command := unix.LINUX_REBOOT_CMD_RESTART
	if how == line.PowerOff {
		command = unix.LINUX_REBOOT_CMD_POWER_OFF
	}
	for {
		err := unix.Reboot(command)
		m.say(journal.Error, fmt.Sprintf("%s: %v", how, err))
		time.Sleep(restartPause)
	}
}
