// Package pid1 is the first process of the machine. It owns what nobody else
// can do: mounts, kernel settings, the log, the start and restart of its two
// children, the orphans of all, the watchdog, signals, the power button, and
// the end of the machine.
//
// It never exits and never panics, because the kernel would: every goroutine
// of it is contained, every step may fail without ending the boot, and it
// reads nothing that comes from outside the machine. It knows nothing of
// configurations, networks or LVS; those are the control plane's, which talks
// to it over a line of one-byte messages.
//
// The rooms below: journal (the log), children (starting and reaping), line
// (the wire to the control plane), supervise (restart and freeze decisions),
// watchdog, power (the button).
package pid1
