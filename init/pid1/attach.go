package pid1

import "dipper/init/pid1/line"

// Line is the control plane's end of its line to PID 1.
type Line = line.Line

// ErrNoSupervisor is what Attach says in a process that PID 1 did not start.
var ErrNoSupervisor = line.ErrNoSupervisor

// Attach is called once by the control plane, to take up its line to PID 1.
func Attach() (*Line, error) { return line.Attach() }
