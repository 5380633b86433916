package scenario

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"dipper/appliance/api"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// sampleKey is what the tour has in place of its reader's own public key.
const sampleKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea admin@desk"

// tour is what docs/shell.md has its reader type in ten minutes.
func tour(t *testing.T) (lines []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/shell.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Ten minutes\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for i, block := range strings.Split(section, "```") {
		if typed, ok := strings.CutPrefix(block, "shell\n"); ok && i%2 == 1 {
			lines = append(lines, strings.Split(strings.TrimSpace(typed), "\n")...)
		}
	}
	if len(lines) < 30 {
		t.Fatalf("the tour has %d lines only", len(lines))
	}
	return lines
}

// answered adds what a reader presses without being told to: yes to what asks
// whether it may, and q to leave a display.
func answered(lines []string) string {
	var keys strings.Builder
	for _, line := range lines {
		keys.WriteString(line + "\r")
		switch {
		case strings.HasPrefix(line, "format"):
			keys.WriteString("y")
		case strings.HasPrefix(line, "monitor"):
			keys.WriteString("q")
		}
	}
	return keys.String() + "exit\r"
}

// tourCluster is S2 with the tour's addresses, which are those of QEMU's own
// network, and a director with an empty disk instead of a configuration.
func tourCluster(t *testing.T) *lab.Description {
	t.Helper()
	addresses := strings.NewReplacer("192.168.4.15", "10.0.2.80", "192.168.4.10/24", "10.0.2.2/24",
		"--dhcp-range=192.168.4.50,192.168.4.99", "--dhcp-range=10.0.2.15,10.0.2.15", "192.168.4.", "10.0.2.")
	d := find(t, "s2-dr").load(t)
	for _, n := range d.Nodes {
		n.Config = []byte(addresses.Replace(string(bytes.TrimSpace(n.Config))))
	}
	d.Node("client").Script, d.Node("client").Config = addresses.Replace(dhcpAndKeys), nil
	director := d.Node("director")
	director.Config, director.Ready, director.After = nil, []api.State{api.Maintenance}, []string{"client"}
	director.Change = func(m *machine.Config) error {
		m.Reboots, m.Disks = true, append(m.Disks, machine.Disk{Path: emptyDisk(t)})
		return nil
	}
	return d
}

// tourOptions are those of a client that never asks anything.
const tourOptions = "-F /dev/null -i /tmp/key -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/tmp/known_hosts -o LogLevel=ERROR -o ConnectTimeout=300"

// TestTour types the ten minutes of docs/shell.md, as they are printed there,
// on a machine that boots for the first time, and cuts its power at the end.
func TestTour(t *testing.T) {
	c := lab.StartT(t, tourCluster(t))
	ctx := patience(t)
	at, client := typist{t, ctx, c.Machine("director").Console()}, c.Peer("client")
	joe := &administrator{t: t, ctx: ctx, cluster: c, user: "admin"}
	joe.awaitStatus(func(s api.Status) bool { return strings.Contains(strings.Join(s.Addresses, " "), "10.0.2.15/24") })
	shown := at.expect(`SSH login +admin, password \w{4}-\w{4}-\w{4}-\w{4}`)
	awaitSSH(joe)
	key, err := client.RunWith(ctx, "cat > /tmp/password; cat /tmp/key.pub", shown[strings.LastIndexByte(shown, ' ')+1:]+"\n")
	if err != nil {
		t.Fatal(err)
	}
	keys := strings.ReplaceAll(answered(tour(t)), sampleKey, strings.TrimSpace(key))
	said, err := client.RunWith(ctx, fmt.Sprintf(`
cat > /tmp/keys
TERM=vt100 SSH_ASKPASS=/tmp/askpass SSH_ASKPASS_REQUIRE=force timeout 600 ssh %s -o PubkeyAuthentication=no -tt admin@10.0.2.15 < /tmp/keys 2>&1`, tourOptions), keys)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, want := range []string{"committed as revision 1", "/dev/vda is the state volume now", "confirmed: this is revision 2 now", "drained by an operator"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said", want)
		}
	}
	if strings.Contains(said, "error:") || t.Failed() {
		t.Errorf("the tour:\n%s", said)
	}
	resetAndReach(joe)
	const after = `
ssh %[1]s -o BatchMode=yes admin@10.0.2.15 show revisions
for i in 1 2 3 4; do curl -sS -m 60 http://10.0.2.80/; done`
	said, err = client.Run(ctx, fmt.Sprintf(after, tourOptions))
	if err != nil || !strings.Contains(said, "the first one") {
		t.Errorf("after the power cut: %v\n%s", err, said)
	}
	for _, server := range []string{"10.0.2.100", "10.0.2.200"} {
		if !strings.Contains(said, "\n"+server+"\n") {
			t.Errorf("%s does not serve:\n%s", server, said)
		}
	}
	if got := joe.scheduler("web"); got != "wlc" {
		t.Errorf("the scheduler is %s, want the one that was confirmed", got)
	}
}

// resetAndReach resets the director, and waits until somebody can log in again.
func resetAndReach(a *administrator) {
	a.t.Helper()
	status, err := a.cluster.Appliance("director").Status(a.ctx)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := a.cluster.Reset(a.ctx, "director"); err != nil {
		a.t.Fatal(err)
	}
	a.awaitStatus(func(s api.Status) bool { return s.State == api.Serving && s.Uptime < status.Uptime })
	awaitSSH(a)
}

// awaitSSH waits until the tour's director listens: SSH comes after the address.
func awaitSSH(a *administrator) {
	a.t.Helper()
	const reached = "until socat -u OPEN:/dev/null TCP:10.0.2.15:22 2> /dev/null; do sleep 0.2; done"
	if out, err := a.cluster.Peer("client").Run(a.ctx, reached); err != nil {
		a.t.Fatalf("%v: %s", err, out)
	}
}
