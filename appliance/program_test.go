package appliance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"dipper/appliance/api"
)

// needPrograms skips where the build machine's programs are not below /bin.
func needPrograms(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no /bin/sh on this machine:", err)
	}
}

func TestProgramIsStreamed(t *testing.T) {
	needPrograms(t)
	c := serveBackend(t, &backend{})
	in, feeding := io.Pipe()
	out, outWriter := io.Pipe()
	status := make(chan int, 1)
	go func() {
		n, err := c.Program(t.Context(), []string{"sh", "-c", "while read word; do echo got $word; done; echo bye >&2; exit 3"}, in, outWriter, io.Discard)
		if err != nil {
			t.Error(err)
		}
		status <- n
	}()
	answer := make([]byte, 64)
	for _, word := range []string{"one", "two"} { // each is answered before the next is given
		if _, err := io.WriteString(feeding, word+"\n"); err != nil {
			t.Fatal(err)
		}
		if n, err := out.Read(answer); err != nil || string(answer[:n]) != "got "+word+"\n" {
			t.Fatalf("answered %q, %v", answer[:n], err)
		}
	}
	if err := feeding.Close(); err != nil {
		t.Fatal(err)
	}
	if n := <-status; n != 3 {
		t.Errorf("exit status %d, want 3", n)
	}
}

// TestProgramNeedsNoInput ends although nobody closes its standard input.
func TestProgramNeedsNoInput(t *testing.T) {
	needPrograms(t)
	c := serveBackend(t, &backend{})
	in, _ := io.Pipe()
	var out bytes.Buffer
	if n, err := c.Program(t.Context(), []string{"echo", "hello"}, in, &out, io.Discard); err != nil || n != 0 || out.String() != "hello\n" {
		t.Errorf("exit status %d, %v, said %q", n, err, out.String())
	}
}

func TestProgramEndsWithItsCaller(t *testing.T) {
	needPrograms(t)
	ctx, cancel := context.WithCancel(t.Context())
	out, outWriter := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := runProgram(ctx, []string{"sh", "-c", "echo $$; exec sleep 1000"}, nil, outWriter, io.Discard)
		ended <- err
	}()
	pid := make([]byte, 16)
	n, err := out.Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-ended
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid[:n]))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the program runs on: %v", err)
	}
}

func TestUnknownProgram(t *testing.T) {
	for _, name := range []string{"frobnicate", "../bin/sh", ""} {
		if _, err := runProgram(t.Context(), []string{name}, nil, io.Discard, io.Discard); err == nil {
			t.Errorf("%q was run", name)
		}
	}
}

// serveBackend answers a client of a control socket in front of b.
func serveBackend(t *testing.T, b api.Backend) *api.Client {
	t.Helper()
	path := t.TempDir() + "/api.sock"
	l, err := listenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- api.Serve(ctx, l, b) }()
	c := api.NewClient(path)
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestProgramsStandBack asks a program how important the kernel takes it.
func TestProgramsStandBack(t *testing.T) {
	needPrograms(t)
	c := serveBackend(t, &backend{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // it would wait for ever
	defer cancel()
	const script = `while read score </proc/$$/oom_score_adj; [ "$score" != 800 ]; do :; done; cat /proc/$$/stat /proc/self/stat`
	var out bytes.Buffer
	if n, err := c.Program(ctx, []string{"sh", "-c", script}, nil, &out, &out); err != nil || n != 0 {
		t.Fatalf("exit status %d, %v, said %q", n, err, &out)
	}
	for stat := range strings.Lines(out.String()) { // of the program and of its child
		_, rest, _ := strings.Cut(stat, ") ")
		if nice := strings.Fields(rest)[16]; nice != "15" { // field 19 of proc_pid_stat(5)
			t.Errorf("nice value %s in %s", nice, stat)
		}
	}
}
