package scenario

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dipper/appliance/api"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// administrator is somebody at the client machine, with Debian's ssh.
type administrator struct {
	t       *testing.T
	ctx     context.Context
	cluster *lab.Cluster
	user    string // of the director
}

// sshOptions are those of a client that never asks anything. The key is in
// /tmp, the only place of a peer where anything can be written.
const sshOptions = "-F /dev/null -i /tmp/key -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/tmp/known_hosts -o LogLevel=ERROR -o ConnectTimeout=300"

// shellCluster is S2 with a director that has an address, an administrator
// with a key, and nothing else yet.
func shellCluster(t *testing.T) (*lab.Description, string) {
	t.Helper()
	d := find(t, "s2-dr").load(t)
	key := newKey(t)
	d.Node("director").Config = fmt.Appendf(nil, `role: director
hostname: lb1
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24]}
management:
  ssh:
    users:
      admin: {role: admin, keys: [%q]}
      guest: {role: viewer, keys: [%[1]q]}
`, readText(t, key+".pub"))
	return d, readText(t, key)
}

// newKey is the file of a private key that nobody has yet.
func newKey(t *testing.T) string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "joe", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	return key
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// sit puts an administrator with a private key at the client machine, where he
// waits until he can log in.
func sit(ctx context.Context, t *testing.T, c *lab.Cluster, key string) *administrator {
	t.Helper()
	a := &administrator{t: t, ctx: ctx, cluster: c, user: "admin"}
	if _, err := c.Peer("client").RunWith(ctx, "umask 077; cat > /tmp/key", key+"\n"); err != nil {
		t.Fatal(err)
	}
	a.awaitSSH()
	return a
}

// as is another user of the director with the same key.
func (a *administrator) as(user string) *administrator {
	other := *a
	other.user = user
	return &other
}

