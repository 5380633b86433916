// Command init is the one executable of the image. By the name it is called,
// it is PID 1 (init), the control plane (appliance), SSH and the consoles
// (shell), the administrator's command (dipper), what the kernel calls when a
// hypervisor or a hot processor wants the machine off (poweroff, reboot), or
// the first call of one of the commands in /bbin.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"dipper/appliance/api"
	"dipper/init/bbin"
	"dipper/init/pid1"
	"dipper/shell"
)

// version is set by the linker: -X main.version=1.2.3.
var version = "development"

func main() {
	name := filepath.Base(os.Args[0])
	err := run(name, os.Args[1:])
	var status shell.ExitError
	switch {
	case errors.As(err, &status):
		os.Exit(int(status))
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// run is what the executable does under a name.
func run(name string, args []string) error {
	switch name {
	case "init":
		return pid1.Run(pid1.Machine())
	case "appliance":
		return runAppliance(child(name))
	case "shell":
		return runShell(child(name))
	case "dipper":
		return shell.CLI(context.Background(), api.NewClient(api.SocketPath), args, os.Stdin, os.Stdout, os.Stderr)
	case "poweroff", "halt":
		return pid1.AskFor(pid1.PowerOff)
	case "reboot":
		return pid1.AskFor(pid1.Reboot)
	}
	err := bbin.Machine().Exec(name, os.Args)
	if errors.Is(err, bbin.ErrUnknown) {
		return fmt.Errorf("there is no program of this name: call me init, appliance, shell, dipper, poweroff or reboot")
	}
	return err
}

// child makes this process a child of PID 1's. It gives it its name in ps and in
// the kernel's messages: children are executed as /proc/self/exe, which is no
// name. The context ends with SIGTERM or SIGINT. The process ends soon after it,
// and the signals' handler with the process.
//
// The administrator's command does without: it has its name, and a signal that
// ends it ends its request too. A handler alone is two threads.
func child(name string) context.Context {
	// In ps it is "exe" then, and nothing else is wrong.
	_ = os.WriteFile("/proc/self/comm", []byte(name), 0)
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	return ctx
}
