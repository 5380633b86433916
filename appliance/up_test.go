package appliance

import (
	"slices"
	"strings"
	"testing"

	"dipper/appliance/api"
)

// TestUp: what waits for the boot's end begins when the VIP is there, and where
// there is no configuration, when the console has something to show.
func TestUp(t *testing.T) {
	t.Run("serving", func(t *testing.T) {
		m := newMachine(t)
		m.boots(directorYAML)
		edits := make(chan []string, 8)
		m.options.Up = func() { edits <- m.take() }
		m.run(t)
		vip := func(edit string) bool { return strings.Contains(edit, "ip addr add 192.168.4.15/32") }
		if before := <-edits; !slices.ContainsFunc(before, vip) {
			t.Errorf("up before its VIP is: %q", before)
		}
	})
	t.Run("maintenance", func(t *testing.T) {
		m := newMachine(t)
		up := make(chan struct{}, 8)
		m.options.Up = func() { up <- struct{}{} }
		c, _ := m.run(t)
		<-up
		if s, err := c.Status(t.Context()); err != nil || s.State != api.Maintenance {
			t.Errorf("up when it is %s (%v)", s.State, err)
		}
	})
}
