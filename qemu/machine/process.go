package machine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a child that never outlives this one: the kernel kills it when
// its parent dies, however that happens.
type process struct {
	cmd       *exec.Cmd
	errorFile string
	ended     chan struct{}
	err       error // of Wait; read after ended
	killed    chan struct{}
}

func startProcess(arguments []string, errorFile string) (*process, error) {
	stderr, err := os.Create(errorFile)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd := exec.Command(arguments[0], arguments[1:]...)
	cmd.Stdout, cmd.Stderr = stderr, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // the terminal's Ctrl-C is for us; we end it in order
	}
	p := &process{cmd: cmd, errorFile: errorFile, ended: make(chan struct{}), killed: make(chan struct{}, 1)}
	started := make(chan error)
	go p.run(started)
	return p, <-started
}

// run stays on one thread, because it is that thread whose death the kernel
// takes for the parent's (prctl(2), PR_SET_PDEATHSIG), and Go ends idle ones.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	p.err = p.cmd.Wait()
	close(p.ended)
}

// kill returns when the process is gone.
func (p *process) kill() {
	select {
	case p.killed <- struct{}{}:
	default:
	}
	_ = p.cmd.Process.Kill() // only fails for one that has ended
	<-p.ended
}

// failure is why the process ended, nil while it runs, after an orderly end or
// when it was killed from here.
func (p *process) failure() error {
	select {
	case <-p.ended:
	default:
		return nil
	}
	if p.err == nil || len(p.killed) > 0 {
		return nil
	}
	return fmt.Errorf("qemu: %w", p.err)
}

// stderr is what QEMU complained about, nil if nothing.
func (p *process) stderr() error {
	text, err := os.ReadFile(p.errorFile)
	if text = bytes.TrimSpace(text); err != nil || len(text) == 0 {
		return err
	}
	return errors.New(string(text))
}
