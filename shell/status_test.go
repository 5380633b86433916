package shell

import (
	"strings"
	"testing"
	"time"

	"dipper/appliance/api"
)

func TestBlock(t *testing.T) {
	got := block(api.Status{
		Hostname: "lb1", Role: "director", State: api.Serving, Source: "fw_cfg", HostKey: "SHA256:8Ww1",
		Addresses: []string{"192.168.4.5/24 eth0", "192.168.2.5/24 eth1"}, VIPs: []string{"192.168.4.15"},
		Problems: []string{"one", "two"}, Advice: []string{"sit down", "mend the configuration where it comes from: it is looked for again every minute;"},
		Unsaved: true, Volatile: true, ConfirmBy: time.Date(2026, 11, 21, 12, 30, 0, 0, time.UTC),
	}, "")
	want := `
== lb1 == director, serving
  config from  fw_cfg
  addresses    192.168.4.5/24 eth0
               192.168.2.5/24 eth1
  VIPs         192.168.4.15 held by this machine
  SSH key      SHA256:8Ww1
  problem      one
               two
  warning      the configuration returns to the one before at 12:30:00 UTC,
               unless confirmed
               the running configuration is not saved
               no state volume: nothing is kept over a reboot
  what to do   sit down
               mend the configuration where it comes from: it is looked for
               again every minute;

`
	if got != want {
		t.Errorf("got:%s\nwant:%s", got, want)
	}
}

// TestBlockOfARealServer names who answers for a VIP.
func TestBlockOfARealServer(t *testing.T) {
	s := api.Status{Hostname: "rs1", Role: "real-server", State: api.Serving, VIPs: []string{"192.168.4.15"}}
	if got := block(s, ""); !strings.Contains(got, "VIPs         192.168.4.15 held by the director;") || strings.Contains(got, "warning") {
		t.Errorf("got:%s", got)
	}
	s.Role, s.State = "director", api.Stopping
	if got := block(s, ""); !strings.Contains(got, "192.168.4.15 given up") {
		t.Errorf("stopping:%s", got)
	}
}

// TestBlockPointsAtMistakes keeps a caret under the word at fault, and what a
// configuration says from steering the screen.
func TestBlockPointsAtMistakes(t *testing.T) {
	got := block(api.Status{Hostname: "lb1\x1b[2J", State: api.Maintenance, Problems: []string{
		"the boot config has mistakes, and nothing of it was applied:",
		"   9 |     schedular: wrr   \u009b31m",
		"     |     ^",
	}}, "")
	want := `
== lb1.[2J == maintenance
  problem      the boot config has mistakes, and nothing of it was applied:
   9 |     schedular: wrr   .31m
     |     ^

`
	if got != want {
		t.Errorf("got:%q\nwant:%q", got, want)
	}
}
