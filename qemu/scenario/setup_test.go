package scenario

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"dipper/appliance/api"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// typist sits at a machine's serial console.
type typist struct {
	t       *testing.T
	ctx     context.Context
	console *machine.Console
}

func (y typist) expect(pattern string) string {
	y.t.Helper()
	found, err := y.console.Expect(y.ctx, regexp.MustCompile(pattern))
	if err != nil {
		y.t.Fatal(err)
	}
	return found
}

func (y typist) press(keys string) {
	y.t.Helper()
	if err := y.console.Send(keys); err != nil {
		y.t.Fatal(err)
	}
}

// dhcpAndKeys is a client that gives addresses and has its public key on the
// web.
const dhcpAndKeys = `
ip link set eth0 up
ip addr add 192.168.4.10/24 dev eth0
ssh-keygen -q -t ed25519 -N '' -C joe -f /tmp/key
mkdir -p /tmp/www
cp /tmp/key.pub /tmp/www/joe.keys
busybox httpd -p 80 -h /tmp/www
printf '#!/bin/sh\ncat /tmp/password\n' > /tmp/askpass
chmod +x /tmp/askpass
dnsmasq --user=root --port=0 --interface=eth0 --bind-interfaces --dhcp-leasefile=/tmp/leases \
    --dhcp-range=192.168.4.50,192.168.4.99 --dhcp-authoritative
`

// TestFirstConfiguration takes a machine without any configuration, logs in
// with the password on its console, leaves again, and configures it by the
// questions there: a director that serves and is reached by key and password.
func TestFirstConfiguration(t *testing.T) {
	s := find(t, "s2-dr")
	d := s.load(t)
	client, director := d.Node("client"), d.Node("director")
	client.Script = dhcpAndKeys
	director.Config, director.Ready, director.After = nil, []api.State{api.Maintenance}, []string{"client"}
	c := lab.StartT(t, d)
	ctx := patience(t)
	at := typist{t, ctx, c.Machine("director").Console()}

	status, err := c.Appliance("director").Status(ctx)
	for err == nil && len(status.Addresses) == 0 {
		status, err = c.Appliance("director").NextStatus(ctx, status.Revision)
	}
	if err != nil {
		t.Fatal(err)
	}
	address, _, _ := strings.Cut(status.Addresses[0], "/")
	shown := at.expect(`SSH login +admin, password ([a-z2-7]{4}-){3}[a-z2-7]{4}`) // a line of the log may come right behind it
	oneTime := shown[strings.LastIndexByte(shown, ' ')+1:]
	out, err := c.Peer("client").RunWith(ctx, fmt.Sprintf(`
cat > /tmp/password
SSH_ASKPASS=/tmp/askpass SSH_ASKPASS_REQUIRE=force timeout 300 ssh -F /dev/null -o PubkeyAuthentication=no \
    -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/tmp/known_hosts admin@%s show version 2>&1`, address), oneTime+"\n")
	if err != nil || !strings.Contains(out, "Dipper") || !strings.Contains(out, "SSH key lasts until it reboots") {
		t.Errorf("login with the one-time password: %v, %q", err, out)
	}

	at.press("\r")
	for _, turn := range []struct{ question, answer string }{
		{`Role \[director\]: `, ""},
		{`Name of this machine \[lb1\]: `, "lb7"},
		{`Interface \[eth0\]: `, ""},
		{`Its address[^\n]*: `, "192.168.4.5/24"},
		{`Default gateway \[none\]: `, ""},
		{`VIP[^\n]*: `, "192.168.4.15"},
		{`dr, nat or tun \[dr\]: `, ""},
		{`Real server 1[^\n]*: `, "192.168.4.100"},
		{`Real server 2[^\n]*: `, "192.168.4.200 2"},
		{`Real server 3[^\n]*: `, ""},
		{`Public key[^\n]*: `, "http://192.168.4.10/joe.keys"},
		{`One more key[^\n]*: `, ""},
		{`Password of the user admin: `, "correct horse"},
		{`Commit this\? \[yes\]: `, ""},
	} {
		at.expect(turn.question)
		at.press(turn.answer + "\r")
	}
	at.expect("Committed")
	if _, err := c.AwaitState(ctx, "director", api.Serving); err != nil {
		t.Fatal(err)
	}
	at.expect("== lb7 == director, serving")
	joe := &administrator{t: t, ctx: ctx, cluster: c, user: "admin"}
	joe.awaitSSH() // it comes after the address
	if out := joe.must("show services", ""); !strings.Contains(out, "192.168.4.200") {
		t.Errorf("show services: %s", out)
	}
	if got := joe.fetch(3); got["192.168.4.100"] != 1 || got["192.168.4.200"] != 2 {
		t.Errorf("three requests got %v", got)
	}

	at.expect("lb7 login: ")
	at.press("admin\r")
	at.expect("Password: ")
	at.press("wrong horse\r")
	at.expect("Login incorrect")
	at.expect("lb7 login: ")
	at.press("admin\r")
	at.expect("Password: ")
	at.press("correct horse\r")
	at.expect("admin@lb7")
	at.press("show users\r")
	at.expect(`console`)
	at.press("exit\r")
	at.expect("lb7 login: ")
}
