package terminal_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"dipper/shell/terminal"
)

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sit(t, "xterm", 60, 20, &terminal.History{}, helper{})
		d.types("show log", enter, "show services", enter, "ping 10.0.0.1", enter)
		d.types(upKey, upKey, enter)         // show services
		d.types("mine", ctrlP, ctrlN, enter) // mine
		d.types(ctrlR, "log", enter)         // show log
		d.types(ctrlR, "show", ctrlR, enter) // show services, before show log
		d.types(ctrlR, "nothing of this")
		if !strings.Contains(d.vt.Screen(), `(search) nothing for "nothing of this": `) {
			t.Errorf("a search without result is not told:\n%s", d.vt.Screen())
		}
		d.types(ctrlG, enter)
		d.types("host ", altDot, enter) // the last word before
		d.types(ctrlR, "ping", end, "2", enter)
		d.leaves()
		want := []string{
			"show log", "show services", "ping 10.0.0.1", "show services", "mine", "show log", "show services", "", "host services", "ping 10.0.0.12",
		}
		if diff := cmp.Diff(want, d.lines); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// TestHistoryIsBounded: in lines and in bytes.
func TestHistoryIsBounded(t *testing.T) {
	for _, length := range []int{5, 4000, 5000} {
		h := &terminal.History{}
		for i := range 2000 {
			h.Add(fmt.Sprintf("%0*d", length, i))
		}
		lines, size := h.Lines(), 0
		for _, l := range lines {
			size += len(l)
		}
		if len(lines) > 500 || size > 64<<10 || length < 4096 && (len(lines) < 10 || !strings.HasSuffix(lines[len(lines)-1], "1999")) {
			t.Errorf("lines of %d bytes: %d lines, %d bytes", length, len(lines), size)
		}
	}
}
