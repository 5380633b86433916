package scenario

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/appliance/ipvsadm/ipvsadmtest"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// byHand is a director in two networks without any rule: they are typed.
const byHand = `role: director
hostname: director
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24]}
    eth1: {addresses: [192.168.2.5/24]}
`

// hostNames are what /etc/hosts holds on the director.
const hostNames = `127.0.0.1 localhost
192.168.4.5 vip.example.org vip
192.168.4.10 client
192.168.2.100 web1.example.org
192.168.2.200 a-real-server-with-a-long-name.example.org
192.168.2.201 web3
192.168.2.202 web4
`

// rules is an administrator who types rules on a director, with Debian's
// ipvsadm at hand there, and on another machine that has no other.
type rules struct {
	ctx      context.Context
	director *api.Client
	lab      *lab.Cluster
}

// said is what a program answered.
type said struct {
	Status      int
	Out, ErrOut string
}

func (r *rules) program(t *testing.T, in string, argv ...string) said {
	t.Helper()
	var out, errOut bytes.Buffer
	status, err := r.director.Program(r.ctx, argv, strings.NewReader(in), &out, &errOut)
	if err != nil {
		t.Fatalf("%q: %v", argv, err)
	}
	return said{status, out.String(), errOut.String()}
}

// ours runs the appliance's ipvsadm.
func (r *rules) ours(t *testing.T, in, line string) said {
	t.Helper()
	return r.program(t, in, append([]string{"ipvsadm"}, strings.Fields(line)...)...)
}

// debians runs Debian's ipvsadm on the director's kernel.
func (r *rules) debians(t *testing.T, line string) said {
	t.Helper()
	return r.program(t, "", "sh", "-c", "PATH=/sbin:/bin; ipvsadm "+line)
}

