package appliance

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dipper/appliance/api"
)

// process is a process of this machine, and no later one with its number.
type process struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"` // as ProcessStart says
}

// shells knows which process each session is in that has something to lose: a
// candidate or an unconfirmed commit. A shell tells of the end of its sessions;
// one that is killed does not, and is noticed here.
type shells struct {
	start func(pid int) (uint64, error) // nil: processes are not told apart, and nobody is missed

	mu sync.Mutex
	of map[string]process // by session
}

// vouch notes that the session on whose behalf something is asked is in the
// process that asks.
func (s *shells) vouch(ctx context.Context) {
	session, pid := api.ActorOf(ctx).Session, api.CallerOf(ctx)
	if s.start == nil || session == "" || pid == 0 {
		return
	}
	started, err := s.start(pid)
	if err != nil {
		return // it ended while it asked: nobody is there to lose anything
	}
	s.resume(session, process{pid, started})
}

// resume notes what is known from before a restart of the control plane.
func (s *shells) resume(session string, p process) {
	if s.start == nil || p == (process{}) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]process{}
	}
	s.of[session] = p
}

// process is where a session is; the zero process: nobody knows.
func (s *shells) process(session string) process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[session]
}

func (s *shells) forget(session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, session)
}

// orphans are the sessions whose process is gone.
func (s *shells) orphans() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, session := range slices.Sorted(maps.Keys(s.of)) {
		p := s.of[session]
		if started, err := s.start(p.PID); err != nil || started != p.Started {
			all = append(all, session)
		}
	}
	return all
}

// missInterval is how often it is looked whether the shells are there. A commit
// outlives its session by a minute.
const missInterval = 5 * time.Second

// missShells ends the sessions of shells that are gone.
func (b *backend) missShells(ctx context.Context) error {
	ticker := time.NewTicker(missInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		for _, session := range b.shells.orphans() {
			if err := b.SessionEnded(ctx, session, true); err != nil && ctx.Err() == nil {
				b.reconciler.log.Error("a session that was lost", "session", session, "error", err)
			}
		}
	}
}

// ProcessStart is when a process was started, in 1/100 s since the kernel was
// (proc_pid_stat(5), field 22). One that ended, and waits only for its parent
// to ask why, is there no more.
func ProcessStart(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; the state follows it.
	const state, start = 0, 19
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return 0, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	return strconv.ParseUint(fields[start], 10, 64)
}
