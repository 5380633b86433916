package appliance

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/api"
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

// TestADaemonGivesWayToAnotherFamily stops a daemon and adds what the kernel
// refuses beside it, by rules and by a commit, and does the reverse.
func TestADaemonGivesWayToAnotherFamily(t *testing.T) {
	const with = "ipvs: {sync: {master: {interface: eth0}}}\n"
	tun := strings.NewReplacer("forward: dr", "forward: tun", "192.168.4.5/24", "192.168.4.5/24, \"2001:db8::5/64\"").Replace(pair)
	mixed := tun + "      - {address: \"2001:db8::1\"}\n"
	const add, start = "-a -t 192.168.4.15:80 -r [2001:db8::1]:80 -i\n", "--start-daemon master --mcast-interface eth0\n"
	for name, tt := range map[string]struct{ from, rules, to string }{
		"by rules":          {from: tun + with, rules: "--stop-daemon master\n" + add},
		"by a commit":       {from: tun + with, to: mixed},
		"back, by rules":    {from: mixed, rules: "-d -t 192.168.4.15:80 -r [2001:db8::1]:80\n" + start},
		"back, by a commit": {from: mixed, to: tun + with},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, tt.from, func(t *testing.T, m *machine, b *backend) {
				if tt.rules != "" {
					if status, said := adm(t, b, tt.rules, "-R"); status != 0 {
						t.Errorf("exit status %d: %s", status, said)
					}
				} else if _, err := b.Apply(t.Context(), []byte(tt.to), false); err != nil {
					t.Error(err)
				}
				daemons, err := m.table.Daemons(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				back := strings.HasPrefix(name, "back")
				if (len(daemons) == 1) != back || strings.Contains(m.table.String(), "2001:db8::1") == back {
					t.Errorf("daemons %v, table:\n%s", daemons, m.table.String())
				}
				if s := b.Status(t.Context(), -1); s.State != api.Serving {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}
