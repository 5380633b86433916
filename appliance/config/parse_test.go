package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParse holds Parse to its promises for any bytes: no panic, Errors with
// places inside the file, and what is valid stays the same through Render.
func FuzzParse(f *testing.F) {
	f.Add([]byte(everyDirector))
	f.Add([]byte(everyRealServer))
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml"} {
		for _, file := range glob(f, pattern) {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse("dipper.yaml", src)
		if err != nil {
			var faults Errors
			if c != nil || !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("Parse gave %v, %v; want no Config and Errors", c, err)
			}
			checkPlaces(t, faults, src)
			if faults.Excerpt(src) == "" || faults.Error() == "" {
				t.Error("nothing is said")
			}
			return
		}
		rendered := Render(c)
		again, err := Parse("rendered", rendered)
		if err != nil {
			t.Fatalf("rendered:\n%s\nis refused: %v", rendered, err)
		}
		if diff := cmp.Diff(c, again, byValue()); diff != "" {
			t.Fatalf("rendered:\n%s\ncame back differently (-before +after):\n%s", rendered, diff)
		}
		if !bytes.Equal(rendered, Render(again)) {
			t.Errorf("rendering is not stable:\n%s\n%s", rendered, Render(again))
		}
		if changes := Diff(c, again); len(changes) > 0 {
			t.Errorf("changes between equals: %v", changes)
		}
	})
}

// TestLarge parses a director of 10,000 real servers, and refuses what is
// larger than any.
func TestLarge(t *testing.T) {
	var b strings.Builder
	b.WriteString("role: director\nnetwork: {interfaces: {eth0: {addresses: [10.0.0.1/8]}}}\nservices:\n")
	for s := range 100 {
		fmt.Fprintf(&b, "  web%d:\n    listen: 10.1.0.%d:80\n    forward: dr\n    real-servers:\n", s, s+1)
		for i := range 100 {
			fmt.Fprintf(&b, "      - {address: 10.2.%d.%d, weight: 1}\n", s, i+1)
		}
	}
	c := parsed(t, b.String())
	if got := len(c.Services) * len(c.Services[99].RealServers); got != 10000 {
		t.Errorf("%d real servers, want 10000", got)
	}
	changed := parsed(t, strings.Replace(b.String(), "10.2.50.50, weight: 1", "10.2.50.50, weight: 2", 1))
	if got := fmt.Sprint(Diff(c, changed)); got != "[set services web50 real-servers 10.2.50.50:80 weight 2]" {
		t.Errorf("changes: %s", got)
	}
}

