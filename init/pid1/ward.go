package pid1

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dipper/init/pid1/children"
	"dipper/init/pid1/journal"
	"dipper/init/pid1/line"
	"dipper/init/pid1/supervise"
)

// Waits between restarts. The first is short, because nothing is wrong with
// being killed; the longest is short enough for several tries before the
// watchdog loses its patience.
const (
	backoffMin    = 100 * time.Millisecond
	backoffMax    = 5 * time.Second
	backoffStable = 10 * time.Second
)

// outputGrace is how long the end of a child's output is waited for when the
// child has ended: something that it started may hold the pipe open.
const outputGrace = 200 * time.Millisecond

// ward is a child with its supervisor.
type ward struct {
	Child
	supervisor *supervise.Supervisor
	stop       context.CancelFunc // ends the restarts
	over       chan struct{}      // closed when the child is gone for good

	mu      sync.Mutex
	process *children.Process // the latest
	line    *line.Supervisor  // of the latest, if it is vital
	began   time.Duration     // of the latest, since the kernel's start
}

// startWards starts the children, those that are vital or the others, and keeps
// them running.
func (m *machine) startWards(vital bool) (string, error) {
	var names []string
	for _, c := range m.Children {
		if c.Vital == vital {
			m.wards = append(m.wards, m.keep(c))
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, " "), nil
}

// vitalUp has the rest started.
func (m *machine) vitalUp() {
	select {
	case m.up <- struct{}{}:
	default: // it was said before
	}
}

// keep starts a child and keeps it running until the ward is stopped.
func (m *machine) keep(c Child) *ward {
	ctx, stop := context.WithCancel(context.Background())
	w := &ward{Child: c, stop: stop, over: make(chan struct{})}
	w.supervisor = &supervise.Supervisor{
		Name:  c.Name,
		Start: func() (supervise.Process, error) { return m.start(w) },
		Backoff: supervise.Backoff{
			Min: backoffMin, Max: backoffMax, Stable: backoffStable, Jitter: rand.Float64,
		},
		Report: func(text string) { m.say(journal.Warning, text) },
		Tail:   func(n int) []string { return m.journal.Tail(c.Name, w.since(), n) },
	}
	m.safely("supervisor of "+c.Name, func() {
		w.supervisor.Run(ctx)
		close(w.over)
	})
	return w
}

// running is a child whose output is read by PID 1.
type running struct {
	*children.Process
	done chan struct{} // ended, reaped, and its output read
}

// Done is closed when the child has ended and its output was read.
func (r running) Done() <-chan struct{} { return r.done }

// start starts a child with its output and its line in PID 1's hands.
func (m *machine) start(w *ward) (supervise.Process, error) {
	io, err := openChildIO(w.Vital)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", w.Name, err)
	}
	began := sinceBoot()
	p, err := m.execute(w.Child, io)
	io.closeChildEnds()
	if err != nil {
		io.closeOurEnds()
		return nil, err
	}
	w.started(p, io.line, began)
	m.adjustOOM(w.Child, p.PID)
	read := make(chan struct{})
	m.safely("output of "+w.Name, func() { defer close(read); m.pump(w.Name, io.output) })
	if io.line != nil {
		m.heart.started()
		m.safely("line of "+w.Name, func() { m.serveLine(w.Name, io.line) })
	}
	r := running{Process: p, done: make(chan struct{})}
	m.safely("end of "+w.Name, func() { defer close(r.done); awaitEnd(p, read) })
	return r, nil
}

// awaitEnd waits for the end of a child and then, a little, of its output.
func awaitEnd(p *children.Process, read <-chan struct{}) {
	<-p.Done()
	select {
	case <-read:
	case <-time.After(outputGrace):
	}
}

