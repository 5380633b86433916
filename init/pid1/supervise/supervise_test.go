package supervise

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func noJitter() float64 { return 0 }

func TestBackoff(t *testing.T) {
	const s = time.Second
	b := Backoff{Min: s, Max: 10 * s, Stable: 60 * s, Jitter: noJitter}
	for i, tt := range []struct{ ran, want time.Duration }{
		{0, 1 * s}, {0, 2 * s}, {59 * s, 4 * s}, {0, 8 * s}, {0, 10 * s}, {0, 10 * s},
		{60 * s, 1 * s}, {0, 2 * s}, // a stable run starts over
	} {
		if got := b.Wait(tt.ran); got != tt.want {
			t.Errorf("end %d after %v: wait %v, want %v", i, tt.ran, got, tt.want)
		}
	}
}

func TestBackoffNeverGivesUp(t *testing.T) {
	b := Backoff{Min: time.Millisecond, Max: time.Second, Stable: time.Hour, Jitter: noJitter}
	for range 10_000 {
		if w := b.Wait(0); w < time.Millisecond || w > time.Second {
			t.Fatalf("wait %v", w)
		}
	}
}

func TestJitterSpreadsByAFifth(t *testing.T) {
	b := Backoff{Min: time.Second, Max: time.Second, Jitter: func() float64 { return 0.999 }}
	if w := b.Wait(0); w <= time.Second || w > 1200*time.Millisecond {
		t.Errorf("wait with jitter: %v", w)
	}
}

// ticks runs a script: each letter is one thing that happens to a Pulse of
// Freeze 3, Kill 5, Patience 8. "b" beat, "s" start, "." tick with a child,
// "-" tick without. The answer has one letter per tick: "." nothing, "d" dump,
// "k" kill, in capitals when the watchdog must not be petted ("!" for ".").
func ticks(script string) string {
	p := Pulse{Freeze: 3, Kill: 5, Patience: 8}
	var out strings.Builder
	for _, c := range script {
		switch c {
		case 'b':
			p.Beat()
		case 's':
			p.Started()
		default:
			action, alive := p.Tick(c == '.')
			letter := map[Action]string{Nothing: ".", Dump: "d", End: "k"}[action]
			if !alive {
				letter = strings.ReplaceAll(strings.ToUpper(letter), ".", "!")
			}
			out.WriteString(letter)
		}
	}
	return out.String()
}

func TestPulse(t *testing.T) {
	for _, tt := range []struct{ name, script, want string }{
		{"beats", "s.b.b.b..b..b", "......."},
		{"a freeze is asked, then killed until it is gone", "s.b.....--", "...d.k.."},
		{"a start gives time for the first beat", "s..s..s..s..", ".......!"},
		{"a child that never beats is no control plane", "s...-s...-s...-", "..d...d!!!D!"},
		{"a beat after a long silence wakes the dog", "s---------b.", ".......!!."},
		{"no child, nobody to kill", "-----", "....."},
		{"a beat of the next child counts", "s.b...-sb.b.", "...d..."},
	} {
		if got := ticks(tt.script); got != tt.want {
			t.Errorf("%s: %q gives %q, want %q", tt.name, tt.script, got, tt.want)
		}
	}
}

// child is a process that a test ends.
type child struct {
	done   chan struct{}
	status syscall.WaitStatus
}

func (c *child) Done() <-chan struct{}      { return c.done }
func (c *child) Status() syscall.WaitStatus { return c.status }

func exited(code int) syscall.WaitStatus         { return syscall.WaitStatus(code << 8) }
func killed(s syscall.Signal) syscall.WaitStatus { return syscall.WaitStatus(s) }

// stage runs a Supervisor with a fake child, in a bubble of synctest.
type stage struct {
	*Supervisor
	mu      sync.Mutex
	began   []time.Duration // each start, since the beginning
	reports []string
	fail    atomic.Pointer[error]
	said    []string
	current *child
	stop    context.CancelFunc
	over    bool
}

