package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dipper/appliance/api"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// TestAccess changes what people and machines are known by, with Debian's
// OpenSSH at the other end: another host key that nobody is warned of, a
// certificate that is revoked while it is in use, and a password that costs
// more memory than there is.
func TestAccess(t *testing.T) {
	t.Parallel()
	key, authority := newKey(t), newKey(t)
	d := &lab.Description{Name: "access", Nodes: []*lab.Node{
		{Name: "client", LANs: []string{"outside"}, Peer: true, Script: "ip link set eth0 up\nip addr add 192.168.4.10/24 dev eth0\n"},
		{Name: "director", LANs: []string{"outside"}, Config: fmt.Appendf(nil, `role: director
hostname: lb1
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24]}
management:
  ssh:
    certificate-authorities: [%q]
    users:
      admin: {role: admin, keys: [%q]}
      carl: {role: viewer}
`, readText(t, authority+".pub"), readText(t, key+".pub")), Change: func(m *machine.Config) error {
			m.Reboots = true
			m.Disks = append(m.Disks, machine.Disk{Path: emptyDisk(t)})
			return nil
		}},
	}}
	c := lab.StartT(t, d)
	joe := sit(patience(t), t, c, readText(t, key))
	t.Run("password", func(t *testing.T) { testUnaffordablePassword(t, joe) })
	t.Run("certificate", func(t *testing.T) { testRevokedCertificate(t, joe, authority) })
	t.Run("host key", func(t *testing.T) { testHostKeyRotation(t, joe) })
}

// testUnaffordablePassword is told before the commit that a password will let
// nobody in.
func testUnaffordablePassword(t *testing.T, joe *administrator) {
	check := func(memory uint32) string {
		return joe.must(fmt.Sprintf("configure; set management ssh users tom role viewer password-hash %s; commit check; discard", costlyHash("secret", memory)), "")
	}
	const says = "management.ssh.users.tom.password-hash: takes 64 MiB to look at"
	if out := check(tooMuch); !strings.Contains(out, says) {
		t.Errorf("%q is not in:\n%s", says, out)
	}
	if out := check(fits); strings.Contains(out, "MiB to look at") {
		t.Errorf("a hash that fits is warned of:\n%s", out)
	}
}

// certify makes certificates for the administrator's key at the client, with
// their serial numbers in their names.
func (a *administrator) certify(authority string, serials ...int) {
	a.t.Helper()
	key := filepath.Join(a.t.TempDir(), "key.pub")
	public, err := a.cluster.Peer("client").Run(a.ctx, "ssh-keygen -y -f /tmp/key")
	if err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(key, []byte(public), 0o600); err != nil {
		a.t.Fatal(err)
	}
	for _, serial := range serials {
		sign := exec.CommandContext(a.ctx, "ssh-keygen", "-q", "-s", authority, "-I", "carl at work", "-n", "carl", "-z", fmt.Sprint(serial), key)
		if out, err := sign.CombinedOutput(); err != nil {
			a.t.Fatalf("%v: %s", err, out)
		}
		certificate := readText(a.t, strings.TrimSuffix(key, ".pub")+"-cert.pub")
		if _, err := a.cluster.Peer("client").RunWith(a.ctx, fmt.Sprintf("cat > /tmp/%d-cert.pub", serial), certificate+"\n"); err != nil {
			a.t.Fatal(err)
		}
	}
}

