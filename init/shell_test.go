package main

import (
	"os"
	"path/filepath"
	"testing"

	"dipper/shell"
)

func TestConsoleLogin(t *testing.T) {
	tests := map[string]shell.ConsoleLogin{
		"":                                  shell.LoginAsked,
		"console=ttyS0 panic=-1":            shell.LoginAsked,
		"console=ttyS0 dipper.console=open": shell.LoginOpen,
		"dipper.console=open dipper.console=off\n": shell.LoginOff,
		"dipper.console=open dipper.console=":      shell.LoginAsked,
		"dipper.console=yes":                       shell.LoginAsked,
		"xdipper.console=open":                     shell.LoginAsked,
	}
	for line, want := range tests {
		file := filepath.Join(t.TempDir(), "cmdline")
		if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := consoleLogin(file); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
	if got := consoleLogin(filepath.Join(t.TempDir(), "none")); got != shell.LoginAsked {
		t.Errorf("without a command line: got %q", got)
	}
}