func newStage(t *testing.T) *stage {
	st := &stage{}
	begin := time.Now()
	st.Supervisor = &Supervisor{
		Name: "appliance",
		Start: func() (Process, error) {
			st.mu.Lock()
			defer st.mu.Unlock()
			st.began = append(st.began, time.Since(begin))
			if err := st.fail.Load(); err != nil {
				return nil, *err
			}
			st.current = &child{done: make(chan struct{})}
			return st.current, nil
		},
		Backoff: Backoff{Min: time.Second, Max: 4 * time.Second, Stable: time.Minute, Jitter: noJitter},
		Report:  func(text string) { st.reports = append(st.reports, text) },
		Tail:    func(int) []string { return st.said },
	}
	var ctx context.Context
	ctx, st.stop = context.WithCancel(t.Context())
	go func() {
		st.Run(ctx)
		st.over = true
	}()
	synctest.Wait()
	return st
}

func (st *stage) starts() []time.Duration {
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.Clone(st.began)
}

func (st *stage) end(status syscall.WaitStatus) {
	st.current.status = status
	close(st.current.done)
	synctest.Wait()
}

func (st *stage) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestRestartsWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		for range 4 {
			st.end(exited(1))
			st.sleep(5 * time.Second)
		}
		st.sleep(time.Hour)
		st.end(killed(syscall.SIGKILL))
		st.sleep(5 * time.Second)
		const s = time.Second
		want := []time.Duration{0, 1 * s, 7 * s, 14 * s, 19 * s, 20*s + time.Hour + 1*s}
		if !slices.Equal(st.starts(), want) {
			t.Errorf("starts at %v, want %v", st.starts(), want)
		}
		if last := st.reports[4]; last != "appliance: killed by signal 9 (killed) after 1h0m1s, starting it again in 1s" {
			t.Errorf("report %q", last)
		}
		st.stop()
		st.end(exited(0))
	})
}

// TestNeverGivesUpOnAFailingStart is the machine without memory for a fork.
func TestNeverGivesUpOnAFailingStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		noMemory := errors.New("start /init as appliance: cannot allocate memory")
		st.fail.Store(&noMemory)
		st.said = []string{"hello"}
		st.end(exited(2))
		st.sleep(time.Hour)
		want := []string{
			"appliance: exited with status 2 after 0s, starting it again in 1s; it said: hello",
			"appliance: start /init as appliance: cannot allocate memory after 0s, starting it again in 2s",
		}
		if got := st.reports[:2]; !slices.Equal(got, want) {
			t.Errorf("reports %q, want %q", got, want)
		}
		if n := len(st.starts()); n < 800 {
			t.Errorf("%d starts in an hour", n)
		}
		if st.Current() != nil {
			t.Error("there is no child")
		}
		st.fail.Store(nil)
		st.sleep(5 * time.Second)
		if st.Current() == nil {
			t.Error("not started when it was possible again")
		}
		st.stop()
		st.end(exited(0))
	})
}

// TestStopLeavesTheChildAlone wants Run to wait for the child's own end.
func TestStopLeavesTheChildAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		st.stop()
		st.sleep(time.Hour)
		if st.over || st.Current() == nil {
			t.Error("Run did not wait for the child")
		}
		st.end(exited(0))
		st.sleep(time.Hour)
		if !st.over || len(st.starts()) != 1 {
			t.Errorf("over %v, %d starts", st.over, len(st.starts()))
		}
		if st.reports[0] != "appliance: exited with status 0" {
			t.Errorf("report %q", st.reports[0])
		}
	})
}

func TestStopDuringBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		st.end(exited(1))
		st.stop()
		synctest.Wait()
		if !st.over || len(st.starts()) != 1 {
			t.Errorf("over %v, %d starts", st.over, len(st.starts()))
		}
	})
}

func TestLastWords(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"silence", nil, ""},
		{"a few words", []string{"one"}, "; it said: one"},
		{"the last of many", []string{"1", "2", "3", "4"}, "; it said: 2 | 3 | 4"},
		{"a panic", []string{"ok", "panic: nil map", "", "goroutine 1 [running]:", "main.main()"}, "; it said: panic: nil map"},
		{"a freeze", []string{"SIGQUIT: quit", "PC=0x48cd43", "", "rax 0xca", "gs 0x0"}, "; it said: SIGQUIT: quit"},
		{"a fatal error", []string{"fatal error: out of memory", "stack"}, "; it said: fatal error: out of memory"},
	} {
		if got := lastWords(tt.lines); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