// ssh runs one command, and answers what it said and its exit status.
func (a *administrator) ssh(command, in string) (out string, status int) {
	a.t.Helper()
	script := fmt.Sprintf("exec 2>&1; status=0; timeout 300 ssh %s %s@192.168.4.5 %s || status=$?; echo; echo $status", sshOptions, a.user, quoted(command))
	said, err := a.cluster.Peer("client").RunWith(a.ctx, script, in)
	if err != nil {
		a.t.Fatal(err)
	}
	said = strings.TrimRight(said, "\n")
	at := strings.LastIndexByte(said, '\n')
	if _, err := fmt.Sscan(said[at+1:], &status); err != nil {
		a.t.Fatalf("%q: %q: %v", command, said, err)
	}
	return strings.TrimRight(said[:max(at, 0)], "\n"), status
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// must runs a command that succeeds.
func (a *administrator) must(command, in string) string {
	a.t.Helper()
	out, status := a.ssh(command, in)
	if status != 0 {
		a.t.Fatalf("%q ends with status %d: %s", command, status, out)
	}
	return out
}

// s2 makes a director of a machine with nothing but an address.
const s2 = `configure
set services web listen 192.168.4.15:80
set services web protocol tcp
set services web scheduler wrr
set services web forward dr
set services web real-servers 192.168.4.100 weight 1
set services web real-servers 192.168.4.200 weight 2
copy services web to echo
set services echo listen 192.168.4.15:7
compare
commit comment "the first service"
exit
exit
`

// TestShell is an administrator's first day: he logs in, makes a director of a
// machine that only has an address, breaks it on purpose, and cuts its power.
func TestShell(t *testing.T) {
	s := find(t, "s2-dr")
	d, key := shellCluster(t)
	for _, server := range s.Servers {
		n := d.Node(server.Name)
		n.Config = fmt.Appendf(n.Config, "  - {protocol: tcp-echo, port: %d}\n", echoPort)
	}
	d.Node("director").Change = func(m *machine.Config) error {
		m.Reboots = true
		m.Disks = append(m.Disks, machine.Disk{Path: emptyDisk(t)})
		return nil
	}
	c := lab.StartT(t, d)
	ctx := patience(t)
	joe := sit(ctx, t, c, key)

	t.Run("roles", func(t *testing.T) { testRoles(t, joe) })
	t.Run("terminal", func(t *testing.T) { testTerminal(t, joe) })
	if out := joe.must("", s2); !strings.Contains(out, "ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 2") {
		t.Fatalf("compare does not show what it would do:\n%s", out)
	}
	if got, want := joe.fetch(6), map[string]int{"192.168.4.100": 2, "192.168.4.200": 4}; !maps.Equal(got, want) {
		t.Errorf("six requests got %v, want %v", got, want)
	}
	tr := s.startTraffic(ctx, t, c)
	t.Run("lost connection", func(t *testing.T) { testLostConnection(t, joe) })
	t.Run("come back", func(t *testing.T) { testComeBack(t, joe) })
	t.Run("killed shell", func(t *testing.T) { testKilledShell(t, joe) })
	t.Run("rollback", func(t *testing.T) { testRollback(t, joe) })
	tr.finish(ctx, t)
	t.Run("files", func(t *testing.T) { testFiles(t, joe) })
	t.Run("power cut", func(t *testing.T) { testPowerCut(t, joe) })
}

// testRoles holds a viewer to looking.
func testRoles(t *testing.T, joe *administrator) {
	guest := joe.as("guest")
	if out := guest.must("show version", ""); !strings.Contains(out, "Dipper") {
		t.Errorf("show version: %q", out)
	}
	for _, command := range []string{"configure", "reboot", "clear counters", "server 192.168.4.100 drain"} {
		if out, status := guest.ssh(command, ""); status == 0 {
			t.Errorf("a viewer may %s: %s", command, out)
		}
	}
	if out, status := joe.as("nobody").ssh("show version", ""); status != 255 || !strings.Contains(out, "Permission denied (publickey)") {
		t.Errorf("somebody unknown: %d, %s", status, out)
	}
	if out, status := joe.ssh("show nonsense", ""); status == 0 || status == 255 {
		t.Errorf("show nonsense: %d, %s", status, out)
	}
}

// testTerminal types on a terminal: an abbreviation, completion by Tab, and
// help.
func testTerminal(t *testing.T, joe *administrator) {
	out, err := joe.cluster.Peer("client").RunWith(joe.ctx,
		fmt.Sprintf("TERM=vt100 timeout 300 ssh %s -tt admin@192.168.4.5", sshOptions),
		"sh vers\rshow conf\t\rexit\r")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"-dipper", "show configuration", "hostname: lb1"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

// fetch asks the VIP and counts who answered.
func (a *administrator) fetch(times int) map[string]int {
	a.t.Helper()
	out, err := a.cluster.Peer("client").Run(a.ctx, fmt.Sprintf("for i in $(seq %d); do curl -sS -m 60 http://192.168.4.15/; done", times))
	if err != nil {
		a.t.Fatal(err)
	}
	count := map[string]int{}
	for _, page := range strings.Fields(out) {
		count[page]++
	}
	return count
}

// scheduler is a service's, as the kernel has it.
func (a *administrator) scheduler(service string) string {
	a.t.Helper()
	services, err := a.cluster.Appliance("director").Services(a.ctx)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, s := range services {
		if s.Name == service {
			return s.Scheduler
		}
	}
	return ""
}

// awaitStatus waits until the director's status is so.
func (a *administrator) awaitStatus(is func(api.Status) bool) {
	a.t.Helper()
	revision := -1
	for {
		status, err := a.cluster.Appliance("director").NextStatus(a.ctx, revision)
		if err != nil {
			a.t.Fatal(err)
		}
		if is(status) {
			return
		}
		revision = status.Revision
	}
}

// commitUnconfirmed commits another scheduler for ten minutes unless confirmed,
// and stays at the terminal. It gives until when, and what ends with the client.
func (a *administrator) commitUnconfirmed() (by time.Time, gone <-chan error) {
	a.t.Helper()
	const typed = `configure
set services web scheduler rr
commit confirmed 10m
`
	ended := make(chan error, 1)
	go func() {
		_, err := a.cluster.Peer("client").RunWith(a.ctx, fmt.Sprintf(`
rm -f /tmp/typing
mkfifo /tmp/typing
cat > /tmp/typed # what runs in the background has no input
(cat /tmp/typed; exec sleep 1000) > /tmp/typing &
ssh %s -tt admin@192.168.4.5 < /tmp/typing > /tmp/seen 2>&1 &
echo $! > /tmp/ssh.pid
wait $! || true`, sshOptions), typed)
		ended <- err
	}()
	a.awaitStatus(func(s api.Status) bool { by = s.ConfirmBy; return !by.IsZero() })
	if got := a.scheduler("web"); got != "rr" {
		a.t.Errorf("the scheduler is %s while the commit waits to be confirmed", got)
	}
	return by, ended
}

// awaitScheduler waits until the kernel follows.
func (a *administrator) awaitScheduler(want string) {
	a.t.Helper()
	for a.scheduler("web") != want {
		if a.ctx.Err() != nil {
			a.t.Fatalf("the scheduler stays %s", a.scheduler("web"))
		}
	}
}

// loseUnconfirmed commits something for ten minutes unless confirmed, and kills
// the client. It gives until when it was to be confirmed.
func (a *administrator) loseUnconfirmed() (by time.Time) {
	a.t.Helper()
	by, gone := a.commitUnconfirmed()
	if _, err := a.cluster.Peer("client").Run(a.ctx, "kill -9 $(cat /tmp/ssh.pid)"); err != nil {
		a.t.Fatal(err)
	}
	<-gone
	return by
}

// testLostConnection loses the connection of an unconfirmed commit, and nobody
// comes. The director goes back after one minute, not ten.
func testLostConnection(t *testing.T, joe *administrator) {
	joe.loseUnconfirmed()
	awaitEvent(joe.ctx, t, joe.cluster, "commit", "the unconfirmed commit ends in 1m0s")
	joe.awaitStatus(func(s api.Status) bool { return s.ConfirmBy.IsZero() })
	joe.awaitScheduler("wrr")
}

// testComeBack loses the connection as well, and logs in again within the
// minute: all of the ten minutes count again.
func testComeBack(t *testing.T, joe *administrator) {
	for {
		by := joe.loseUnconfirmed()
		joe.awaitStatus(func(s api.Status) bool { return s.ConfirmBy.IsZero() || by.Sub(s.ConfirmBy) > 8*time.Minute })
		joe.must("show version", "")
		status, err := joe.cluster.Appliance("director").Status(joe.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if status.ConfirmBy.IsZero() { // a host that is that busy
			t.Log("the minute was over before the login was: once more")
			joe.awaitScheduler("wrr")
			continue
		}
		if off := by.Sub(status.ConfirmBy).Abs(); off > 2*time.Second { // each is rounded
			t.Errorf("to be confirmed by %v, and after the login by %v", by, status.ConfirmBy)
		}
		break
	}
	awaitEvent(joe.ctx, t, joe.cluster, "commit", "logs in: the unconfirmed commit of admin has")
	if err := joe.cluster.Appliance("director").Revert(joe.ctx); err != nil {
		t.Error(err)
	}
	joe.awaitScheduler("wrr")
}

// testKilledShell kills the director's shell instead, which can tell nobody
// that its sessions are lost. The commit has a minute left all the same.
func testKilledShell(t *testing.T, joe *administrator) {
	before, err := joe.cluster.Appliance("director").Status(joe.ctx)
	if err != nil {
		t.Fatal(err)
	}
	by, gone := joe.commitUnconfirmed()
	signal(joe.ctx, t, joe.cluster, "director", "-9", pidOf(joe.ctx, t, joe.cluster, "director", "shell"))
	<-gone
	waiting := false
	joe.awaitStatus(func(s api.Status) bool {
		waiting = !s.ConfirmBy.IsZero()
		if !waiting && time.Duration(s.Uptime-before.Uptime) > 8*time.Minute {
			t.Fatal("the commit ended only after its whole time")
		}
		return !waiting || by.Sub(s.ConfirmBy) > 8*time.Minute
	})
	if waiting { // on a busy host, its minute may be over
		if err := joe.cluster.Appliance("director").Revert(joe.ctx); err != nil { // it has been seen that it would
			t.Error(err)
		}
	}
	joe.awaitScheduler("wrr")
	joe.awaitSSH()
}

// awaitSSH waits for the SSH server, which comes after what it needs.
func (a *administrator) awaitSSH() {
	a.t.Helper()
	for {
		out, status := a.ssh("show version", "")
		if status == 0 {
			return
		}
		if a.ctx.Err() != nil || strings.Contains(out, "Permission denied") || strings.Contains(out, "verification failed") {
			a.t.Fatalf("the machine is not reached, or is not the same one: %s", out)
		}
	}
}

// testRollback goes back by hand.
func testRollback(t *testing.T, joe *administrator) {
	joe.must("configure; set services web scheduler wlc; commit comment \"by mistake\"", "")
	if got := joe.scheduler("web"); got != "wlc" {
		t.Fatalf("the scheduler is %s after a commit", got)
	}
	revisions := joe.must("show revisions", "")
	if !strings.Contains(revisions, "by mistake") || !strings.Contains(revisions, "the first service") {
		t.Errorf("revisions:\n%s", revisions)
	}
	joe.must("configure; rollback 2; commit", "")
	if got := joe.scheduler("web"); got != "wrr" {
		t.Errorf("the scheduler is %s after a rollback", got)
	}
}

// testFiles takes a configuration away, edits it, and brings it back.
func testFiles(t *testing.T, joe *administrator) {
	out, err := joe.cluster.Peer("client").Run(joe.ctx, fmt.Sprintf(`
scp -q %s admin@192.168.4.5:running.yaml /tmp/lb1.yaml
sed -i 's/scheduler: wrr/scheduler: lc/' /tmp/lb1.yaml
scp -q %[1]s /tmp/lb1.yaml admin@192.168.4.5:load.yaml
ssh %[1]s admin@192.168.4.5 show configuration > /tmp/shown
grep -c 'scheduler: lc' /tmp/shown`, sshOptions))
	if err != nil || strings.TrimSpace(out) != "2" {
		t.Errorf("got %q, %v", out, err)
	}
	if got := joe.scheduler("web"); got != "lc" {
		t.Errorf("the scheduler is %s", got)
	}
}

// testPowerCut makes a state volume, saves, resets the machine, and finds what
// was committed.
func testPowerCut(t *testing.T, joe *administrator) {
	joe.must("format state-volume /dev/vda --yes", "")
	joe.must("configure; set services web scheduler sed; commit comment \"before the night\"", "")
	joe.must("configure; set services web scheduler nq; commit confirmed 10m", "")
	status, err := joe.cluster.Appliance("director").Status(joe.ctx)
	if err != nil {
		t.Fatal(err)
	}
	uptime := status.Uptime
	if err := joe.cluster.Reset(joe.ctx, "director"); err != nil {
		t.Fatal(err)
	}
	joe.awaitStatus(func(s api.Status) bool { return s.State == api.Serving && s.Uptime < uptime })
	if got := joe.scheduler("web"); got != "sed" {
		t.Errorf("the scheduler is %s after a power cut, want sed: what was committed, and not what waited to be confirmed", got)
	}
	joe.awaitSSH() // it comes after the services
	if out := joe.must("show revisions", ""); !strings.Contains(out, "before the night") {
		t.Errorf("revisions:\n%s", out)
	}
	if got := joe.fetch(2); len(got) == 0 {
		t.Error("nobody serves")
	}
}

// emptyDisk is a disk of 64 MB with nothing on it.
func emptyDisk(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 64<<20); err != nil {
		t.Fatal(err)
	}
	return path
}
