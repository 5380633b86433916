package pid1

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestPageNamesTheTimes holds docs/pid1.md to the times of a real machine.
func TestPageNamesTheTimes(t *testing.T) {
	text, err := os.ReadFile("../../docs/pid1.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(text)), " ")
	o := Machine()
	seconds := func(d time.Duration) string { return fmt.Sprintf("%d s", int(d.Seconds())) }
	silence := func(ticks int) string { return seconds(time.Duration(ticks) * o.Heartbeat.Tick) }
	for _, want := range []string{
		"after " + seconds(o.HeadStart) + " at the latest",
		"| " + silence(o.Heartbeat.Freeze) + " | the control plane gets SIGQUIT",
		"| " + silence(o.Heartbeat.Kill) + " | SIGKILL",
		"| " + silence(o.Heartbeat.Patience) + ", over all restarts | the watchdogs are left alone",
		"| and then " + seconds(o.WatchdogTimeout) + " | they reset the machine",
		"withdraw the VIPs and to exit; it has " + seconds(o.Deadlines.Withdraw),
		"SIGTERM, and after " + seconds(o.Deadlines.Terminate) + " SIGKILL",
		"to the disks, for at most " + seconds(o.Deadlines.Sync),
		fmt.Sprintf("%d,%03d open files", o.OpenFiles/1000, o.OpenFiles%1000),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("docs/pid1.md does not say %q", want)
		}
	}
}
