package appliance

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/events"
)

// attempt is a commit of anna's, s1, that has ten minutes to be confirmed, and
// the control plane that it was made in.
type attempt struct {
	*testing.T
	machine *machine
	backend *backend
	kill    func()
	there   atomic.Pointer[starts] // the processes; the control plane looks while it changes
}

// shell is the process that sessions are in.
const shell = 64

func (a *attempt) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// login begins a session in the shell's process.
func (a *attempt) login(user, session string, role api.Role) {
	a.Helper()
	ctx := api.WithActor(context.Background(), api.Actor{User: user, Role: role, Session: session, From: "192.0.2.2"})
	if err := a.backend.SessionBegan(api.WithCaller(ctx, shell)); err != nil {
		a.Error(err)
	}
}

func (a *attempt) lose(session string) {
	a.Helper()
	lose(a.T, a.backend, session)
}

func (a *attempt) leave(session string) {
	a.Helper()
	if err := a.backend.SessionEnded(context.Background(), session, false); err != nil {
		a.Error(err)
	}
}

// restart kills the control plane and starts it again.
func (a *attempt) restart() {
	a.kill()
	a.backend, a.kill = a.machine.serves(a.T)
}

// TestWhoComesBack loses the session of an unconfirmed commit, two minutes into
// its ten, and tells how much time the commit has then.
func TestWhoComesBack(t *testing.T) {
	const minute = lostPatience
	for name, tt := range map[string]struct {
		then func(a *attempt) // from two minutes on
		ends time.Duration    // after the commit
	}{
		"nobody": {func(a *attempt) { a.lose("s1") }, 3 * minute},
		"an administrator": {func(a *attempt) {
			a.lose("s1")
			a.wait(minute / 2)
			a.login("bert", "s2", api.Admin)
		}, 10 * minute},
		"an administrator, too late": {func(a *attempt) {
			a.lose("s1")
			a.wait(minute + time.Second)
			a.login("bert", "s2", api.Admin)
		}, 3 * minute},
		"an administrator, when there is less than a minute anyway": {func(a *attempt) {
			a.wait(7*minute + minute/2)
			a.lose("s1")
			a.login("bert", "s2", api.Admin)
		}, 10 * minute},
		"somebody who may not confirm": {func(a *attempt) {
			a.lose("s1")
			a.login("carl", "s2", api.Operate)
			a.login("guest", "s3", api.Viewer)
		}, 3 * minute},
		"root on the machine itself, without a session": {func(a *attempt) {
			a.lose("s1")
			if err := a.backend.SessionBegan(context.Background()); err != nil {
				a.Error(err)
			}
		}, 3 * minute},
		"an administrator, before the loss is noticed": {func(a *attempt) {
			a.login("anna", "s2", api.Admin)
			a.lose("s1")
		}, 10 * minute},
		"an administrator, who had left before": {func(a *attempt) {
			a.login("bert", "s2", api.Admin)
			a.leave("s2")
			a.lose("s1")
		}, 3 * minute},
		"one who gives one command": {func(a *attempt) {
			a.lose("s1")
			a.login("anna", "s2", api.Admin)
			a.leave("s2")
		}, 10 * minute},
		"one who is lost as well": {func(a *attempt) {
			a.lose("s1")
			a.wait(minute / 2)
			a.login("anna", "s2", api.Admin)
			a.wait(minute)
			a.lose("s2")
		}, 4*minute + minute/2},
		"one who is lost as well, and comes again": {func(a *attempt) {
			a.lose("s1")
			a.login("anna", "s2", api.Admin)
			a.lose("s2")
			a.wait(minute / 2)
			a.login("anna", "s3", api.Admin)
		}, 10 * minute},
		"two, of whom one is lost": {func(a *attempt) {
			a.lose("s1")
			a.login("anna", "s2", api.Admin)
			a.login("bert", "s3", api.Admin)
			a.lose("s2")
		}, 10 * minute},
		"two, of whom both are lost": {func(a *attempt) {
			a.lose("s1")
			a.login("anna", "s2", api.Admin)
			a.login("bert", "s3", api.Admin)
			a.lose("s2")
			a.wait(minute)
			a.lose("s3")
		}, 4 * minute},
		"two, of whom one leaves, and the other is lost": {func(a *attempt) {
			a.lose("s1")
			a.login("anna", "s2", api.Admin)
			a.login("bert", "s3", api.Admin)
			a.leave("s2")
			a.lose("s3")
		}, 3 * minute},
		"no need: the committer has left": {func(a *attempt) { a.leave("s1") }, 10 * minute},
		"no need: another is lost": {func(a *attempt) {
			a.login("bert", "s2", api.Admin)
			a.lose("s2")
		}, 10 * minute},
		"no need: the committer has left, and another is lost": {func(a *attempt) {
			a.leave("s1")
			a.login("bert", "s2", api.Admin)
			a.lose("s2")
		}, 10 * minute},
		"nobody, and the control plane is restarted in the minute": {func(a *attempt) {
			a.lose("s1")
			a.wait(minute / 2)
			a.restart()
		}, 3 * minute},
		"an administrator, after the control plane is restarted in the minute": {func(a *attempt) {
			a.lose("s1")
			a.wait(minute / 2)
			a.restart()
			a.login("bert", "s2", api.Admin)
		}, 10 * minute},
		"one who is lost as well, with a restart in between": {func(a *attempt) {
			a.lose("s1")
			a.login("bert", "s2", api.Admin)
			a.restart()
			a.wait(minute)
			a.lose("s2")
		}, 4 * minute},
		"one whose shell is killed": {func(a *attempt) {
			a.lose("s1")
			a.login("bert", "s2", api.Admin)
			a.there.Store(&starts{})
		}, 3*minute + missInterval},
		"one whose shell is killed with the control plane": {func(a *attempt) {
			a.lose("s1")
			a.login("bert", "s2", api.Admin)
			a.there.Store(&starts{})
			a.restart()
		}, 3*minute + missInterval},
	} {
		t.Run(name, func(t *testing.T) {
			tried(t, func(a *attempt) {
				t := a.T
				began := a.machine.options.Uptime()
				a.wait(2 * minute)
				tt.then(a)
				synctest.Wait()
				left := tt.ends - (a.machine.options.Uptime() - began)
				a.wait(left - time.Second)
				if w := weight(t, a.machine); left > 0 && w != "9" {
					t.Errorf("undone more than a second too early: weight %s", w)
				}
				a.wait(2 * time.Second)
				if w := weight(t, a.machine); w != "1" {
					t.Errorf("not undone a second late: weight %s", w)
				}
			})
		})
	}
}

