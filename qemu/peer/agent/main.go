// Command agent runs in a peer and does what the lab asks for: it runs shell
// scripts and answers with their output and status, over the virtio-serial
// port named call.Port.
//
// It knows nothing of what the scripts are for.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"dipper/qemu/peer/call"
)

func main() {
	fmt.Fprintln(os.Stderr, "agent:", run())
	os.Exit(1) // init starts it again
}

// run only ends with an error: the lab never ends a peer's agent.
func run() error {
	path, err := findPort("/sys/class/virtio-ports", call.Port)
	if err != nil {
		return err
	}
	port, err := openPort(path)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", path, serve(port))
}

// findPort maps the port's name to its device, as udev does elsewhere.
func findPort(class, name string) (string, error) {
	files, err := filepath.Glob(filepath.Join(class, "*", "name"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == name {
			return filepath.Join("/dev", filepath.Base(filepath.Dir(file))), nil
		}
	}
	return "", fmt.Errorf("no virtio-serial port %q: was the machine started with it?", name)
}

// port reads and writes the device with plain blocking calls: os.File would
// put it under epoll, where a host that is not connected is an endless event.
type port struct{ fd int }

func openPort(path string) (*port, error) {
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &port{fd}, nil
}

// reconnectPause is how often the agent looks whether the host is back.
const reconnectPause = 50 * time.Millisecond

// Read waits while the host is not connected: then the device reads as ended.
func (p *port) Read(b []byte) (int, error) {
	for {
		n, err := syscall.Read(p.fd, b)
		switch {
		case errors.Is(err, syscall.EINTR):
		case n > 0 || err != nil:
			return n, err
		default:
			time.Sleep(reconnectPause)
		}
	}
}

func (p *port) Write(b []byte) (written int, err error) {
	for written < len(b) {
		n, err := syscall.Write(p.fd, b[written:])
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return written, err
		}
		written += max(n, 0)
	}
	return written, nil
}

// agent runs requests at the same time and answers in the order they end.
type agent struct {
	mu      sync.Mutex // of what follows
	answers *json.Encoder
	running map[int64]*os.Process
}

// serve returns when the port ends, which a virtio port never does. A line that
// is no request is what a host left behind when it broke off; the next one
// starts afresh.
func serve(port io.ReadWriter) error {
	a := &agent{answers: json.NewEncoder(port), running: make(map[int64]*os.Process)}
	lines := bufio.NewReader(port)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		var request call.Request
		switch {
		case json.Unmarshal(line, &request) != nil:
		case request.Cancel:
			a.cancel(request.ID)
		default:
			go a.handle(request)
		}
	}
}

func (a *agent) handle(request call.Request) {
	answer, err := a.execute(request)
	if err != nil {
		answer.Error = err.Error()
	}
	answer.ID = request.ID
	a.mu.Lock()
	defer a.mu.Unlock()
	// A host that does not listen any more wants no answer.
	_ = a.answers.Encode(answer)
}

// execute gives the script files for its output, not pipes: a server that it
// leaves in the background holds them open, and must not hold up the answer.
func (a *agent) execute(request call.Request) (answer call.Answer, err error) {
	stdout, err := scratch()
	if err != nil {
		return answer, err
	}
	defer stdout.Close()
	stderr, err := scratch()
	if err != nil {
		return answer, err
	}
	defer stderr.Close()
	cmd := exec.Command("/bin/sh", "-ec", request.Script)
	cmd.Stdin = strings.NewReader(request.Stdin)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := a.start(request.ID, cmd); err != nil {
		return answer, err
	}
	answer.Exit = a.wait(request.ID, cmd)
	var cut [2]bool
	answer.Stdout, cut[0], err = contents(stdout)
	if err != nil {
		return answer, err
	}
	answer.Stderr, cut[1], err = contents(stderr)
	answer.Truncated = cut[0] || cut[1]
	return answer, err
}

func (a *agent) start(id int64, cmd *exec.Cmd) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	a.running[id] = cmd.Process
	return nil
}

func (a *agent) wait(id int64, cmd *exec.Cmd) int {
	// Its error says in words what the status says in numbers.
	_ = cmd.Wait()
	a.mu.Lock()
	delete(a.running, id)
	a.mu.Unlock()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// cancel ends a script with all that it started and did not set apart: it asks,
// and soon insists.
func (a *agent) cancel(id int64) {
	const insistAfter = 2 * time.Second
	a.signal(id, syscall.SIGTERM)
	time.AfterFunc(insistAfter, func() { a.signal(id, syscall.SIGKILL) })
}

func (a *agent) signal(id int64, s syscall.Signal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.running[id]; p != nil {
		_ = syscall.Kill(-p.Pid, s) // it may just have ended
	}
}

// scratch is a file that has no name.
func scratch() (*os.File, error) {
	f, err := os.CreateTemp("", "output-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

func contents(f *os.File) (text string, truncated bool, err error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, call.MaxOutput+1))
	if len(b) > call.MaxOutput {
		return string(b[:call.MaxOutput]), true, err
	}
	return string(b), false, err
}
