package main

import (
	"context"
	"os"
	"strings"

	"dipper/appliance/api"
	"dipper/shell"
)

// runShell lets people in: by SSH, on the serial console and on the screen.
func runShell(ctx context.Context) error {
	_, _ = boundMemory(0.5) // a heap without a bound is better than none
	log := logger()
	consoles, err := shell.Consoles()
	if err != nil {
		log.Error("shell: no console", "error", err) // SSH needs none
	}
	return shell.Run(ctx, shell.Options{
		Client:       api.NewClient(api.SocketPath),
		Consoles:     consoles,
		ConsoleLogin: consoleLogin("/proc/cmdline"),
		Log:          log,
	})
}

// consoleLogin is the last dipper.console= of the kernel's command line.
// Anything but the two exceptions asks for a login.
func consoleLogin(file string) shell.ConsoleLogin {
	line, err := os.ReadFile(file)
	if err != nil {
		return shell.LoginAsked // which is the safe one
	}
	login := shell.LoginAsked
	for _, word := range strings.Fields(string(line)) {
		if value, ok := strings.CutPrefix(word, "dipper.console="); ok {
			login = shell.ConsoleLogin(value)
		}
	}
	switch login {
	case shell.LoginOpen, shell.LoginOff:
		return login
	}
	return shell.LoginAsked
}
