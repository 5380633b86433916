// Package line is the wire between PID 1 and the control plane: a socket that
// the child inherits, with messages of one byte. It owns both ends and the
// bytes; what PID 1 or the control plane does about a message is theirs.
//
// One byte per message means that nothing can arrive by half, and that PID 1
// has nothing to parse: a byte it does not know is counted and forgotten.
package line

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Env is the environment variable that tells the child the number of its
// inherited descriptor.
const Env = "DIPPER_SUPERVISOR_FD"

// The messages.
const (
	beat     = 'b' // child: the control plane is alive
	reboot   = 'r' // child: end the machine and start it again
	powerOff = 'p' // child: end the machine and switch it off
	up       = 'u' // child: what the boot is for is done
	withdraw = 'w' // PID 1: the machine ends; withdraw the VIPs and exit
)

// The ways in which a machine ends, as End takes them.
const (
	Reboot   = "reboot"
	PowerOff = "poweroff"
)

// ErrNoSupervisor is what Attach says when the process was not started by
// PID 1: in a test, or by hand.
var ErrNoSupervisor = errors.New(Env + " is not set: this process has no supervisor")

// writeTimeout bounds a write to PID 1, which reads all the time. A beat that
// cannot be written is one that is missed, and no reason to stand still.
const writeTimeout = 100 * time.Millisecond

// Line is the child's end.
type Line struct {
	f        *os.File
	withdraw chan struct{}
	asked    sync.Once
}

// Attach takes over the descriptor that PID 1 left for this process. It may
// be called once; the variable is removed, and the descriptor is not passed on
// to programs that the process starts.
func Attach() (*Line, error) {
	value, set := os.LookupEnv(Env)
	if !set {
		return nil, ErrNoSupervisor
	}
	fd, err := strconv.Atoi(value)
	if err != nil {
		return nil, fmt.Errorf("%s=%q: not a number", Env, value)
	}
	if err := os.Unsetenv(Env); err != nil {
		return nil, fmt.Errorf("%s: %w", Env, err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("%s=%d: %w", Env, fd, err)
	}
	l := &Line{f: os.NewFile(uintptr(fd), "supervisor"), withdraw: make(chan struct{})}
	go l.listen()
	return l, nil
}

// listen waits for the one thing that PID 1 says. The end of the file says
// nothing: PID 1 does not end, and if it did, the VIPs would have to stay.
func (l *Line) listen() {
	buffer := make([]byte, 64)
	for {
		n, err := l.f.Read(buffer)
		for _, b := range buffer[:n] {
			if b == withdraw {
				l.asked.Do(func() { close(l.withdraw) })
			}
		}
		if err != nil {
			return
		}
	}
}

// Beat tells PID 1 that the control plane is alive. It is to be called about
// every second, from where the work is done; Heartbeat.Freeze of PID 1 says how
// much silence is a freeze.
func (l *Line) Beat() {
	// A lost beat is made up for by the next one.
	_ = l.send(beat)
}

// Up tells PID 1 that the control plane has done what the machine boots for: it
// serves, or has said why not. What waits for that may begin. A message that is
// lost costs PID 1's patience.
func (l *Line) Up() { _ = l.send(up) }

// Withdraw is closed when PID 1 asks to withdraw the VIPs and to exit with
// status 0, because the machine ends.
func (l *Line) Withdraw() <-chan struct{} { return l.withdraw }

// End asks PID 1 to end the machine: Reboot or PowerOff. Withdraw comes next.
func (l *Line) End(how string) error {
	switch how {
	case Reboot:
		return l.send(reboot)
	case PowerOff:
		return l.send(powerOff)
	}
	return fmt.Errorf("end of the machine: %q is neither %q nor %q", how, Reboot, PowerOff)
}

func (l *Line) send(message byte) error {
	if err := l.f.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	if _, err := l.f.Write([]byte{message}); err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	return nil
}