// elsewhere runs Debian's ipvsadm on the other machine.
func (r *rules) elsewhere(t *testing.T, line string) string {
	t.Helper()
	out, err := r.lab.Peer("elsewhere").Run(r.ctx, "ipvsadm "+line+" 2>&1 || echo status $?")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sameListing lists by the appliance's between two listings of Debian's, and
// again if those differ in more than what is counted and what expires.
func (r *rules) sameListing(t *testing.T, line string) said {
	t.Helper()
	var before, ours said
	diff := ""
	for range 30 {
		before, ours = r.debians(t, line), r.ours(t, "", line)
		after := r.debians(t, line)
		if diff = ipvsadmtest.Between(before.Out, ours.Out, after.Out); diff == "" || before == after {
			break
		}
	}
	if diff != "" || before.Status != ours.Status {
		t.Errorf("ipvsadm %s: status %d and %d, Debian's (-), ours (+):\n%s", line, before.Status, ours.Status, diff)
	}
	return ours
}

// types types a rule here and there; both must list the same afterwards.
func (r *rules) types(t *testing.T, line string) {
	t.Helper()
	if got := r.ours(t, "", line); got.Status != 0 || got.Out != "" {
		t.Fatalf("ipvsadm %s: %+v", line, got)
	}
	if out := r.elsewhere(t, line); out != "" {
		t.Fatalf("ipvsadm %s by Debian's: %s", line, out)
	}
	here, there := r.sameListing(t, "-Ln").Out, r.elsewhere(t, "-Ln")
	if diff := cmp.Diff(belowSize(there), belowSize(here)); diff != "" {
		t.Errorf("after ipvsadm %s, as Debian's did it (-) and as ours did (+):\n%s", line, diff)
	}
}

// belowSize is a listing without its first line, which tells the size of the
// connection table: by the kernel's choice it depends on the machine's memory.
func belowSize(listing string) []string { return strings.Split(listing, "\n")[1:] }

// lists lists in every way.
func (r *rules) lists(t *testing.T) {
	t.Helper()
	for _, line := range []string{
		"-Ln", "-L", "-Ln --stats", "-L --stats", "-Ln --rate", "-Lc", "-Lcn", "-L --timeout", "-L --daemon",
		"-Ln --thresholds", "-Ln --persistent-conn", "-Ln --tun-info", "-Ln --stats --exact", "-Ln --nosort", "-S", "-Sn", "-Ln -t 192.168.4.5:80", "-L -t vip:http",
	} {
		r.sameListing(t, line)
	}
}

// TestRulesByHand is what an administrator types, in the order of every text
// on LVS: each listing must be that of Debian's ipvsadm on the same kernel, and
// that of a machine where Debian's ipvsadm was typed to.
func TestRulesByHand(t *testing.T) {
	t.Parallel()
	d, err := Scenario{Example: "s1-nat"}.Load()
	if err != nil {
		t.Fatal(err)
	}
	d.Node("director").Config = []byte(byHand)
	d.Node("director").Reference = true
	d.Nodes = append(d.Nodes, &lab.Node{Name: "elsewhere", Peer: true})
	disk := withStateDisk(t)
	d.Node("director").Change = func(c *machine.Config) error {
		c.CommandLine += " ip_vs.conn_tab_bits=15"
		return disk(c)
	}
	c := lab.StartT(t, d)
	r := &rules{ctx: patience(t), lab: c}
	r.director = r.lab.Appliance("director")
	r.names(t)
	if listed := r.sameListing(t, "-Ln").Out; !strings.HasPrefix(listed, "IP Virtual Server version 1.2.1 (size=32768)\n") {
		t.Errorf("the kernel's command line asks for a connection table of 2^15 rows:\n%s", listed)
	}

	t.Log("1, 2: a service, and real servers: by route and weight 1 unless told otherwise")
	for _, line := range []string{
		"-A -t 192.168.4.5:80 -s wrr",
		"-a -t 192.168.4.5:80 -r 192.168.2.100",
		"-a -t 192.168.4.5:80 -r 192.168.2.200 -m -w 2",
		"-a -t 192.168.4.5:80 -r 192.168.2.201 -m -w 3",
		"-a -t 192.168.4.5:80 -r 192.168.2.202 -m -w 4",
	} {
		r.types(t, line)
	}
	r.lists(t)

	t.Log("3: edits, which replace everything: the weight is 1 again")
	for _, line := range []string{
		"-E -t 192.168.4.5:80 -s rr",
		"-e -t 192.168.4.5:80 -r 192.168.2.202 -g",
		"-e -t 192.168.4.5:80 -r 192.168.2.201 -i",
	} {
		r.types(t, line)
	}
	if listed := r.ours(t, "", "-Ln"); !strings.Contains(listed.Out, "192.168.2.201:80             Tunnel  1 ") || !strings.Contains(listed.Out, "192.168.2.202:80             Route   1 ") {
		t.Errorf("the weights did not fall back to 1:\n%s", listed.Out)
	}

	t.Log("4: a second service")
	for _, line := range []string{
		"-A -t 192.168.4.5:3306 -s lc",
		"-a -t 192.168.4.5:3306 -r 192.168.2.100 -m",
		"-a -t 192.168.4.5:3306 -r 192.168.2.200 -m",
	} {
		r.types(t, line)
	}
	r.lists(t)
	r.serves(t)
	r.zeroed(t)
	r.timeouts(t)
	r.daemons(t)
	r.savedAndRestored(t)
	r.refuses(t)
	r.asCommand(t)
	r.inTheConfiguration(t)
	r.outlivesAPowerCut(t)
}

// withStateDisk gives a machine a disk with nothing on it.
func withStateDisk(t *testing.T) func(*machine.Config) error {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "state.img")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 64<<20); err != nil {
		t.Fatal(err)
	}
	return func(c *machine.Config) error {
		c.Disks = append(c.Disks, machine.Disk{Path: disk})
		c.Reboots = true
		return nil
	}
}

// names gives the director names of hosts, and its Debian the names of ports.
func (r *rules) names(t *testing.T) {
	t.Helper()
	for _, file := range []struct{ name, text string }{{"/etc/hosts", hostNames}, {"/etc/nsswitch.conf", "hosts: files\nservices: files\n"}, {"/etc/services", "http 80/tcp\nmysql 3306/tcp\n"}} {
		if got := r.program(t, file.text, "sh", "-c", "PATH=/sbin:/bin; cat > "+file.name); got.Status != 0 {
			t.Fatalf("%s: %+v", file.name, got)
		}
	}
}

