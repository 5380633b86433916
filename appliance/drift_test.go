package appliance

import (
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/ipvs"
)

// TestUnnoticedDriftIsFound edits the kernel's table without a notice, as the
// old socket options do: the next look at it finds that.
func TestUnnoticedDriftIsFound(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		before := m.table.String()
		table, err := m.table.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		web := table.Services[0]
		if err := m.table.Fake.Apply(t.Context(), []ipvs.Op{{Kind: ipvs.DeleteRealServer, Service: web, RealServer: web.RealServers[0]}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(auditInterval)
		synctest.Wait()
		if got := m.table.String(); got != before {
			t.Errorf("after %v the table is\n%swant:\n%s", auditInterval, got, before)
		}
		told := 0
		for e := range b.Events(t.Context(), 0, false) {
			if e.Kind == eventDrift {
				told++
			}
		}
		if told != 1 {
			t.Errorf("%d events tell of it, want 1", told)
		}
	})
}
