package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dipper/qemu/peer"
	"dipper/qemu/peer/call"
)

// connected is an agent on this host, and the lab's end of its port.
func connected(t *testing.T) (*peer.Peer, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- serve(far) }()
	p, err := peer.Connect(t.Context(), "test", near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		if err := <-served; !errors.Is(err, io.EOF) {
			t.Errorf("agent ended with %v, want %v", err, io.EOF)
		}
	})
	return p, near
}

func TestRun(t *testing.T) {
	p, _ := connected(t)
	for _, test := range []struct {
		name, script, stdin string
		stdout, err         string
	}{
		{name: "output", script: "echo hello", stdout: "hello\n"},
		{name: "input", script: "tr a-z A-Z", stdin: "hello", stdout: "HELLO"},
		{name: "status", script: "echo so far; echo why >&2; exit 7", stdout: "so far\n",
			err: `peer test: "echo so far; echo why >&2; exit 7": exit status 7: why`},
		{name: "stops at the first error", script: "false\necho not reached", err: `peer test: "false\necho not reached": exit status 1: `},
		{name: "signal", script: "kill -9 $$", err: `peer test: "kill -9 $$": exit status 137: `},
		{name: "too much output", script: "head -c 2000000 /dev/zero", stdout: strings.Repeat("\x00", call.MaxOutput),
			err: `peer test: "head -c 2000000 /dev/zero": more than 1048576 bytes of output`},
		{name: "a server left behind", script: "sleep 1000 & echo $! started", stdout: "started\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := p.RunWith(t.Context(), test.script, test.stdin)
			if pid, rest, found := strings.Cut(got, " started"); found {
				got = "started" + rest
				if _, err := p.Run(t.Context(), "kill "+pid); err != nil {
					t.Errorf("what was left behind did not go on: %v", err)
				}
			}
			if got != test.stdout {
				t.Errorf("got %d bytes %.40q, want %d bytes %.40q", len(got), got, len(test.stdout), test.stdout)
			}
			if message(err) != test.err {
				t.Errorf("got error %q, want %q", message(err), test.err)
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestExitErrorHasTheStatus(t *testing.T) {
	p, _ := connected(t)
	_, err := p.Run(t.Context(), "exit 28")
	var exit *peer.ExitError
	if !errors.As(err, &exit) || exit.Status != 28 {
		t.Errorf("got %v, want an ExitError with status 28", err)
	}
}

// TestScriptsRunAtTheSameTime has the first wait for what the second does.
func TestScriptsRunAtTheSameTime(t *testing.T) {
	p, _ := connected(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if _, err := p.Run(t.Context(), "mkfifo "+fifo); err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		text, err := p.Run(t.Context(), "cat "+fifo)
		read <- text + message(err)
	}()
	if _, err := p.Run(t.Context(), "echo meet > "+fifo); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "meet\n" {
		t.Errorf("got %q, want %q", got, "meet\n")
	}
}

func TestCancelEndsTheScript(t *testing.T) {
	p, _ := connected(t)
	started := filepath.Join(t.TempDir(), "started")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := p.Run(ctx, "echo $$ > "+started+".tmp; mv "+started+".tmp "+started+"; sleep 1000")
		ended <- err
	}()
	pid, err := p.Run(t.Context(), "while ! cat "+started+" 2>/dev/null; do sleep 0.05; done")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	wait, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if _, err := p.Run(wait, "while kill -0 "+strings.TrimSpace(pid)+" 2>/dev/null; do sleep 0.05; done"); err != nil {
		t.Errorf("the script goes on: %v", err)
	}
}

func TestAgentSurvivesABrokenLine(t *testing.T) {
	p, near := connected(t)
	if _, err := near.Write([]byte("{\"id\": 1, \"scr\n\n")); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Run(t.Context(), "echo still here"); got != "still here\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFindPort(t *testing.T) {
	class := t.TempDir()
	for device, name := range map[string]string{"vport1p1": "dipper.control", "vport1p2": call.Port} {
		if err := os.MkdirAll(filepath.Join(class, device), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, device, "name"), []byte(name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := findPort(class, call.Port); got != "/dev/vport1p2" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := findPort(class, "other"); err == nil {
		t.Errorf("got %q for a port that is not there", got)
	}
}