// serves sends clients to the two services, so that there is something to
// count and to list.
func (r *rules) serves(t *testing.T) {
	t.Helper()
	for _, line := range []string{"-d -t 192.168.4.5:80 -r 192.168.2.201", "-d -t 192.168.4.5:80 -r 192.168.2.202", "-e -t 192.168.4.5:80 -r 192.168.2.100 -m"} {
		r.types(t, line)
	}
	out, err := r.lab.Peer("client").Run(r.ctx, "for i in 1 2 3 4 5 6 7 8; do curl -s -m 60 http://192.168.4.5/; done | sort | uniq -c | tr -s ' '")
	if err != nil {
		t.Fatal(err)
	}
	if want := " 4 192.168.2.100\n 4 192.168.2.200\n"; out != want {
		t.Errorf("rr over two: got %q, want %q", out, want)
	}
	if connections := r.ours(t, "", "-Lcn"); strings.Count(connections.Out, "192.168.4.5:80") != 8 {
		t.Errorf("of 8 connections these are listed:\n%s", connections.Out)
	}
	r.lists(t)
}

func (r *rules) zeroed(t *testing.T) {
	t.Helper()
	r.awaitStats(t, "TCP  192.168.4.5:80                      8 ", func() {})
	r.awaitStats(t, "TCP  192.168.4.5:80                      0        0        0        0        0\n", func() {
		if got := r.ours(t, "", "-Z"); got != (said{}) {
			t.Fatalf("-Z: %+v", got)
		}
	})
	r.sameListing(t, "-Ln --stats")
}

// awaitStats does something until the counters say so: the kernel sums them up
// every two seconds, what was zeroed between two sums included.
func (r *rules) awaitStats(t *testing.T, want string, do func()) {
	t.Helper()
	for listed := ""; !strings.Contains(listed, want); listed = r.ours(t, "", "-Ln --stats").Out {
		if r.ctx.Err() != nil {
			t.Fatalf("the counters are never %q:\n%s", want, listed)
		}
		do()
	}
}

func (r *rules) timeouts(t *testing.T) {
	t.Helper()
	if got := r.ours(t, "", "--set 901 121 301"); got != (said{}) {
		t.Errorf("--set: %+v", got)
	}
	if got := r.sameListing(t, "-L --timeout"); got.Out != "Timeout (tcp tcpfin udp): 901 121 301\n" {
		t.Errorf("%+v", got)
	}
	if got := r.ours(t, "", "--set 900 120 300"); got != (said{}) {
		t.Errorf("--set: %+v", got)
	}
	if got := r.sameListing(t, "-L --timeout"); got.Out != "Timeout (tcp tcpfin udp): 900 120 300\n" {
		t.Errorf("%+v", got)
	}
}

// daemons starts connection synchronisation, saves all there is, stops it, and
// restores it.
func (r *rules) daemons(t *testing.T) {
	t.Helper()
	const running = "master sync daemon (mcast=eth1, syncid=7, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)\n" +
		"backup sync daemon (mcast=eth1, syncid=0, maxlen=1400, group=224.0.0.99, port=9000, ttl=3)\n"
	does := func(in, line string) {
		t.Helper()
		if got := r.ours(t, in, line); got != (said{}) {
			t.Errorf("ipvsadm %s: %+v", line, got)
		}
	}
	lists := func(want string) {
		t.Helper()
		if got := r.sameListing(t, "-L --daemon"); got.Out != want {
			t.Errorf("ipvsadm -L --daemon: %+v, want\n%s", got, want)
		}
	}
	does("", "--start-daemon master --mcast-interface eth1 --syncid 7")
	does("", "--start-daemon backup --mcast-interface eth1 --mcast-group 224.0.0.99 --mcast-port 9000 --mcast-ttl 3 --sync-maxlen 1400")
	lists(running)
	for _, line := range []string{"--start-daemon master --mcast-interface eth1", "--start-daemon backup --mcast-interface eth1"} {
		debians, ours := r.debians(t, line), r.ours(t, "", line)
		if debians.Status != ours.Status || debians.Status == 0 || !strings.HasPrefix(ours.ErrOut, strings.TrimSpace(debians.ErrOut)) {
			t.Errorf("ipvsadm %s:\nDebian's %+v\nours     %+v", line, debians, ours)
		}
	}
	saved := r.ours(t, "", "-S -n --all").Out
	stop := func() {
		t.Helper()
		does("", "--stop-daemon master")
		does("", "--stop-daemon backup")
		lists("")
	}
	stop()
	does("-C\n"+saved, "-R")
	lists(running)
	stop()
}

