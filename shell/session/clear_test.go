package session

import (
	"strings"
	"testing"
	"testing/synctest"

	"dipper/appliance/api"
)

// TestClearScreen: clear alone, and by name, in both modes.
func TestClearScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sit(t, newFake(), 80, 24)
		d.types("show version", enter, "clear", enter)
		d.sees("ann@lb1> _")
		d.types("show version", enter, "configure; clear screen", enter)
		if s := d.vt.Screen(); strings.TrimLeft(s, "\n") != "[edit]\nann@lb1# _" {
			t.Errorf("screen:\n%s", s)
		}
		d.types("clear con", tab, "?")
		if s := d.vt.Screen(); !strings.HasSuffix(s, "ann@lb1# clear connections _") {
			t.Errorf("screen:\n%s", s)
		}
		d.types(ctrlU, ctrlD, ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}

// TestClear: who may clear what, and what is said where there is no screen.
func TestClear(t *testing.T) {
	for _, tt := range []struct {
		role   api.Role
		line   string
		status int
		want   string
	}{
		{api.Viewer, "clear", exitFailed, `no screen to clear here; "clear counters"`},
		{api.Viewer, "clear screen", exitFailed, "no screen to clear here"},
		{api.Viewer, "clear counters", exitMistake, "counters: this needs the role operator, and yours is viewer"},
		{api.Viewer, "clear connections server 192.168.4.100 --yes", exitMistake, "connections: this needs the role operator"},
		{api.Operate, "clear counters", 0, "4 cleared\n"},
		{api.Operate, "clear connections service web server 192.168.4.100", 0, "4 cleared\n"},
		{api.Operate, "clear c", exitMistake, "it could be counters, connections"},
	} {
		out, errOut, status := exec(t, newFake(), tt.role, "", tt.line)
		if status != tt.status || !strings.Contains(out+errOut, tt.want) {
			t.Errorf("%s, %s: exit status %d, %s%s", tt.role, tt.line, status, out, errOut)
		}
	}
}

// TestClearOnDumbTerminal: what it cannot do is not tried.
func TestClearOnDumbTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sit(t, newFake(), 90, 24, func(s *Session) { s.Terminal.Type = "dumb" })
		d.types(ctrlL, "clear", enter)
		if s := d.vt.Screen(); !strings.HasPrefix(s, "lb1, director") || !strings.Contains(s, "no screen to clear here") {
			t.Errorf("screen:\n%s", s)
		}
		d.types(ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}
