package appliance

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/config"
)

// crowded has what can be in the way of a service that somebody types.
const crowded = `# the cluster of the tests
role: director
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24, 2001:db8:4::5/64]}  # the DIP
    eth1: {dhcp: true}
  routes: [{to: 10.0.0.0/8, via: 192.168.4.1}]
services:
  tcp-192.168.4.15-80:
    listen: 192.168.4.15:8080
    forward: dr
    real-servers: [{address: 192.168.4.100}, {address: 192.168.4.101, verify: false}]
  games:
    listen: ["192.168.4.17:7000-7010", 192.168.4.18:7000]
    protocol: [tcp, udp]
    forward: nat
    real-servers: [{address: 192.168.4.100}]
  ipsec: {listen: 192.168.4.16, protocol: esp, persistence: {timeout: 1h}, forward: dr, real-servers: [{address: 192.168.4.100}]}
  packed:
    listen: 192.168.4.19:80
    forward: tun
    tunnel: {type: gue, port: 6080, checksum: true, remote-checksum: true}
    real-servers: [{address: 192.168.4.100}]
`

// typist types what comes to nobody's mind.
type typist struct {
	*rand.Rand
	services []string // some that were typed already
}

func (r *typist) one(of ...string) string { return of[r.IntN(len(of))] }

func (r *typist) service() string {
	if len(r.services) > 0 && r.IntN(3) > 0 {
		return r.one(r.services...)
	}
	s := r.one("-f 7", "-f 7 -6", "-f 4294967295", "-t", "-t", "-t", "-t", "-u", "-u", "--sctp-service")
	if !strings.Contains(s, "-f") {
		s += " " + r.one("192.168.4.15:80", "192.168.4.15:8080", "192.168.4.17:7005", "192.168.4.18:7000", "192.168.4.17:81", "192.168.4.16", "192.168.4.19:80",
			"192.168.4.5:80", "192.168.4.1:80", "192.168.4.255:80", "192.168.9.9:80", "127.0.0.1:80", "0.0.0.0:80", "0.0.0.9:80", "169.254.1.1:80",
			"224.0.0.9:80", "240.0.0.1:80", "255.255.255.255:80", "[2001:db8:4::15]:80", "[2001:db8::1:80]:0", "[2001:db8::1]:80", "[::]:80", "[::1]:80", "[fe80::1]:80", "[ff02::1]:80", "[::ffff:1.2.3.4]:80",
			"[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535")
	}
	r.services = append(r.services, s)
	return s
}

func (r *typist) server() string {
	return "-r " + r.one("192.168.4.100", "192.168.4.101", "192.168.4.100:81", "192.168.4.100:0", "192.168.4.5", "192.168.4.15", "192.168.4.1", "10.1.2.3", "172.16.0.1", "127.0.0.1",
		"169.254.1.1", "240.0.0.1", "0.0.0.1", "[2001:db8:4::100]:80", "2001:db8:4::101", "2001:db8:9::1", "[::ffff:1.2.3.4]:80", "[fe80::1]:80", "::1")
}

func (r *typist) line() string {
	options := r.one("", "", " -s rr", " -s sh -b sh-port", " -s none", " -p", " -p 600 -M 255.255.255.0", " -p 600 -M 0.0.0.0", " -p --pe sip", " --pe sip", " -o")
	of := r.one("", "", " -g", " -m", " -m", " -i", " -i --tun-type gue --tun-port 6080", " -i --tun-type gue --tun-port 1 --tun-remcsum", " -i --tun-type gre --tun-csum") + r.one("", "", " -w 0", " -w 9", " -x 10 -y 5")
	switch r.IntN(18) {
	case 0:
		return "--set " + r.one("0 0 0", "900 120 300", "2678400 0 0", "1 1 1")
	case 1:
		return "--start-daemon " + r.one("master", "backup", "master --mcast-interface eth1", "master --mcast-interface eth7", "backup --mcast-interface lo") +
			r.one("", " --syncid 255", " --sync-maxlen 1", " --sync-maxlen 1000", " --sync-maxlen 65507", " --mcast-group ff02::81 --sync-maxlen 65507", " --mcast-group 239.1.1.1 --mcast-ttl 255")
	case 2:
		return "--stop-daemon " + r.one("master", "backup")
	case 3:
		return r.one("-C", "-D "+r.service())
	case 4, 5, 6, 7:
		return "-A " + r.service() + options
	case 8, 9:
		return "-E " + r.service() + options
	case 10:
		return "-D " + r.service()
	case 11, 12:
		return "-d " + r.service() + " " + r.server()
	case 13, 14:
		return "-e " + r.service() + " " + r.server() + of
	}
	return "-a " + r.service() + " " + r.server() + of
}

