package appliance

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/api"
)

// starts are when processes were started, by number.
type starts map[int]uint64

func (s starts) of(pid int) (uint64, error) {
	if start, there := s[pid]; there {
		return start, nil
	}
	return 0, os.ErrProcessDone
}

// TestKilledShell kills the process that the session of an unconfirmed commit
// is in. It tells nobody; the control plane, restarted in between or not,
// notices, and undoes the commit a minute later instead of in ten.
func TestKilledShell(t *testing.T) {
	for name, tt := range map[string]struct {
		then  starts // the processes that are there after the commit
		plane bool   // the control plane is killed, too
		lost  bool
	}{
		"it stays":                              {starts{shell: 100}, false, false},
		"gone":                                  {starts{}, false, true},
		"another has its number":                {starts{shell: 101}, false, true},
		"it outlives the control plane":         {starts{shell: 100}, true, false},
		"gone with the control plane":           {starts{}, true, true},
		"number taken while there was no plane": {starts{shell: 101}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				m.options.Uptime = nil
				var there atomic.Pointer[starts] // the control plane looks while it changes
				there.Store(&starts{shell: 100})
				m.options.ProcessStart = func(pid int) (uint64, error) { return there.Load().of(pid) }
				m.boots(pair)
				b, kill := m.serves(t)
				anna := api.WithCaller(as(t, "anna", "s1"), shell)
				c := candidateOf(t, anna, b, heavier)
				if _, err := b.Commit(anna, c.ID, api.CommitOptions{Confirm: api.Duration(10 * time.Minute)}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				there.Store(&tt.then)
				if tt.plane {
					kill()
					_, kill = m.serves(t)
				}
				defer kill()
				time.Sleep(lostPatience - time.Second)
				synctest.Wait()
				if w := weight(t, m); w != "9" {
					t.Errorf("undone before the minute is over: weight %s", w)
				}
				time.Sleep(missInterval + 2*time.Second)
				synctest.Wait()
				if undone := weight(t, m) == "1"; undone != tt.lost {
					t.Errorf("a minute later: undone is %t, want %t", undone, tt.lost)
				}
			})
		})
	}
}

// TestKilledShellsCandidates: what only a session that is gone could see is
// gone as well, also when its shell was killed while there was no control plane.
func TestKilledShellsCandidates(t *testing.T) {
	for name, plane := range map[string]bool{"the shell alone": false, "the control plane, too": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				m.options.Uptime = nil
				var there atomic.Pointer[starts] // as above
				there.Store(&starts{shell: 100, shell + 1: 101})
				m.options.ProcessStart = func(pid int) (uint64, error) { return there.Load().of(pid) }
				m.boots(pair)
				b, kill := m.serves(t)
				candidateOf(t, api.WithCaller(as(t, "anna", "s1"), shell), b, heavier)
				candidateOf(t, as(t, "bob", "s2"), b, heavier) // nobody knows where he is
				candidateOf(t, api.WithCaller(as(t, "carla", "s3"), shell+1), b, heavier)
				anna := api.WithCaller(as(t, "anna", "s1"), shell)
				everybodys, err := b.OpenCandidate(anna, true)
				if err == nil {
					_, err = b.EditCandidate(anna, everybodys.ID, api.Edit{Kind: api.EditSet, Words: []string{"hostname", "lb2"}})
				}
				if err != nil {
					t.Fatal(err)
				}
				if plane {
					kill()
				}
				there.Store(&starts{shell + 1: 101})
				if plane {
					b, kill = m.serves(t)
				}
				defer kill()
				time.Sleep(2 * missInterval)
				synctest.Wait()
				if got := candidatesOf(t, b); !slices.Equal(got, []string{"bob's", "carla's", "anna's, shared"}) {
					t.Errorf("left: %q", got)
				}
				kill()
				b, kill = m.serves(t)
				defer kill()
				if got := candidatesOf(t, b); len(got) != 3 {
					t.Errorf("and after another restart: %q", got)
				}
			})
		})
	}
}

// candidatesOf tells whose candidates are open, the oldest first.
func candidatesOf(t *testing.T, b *backend) (all []string) {
	t.Helper()
	open, err := b.Candidates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range open {
		whose := c.Owner.User + "'s"
		if c.Shared {
			whose += ", shared"
		}
		all = append(all, whose)
	}
	return all
}

// TestProcessStart asks the kernel of a child before and after its death, when
// it has left nothing but its status.
func TestProcessStart(t *testing.T) {
	own, err := ProcessStart(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sleep", "1000")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := child.Process.Pid
	started, err := ProcessStart(pid)
	if err != nil || started < own {
		t.Errorf("a child was started at %d (%v), this process at %d", started, err, own)
	}
	if again, err := ProcessStart(pid); err != nil || again != started {
		t.Errorf("asked again: %d, %v", again, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for err == nil { // until the kernel has ended it
		_, err = ProcessStart(pid)
	}
	if !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a child that is dead: %v", err)
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the child ended: %v", err)
	}
	if _, err := ProcessStart(pid); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a child that is buried: %v", err)
	}
}
