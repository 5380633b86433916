package appliance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/appliance/ipvs"
	"dipper/appliance/network"
)

// remains are what a control plane that is killed leaves behind: its files, and
// the kernel as far as it was edited.
type remains struct {
	files   string
	network network.State
	sysctls []network.Sysctl
	table   ipvs.Table
	daemons []ipvs.Daemon
}

// remains copies them, the files to a new directory.
func (m *machine) remains(t *testing.T, files string) remains {
	t.Helper()
	table, err := m.table.Fake.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	daemons, err := m.table.Daemons(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := remains{files: files, network: m.network.now, sysctls: slices.Clone(m.network.sysctls), table: table, daemons: daemons}
	if err := os.CopyFS(r.files, os.DirFS(m.options.RunDir)); err != nil {
		t.Fatal(err)
	}
	return r
}

// succeed makes a machine of them on which another control plane may start.
func (r remains) succeed(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	m.options.Uptime = nil
	m.options.RunDir = r.files
	m.boots(pair)
	m.network.now, m.network.sysctls = r.network, r.sysctls
	if err := m.table.Fake.Apply(t.Context(), ipvs.Plan(ipvs.Table{}, r.table)); err != nil {
		t.Fatal(err)
	}
	for _, d := range r.daemons {
		if err := m.table.Fake.StartDaemon(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// killedAt is what is left of a control plane that is killed before one of the
// edits that work makes, for each of them, and of one that is killed after the
// last.
func (m *machine) killedAt(t *testing.T, files string, work func()) []remains {
	t.Helper()
	var left []remains
	killed := func() { left = append(left, m.remains(t, filepath.Join(files, fmt.Sprint(len(left))))) }
	m.network.editing, m.table.editing = killed, killed
	work()
	m.network.editing, m.table.editing = nil, nil
	killed()
	return left
}

// TestKilledAtEveryEdit kills the control plane before each edit of the kernel
// that a new configuration takes, and after the last: its successor goes the
// whole way to the one configuration or to the other, and stays there.
func TestKilledAtEveryEdit(t *testing.T) {
	next := strings.NewReplacer("wrr", "wlc", "weight: 1", "weight: 7", "192.168.4.200", "192.168.4.201").Replace(pair) + `  dns:
    listen: 192.168.4.16:53
    protocol: udp
    forward: dr
    real-servers: [{address: 192.168.4.100}]
`
	var left []remains
	var before, after string
	files := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots(pair)
		b, _ := m.serves(t)
		before = m.table.String()
		left = m.killedAt(t, files, func() {
			if _, err := b.Apply(t.Context(), []byte(next), false); err != nil {
				t.Error(err)
			}
		})
		after = m.table.String()
	})
	if len(left) < 9 {
		t.Errorf("there were only %d edits to be killed at", len(left))
	}
	for i, r := range left {
		synctest.Test(t, func(t *testing.T) {
			m := r.succeed(t)
			b, _ := m.serves(t)
			time.Sleep(3 * auditInterval)
			synctest.Wait()
			yaml, err := b.Config(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := before
			if strings.Contains(string(yaml), "dns:") {
				want = after
			} else if i == len(left)-1 {
				t.Error("what was applied to the end is gone")
			}
			if diff := cmp.Diff(want, m.table.String()); diff != "" {
				t.Errorf("killed before edit %d of %d; the successor's table (-want +got):\n%s", i, len(left)-1, diff)
			}
			vip := slices.ContainsFunc(m.network.now.Addresses, func(a network.Address) bool { return a.Prefix.String() == "192.168.4.16/32" })
			if vip != (want == after) {
				t.Errorf("killed before edit %d of %d: has the new VIP: %t", i, len(left)-1, vip)
			}
			if s := b.Status(t.Context(), -1); s.State != api.Serving || len(s.Problems) > 0 {
				t.Errorf("killed before edit %d of %d: status %+v", i, len(left)-1, s)
			}
		})
	}
}
