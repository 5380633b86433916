package main

import (
	"os"
	"runtime/debug"

	"dipper/appliance/hardware"
)

// boundMemory has garbage collected more often before this process takes more
// than a share of what is free. Left alone, a heap may grow to twice of what is in
// use: the text of 10,000 services was made in 720 MiB, and a machine of 1 GiB
// killed the control plane for it; twenty sessions that showed as many took 130
// MB, and one of 256 MiB killed the shell.
func boundMemory(share float64) {
	if free, err := hardware.MemoryFree(os.DirFS("/")); err == nil { // else it grows as any heap
		debug.SetMemoryLimit(int64(float64(free) * share))
	}
}
