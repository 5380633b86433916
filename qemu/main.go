// Command qemu is the lab on the command line: clusters that stay up to be
// looked at, the demo, and the benchmarks.
//
// It wires the packages below it to arguments and the terminal, and owns no
// more than that.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const usage = `usage: go run ./qemu COMMAND

  lab SCENARIO                  boot examples/SCENARIO and keep it up until Ctrl-C
  demo                          boot S1, S2 and S3, send traffic, print what went where
  bench [-parts boot,control,forwarding] [-o FILE] [-runs N] [-without-debian] [-connections N]
                                measure boots beside Debian, work on the table, packets

and while a lab is up, from another terminal:

  console SCENARIO MACHINE      its serial console; Ctrl-] ends it
  exec SCENARIO PEER COMMAND... a shell command in a peer
  ctl SCENARIO MACHINE PATH     ask an appliance: /v1/status, /v1/services, ...
  do SCENARIO MACHINE ACTION    power-button, power-cut, reset, nmi, ctrl-alt-del, pause, resume
  do SCENARIO MACHINE/NIC ACTION  cut, restore: the wire of "director/eth0"

DIPPER_BUILD is where vmlinuz and initramfs.cpio.zst are (build/amd64);
DIPPER_ACCEL is tcg (the default), kvm, or auto to find out.
`

// command is one of usage's.
type command struct {
	arguments int // at least
	run       func(ctx context.Context, arguments []string) error
}

var commands = map[string]command{
	"lab":     {1, runLab},
	"demo":    {0, runDemo},
	"bench":   {0, runBench},
	"console": {2, runConsole},
	"exec":    {3, runExec},
	"ctl":     {3, runControl},
	"do":      {3, runDo},
}

// exitStatus ends the program with a status and no message.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	var status exitStatus
	switch {
	case errors.As(err, &status):
		os.Exit(int(status))
	case err != nil:
		fmt.Fprintln(os.Stderr, "qemu:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 || arguments[0] == "help" || strings.HasPrefix(arguments[0], "-") {
		fmt.Print(usage)
		return nil
	}
	c, ok := commands[arguments[0]]
	if !ok || len(arguments)-1 < c.arguments {
		fmt.Fprint(os.Stderr, usage)
		return exitStatus(2)
	}
	return c.run(ctx, arguments[1:])
}