func (r *rules) savedAndRestored(t *testing.T) {
	t.Helper()
	saved := r.sameListing(t, "-S -n").Out
	r.types(t, "-C")
	if wrong := r.ours(t, saved+"-A -t 192.168.4.5:80 -s rr\n", "-R"); wrong.Status != 255 || !strings.HasPrefix(wrong.ErrOut, fmt.Sprintf("line %d: Service already exists", strings.Count(saved, "\n")+1)) {
		t.Errorf("rules with a wrong line: %+v", wrong)
	}
	if left := r.sameListing(t, "-Sn"); left.Out != "" {
		t.Errorf("rules that were refused have left\n%s", left.Out)
	}
	if got := r.ours(t, saved, "-R"); got != (said{}) {
		t.Errorf("-R: %+v", got)
	}
	if got := r.sameListing(t, "-S -n").Out; got != saved {
		t.Errorf("restored\n%sof\n%s", got, saved)
	}
}

func (r *rules) refuses(t *testing.T) {
	t.Helper()
	for line, contains := range map[string]string{
		"-A -t 192.168.4.5:81 -s lcss":             `no scheduler "lcss"; there are rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, fo, ovf, mh, twos`,
		"-A -t 192.168.4.5:80 -s rr":               "Service already exists",
		"-a -t 192.168.4.5:80 -r 192.168.2.100 -m": "Destination already exists",
		"-a -t 192.168.4.5:81 -r 192.168.2.100 -m": "Service not defined",
		"-d -t 192.168.4.5:80 -r 192.168.2.99":     "No such destination",
		"-D -u 192.168.4.5:80":                     "No such service",
		"-L -n -t 192.168.4.5:81":                  "No such service",
		"-A -t 192.168.4.5:81 -o":                  "One-Packet Scheduling is only for UDP virtual services",
	} {
		debians, ours := r.debians(t, line), r.ours(t, "", line)
		if debians.Status != ours.Status || ours.Out != "" || !strings.HasPrefix(ours.ErrOut, strings.TrimSpace(debians.ErrOut)) || !strings.Contains(ours.ErrOut, contains) {
			t.Errorf("ipvsadm %s:\nDebian's %+v\nours     %+v", line, debians, ours)
		}
	}
}

// asCommand types on the machine itself: "dipper ipvsadm".
func (r *rules) asCommand(t *testing.T) {
	t.Helper()
	saved := r.ours(t, "", "-Sn").Out
	if got := r.program(t, "", "dipper", "ipvsadm", "-Sn"); got != (said{Out: saved}) {
		t.Errorf("dipper ipvsadm -Sn: %+v, want\n%s", got, saved)
	}
	refused := "-A -t 192.168.4.5:80 -s rr"
	if got, want := r.program(t, "", append([]string{"dipper", "ipvsadm"}, strings.Fields(refused)...)...), r.ours(t, "", refused); got != want || got.Status != 255 {
		t.Errorf("dipper ipvsadm %s: got %+v, want %+v", refused, got, want)
	}
	if got := r.program(t, "-C\n"+saved, "dipper", "ipvsadm", "-R"); got != (said{}) {
		t.Errorf("dipper ipvsadm -R: %+v", got)
	}
	if got := r.sameListing(t, "-Sn").Out; got != saved {
		t.Errorf("dipper ipvsadm -R restored\n%sof\n%s", got, saved)
	}
}

// inTheConfiguration shows that what was typed is configured.
func (r *rules) inTheConfiguration(t *testing.T) {
	t.Helper()
	running, err := r.director.Config(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, typed := range []string{"192.168.4.5:3306", "192.168.2.200"} {
		if !strings.Contains(string(running), typed) {
			t.Errorf("the running configuration has no %s:\n%s", typed, running)
		}
	}
	changes, err := r.director.Changes(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(changes); !strings.Contains(text, "192.168.4.5:3306") {
		t.Errorf("the changes do not tell what was typed: %s", text)
	}
}

// outlivesAPowerCut saves what was typed, and resets the machine.
func (r *rules) outlivesAPowerCut(t *testing.T) {
	t.Helper()
	if err := r.director.FormatState(r.ctx, "/dev/vda", false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.director.Save(r.ctx, "rules typed by hand"); err != nil {
		t.Fatal(err)
	}
	saved := r.sameListing(t, "-Sn").Out
	if err := r.lab.Reset(r.ctx, "director"); err != nil {
		t.Fatal(err)
	}
	for {
		now, err := r.lab.AwaitState(r.ctx, "director", api.Serving)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(now.Source, "state volume") { // it came up from fw_cfg at first
			break
		}
	}
	if got := r.sameListing(t, "-Sn").Out; got != saved {
		t.Errorf("after a power cut there is\n%sof\n%s", got, saved)
	}
}
