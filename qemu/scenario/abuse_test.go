package scenario

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dipper/qemu/lab"

	"golang.org/x/crypto/argon2"
)

// What the shell's process may take at most while it is attacked, in bytes. A
// password hash takes 19 MiB of it.
const mostMemory = 64 << 20

// TestAbuse attacks a director's SSH server in one way after the other, from
// twenty addresses. A session that is at work before it begins, an
// administrator who comes in the middle of it, and the traffic through the VIP
// notice nothing; and memory stays bounded.
func TestAbuse(t *testing.T) {
	t.Parallel()
	s := find(t, "s2-dr")
	v := newVictim(t, s)
	tr := s.startTraffic(v.joe.ctx, t, v.cluster)
	fetched := v.fetchWithoutEnd(s)
	before := v.process()

	refused := 0
	t.Run("guess", func(t *testing.T) { refused = testGuesses(t, v) })
	for _, attack := range []string{"idle", "half-open", "huge-line", "garbage"} {
		t.Run(attack, func(t *testing.T) { testCrowd(t, v, attack) })
	}
	t.Run("never-read", func(t *testing.T) { testNeverRead(t, v) })
	t.Run("hashes", func(t *testing.T) { testHashes(t, v, refused) }) // the log needs a minute

	v.wantUnharmed(t)
	tr.finish(v.joe.ctx, t)
	if err := <-fetched; err != nil {
		t.Errorf("requests to the VIP: %v", err)
	}
	after := v.process()
	if after.pid != before.pid {
		t.Errorf("the shell was restarted: process %d is %d now", before.pid, after.pid)
	}
	t.Logf("at most %d KiB of memory, %d KiB before", after.memory>>10, before.memory>>10)
	if after.memory > mostMemory {
		t.Errorf("the shell took %d bytes, want at most %d", after.memory, mostMemory)
	}
}

// victim is a director with an administrator and an intruder at the client
// machine.
type victim struct {
	t       *testing.T
	cluster *lab.Cluster
	joe     *administrator
	from    []string // the intruder's addresses
	asked   int      // questions that the session at work was asked
}

func newVictim(t *testing.T, s Scenario) *victim {
	t.Helper()
	d := s.load(t)
	extend(t, d)
	key := newKey(t)
	director := d.Node("director")
	director.Config = fmt.Appendf(director.Config, `
management:
  ssh:
    users:
      admin: {role: admin, keys: [%q], password-hash: %q}
      tom: {role: viewer, password-hash: %q}
`, readText(t, key+".pub"), costlyHash("the right one", fits), costlyHash("the right one", tooMuch))
	c := lab.StartT(t, d)
	ctx := patience(t)
	v := &victim{t: t, cluster: c, joe: sit(ctx, t, c, readText(t, key))}
	for i := range 20 {
		v.from = append(v.from, fmt.Sprintf("192.168.4.%d", 30+i))
	}
	v.bringIntruder(ctx)
	v.beginWork(ctx)
	return v
}

// What hashes take of the director's 128 MiB, in KiB: one that it has room for,
// and the most that is taken for a hash.
const (
	fits    = 19 << 10
	tooMuch = 64 << 10
)

func costlyHash(password string, memory uint32) string {
	salt := []byte("0123456789abcdef")
	const passes, lanes, length = 1, 1, 32
	hash := argon2.IDKey([]byte(password), salt, passes, memory, lanes, length)
	base := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", memory, passes, lanes, base.EncodeToString(salt), base.EncodeToString(hash))
}

// bringIntruder gives the client machine a program and twenty addresses.
func (v *victim) bringIntruder(ctx context.Context) {
	v.t.Helper()
	path := filepath.Join(v.t.TempDir(), "intruder")
	build := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", path, "./intruder")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOAMD64=v1")
	if out, err := build.CombinedOutput(); err != nil {
		v.t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		v.t.Fatal(err)
	}
	script := fmt.Sprintf("base64 -d > /tmp/intruder; chmod +x /tmp/intruder; for a in %s; do ip addr add $a/32 dev eth0; done", strings.Join(v.from, " "))
	if _, err := v.cluster.Peer("client").RunWith(ctx, script, base64.StdEncoding.EncodeToString(program)); err != nil {
		v.t.Fatal(err)
	}
}

// beginWork opens the session that is there before the attacks begin.
func (v *victim) beginWork(ctx context.Context) {
	v.t.Helper()
	if _, err := v.cluster.Peer("client").Run(ctx, fmt.Sprintf(`
mkfifo /tmp/work
sleep 100000 > /tmp/work &                                           # keeps it open
(ssh %s admin@192.168.4.5 < /tmp/work > /tmp/worked 2>&1; echo $? > /tmp/jobless) &
`, sshOptions)); err != nil {
		v.t.Fatal(err)
	}
	v.wantUnharmed(v.t)
}

