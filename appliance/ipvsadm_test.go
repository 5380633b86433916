package appliance

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// adm runs a command line of ipvsadm and answers its exit status and all it said.
func adm(t *testing.T, b *backend, in string, line string) (int, string) {
	t.Helper()
	var said bytes.Buffer
	status, err := b.Program(t.Context(), append([]string{"ipvsadm"}, strings.Fields(line)...), strings.NewReader(in), &said, &said)
	if err != nil {
		t.Fatalf("ipvsadm %s: %v", line, err)
	}
	return status, said.String()
}

func TestIPVSADMEditsTheRunningConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots(pair)
		b, kill := m.serves(t)
		m.take()
		for _, line := range []string{
			"-e -t 192.168.4.15:80 -r 192.168.4.100 -g -w 5",
			"-A -u 192.168.4.16:53 -s rr",
			"-a -u 192.168.4.16:53 -r 192.168.4.100 -g",
			"--set 800 0 0",
			"--start-daemon master --mcast-interface eth0 --syncid 3",
		} {
			if status, said := adm(t, b, "", line); status != 0 || said != "" {
				t.Errorf("ipvsadm %s: exit status %d, said %q", line, status, said)
			}
		}
		want := `-A -t 192.168.4.15:80 -s wrr
-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 5
-a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 2
-A -u 192.168.4.16:53 -s rr
-a -u 192.168.4.16:53 -r 192.168.4.100:53 -g -w 1
`
		if got := m.table.String(); got != want {
			t.Errorf("table:\n%swant:\n%s", got, want)
		}
		if _, said := adm(t, b, "", "-Sn"); said != want {
			t.Errorf("saved rules:\n%swant:\n%s", said, want)
		}
		if _, said := adm(t, b, "", "-L --timeout"); said != "Timeout (tcp tcpfin udp): 800 120 300\n" {
			t.Errorf("timeouts: %s", said)
		}
		edits := m.take()
		if !slices.Contains(edits, "ip addr add 192.168.4.16/32 dev eth0 noprefixroute") {
			t.Errorf("edits %q: want the new VIP", edits)
		}
		time.Sleep(3 * auditInterval)
		kill()
		b, _ = m.serves(t) // the control plane is restarted
		time.Sleep(3 * auditInterval)
		synctest.Wait()
		if edits := m.take(); len(edits) > 0 || m.table.String() != want {
			t.Errorf("lost: %q, table:\n%s", edits, m.table.String())
		}
		if s := b.Status(t.Context(), -1); !s.Unsaved || s.Source != "test" {
			t.Errorf("status %+v: want it unsaved", s)
		}
		changes, err := b.Changes(t.Context())
		wantChanges := []string{
			"set services udp-192.168.4.16-53 listen 192.168.4.16:53",
			"set services web real-servers 192.168.4.100 weight 5",
			"set ipvs timeouts tcp 13m20s",
			"set ipvs sync master interface eth0",
		}
		for _, want := range wantChanges {
			if !slices.Contains(changes.Commands, want) {
				t.Errorf("changes %q, %v: want %q among them", changes.Commands, err, want)
			}
		}
		yaml, err := b.Config(t.Context())
		if err != nil || !strings.Contains(string(yaml), "# the DIP") {
			t.Errorf("the comments are gone: %v\n%s", err, yaml)
		}
		revision, err := b.Save(t.Context(), "by hand")
		if err != nil || revision.Number != 2 || revision.Via != "save" {
			t.Errorf("Save = %+v, %v; want revision 2, the boot config being 1", revision, err)
		}
		if changes, err := b.Changes(t.Context()); err != nil || len(changes.Tree) > 0 || b.Status(t.Context(), -1).Unsaved {
			t.Errorf("after saving: %q, %v", changes.Tree, err)
		}
	})
}

