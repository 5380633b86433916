// Package children owns the processes below PID 1: it starts the ones that are
// wanted and reaps them all, the orphans too that the kernel hands to PID 1.
//
// There is one call of wait4 in PID 1, here, and it is made under the lock
// that is held across fork. So a status is never taken from the one who waits
// for it, and a signal never goes to a number that already belongs to somebody
// else. Nothing in PID 1 may use os/exec or os.StartProcess, which wait on
// their own.
//
// It knows nothing of why a process runs or what happens when it ends.
package children

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"dipper/appliance/nice"
)

// Command is a program to start.
type Command struct {
	Path  string   // what to execute
	Argv  []string // Argv[0] is the name
	Env   []string
	Files []uintptr // the descriptors 0, 1, 2, …
	Nice  int       // how far it stands back from others who want the processor, 0 to 19
}

// Children are the processes that Start has started and Reap has not reaped.
type Children struct {
	mu      sync.Mutex
	running map[int]*Process
}

// New answers an empty set.
func New() *Children { return &Children{running: map[int]*Process{}} }

// Process is one child, in a session and process group of its own.
type Process struct {
	PID     int
	Started time.Time

	owner  *Children
	done   chan struct{}
	status syscall.WaitStatus // valid when done is closed
}

// Start starts a program as leader of its own session. It returns when the
// program was executed or could not be.
func (c *Children) Start(cmd Command) (*Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err := execute(cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s as %s: %w", cmd.Path, cmd.Argv[0], err)
	}
	p := &Process{PID: pid, Started: time.Now(), owner: c, done: make(chan struct{})}
	c.running[pid] = p
	return p, nil
}

// execute forks and executes.
func execute(cmd Command) (pid int, err error) {
	err = nice.While(cmd.Nice, func() (err error) {
		pid, err = syscall.ForkExec(cmd.Path, cmd.Argv, &syscall.ProcAttr{
			Dir:   "/",
			Env:   cmd.Env,
			Files: cmd.Files,
			Sys:   &syscall.SysProcAttr{Setsid: true},
		})
		return err
	})
	return pid, err
}

// Reap takes the statuses of all processes that have ended and tells the
// waiters of those that Start started. It answers how many others there were,
// and whether there is no process left at all. It does not wait. To be called
// on SIGCHLD, and now and then, because signals merge.
func (c *Children) Reap() (orphans int, none bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil: // ECHILD, the only other one: there is no child
			return orphans, true
		case pid == 0:
			return orphans, false
		}
		if p, ours := c.running[pid]; ours {
			c.ended(p, status)
		} else {
			orphans++
		}
	}
}

// ended settles a process of ours. What is left of its process group goes with
// it: the next one must not find its sockets and locks taken.
func (c *Children) ended(p *Process, status syscall.WaitStatus) {
	delete(c.running, p.PID)
	// ESRCH, the usual answer, says that nothing was left.
	_ = syscall.Kill(-p.PID, syscall.SIGKILL)
	p.status = status
	close(p.done)
}

// Done is closed when the process has ended and was reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Status is how the process ended. It may be called when Done is closed.
func (p *Process) Status() syscall.WaitStatus { return p.status }

// Signal sends a signal to the process. It does nothing when the process has
// ended.
func (p *Process) Signal(s syscall.Signal) error { return p.signal(p.PID, s) }

// SignalGroup sends a signal to the process and to all that it started in its
// process group.
func (p *Process) SignalGroup(s syscall.Signal) error { return p.signal(-p.PID, s) }

func (p *Process) signal(target int, s syscall.Signal) error {
	p.owner.mu.Lock()
	defer p.owner.mu.Unlock()
	if p.owner.running[p.PID] != p {
		return nil
	}
	if err := syscall.Kill(target, s); err != nil {
		return fmt.Errorf("signal %v to process %d: %w", s, target, err)
	}
	return nil
}
