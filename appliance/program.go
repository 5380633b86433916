package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/nice"
)

// Limits of a command whose output is answered in one piece.
const (
	commandTimeout = time.Minute
	commandOutput  = 1 << 20 // bytes, of each stream
)

// patience is how long a program's output is waited for when the program has
// ended but left a child that holds it open.
const patience = time.Second

// programDirs are where the image has its programs.
var programDirs = [...]string{"/bbin", "/bin"}

// ownPrograms are those that the appliance carries out itself.
var ownPrograms = [...]string{"ipvsadm", "traceroute"}

// Program runs a program of the image, or one of the appliance's own.
func (b *backend) Program(ctx context.Context, argv []string, in io.Reader, out, errOut io.Writer) (int, error) {
	if len(argv) == 0 {
		return 0, &api.Error{Message: "argv: empty: expected a program and its arguments"}
	}
	if err := allow(ctx, programRole(argv[0])); err != nil {
		return 0, err
	}
	switch argv[0] {
	case "ipvsadm":
		return b.ipvsadm(ctx, argv[1:], in, out, errOut)
	case "traceroute":
		return b.traceroute(ctx, argv[1:], out, errOut)
	}
	return runProgram(ctx, argv, in, out, errOut)
}

// Run runs a program, bounded in time and output.
func (b *backend) Run(ctx context.Context, cmd api.Command) (api.CommandResult, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var stdout, stderr limitedBuffer
	status, err := b.Program(ctx, cmd.Argv, bytes.NewReader(nil), &stdout, &stderr)
	if err != nil {
		return api.CommandResult{}, err
	}
	return api.CommandResult{Stdout: stdout.String(), Stderr: stderr.String(), Exit: status}, nil
}

// runProgram runs one of the image's programs until it ends or ctx does.
func runProgram(ctx context.Context, argv []string, in io.Reader, out, errOut io.Writer) (int, error) {
	path, err := lookProgram(argv[0])
	if err != nil {
		return 0, err
	}
	c := exec.CommandContext(ctx, path, argv[1:]...)
	c.Args[0] = argv[0]
	c.Env = []string{"PATH=/bbin:/bin", "HOME=/"}
	c.Stdout, c.Stderr = out, errOut
	c.WaitDelay = patience
	stop, err := feed(c, in)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", argv[0], err)
	}
	defer stop()
	if err := standBack(c); err != nil {
		return 0, &api.Error{Message: fmt.Sprintf("%s: %v", argv[0], err)}
	}
	err = c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return 0, &api.Error{Message: fmt.Sprintf("%s: %v", argv[0], err)}
	}
	return c.ProcessState.ExitCode(), nil
}

// How far a program stands back from the control plane, and from the shell that
// somebody wants to stop it by: at nice 15 it weighs 36 against 1024 and 110
// (kernel/sched/core.c, sched_prio_to_weight). Where memory ends, it ends first
// (proc_pid_oom_score_adj(5)).
const (
	programNice     = 15
	programOOMScore = 800
)

// standBack starts a program.
func standBack(c *exec.Cmd) error {
	if err := nice.While(programNice, c.Start); err != nil {
		return err
	}
	// A program that has ended already needs none, and the rest of them can do
	// without as long as there is memory.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", c.Process.Pid), []byte(strconv.Itoa(programOOMScore)), 0)
	return nil
}

// feed copies in to the program's standard input. A program that ends does not
// wait for input that nobody gives, as exec's own copying would.
func feed(c *exec.Cmd, in io.Reader) (stop func(), err error) {
	if in == nil {
		return func() {}, nil
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.Stdin = theirs
	go func() {
		// A program that reads no further is no mistake.
		_, _ = io.Copy(ours, in)
		_ = ours.Close() // a pipe: nothing is lost
	}()
	return func() { _ = theirs.Close() }, nil // ends the copying with its next byte
}

func lookProgram(name string) (string, error) {
	for _, dir := range programDirs {
		path := dir + "/" + name
		if _, err := os.Stat(path); err == nil && !strings.Contains(name, "/") {
			return path, nil
		}
	}
	names, err := programNames()
	if err != nil {
		return "", err
	}
	return "", &api.Error{Message: fmt.Sprintf("%q: no such program; there are: %s", name, strings.Join(names, " "))}
}

// programNames are the programs that an administrator can run.
func programNames() ([]string, error) {
	programs, err := os.ReadDir(programDirs[0])
	if err != nil {
		return nil, fmt.Errorf("programs: %w", err)
	}
	names := slices.Clone(ownPrograms[:])
	for _, p := range programs {
		names = append(names, p.Name())
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// limitedBuffer keeps the first commandOutput bytes and swallows the rest, so
// that a talkative program ends by itself.
type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	room := max(0, commandOutput-b.Len())
	b.Buffer.Write(p[:min(room, len(p))])
	return len(p), nil
}