// TestBounds shows that files that would take the parser's time or memory are
// refused for it, and quickly: without the bounds most of these take minutes.
func TestBounds(t *testing.T) {
	const n = maxOdd - 100
	for _, tt := range []struct{ name, src, want string }{
		{"size", strings.Repeat("#", MaxSize+1), "at most 16777216"},
		{"flow lists", "a: " + strings.Repeat("[", n), "words and signs"},
		{"fewer flow lists", "a: " + strings.Repeat("[", 1000), "inside each other"},
		{"flow mappings", "a: " + strings.Repeat("{a: ", 1000), "inside each other"},
		{"dashes", strings.Repeat("- ", 1000), "inside each other"},
		{"block mappings", deepBlocks(100), "inside each other"},
		{"questions", strings.Repeat("? ", 1000), "complex keys"},
		{"keys", strings.Repeat("a:\n", MaxSize/3), "more than 2500000 keys and values"},
		{"fewer keys", strings.Repeat("a:\n", n/3), "unknown key"},
		{"other keys", strings.Repeat("'a':\n", 10000), "keys in one mapping"},
		{"names", "services:\n" + strings.Repeat("  a:\n", MaxSize/16), "given twice"},
		{"list of lists", "serve: " + strings.Repeat("[", 1000) + strings.Repeat("]", 1000), "inside each other"},
		{"large and odd", "a: " + strings.Repeat("[", MaxSize-3), "not plain"},
		{"flow keys", "a: {" + strings.Repeat("a,", 10000) + "}", "keys in one mapping"},
		{"tags", strings.Repeat("!a ", 1000), "tags"},
		{"anchors", strings.Repeat("&a ", 1000), "anchors"},
		{"documents", strings.Repeat("---\n", 1000), "second document"},
		{"quotes", "a: " + strings.Repeat("'", n|1), "not valid YAML"},
		{"one word", strings.Repeat("a", n), "is the single value"},
		{"many lines", "role: " + strings.Repeat("a\n  ", n/4), "several lines"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("dipper.yaml", []byte(tt.src))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.200v, want %q", err, tt.want)
			}
			if err != nil && len(err.Error()) > 20000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func deepBlocks(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		want      []string
	}{
		{"nothing at all", "role: director\n", []string{
			"network.interfaces: none: nothing can reach this machine",
			"services: none: this director balances nothing"}},
		{"no real servers", "role: director\nnetwork: {interfaces: {eth0: {dhcp: true}}}\nservices: {web: {listen: 10.0.0.1:80, forward: dr}}\n",
			[]string{"services.web.real-servers: none: clients of 10.0.0.1:80 are refused"}},
		{"no weights", "role: director\nnetwork: {interfaces: {eth0: {dhcp: true}}}\nservices: {web: {listen: 10.0.0.1:80, forward: dr, real-servers: [{address: 10.0.0.2, weight: 0}]}}\n",
			[]string{"services.web.real-servers: every weight is 0: new connections to 10.0.0.1:80 are refused"}},
		{"odd services", `role: director
network: {interfaces: {eth0: {addresses: [10.0.0.1/8]}}}
services:
  ftp: {listen: 10.0.0.2:21, forward: nat, real-servers: [{address: 10.0.0.100}]}
  ftps: {listen: ["10.0.0.6:21", "10.0.0.7:21"], forward: nat, real-servers: [{address: 10.0.0.100}]}
  ftp-range: {listen: "10.0.0.9:20-21", forward: nat, real-servers: [{address: 10.0.0.100}]}
  ipsec: {listen: 10.0.0.3, protocol: esp, forward: dr, real-servers: [{address: 10.0.0.100}]}
  mark: {listen: "10.0.0.4:80-90", one-packet: true, forward: dr, real-servers: [{address: 10.0.0.100}]}
  marked: {fwmark: 7, family: ipv4, one-packet: true, forward: dr}
  ops: {listen: 10.0.0.8:53, protocol: udp, one-packet: true, forward: nat, real-servers: [{address: 10.0.0.100}]}
  ops-sip-mark: {listen: ["10.0.0.8:5062", "10.0.0.9:5062"], protocol: udp, one-packet: true, persistence: {engine: sip}, forward: nat, real-servers: [{address: 10.0.0.100}]}
  ops-sip: {listen: 10.0.0.8:5060, protocol: udp, one-packet: true, persistence: {engine: sip}, forward: nat, real-servers: [{address: 10.0.0.100}]}
  sip: {listen: 10.0.0.5:5060, persistence: {engine: sip}, scheduler: none, forward: dr, real-servers: [{address: 10.0.0.100}]}
`, []string{
			"services.ftp-range.listen: FTP by nat needs a service of its own for each VIP, at port 21 and nothing else: passive data connections (PASV) of a service with a firewall mark do not get through",
			"services.ftps.listen: FTP by nat needs a service of its own for each VIP, at port 21 and nothing else: passive data connections (PASV) of a service with a firewall mark do not get through",
			"services.ipsec.protocol: the kernel sends ah and esp where the same client's UDP port 500 goes, and chooses no real server for them by themselves",
			"services.mark.one-packet: only UDP is scheduled so, and protocol has none",
			"services.marked.real-servers: none: clients of firewall mark 7 are refused",
			"services.ops.one-packet: the kernel keeps nothing by which it could rewrite the answers of real servers by nat: they leave with the real server's address",
			"services.ops-sip-mark.one-packet: the kernel keeps nothing by which it could rewrite the answers of real servers by nat: they leave with the real server's address",
			"services.sip.persistence.engine: sip reads only UDP, and the kernel drops all that it cannot read: other protocols do not get through",
			"services.sip.scheduler: none chooses no real server: new connections are refused",
		}},
		{"a network of IPv6 VIPs on the link", `role: director
network: {interfaces: {eth0: {addresses: [2001:db8:4::5/64]}}}
services:
  near: {listen: "[2001:db8:4:0:8000::/65]:80", forward: dr, real-servers: [{address: 2001:db8:4::100}]}
  far: {listen: "[2001:db8:5::/64]:80", forward: dr, real-servers: [{address: 2001:db8:4::100}]}
`, []string{
			"services.near.listen: 2001:db8:4:0:8000::/65 lies in the network of eth0, but IPv6 answers its neighbours for addresses only, not for networks: a router must send it here",
		}},
		{"services that take what comes for SSH", `role: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24]}, eth1: {addresses: [10.0.0.1/8, "2001:db8::1/64"]}}}
services:
  all: {listen: 192.168.4.5, protocol: udp, persistence: {timeout: 1h}, forward: nat, real-servers: [{address: 10.0.0.100}]}
  git: {listen: 192.168.4.5:22, forward: nat, real-servers: [{address: 10.0.0.100}]}
  net: {listen: "10.0.0.0/31:22-100", forward: nat, real-servers: [{address: 10.0.0.100}]}
  vip: {listen: 192.168.4.15:22, forward: nat, real-servers: [{address: 10.0.0.100}]}
  web: {listen: 192.168.4.5:80, forward: nat, real-servers: [{address: 10.0.0.100}]}
`, []string{
			"services.git.listen: 192.168.4.5:22 takes what comes to 192.168.4.5:22, where SSH listens: nobody can log in there",
			"services.net.listen: 10.0.0.0/31:22-100 takes what comes to 10.0.0.1:22, where SSH listens: nobody can log in there",
		}},
		{"services that lock out", `role: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24]}, eth1: {addresses: [10.0.0.1/8]}}}
services:
  all: {listen: 192.168.4.5, persistence: {timeout: 1h}, forward: nat, real-servers: [{address: 10.0.0.100}]}
management: {ssh: {listen: ["192.168.4.5:2222", "eth0"]}}
`, []string{
			"services.all.listen: 192.168.4.5 takes what comes to 192.168.4.5:2222, where SSH listens: nobody can log in there",
			"services.all.listen: 192.168.4.5 takes what comes to 192.168.4.5:22, where SSH listens: nobody can log in there",
			"management.ssh.listen: services take all of it: nobody can log in but on the console",
		}},
		{"SSH somewhere else", `role: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24]}, eth1: {dhcp: true}}}
services:
  all: {listen: 192.168.4.5, persistence: {timeout: 1h}, forward: nat, real-servers: [{address: 192.168.4.100}]}
management: {ssh: {listen: [eth1]}}
`, nil},
		{"SSH at a leased address too", `role: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24]}, eth1: {dhcp: true}}}
services:
  git: {listen: 192.168.4.5:22, forward: nat, real-servers: [{address: 192.168.4.100}]}
`, []string{
			"services.git.listen: 192.168.4.5:22 takes what comes to 192.168.4.5:22, where SSH listens: nobody can log in there",
		}},
		{"ends nothing", `role: director
network: {interfaces: {eth0: {addresses: [10.0.0.1/8]}}}
services:
  dns: {listen: 10.0.0.2:53, protocol: udp, forward: dr, real-servers: [{address: 10.0.0.100}]}
  ntp: {listen: 10.0.0.2:123, protocol: udp, forward: dr, real-servers: [{address: 10.0.0.100}]}
  web: {listen: 10.0.0.2:80, forward: dr, real-servers: [{address: 10.0.0.100}]}
ipvs: {settings: {expire-nodest-conn: false}}
`, []string{
			"ipvs.settings.expire-nodest-conn: false: on-down: reset of services.dns and 1 more resets nothing: the connections of a deleted real server are dropped in silence",
		}},
		{"schedulers that hash", `role: director
network: {interfaces: {eth0: {addresses: [10.0.0.1/8]}}}
services:
  drained: {listen: 10.0.0.2:80, scheduler: mh, scheduler-flags: [port], forward: dr, real-servers: [{address: 10.0.0.100, weight: 0}, {address: 10.0.0.101}]}
  falls-back: {listen: 10.0.0.3:80, scheduler: sh, forward: dr, real-servers: [{address: 10.0.0.100, weight: 0}, {address: 10.0.0.101}]}
  heavy: {listen: 10.0.0.4:80, scheduler: sh, forward: dr, real-servers: [{address: 10.0.0.100, weight: 2}, {address: 10.0.0.101}]}
  heavy-mh: {listen: 10.0.0.5:80, scheduler: mh, forward: dr, real-servers: [{address: 10.0.0.100, weight: 2}, {address: 10.0.0.101}]}
`, []string{
			"services.drained.scheduler-flags: without fallback, clients of the real servers of weight 0 are refused although others could serve",
			"services.heavy.real-servers: to change a weight above 1 with scheduler sh moves most clients of all real servers: use mh, or weights of 1",
		}},
		{"a key that is none locks nobody out", `role: real-server
network: {interfaces: {eth0: {dhcp: true}}}
management:
  ssh:
    certificate-authorities: [ssh-ed25519]
    users:
      admin:
        role: admin
        keys: [ssh-ed25519 AAAAbroken me@here, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea me"]
`, []string{
			"management.ssh.certificate-authorities[0]: no public key that can be read: it is ignored",
			"management.ssh.users.admin.keys[0]: no public key that can be read: it is ignored",
		}},
		{"hashes that take too long", `role: real-server
network: {interfaces: {eth0: {dhcp: true}}}
management:
  ssh:
    users:
      ann: {role: admin, password-hash: "$2b$14$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"}
      bob: {role: admin, password-hash: "$2b$31$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"}
      cid: {role: admin, password-hash: "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"}
      dan: {role: admin, password-hash: "$argon2id$v=19$m=4294967295,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"}
      eva: {role: admin, password-hash: "$argon2id$v=19$x$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"}
`, []string{
			"management.ssh.users.bob.password-hash: bcrypt with cost 31: at most 14 counts: it is ignored",
			"management.ssh.users.dan.password-hash: argon2id with m=4294967295,t=3,p=4: at most m=65536,t=10,p=16 counts: it is ignored",
			"management.ssh.users.eva.password-hash: argon2id without m=KIB,t=PASSES,p=LANES: it is ignored",
		}},
		{"overlap", "role: real-server\nnetwork: {interfaces: {eth0: {addresses: [10.0.0.1/8]}, eth1: {addresses: [10.1.0.1/16, 10.2.0.1/32]}}}\n",
			[]string{"network.interfaces: eth0 and eth1 share the network 10.1.0.0/16: packets to it leave through one of the two"}},
	} {
		if diff := cmp.Diff(tt.want, Warnings(parsed(t, tt.src))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestSuggest(t *testing.T) {
	candidates := []string{"listen", "protocol", "scheduler", "forward", "tunnel", "real-servers"}
	for written, want := range map[string]string{
		"lisen": "listen", "Listen": "listen", "protocl": "protocol", "sheduler": "scheduler", "forwrad": "forward",
		"real_servers": "real-servers", "realServers": "real-servers", "real-server": "real-servers", "tunnels": "tunnel",
		"check": "", "": "", "x": "", "colour": "", strings.Repeat("listen", 20): "listen",
	} {
		if got := closest(written, candidates); got != want {
			t.Errorf("closest(%q) = %q, want %q", written, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"lc", "lc", 0}, {"lc", "cl", 1}, {"wrr", "wr", 1},
		{"kitten", "sitting", 3}, {"forward", "froward", 1},
	} {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