// tried makes the commit.
func tried(t *testing.T, test func(a *attempt)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := &attempt{T: t, machine: newMachine(t)}
		a.there.Store(&starts{shell: 100})
		began := time.Now()
		a.machine.options.Uptime = func() time.Duration { return time.Since(began) + time.Second }
		a.machine.options.ProcessStart = func(pid int) (uint64, error) { return a.there.Load().of(pid) }
		a.machine.boots(pair)
		a.backend, a.kill = a.machine.serves(t)
		defer func() { a.kill() }()
		anna := as(t, "anna", "s1")
		a.login("anna", "s1", api.Admin) // long before
		c := candidateOf(t, anna, a.backend, heavier)
		if _, err := a.backend.Commit(anna, c.ID, api.CommitOptions{Confirm: api.Duration(10 * time.Minute)}); err != nil {
			t.Fatal(err)
		}
		test(a)
	})
}

// TestWhoIsTold: the one who comes sees in the status, from which his banner is
// made, how long he has; the others hear of both.
func TestWhoIsTold(t *testing.T) {
	tried(t, func(a *attempt) {
		t := a.T
		a.wait(2 * time.Minute)
		a.lose("s1")
		if by := time.Until(a.backend.Status(t.Context(), -1).ConfirmBy); by != time.Minute {
			t.Errorf("after the loss: to be confirmed within %v", by)
		}
		a.wait(20 * time.Second)
		a.login("bert", "s2", api.Admin)
		if by := time.Until(a.backend.Status(t.Context(), -1).ConfirmBy); by != 8*time.Minute-20*time.Second {
			t.Errorf("when bert is in: to be confirmed within %v", by)
		}
		said := strings.Join(eventsOf(t, a.backend, events.Commit), "\n")
		for _, want := range []string{
			"the session of anna was lost: the unconfirmed commit ends in 1m0s unless",
			"logs in: the unconfirmed commit of anna has 7m40s again to be confirmed",
		} {
			if strings.Count(said, want) != 1 {
				t.Errorf("not told once: %q, in\n%s", want, said)
			}
		}
		a.login("carla", "s3", api.Admin)
		a.lose("s2")
		said = strings.Join(eventsOf(t, a.backend, events.Commit), "\n")
		if want := "the session of bert was lost: the unconfirmed commit goes on, because carla logged in since"; !strings.Contains(said, want) {
			t.Errorf("not told: %q, in\n%s", want, said)
		}
		if _, err := a.backend.Confirm(as(t, "carla", "s3")); err != nil {
			t.Error(err)
		}
		a.lose("s3")
		a.wait(time.Hour)
		if w := weight(t, a.machine); w != "9" {
			t.Errorf("confirmed, and weight %s", w)
		}
	})
}

func lose(t *testing.T, b *backend, session string) {
	t.Helper()
	if err := b.SessionEnded(t.Context(), session, true); err != nil {
		t.Error(err)
	}
}

// TestUnconfirmedOutlivesTheControlPlane kills it before the deadline, and
// starts it again before and after.
func TestUnconfirmedOutlivesTheControlPlane(t *testing.T) {
	for name, tt := range map[string]struct {
		away   time.Duration
		before string // weight right after the restart
	}{
		"back in time": {time.Minute, "9"},
		"back late":    {time.Hour, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				m.options.Uptime = nil
				m.boots(pair)
				b, kill := m.serves(t)
				anna := as(t, "anna", "s1")
				c := candidateOf(t, anna, b, heavier)
				if _, err := b.Commit(anna, c.ID, api.CommitOptions{Confirm: api.Duration(10 * time.Minute)}); err != nil {
					t.Fatal(err)
				}
				kill()
				time.Sleep(tt.away)
				b, kill = m.serves(t)
				defer kill()
				if w := weight(t, m); w != tt.before {
					t.Errorf("after the restart: weight %s, want %s", w, tt.before)
				}
				if confirmBy := b.Status(anna, -1).ConfirmBy; confirmBy.IsZero() != (tt.before == "1") {
					t.Errorf("to be confirmed by %v", confirmBy)
				}
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if w := weight(t, m); w != "1" || b.Status(anna, -1).Unsaved {
					t.Errorf("in the end: weight %s", w)
				}
			})
		})
	}
}