// wantUnharmed has the session at work answer, and somebody new log in with a
// key at the first try.
func (v *victim) wantUnharmed(t *testing.T) {
	t.Helper()
	v.asked++
	if _, err := v.cluster.Peer("client").Run(v.joe.ctx, fmt.Sprintf(`
echo show version > /tmp/work
while [ "$(grep -c Dipper /tmp/worked)" -lt %d ]; do
    sleep 0.1
    if [ -e /tmp/jobless ]; then cat /tmp/worked /tmp/jobless >&2; exit 1; fi
done`, v.asked)); err != nil {
		t.Fatalf("the session at work does not answer: %v", err)
	}
	if out, status := v.joe.ssh("show version", ""); status != 0 {
		t.Errorf("an administrator who comes now: %d, %s", status, out)
	}
}

// fetchWithoutEnd asks the VIP for a page again and again until the traffic
// ends. All of them must come.
func (v *victim) fetchWithoutEnd(s Scenario) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := v.cluster.Peer("client").Run(v.joe.ctx, fmt.Sprintf(
			"while [ ! -e /tmp/enough ]; do curl -sS -f -m 120 -o /dev/null http://%s/; done", netip.AddrPortFrom(s.VIP, 80)))
		ended <- err
	}()
	return ended
}

// process is what the kernel says of the shell's process.
type process struct {
	pid    int
	memory int           // the most it ever had, in bytes
	cpu    time.Duration // user and system
	uptime time.Duration // of the machine
}

