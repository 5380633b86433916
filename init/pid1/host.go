package pid1

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dipper/init/pid1/journal"
)

// openLog opens the kernel's log and the file, which take the lines so far and
// all later ones, and makes the kernel's log PID 1's own output: the Go
// runtime's last words go to pstore that way, and a silent console cannot hold
// them up.
func (m *machine) openLog() (detail string, err error) {
	_, sysctlErr := applySysctls(m.SysctlDir, m.LogSysctls)
	stepsErr := m.steps.openIn(m.RunDir)
	m.safely("log file", func() { m.journal.RunFile(context.Background(), m.RunDir+"/log") })
	kmsg, err := os.OpenFile(m.KernelLog, os.O_WRONLY, 0)
	if err != nil {
		return "", errors.Join(sysctlErr, stepsErr, fmt.Errorf("kernel log: %w", err))
	}
	m.safely("kernel log", func() { m.journal.RunKernel(context.Background(), kmsg) })
	return "", errors.Join(sysctlErr, stepsErr, redirect(int(kmsg.Fd())))
}

// redirect makes PID 1's input empty and its output the kernel's log.
func redirect(kmsg int) error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/null: %w", err)
	}
	var problems []error
	for fd, from := range []int{null, kmsg, kmsg} {
		if err := unix.Dup3(from, fd, 0); err != nil {
			problems = append(problems, fmt.Errorf("redirect descriptor %d: %w", fd, err))
		}
	}
	// Copies remain; closing this one cannot matter.
	_ = unix.Close(null)
	return errors.Join(problems...)
}

// prepareHost sets what children inherit or expect: the name, the loopback
// link, how many files they may open, and that none leaves its memory behind.
func (m *machine) prepareHost() (string, error) {
	return "", errors.Join(m.setHostname(), loopbackUp(), m.limitFiles(), noCores())
}

func (m *machine) setHostname() error {
	if m.Hostname == "" {
		return nil
	}
	if err := unix.Sethostname([]byte(m.Hostname)); err != nil {
		return fmt.Errorf("hostname %s: %w", m.Hostname, err)
	}
	return nil
}

// limitFiles raises the limit of open files. syscall.Setrlimit and not unix's:
// the syscall package hands a limit that it was not told of back to children.
func (m *machine) limitFiles() error {
	if m.OpenFiles == 0 {
		return nil
	}
	limit := syscall.Rlimit{Cur: m.OpenFiles, Max: m.OpenFiles}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files %d: %w", m.OpenFiles, err)
	}
	return nil
}

// noCores lets no process that dies write a core, which would hold keys and
// password hashes. The image's kernel cannot (CONFIG_COREDUMP); another can.
func noCores() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("limit of cores: %w", err)
	}
	return nil
}

// loopbackUp sets lo up; the kernel gives it 127.0.0.1 and ::1 itself.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

// entropyPoll is how often the kernel's random numbers are looked at.
const entropyPoll = time.Second

// waitForEntropy looks until the kernel's random numbers can be relied on. The
// kernel seeds itself, from the processor, a seed of the boot loader, a device
// or the jitter of its clocks; nothing is credited here. To look is free. To
// ask the kernel to wait makes it spin for jitter, about a second of processor
// time, which the boot of a machine without any of the others needs itself.
func waitForEntropy() (string, error) {
	began := time.Now()
	for {
		var one [1]byte
		_, err := unix.Getrandom(one[:], unix.GRND_NONBLOCK)
		switch {
		case err == nil:
			return fmt.Sprintf("ready, waited %v", time.Since(began).Round(time.Millisecond)), nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return "", fmt.Errorf("getrandom: %w", err)
		}
		time.Sleep(entropyPoll)
	}
}

// crashRecords tells of what the kernel of an earlier boot left in pstore when
// it died. The records stay for the administrator to read and remove.
func (m *machine) crashRecords() (string, error) {
	entries, err := os.ReadDir(m.PstoreDir)
	if m.PstoreDir == "" || errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("pstore: %w", errAbsent)
	}
	if err != nil {
		return "", fmt.Errorf("pstore: %w", err)
	}
	if len(entries) == 0 {
		return "none", nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	m.say(journal.Warning, fmt.Sprintf("a kernel died here before; its last messages are in %s", m.PstoreDir))
	return strings.Join(names, " "), nil
}
