package supervise

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a running child, as a Supervisor needs it.
type Process interface {
	Done() <-chan struct{}      // closed when it has ended and its output was read
	Status() syscall.WaitStatus // valid then
}

// Supervisor keeps one child running.
type Supervisor struct {
	Name    string
	Start   func() (Process, error)
	Backoff Backoff
	Report  func(text string)    // a sentence for the log
	Tail    func(n int) []string // the latest lines of the child that ended last

	mu      sync.Mutex
	current Process
}

// Current is the child, nil while there is none.
func (s *Supervisor) Current() Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

func (s *Supervisor) set(p Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = p
}

// Run starts the child, and starts it again whenever it ends, until ctx ends.
// Then it waits for the end of the child, which it leaves alone, and returns.
func (s *Supervisor) Run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		how, words := s.once()
		ran := time.Since(began)
		if ctx.Err() != nil {
			s.Report(fmt.Sprintf("%s: %s", s.Name, how))
			return
		}
		wait := s.Backoff.Wait(ran)
		s.Report(fmt.Sprintf("%s: %s after %v, starting it again in %v%s", s.Name, how,
			ran.Round(time.Millisecond), wait.Round(time.Millisecond), words))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// once runs the child and tells how it ended, and its last words.
func (s *Supervisor) once() (how, words string) {
	p, err := s.Start()
	if err != nil {
		return strings.ReplaceAll(err.Error(), "\n", "; "), ""
	}
	s.set(p)
	defer s.set(nil)
	<-p.Done()
	return Describe(p.Status()), lastWords(s.Tail(tailLines))
}

// Describe tells how a process ended: "exited with status 2" or "killed by
// signal 9 (killed)".
func Describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("killed by signal %d (%v)", int(status.Signal()), status.Signal())
	}
	return fmt.Sprintf("exited with status %d", status.ExitStatus())
}

// How far back to look for a child's last words, and how many to repeat.
const (
	tailLines = 500
	wordLines = 3
)

// deathCries begin the line on which Go says why a process of its dies; the
// stack traces behind it push it far up.
var deathCries = []string{"panic: ", "fatal error: ", "SIGQUIT: ", "SIGABRT: ", "SIGSEGV: ", "SIGBUS: "}

// lastWords picks from a child's latest output what says most about its end:
// a death cry, or else the last few lines.
func lastWords(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		for _, cry := range deathCries {
			if strings.HasPrefix(lines[i], cry) {
				return "; it said: " + lines[i]
			}
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "; it said: " + strings.Join(lines[max(0, len(lines)-wordLines):], " | ")
}
