package bench

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"dipper/qemu/machine"
)

// consoleEnabled is the last line of what the kernel says at once when it takes
// the serial console into use: "[    0.000000] printk: legacy console [ttyS0]
// enabled", without "legacy" before Linux 6.11. Any part will do of what
// follows the time, since a busy QEMU now and then garbles a character.
var consoleEnabled = regexp.MustCompile(`\[ *(\d+\.\d+)\][^\n]*(?:console \[ttyS|\[ttyS0\] en|S0\] enabled)`)

// printkTime is the time of a line of the kernel's log, since its start.
func printkTime(line string) (time.Duration, error) {
	found := consoleEnabled.FindStringSubmatch(line)
	if found == nil {
		return 0, fmt.Errorf("%q has no time", line)
	}
	seconds, err := strconv.ParseFloat(found[1], 64)
	return time.Duration(seconds * float64(time.Second)), err
}

// kernelStart is the moment when printk's clock was 0, by our clock: when the
// console came up, minus what the kernel says of when that was.
func kernelStart(ctx context.Context, console *machine.Console) (time.Time, error) {
	line, err := console.Expect(ctx, consoleEnabled)
	if err != nil {
		return time.Time{}, fmt.Errorf("when the kernel started: %w", err)
	}
	at := time.Now()
	after, err := printkTime(line)
	return at.Add(-after), err
}
