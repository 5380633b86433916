// Command floor is an init that does nothing: the least that anything written
// in Go and started by the same kernel can take. It says so on the console,
// with the nanoseconds since the kernel's start, and waits.
package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func main() {
	var since unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &since)
	fmt.Printf("floor: up %d ns after the kernel's start (%v)\n", since.Nano(), err)
	for {
		_ = unix.Pause() // always EINTR: PID 1 must not end
	}
}