// testRevokedCertificate has somebody watch the machine by one of two
// certificates, which is revoked: he is thrown out, comes in by it no more, and
// by the other one as before.
func testRevokedCertificate(t *testing.T, joe *administrator, authority string) {
	joe.certify(authority, 42, 43)
	carl := func(serial int, command string) (string, error) {
		return joe.cluster.Peer("client").Run(joe.ctx, fmt.Sprintf(
			"timeout 600 ssh %s -o CertificateFile=/tmp/%d-cert.pub carl@192.168.4.5 %s 2>&1 || echo status $?", sshOptions, serial, command))
	}
	type answer struct {
		said string
		err  error
	}
	watching := make(chan answer, 1)
	go func() {
		said, err := carl(42, "show events follow kind commit")
		watching <- answer{said, err}
	}()
	awaitEvent(joe.ctx, t, joe.cluster, "session", `login by certificate "carl at work" number 42`)
	joe.must("configure; set management ssh revoked serial:42; commit", "")
	if a := <-watching; a.err != nil || !strings.Contains(a.said, "status 255") {
		t.Errorf("the session of a certificate that was revoked ends with %q, %v", a.said, a.err)
	}
	awaitEvent(joe.ctx, t, joe.cluster, "session", "logout: access was taken back")
	if said, err := carl(42, "show version"); err != nil || !strings.Contains(said, "Permission denied") {
		t.Errorf("the revoked one: %q, %v", said, err)
	}
	awaitEvent(joe.ctx, t, joe.cluster, "session", "the serial number 42 is revoked")
	if said, err := carl(43, "show version"); err != nil || !strings.Contains(said, "Dipper") {
		t.Errorf("the other one: %q, %v", said, err)
	}
}

// testHostKeyRotation takes the steps to another host key, with a power cut
// between them. The client takes nothing that it does not know.
func testHostKeyRotation(t *testing.T, joe *administrator) {
	director := joe.cluster.Appliance("director")
	joe.must("format state-volume /dev/vda --yes", "")
	joe.must("save", "")
	first := joe.hostKeys(1)
	joe.must("host-key announce", "")
	keys := joe.hostKeys(2)
	if keys[0] != first[0] {
		t.Fatalf("the key in use is %s, and was %s", keys[0], first[0])
	}
	joe.learn(keys...)
	if out := joe.must("show host-keys", ""); !strings.Contains(out, "admin") || strings.Contains(out, "not learned") {
		t.Errorf("show host-keys does not say that the client has learned the next key:\n%s", out)
	}

	before, err := director.Status(joe.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := joe.cluster.Reset(joe.ctx, "director"); err != nil {
		t.Fatal(err)
	}
	joe.awaitStatus(func(s api.Status) bool { return s.State == api.Serving && s.Uptime < before.Uptime })
	joe.awaitSSH()
	if after := joe.hostKeys(2); !slices.Equal(after, keys) {
		t.Fatalf("after a power cut the keys are %s, and were %s", after, keys)
	}
	joe.must("host-key replace --yes", "")
	joe.learn(keys[1])
}

// hostKeys are the fingerprints of the director's host keys, so many.
func (a *administrator) hostKeys(want int) []string {
	a.t.Helper()
	keys, err := a.cluster.Appliance("director").HostKeys(a.ctx)
	if err != nil {
		a.t.Fatal(err)
	}
	var prints []string
	for _, k := range keys.Keys {
		prints = append(prints, k.Fingerprint)
	}
	if len(prints) != want {
		a.t.Fatalf("the director has the host keys %s, want %d", prints, want)
	}
	return prints
}

// learn logs in until the client knows the director by some keys and no others.
// It takes no key that it does not know already. A session lasts until the
// client has learned, or is tried again: the one before may have begun when the
// keys were others.
func (a *administrator) learn(keys ...string) {
	a.t.Helper()
	want := strings.Join(slices.Sorted(slices.Values(keys)), " ") + " "
	script := fmt.Sprintf(`
known() { ssh-keygen -lf /tmp/known_hosts | cut -d' ' -f2 | LC_ALL=C sort | tr '\n' ' '; }
until [ "$(known)" = '%[1]s' ]; do
	(for i in $(seq 50); do [ "$(known)" = '%[1]s' ] && break; sleep 0.2; done) |
		ssh -o StrictHostKeyChecking=yes -o UpdateHostKeys=yes %[2]s admin@192.168.4.5 2>&1 || { known; exit 1; }
done
ssh -o StrictHostKeyChecking=yes %[2]s admin@192.168.4.5 show version`, want, sshOptions)
	out, err := a.cluster.Peer("client").Run(a.ctx, script)
	if err != nil || !strings.Contains(out, "Dipper") || strings.Contains(out, "WARNING") {
		a.t.Fatalf("known_hosts with %s: %v: %s", want, err, out)
	}
}