func TestIPVSADMRefusals(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		table := m.table.String()
		tests := []struct {
			line, in string
			status   int
			says     string
		}{
			{line: "-A -t 192.168.4.15:80", status: 255, says: "Service already exists"},
			{line: "-d -t 192.168.4.15:80 -r 192.168.4.9", status: 255, says: "No such destination"},
			{line: "-A -t 192.168.4.16:80 -s lcss", status: 255, says: "Scheduler or persistence engine not found"},
			{line: "-A", status: 2, says: ""},
			{line: "-R", in: "-A -t 192.168.4.16:80 -s rr\n-a -t 192.168.4.17:80 -r 192.168.4.100 -g\n", status: 255, says: "line 2: "},
			{line: "--start-daemon master --mcast-interface wlan0", status: 255, says: `there is no interface "wlan0"`},
			{line: "--start-daemon master --mcast-interface eth7", status: 255, says: `there is no interface "eth7"`}, // the kernel has it
			{line: "-A -t 0.0.0.0:21", status: 255, says: "no configuration can say this: services.\"tcp-0.0.0.0-21\".listen: 0.0.0.0 is the unspecified address"},
			{line: "-A -t 224.0.0.9:21", status: 255, says: "224.0.0.9 is a multicast address"},
			{line: "-A -t 255.255.255.255:21", status: 255, says: "255.255.255.255 is a reserved or broadcast address"},
			{line: "-A -t [::]:21", status: 255, says: ":: is the unspecified address"},
			{line: "-A -t [::ffff:1.2.3.4]:21", status: 255, says: "no configuration can say this"},
			{line: "-a -t 192.168.4.15:80 -r 169.254.1.1", status: 255, says: "169.254.1.1 is a link-local address"},
		}
		for _, tt := range tests {
			status, said := adm(t, b, tt.in, tt.line)
			if status != tt.status || !strings.Contains(said, tt.says) {
				t.Errorf("ipvsadm %s: exit status %d, said %q; want %d and %q", tt.line, status, said, tt.status, tt.says)
			}
		}
		if got := m.table.String(); got != table || b.Status(t.Context(), -1).Unsaved {
			t.Errorf("a refused command changed something:\n%s", got)
		}
	})
}

func TestIPVSADMWithoutDirector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots("role: real-server\nnetwork: {interfaces: {eth0: {addresses: [192.168.4.100/24]}}}\nserve: [{protocol: http, port: 80, body: x}]\n")
		b, kill := m.serves(t)
		defer kill()
		if status, said := adm(t, b, "", "-Ln"); status != 255 || !strings.Contains(said, "real-server") {
			t.Errorf("exit status %d, said %q", status, said)
		}
	})
}

func TestZero(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		if status, said := adm(t, b, "", "-Z"); status != 0 {
			t.Errorf("exit status %d, said %q", status, said)
		}
		if status, said := adm(t, b, "", "-Z -t 192.168.4.99:80"); status != 255 {
			t.Errorf("a service that is not there: exit status %d, said %q", status, said)
		}
	})
}

// TestIPVSADMSaysWhatTheKernelRefuses begins with the words of the program.
func TestIPVSADMSaysWhatTheKernelRefuses(t *testing.T) {
	bubble(t, strings.Replace(pair, "    eth0: {addresses", "    lan: {}\n    eth0: {addresses", 1), func(t *testing.T, m *machine, b *backend) {
		m.table.lacks = "lblcr"
		for line, want := range map[string]string{
			"-A -t 192.168.4.15:81 -s lblcr":              `Scheduler or persistence engine not found: the kernel refused it, and the configuration before is back: ipvs: service "tcp-192.168.4.15-81": `,
			"--start-daemon master --mcast-interface lan": "No such device: the kernel refused it, and the configuration before is back: ",
		} {
			if status, said := adm(t, b, "", line); status != 255 || !strings.HasPrefix(said, want) {
				t.Errorf("ipvsadm %s: exit status %d, said %q; want %q", line, status, said, want)
			}
		}
	})
}