// execute starts our own program under the child's name.
func (m *machine) execute(c Child, io *childIO) (*children.Process, error) {
	cmd := children.Command{
		Argv:  append([]string{c.Name}, c.Args...),
		Env:   append(append([]string{}, m.Env...), os.Environ()...),
		Files: io.files(),
		Nice:  c.Nice,
	}
	if io.line != nil {
		cmd.Env = append(cmd.Env, line.Env+"="+strconv.Itoa(lineFD))
	}
	var problems []error
	for _, cmd.Path = range m.Executables {
		p, err := m.children.Start(cmd)
		if err == nil {
			return p, nil
		}
		problems = append(problems, err)
	}
	return nil, errors.Join(problems...)
}

// adjustOOM tells the kernel how dear a child is.
func (m *machine) adjustOOM(c Child, pid int) {
	path := fmt.Sprintf("/proc/%d/oom_score_adj", pid)
	if err := os.WriteFile(path, []byte(strconv.Itoa(c.OOMScore)), 0); err != nil {
		m.say(journal.Warning, fmt.Sprintf("%s: %v", c.Name, err))
	}
}

// pump logs a child's output until its end.
func (m *machine) pump(name string, output *os.File) {
	if err := m.journal.Pump(name, output); err != nil {
		m.say(journal.Warning, fmt.Sprintf("output of %s: %v", name, err))
	}
	_ = output.Close() // it was only read
}

// serveLine does what the control plane asks for.
func (m *machine) serveLine(name string, l *line.Supervisor) {
	defer l.Close()
	err := l.Serve(line.Handler{
		Beat:    m.heart.heard,
		Up:      m.vitalUp,
		End:     func(how string) { m.ask(request{how: how, why: "asked for by " + name}) },
		Unknown: func(n int) { m.say(journal.Warning, fmt.Sprintf("%s: %d unknown messages", name, n)) },
	})
	if err != nil {
		m.say(journal.Warning, fmt.Sprintf("%s: %v", name, err))
	}
}

func (w *ward) started(p *children.Process, l *line.Supervisor, began time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.process, w.line, w.began = p, l, began
}

func (w *ward) since() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.began
}

// latest is the process that was started last, which may have ended, and its
// line. Both are nil before the first start.
func (w *ward) latest() (*children.Process, *line.Supervisor) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.process, w.line
}

// lineFD is the number of the line's descriptor in the child.
const lineFD = 3

// childIO is what is opened for a child: its ends as bare descriptors, which
// stay blocking, and ours.
type childIO struct {
	null, write, lineChild int // the child's; lineChild is -1 without a line
	output                 *os.File
	line                   *line.Supervisor
}

func openChildIO(withLine bool) (*childIO, error) {
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/null: %w", err)
	}
	io := &childIO{null: null, write: -1, lineChild: -1}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		io.closeChildEnds()
		return nil, fmt.Errorf("pipe: %w", err)
	}
	io.write = fds[1]
	nonblockErr := unix.SetNonblock(fds[0], true)
	io.output = os.NewFile(uintptr(fds[0]), "output")
	var lineErr error
	if withLine {
		io.line, io.lineChild, lineErr = line.Pair()
	}
	if err := errors.Join(nonblockErr, lineErr); err != nil {
		io.closeChildEnds()
		io.closeOurEnds()
		return nil, err
	}
	return io, nil
}

// files are the descriptors 0 to 2 of the child and, with a line, lineFD.
func (c *childIO) files() []uintptr {
	files := []uintptr{uintptr(c.null), uintptr(c.write), uintptr(c.write)}
	if c.line != nil {
		files = append(files, uintptr(c.lineChild))
	}
	return files
}

func (c *childIO) closeChildEnds() {
	for _, fd := range []int{c.null, c.write, c.lineChild} {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing was written to them by us
		}
	}
}

func (c *childIO) closeOurEnds() {
	_ = c.output.Close() // it was only read
	if c.line != nil {
		c.line.Close()
	}
}

// signalVital sends a signal to the control plane, if it runs.
func (m *machine) signalVital(group bool, s syscall.Signal) error {
	for _, w := range m.wards {
		p, _ := w.latest()
		if !w.Vital || p == nil {
			continue
		}
		if group {
			return p.SignalGroup(s)
		}
		return p.Signal(s)
	}
	return nil
}
