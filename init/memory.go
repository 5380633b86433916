package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"

	"dipper/appliance/hardware"
)

// boundMemory has garbage collected more often before this process takes more
// than a share of what is free beside what it has, and answers how much is free.
// Left alone, a heap may grow to twice of what is in use: the text of 10,000
// services was made in 720 MiB, and a machine of 1 GiB killed the control plane
// for it; twenty sessions that showed as many took 130 MB, and one of 256 MiB
// killed the shell. What was free when a process started says little when the
// kernel has a large table since: of 128 MiB, the garbage of reading another one
// took what the kernel needed for it.
func boundMemory(share float64) (free uint64, err error) {
	free, err = hardware.MemoryFree(os.DirFS("/"))
	if err == nil { // else it grows as any heap
		debug.SetMemoryLimit(int64(inUse() + uint64(float64(free)*share)))
	}
	return free, err
}

// inUse is what counts for the limit (runtime/debug, SetMemoryLimit).
func inUse() uint64 {
	of := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(of)
	return of[0].Value.Uint64() - of[1].Value.Uint64()
}