// TestIPVSADMStaysReadable types whatever ipvsadm takes. What is accepted is a
// configuration that can be read, saved and edited, and that a restarted control
// plane has as it was.
func TestIPVSADMStaysReadable(t *testing.T) {
	const lines, restartAfter = 40, 8
	accepted, refused := 0, 0
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(t)
			m.options.Uptime = nil
			m.boots(crowded)
			b, kill := m.serves(t)
			r := &typist{Rand: rand.New(rand.NewPCG(seed, 0))}
			var typed []string
			for n := range lines {
				line := r.line()
				words, in := line, ""
				if r.IntN(5) == 0 {
					words, in = "-R", line+"\n"+r.line()+"\n"
					line = "-R: " + in
				}
				status, said := adm(t, b, in, words)
				typed = append(typed, fmt.Sprintf("%s: %d %s", line, status, said))
				if status != 0 {
					refused++
				} else {
					accepted++
				}
				before := saysItRuns(t, b, typed)
				if n%restartAfter == restartAfter-1 {
					kill()
					b, kill = m.serves(t)
					time.Sleep(time.Second)
					synctest.Wait()
					if changes := config.Diff(before, saysItRuns(t, b, typed)); len(changes) > 0 {
						t.Fatalf("seed %d: after a restart of the control plane: %v; typed:\n%s", seed, changes, strings.Join(typed, "\n"))
					}
				}
			}
			kill()
		})
	}
	if accepted < 50 || refused < 50 {
		t.Errorf("%d lines accepted and %d refused: hardly a test", accepted, refused)
	}
}

// saysItRuns is what runs, as its text says it.
func saysItRuns(t *testing.T, b *backend, typed []string) *config.Config {
	t.Helper()
	yaml, err := b.Config(t.Context())
	if err != nil {
		t.Fatalf("the running configuration: %v; typed:\n%s", err, strings.Join(typed, "\n"))
	}
	says, err := config.Parse("running", yaml)
	if err != nil {
		t.Fatalf("%v\n%s; typed:\n%s", err, yaml, strings.Join(typed, "\n"))
	}
	if changes := config.Diff(b.reconciler.in.config, says); len(changes) > 0 {
		t.Fatalf("the text says something else: %v; typed:\n%s", changes, strings.Join(typed, "\n"))
	}
	return says
}

// TestEditsOutliveTheControlPlane: what edits by ipvsadm made of a
// configuration, beyond what its table says, is the same after a restart.
func TestEditsOutliveTheControlPlane(t *testing.T) {
	for name, lines := range map[string][]string{
		"services that ipvsadm cannot name": {"-C"},
		"tunnels that ipvsadm cannot name":  {"-D -t 192.168.4.15:8080", "-E -f 2652866125", "-d -t 192.168.4.19:80 -r 192.168.4.100", "-A -t 192.168.4.20:80"},
		"a forwarding method of its own":    {"-A -t 192.168.4.20:80", "-a -t 192.168.4.20:80 -r 192.168.4.100 -m"},
		"another service at the address":    {"-D -t 192.168.4.15:8080", "-A -t 192.168.4.15:8080 -s rr"},
		"a real server once more":           {"-d -t 192.168.4.15:8080 -r 192.168.4.101", "-a -t 192.168.4.15:8080 -r 192.168.4.101"},
		"a name that is taken":              {"-A -t 192.168.4.15:80 -s rr", "-D -t 192.168.4.15:8080", "-A -t 192.168.4.15:81 -s rr"},
		"weights":                           {"-e -t 192.168.4.15:8080 -r 192.168.4.100 -w 7", "-e -t 192.168.4.15:8080 -r 192.168.4.100 -w 8"},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(t)
			m.options.Uptime = nil
			m.boots(crowded)
			b, kill := m.serves(t)
			for _, line := range lines {
				adm(t, b, "", line)
			}
			before, table := saysItRuns(t, b, lines), m.table.String()
			kill()
			m.take()
			b, kill = m.serves(t)
			defer kill()
			if changes := config.Diff(before, saysItRuns(t, b, lines)); len(changes) > 0 || m.table.String() != table {
				t.Errorf("%s: after a restart of the control plane: %v, edits %q", name, changes, m.take())
			}
		})
	}
}
