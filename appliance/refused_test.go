package appliance

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/appliance/ipvs"
)

// unserved answers what clients of pair lack at this moment: its VIP, or a real
// server that takes connections.
func (m *machine) unserved(t *testing.T) []string {
	t.Helper()
	var lacks []string
	if !slices.ContainsFunc(m.network.now.Addresses, isAt("192.168.4.15/32")) {
		lacks = append(lacks, "the VIP")
	}
	table, err := m.table.Fake.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []string{"192.168.4.100:80", "192.168.4.200:80"} {
		if !slices.ContainsFunc(table.Services, func(s ipvs.Service) bool {
			return s.Port == 80 && slices.ContainsFunc(s.RealServers, func(r ipvs.RealServer) bool {
				return r.Target().String() == server && r.Weight > 0
			})
		}) {
			lacks = append(lacks, server)
		}
	}
	return lacks
}

// TestARefusedChangeCutsNothing has changes that delete, drain and withdraw, and
// of which the kernel refuses something else. The clients of what was to go
// notice nothing.
func TestARefusedChangeCutsNothing(t *testing.T) {
	const gone = "-d -t 192.168.4.15:80 -r 192.168.4.100\n-e -t 192.168.4.15:80 -r 192.168.4.200 -g -w 0\n"
	rules := func(text string) func(*testing.T, *backend) bool {
		return func(t *testing.T, b *backend) bool {
			status, said := adm(t, b, text, "-R")
			t.Log(said)
			return status != 0
		}
	}
	commit := func(words ...string) func(*testing.T, *backend) bool {
		return func(t *testing.T, b *backend) bool {
			anna := as(t, "anna", "s1")
			_, err := b.Commit(anna, candidateOf(t, anna, b, words...).ID, api.CommitOptions{})
			t.Log(err)
			return err != nil
		}
	}
	for name, tt := range map[string]struct {
		refuse  string // edits of the network
		refused func(*testing.T, *backend) bool
		edits   []string // of the table that were tried, and undone
	}{
		"a service": {
			refused: rules(gone + "-A -t 192.168.4.15:81 -s mh\n"),
		},
		"a service, behind another": {
			refused: rules(gone + "-A -t 192.168.4.15:82 -s rr\n-A -t 192.168.4.15:83 -s mh\n"),
			edits:   []string{"ipvsadm -A -t 192.168.4.15:82 -s rr", "ipvsadm -D -t 192.168.4.15:82"},
		},
		"a VIP": {
			refuse:  "add 192.168.4.16",
			refused: rules("-D -t 192.168.4.15:80\n-A -t 192.168.4.16:80 -s rr\n"),
			edits:   []string{"ipvsadm -A -t 192.168.4.16:80 -s rr", "ipvsadm -D -t 192.168.4.16:80"},
		},
		"a daemon": {
			refused: commit("delete services web real-servers 192.168.4.100", "set network interfaces lan", "set ipvs sync master interface lan"),
		},
		"a commit of everything anew": {
			refused: commit("delete services web", "set services new listen 192.168.4.17:80 scheduler mh forward dr real-servers 192.168.4.101"),
			// The service is missing: that is looked at twice.
			edits: []string{"ipvsadm -a -t 192.168.4.17:80 -r 192.168.4.101:80 -g -w 1", "ipvsadm -a -t 192.168.4.17:80 -r 192.168.4.101:80 -g -w 1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
				before := m.table.String()
				m.table.lacks, m.network.refuse = "mh", tt.refuse
				look := func() {
					if lacks := m.unserved(t); len(lacks) > 0 {
						t.Errorf("for a moment clients lack %v", lacks)
					}
				}
				m.network.editing, m.table.editing = look, look
				if !tt.refused(t, b) {
					t.Error("nothing was refused")
				}
				m.network.editing, m.table.editing = nil, nil
				look()
				if diff := cmp.Diff(before, m.table.String()); diff != "" {
					t.Errorf("table (-want +got):\n%s", diff)
				}
				edits := slices.DeleteFunc(m.take(), func(edit string) bool { return !strings.HasPrefix(edit, "ipvsadm") })
				if !slices.Equal(edits, tt.edits) {
					t.Errorf("edits %q, want %q", edits, tt.edits)
				}
			})
		})
	}
}

// TestARefusedEntryHindersNoDeletion has a kernel that refuses one service of
// the configuration: what goes, at the start, by a commit or because nobody
// asked for it, goes all the same.
func TestARefusedEntryHindersNoDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.table.lacks = "mh"
		m.boots(pair + "  bad: {listen: \"192.168.4.15:81\", scheduler: mh, forward: dr}\n")
		vip := netip.MustParseAddr("192.168.4.15")
		mail := ipvs.Op{Kind: ipvs.AddService, Service: ipvs.Service{Key: ipvs.Key{Protocol: ipvs.TCP, Address: vip, Port: 25}, Scheduler: "rr"}}
		if err := m.table.Fake.Apply(t.Context(), []ipvs.Op{mail}); err != nil {
			t.Fatal(err)
		}
		b, kill := m.serves(t)
		defer kill()
		want := "-A -t 192.168.4.15:80 -s wrr\n" +
			"-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1\n" +
			"-a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 2\n"
		if got := m.table.String(); got != want {
			t.Errorf("at the start the table is\n%swant:\n%s", got, want)
		}
		if status, said := adm(t, b, "", "-d -t 192.168.4.15:80 -r 192.168.4.200"); status != 0 {
			t.Errorf("exit status %d, said %q", status, said)
		}
		want, _, _ = strings.Cut(want, "-a -t 192.168.4.15:80 -r 192.168.4.200")
		if got := m.table.String(); got != want {
			t.Errorf("after a deletion the table is\n%swant:\n%s", got, want)
		}
		m.foreign(t, mail)
		time.Sleep(2 * auditInterval)
		synctest.Wait()
		if got := m.table.String(); got != want {
			t.Errorf("after a foreign edit the table is\n%swant:\n%s", got, want)
		}
	})
}

// TestAMarkedServiceBecomesAPlainOne, and the other way round: packets have a
// service at every moment, by their mark or by their address.
func TestAMarkedServiceBecomesAPlainOne(t *testing.T) {
	marked := strings.Replace(pair, "protocol: tcp", "protocol: tcp\n    fwmark: 7", 1)
	for _, way := range []struct {
		name, from, to string
		want           []string
	}{
		{"to plain", marked, pair, []string{
			"ipvsadm -A -t 192.168.4.15:80 -s wrr",
			"ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1",
			"ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 2",
			"nft delete table inet dipper_marks",
			"ipvsadm -D -f 7",
		}},
		{"to a mark", pair, marked, []string{
			"ipvsadm -A -f 7 -s wrr",
			"ipvsadm -a -f 7 -r 192.168.4.100:80 -g -w 1",
			"ipvsadm -a -f 7 -r 192.168.4.200:80 -g -w 2",
			"nft 'add element inet dipper_marks ipv4 { 192.168.4.15 . 6 . 80 : 0x7 }'",
			"ipvsadm -D -t 192.168.4.15:80",
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			bubble(t, way.from, func(t *testing.T, m *machine, b *backend) {
				if _, err := b.Apply(t.Context(), []byte(way.to), false); err != nil {
					t.Fatal(err)
				}
				edits := slices.DeleteFunc(m.take(), func(edit string) bool { return strings.Contains(edit, "add table") })
				if diff := cmp.Diff(way.want, edits); diff != "" {
					t.Errorf("edits (-want +got):\n%s", diff)
				}
			})
		})
	}
}