func (v *victim) process() process {
	v.t.Helper()
	ctx := v.joe.ctx
	p := process{pid: pidOf(ctx, v.t, v.cluster, "director", "shell")}
	read := func(file string) string {
		result, err := v.cluster.Appliance("director").Run(ctx, "cat", file)
		if err != nil || result.Exit != 0 {
			v.t.Fatalf("%s: %v %s", file, err, result.Stderr)
		}
		return result.Stdout
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindStringSubmatch(read(fmt.Sprintf("/proc/%d/status", p.pid)))
	if found == nil {
		v.t.Fatal("no VmHWM")
	}
	p.memory = number(v.t, found[1]) << 10
	// proc_pid_stat(5): utime and stime are fields 14 and 15, in 1/100 s; the
	// name in field 2 has no space.
	fields := strings.Fields(read(fmt.Sprintf("/proc/%d/stat", p.pid)))
	p.cpu = time.Duration(number(v.t, fields[13])+number(v.t, fields[14])) * 10 * time.Millisecond
	var seconds float64
	if _, err := fmt.Sscan(read("/proc/uptime"), &seconds); err != nil {
		v.t.Fatal(err)
	}
	p.uptime = time.Duration(seconds * float64(time.Second))
	return p
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// outcome is what the intruder says came of an attack.
type outcome struct {
	Connections, Unreachable, Refused, Wrong, Cut, In, Ended int
}

// attack runs the intruder, and gives how to wait for its end. With hold, it
// keeps what it opened until that file is there.
func (v *victim) attack(kind string, count int, hold string) (end func() (outcome, error)) {
	const openFiles = 4096
	from := v.from
	if kind == "guess" {
		// Each address more is one key exchange a second more, which without KVM
		// leave an attacker no time for tries: he is slower, and not worse.
		from = from[:8]
	}
	type answer struct {
		text string
		err  error
	}
	ended := make(chan answer, 1)
	go func() {
		text, err := v.cluster.Peer("client").Run(v.joe.ctx, fmt.Sprintf("ulimit -n %d; /tmp/intruder -from %s -key /tmp/key -hold '%s' %s %d 192.168.4.5:22",
			openFiles, strings.Join(from, ","), hold, kind, count))
		ended <- answer{text, err}
	}()
	return func() (o outcome, err error) {
		a := <-ended
		if a.err != nil {
			return o, fmt.Errorf("intruder: %w", a.err)
		}
		return o, json.Unmarshal([]byte(a.text), &o)
	}
}

// mustEnd waits for the end of an attack.
func mustEnd(t *testing.T, end func() (outcome, error)) outcome {
	t.Helper()
	o, err := end()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// held attacks, and looks at the victim while all connections are there.
func (v *victim) held(t *testing.T, kind string, count int) outcome {
	t.Helper()
	hold := "/tmp/" + kind
	began := time.Now()
	end := v.attack(kind, count, hold)
	if _, err := v.cluster.Peer("client").Run(v.joe.ctx, fmt.Sprintf("while [ ! -e %s.ready ]; do sleep 0.1; done", hold)); err != nil {
		t.Fatal(err)
	}
	v.wantUnharmed(t)
	if _, err := v.cluster.Peer("client").Run(v.joe.ctx, "touch "+hold); err != nil {
		t.Fatal(err)
	}
	o := mustEnd(t, end)
	t.Logf("%+v in %v; the shell has had %d KiB at most", o, time.Since(began).Round(time.Second), v.process().memory>>10)
	return o
}

// testCrowd opens five hundred connections that never log in. The server takes
// all, and keeps no more than there are places for.
func testCrowd(t *testing.T, v *victim, kind string) {
	const count, places = 500, 32
	o := v.held(t, kind, count)
	if o.Connections != count || o.Ended < count-places {
		t.Errorf("%d of %d connections were made, and %d ended by the server: it has places for %d", o.Connections, count, o.Ended, places)
	}
}

// testNeverRead has sessions that are written to without end and read nothing.
func testNeverRead(t *testing.T, v *victim) {
	const count = 10
	if o := v.held(t, "never-read", count); o.In != count {
		t.Errorf("%d sessions came in, want %d", o.In, count)
	}
}

// testGuesses tries forty thousand passwords, and gives how many connections for
// that were refused. What they cost is measured beside what a hash does.
func testGuesses(t *testing.T, v *victim) (refused int) {
	const tries, some = 40_000, 2
	mustEnd(t, v.attack("guess", some, "")) // the first time costs more
	before := v.process()
	mustEnd(t, v.attack("guess", some, ""))
	calibrated := v.process()
	hash := (calibrated.cpu - before.cpu) / some // with the conversation around it

	o, newcomers := v.guessed(t, tries)
	after := v.process()
	took, cpu := after.uptime-calibrated.uptime, after.cpu-calibrated.cpu
	t.Logf("%d tries in %v: the shell ran for %v, a hash takes it %v; %d newcomers", tries, took.Round(time.Second), cpu, hash, newcomers)
	if o.In > 0 || o.Unreachable > 0 || o.Wrong == 0 {
		t.Errorf("%+v", o)
	}
	if share := tries * hash / 30; cpu > share {
		t.Errorf("the shell ran for %v, want less than a thirtieth of what %d hashes take: %v", cpu, tries, share)
	}
	return o.Refused
}

// testHashes counts how many of the passwords cost a hash: the server looks at
// twenty, and then at one a second, whoever asks.
func testHashes(t *testing.T, v *victim, refused int) {
	const atOnce = 20
	told, looked := v.refusals(t, refused)
	up := v.process().uptime
	t.Logf("%d refused, %d wrong passwords were looked at, %v after the start", told, looked, up.Round(time.Second))
	if most := atOnce + int(up/time.Second); looked < atOnce/2 || looked > most { // those of tom are not: his hash does not fit
		t.Errorf("%d passwords were looked at, want %d to %d", looked, atOnce/2, most)
	}
}

// guessed has passwords tried, while the session at work goes on and others log
// in, as many as there is time for.
func (v *victim) guessed(t *testing.T, tries int) (o outcome, newcomers int) {
	t.Helper()
	end := v.attack("guess", tries, "")
	ended := make(chan error, 1)
	go func() {
		var err error
		o, err = end()
		ended <- err
	}()
	for {
		v.wantUnharmed(t)
		newcomers++
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", o)
			return o, newcomers
		default:
		}
	}
}

// summary is what a refusal says of those that were not told one by one.
var summary = regexp.MustCompile(`\(and (\d+) more that were not told; (\d+) wrong passwords were looked at\)`)

// refusals adds up what the log says, as soon as it has told of so many: it
// does with the first refusal of the next minute.
func (v *victim) refusals(t *testing.T, until int) (refused, looked int) {
	t.Helper()
	for refused < until {
		if out, status := v.joe.as("nobody").ssh("show version", ""); status != 255 {
			t.Fatalf("somebody unknown: %d, %s", status, out)
		}
		refused, looked = 0, 0
		for event, err := range v.cluster.Appliance("director").Events(v.joe.ctx, 0, false) {
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(event.Text, "login refused") {
				continue
			}
			refused++
			if counts := summary.FindStringSubmatch(event.Text); counts != nil {
				refused += number(t, counts[1])
				looked += number(t, counts[2])
			}
		}
	}
	return refused, looked
}
