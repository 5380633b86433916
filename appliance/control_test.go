package appliance

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestDaemonsOfEveryLength runs daemons whose messages the kernel does not take
// as long as they were asked for: each is started once, and is nobody's drift.
func TestDaemonsOfEveryLength(t *testing.T) {
	for asked, runs := range map[string]string{
		"--start-daemon master --mcast-interface eth0 --sync-maxlen 1":                            "maxlen=1,",
		"--start-daemon backup --mcast-interface eth0 --sync-maxlen 1":                            "maxlen=1024,",
		"--start-daemon backup --mcast-interface eth0 --sync-maxlen 65507":                        "maxlen=65507,",
		"--start-daemon master --mcast-interface eth0 --mcast-group ff02::81 --sync-maxlen 65507": "maxlen=65487,",
		"--start-daemon backup --mcast-interface eth0 --mcast-group ff02::81":                     "maxlen=1452,",
	} {
		t.Run(asked, func(t *testing.T) {
			bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
				var edits atomic.Int32
				m.table.editing = func() { edits.Add(1) }
				if status, said := adm(t, b, "", asked); status != 0 {
					t.Fatalf("exit status %d: %s", status, said)
				}
				started := edits.Load()
				time.Sleep(5 * auditInterval)
				synctest.Wait()
				if more := edits.Load() - started; started != 1 || more != 0 {
					t.Errorf("%d edits, and %d while nothing happened", started, more)
				}
				if _, said := adm(t, b, "", "-L --daemon"); !strings.Contains(said, runs) {
					t.Errorf("there runs\n%swant %s", said, runs)
				}
				// The configuration that comes of it is one that is read again.
				if _, err := b.Save(t.Context(), ""); err != nil {
					t.Errorf("save: %v", err)
				}
			})
		})
	}
}
