package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// byValue compares configurations by value.
func byValue() cmp.Option {
	return cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})
}

func parsed(t testing.TB, src string) *Config {
	t.Helper()
	c, err := Parse("dipper.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// everyDirector and everyRealServer hold every key that a configuration can have.
const everyDirector = `role: director
hostname: "123"
network:
  interfaces:
    bond0: {bond: {mode: "802.3ad", members: [eth0, eth1], miimon: 1s}}
    bond0.100: {addresses: [192.168.4.5/24, 2001:db8:4::5/64], mtu: 1400, vlan: {parent: bond0, id: 100}}
    eth0: {match: {mac: "52:54:00:00:00:01"}}
    eth1: {mtu: 9000, match: {driver: virtio_net}}
    "null": {dhcp: true, accept-ra: true}
  routes:
    - {to: default, via: 192.168.4.254}
    - {to: default, via: 192.168.4.253, metric: 100}
    - {to: default, via: fe80::1, interface: bond0.100}
    - {to: "::/0", interface: bond0.100, metric: 2000}
    - {to: 192.168.9.0/24, interface: bond0.100}
  name-servers: [192.168.4.1, 2001:db8:4::1]
services:
  dns:
    listen: 192.168.4.15:53
    protocol: udp
    scheduler: wlc
    forward: dr
  gre:
    listen: "[2001:db8:4::16]:80"
    protocol: tcp
    scheduler: rr
    forward: tun
    tunnel: {type: gre, checksum: true}
    real-servers:
      - {address: "2001:db8:4::", weight: 2147483647}
  gue:
    listen: 192.168.4.16:80
    protocol: tcp
    scheduler: rr
    forward: tun
    tunnel: {type: gue, port: 6080}
    real-servers:
      - {address: 2001:db8:9::100, weight: 0}
  web:
    listen: 192.168.4.15:80
    protocol: sctp
    scheduler: wrr
    forward: nat
    real-servers:
      - {address: 192.168.9.100, port: 8080, weight: 1}
      - {address: 192.168.9.200, weight: 1}
`

const everyRealServer = `role: real-server
network:
  interfaces:
    eth0: {addresses: [192.168.4.100/24]}
virtual-addresses:
  - {address: 192.168.4.15, forward: dr}
  - {address: 2001:db8::15, forward: tun, tunnel: {type: ipip}}
serve:
  - {protocol: http, port: 80, body: "192.168.4.100 \"\\\n\t\x00é\u2028𝕏", status: 200}
  - {protocol: http, port: 8080, address: 192.168.4.15, file: "/srv/index.html", status: 503}
  - {protocol: http, port: 8081, size: 10485760, status: 200}
  - {protocol: tcp-echo, port: 7}
  - {protocol: udp-echo, port: 7}
`

// TestRenderIsExact also shows that Render says every default.
func TestRenderIsExact(t *testing.T) {
	for name, src := range map[string]string{"director": everyDirector, "real server": everyRealServer} {
		c := parsed(t, src)
		got := string(Render(c))
		if diff := cmp.Diff(strings.Split(src, "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("%s: rendered differently (-read +written):\n%s", name, diff)
		}
	}
}

func TestParseRender(t *testing.T) {
	for _, src := range []string{everyDirector, everyRealServer, "role: director\n", "role: real-server\nhostname: on\n",
		"role: director\nnetwork: {interfaces: {eth0: {}}}\n"} {
		c := parsed(t, src)
		again := parsed(t, string(Render(c)))
		if diff := cmp.Diff(c, again, byValue()); diff != "" {
			t.Errorf("%s\ncame back differently (-before +after):\n%s", src, diff)
		}
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"lb1":              "lb1",
		"802.3ad":          `"802.3ad"`,
		"true":             `"true"`,
		"No":               `"No"`,
		"null":             `"null"`,
		"":                 `""`,
		"1.5":              `"1.5"`,
		"0x10":             `"0x10"`,
		"12:30:00":         `"12:30:00"`,
		"192.168.4.5":      "192.168.4.5",
		"192.168.4.5/24":   "192.168.4.5/24",
		"192.168.4.5:80":   "192.168.4.5:80",
		"[2001:db8::1]:80": `"[2001:db8::1]:80"`,
		"2001:db8::":       `"2001:db8::"`,
		"::1":              `"::1"`,
		"a: b":             `"a: b"`,
		"- a":              `"- a"`,
		"# a":              `"# a"`,
		"100ms":            "100ms",
		"1s":               "1s",
		"1m0s":             `"1m0s"`,
		"15m":              "15m",
		"1h30m":            "1h30m",
		"a\nb":             `"a\nb"`,
	} {
		if got := quote(text); got != want {
			t.Errorf("quote(%q) = %s, want %s", text, got, want)
		}
		n, err := readYAML([]byte("a: {b: [" + quote(text) + "]}\n"))
		if err != nil {
			t.Errorf("quote(%q): %v", text, err)
			continue
		}
		if got := n.entries[0].value.entries[0].value.items[0]; got.text != text || got.class != textScalar && got.class != quotedScalar {
			t.Errorf("quote(%q) reads back as %v", text, got)
		}
	}
}

func TestDiff(t *testing.T) {
	const base = `role: director
hostname: lb1
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24]}
services:
  web:
    listen: 192.168.4.15:80
    forward: dr
    real-servers:
      - {address: 192.168.4.100}
      - {address: 192.168.4.200}
`
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(base) }
	for _, tt := range []struct {
		name, to string
		want     []string
	}{
		{"nothing", base, nil},
		{"order of real servers", replace("4.100", "4.200", "4.200", "4.100"), nil},
		{"defaults said", replace("forward: dr", "forward: dr\n    protocol: tcp\n    scheduler: wlc"), nil},
		{"value", replace("hostname: lb1", "hostname: lb2"), []string{"set hostname lb2"}},
		{"value removed", replace("hostname: lb1\n", ""), []string{"delete hostname"}},
		{"weight", replace("4.100}", "4.100, weight: 0}"),
			[]string{"set services web real-servers 192.168.4.100:80 weight 0"}},
		{"real server moved", replace("4.100", "4.101"), []string{
			"delete services web real-servers 192.168.4.100:80",
			"set services web real-servers 192.168.4.101:80 weight 1"}},
		{"port of the service", replace("4.15:80", "4.15:81"), []string{
			"set services web listen 192.168.4.15:81",
			"delete services web real-servers 192.168.4.100:80",
			"delete services web real-servers 192.168.4.200:80",
			"set services web real-servers 192.168.4.100:81 weight 1",
			"set services web real-servers 192.168.4.200:81 weight 1"}},
		{"address added", replace("4.5/24]", "4.5/24, 2001:db8::5/64]"), []string{"set network interfaces eth0 addresses 2001:db8::5/64"}},
		{"interface added", replace("services:", "    eth1: {}\nservices:"), []string{"set network interfaces eth1"}},
		{"service added", base + "  dns: {listen: 192.168.4.15:53, protocol: udp, forward: nat}\n", []string{
			"set services dns listen 192.168.4.15:53",
			"set services dns protocol udp",
			"set services dns scheduler wlc",
			"set services dns forward nat"}},
		{"service removed", base[:strings.Index(base, "services:")], []string{"delete services"}},
		{"default route with a metric", replace("services:", "  routes: [{to: default, via: 192.168.4.254, metric: 5}]\nservices:"),
			[]string{`set network routes "0.0.0.0/0 metric 5" via 192.168.4.254`}},
		{"tunnel", replace("forward: dr", "forward: tun\n    tunnel: {type: gue, port: 6080}"), []string{
			"set services web forward tun",
			"set services web tunnel type gue",
			"set services web tunnel port 6080"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, change := range Diff(parsed(t, base), parsed(t, tt.to)) {
				got = append(got, change.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("diff (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDiffAmongAlike removes, adds and changes one service beside others that
// stay as they are.
func TestDiffAmongAlike(t *testing.T) {
	service := func(name string, port int) string {
		return fmt.Sprintf("  %s: {listen: 10.0.0.1:%d, forward: dr, real-servers: [{address: 10.0.0.2}]}\n", name, port)
	}
	const head = "role: director\nnetwork: {interfaces: {eth0: {dhcp: true}}}\nservices:\n"
	three := head + service("a", 80) + service("b", 81) + service("c", 82)
	for _, tt := range []struct{ from, to, want string }{
		{three, three, "[]"},
		{three, head + service("a", 80) + service("c", 82), "[delete services b]"},
		{three, head + service("a", 80) + service("b", 83) + service("c", 82),
			"[set services b listen 10.0.0.1:83 delete services b real-servers 10.0.0.2:81 set services b real-servers 10.0.0.2:83 weight 1]"},
		{head + service("a", 80), head + service("a", 80) + service("b", 81),
			"[set services b listen 10.0.0.1:81 set services b protocol tcp set services b scheduler wlc set services b forward dr set services b real-servers 10.0.0.2:81 weight 1]"},
	} {
		if got := fmt.Sprint(Diff(parsed(t, tt.from), parsed(t, tt.to))); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// TestEqualLooksAtEverything changes each field of a service: a new field that
// equal does not know would hide changes.
func TestEqualLooksAtEverything(t *testing.T) {
	fresh := func() *Service {
		return &Service{Listen: make([]Listen, 1), Protocols: []Protocol{TCP}, SchedulerFlags: []string{"port"},
			Persistence: &Persistence{}, RealServers: make([]RealServer, 1)}
	}
	if !fresh().equal(fresh()) {
		t.Error("equal services are not")
	}
	for i := range reflect.TypeFor[Service]().NumField() {
		changed := fresh()
		field := reflect.ValueOf(changed).Elem().Field(i)
		switch field.Kind() {
		case reflect.Pointer, reflect.Slice:
			field.SetZero()
		case reflect.String:
			field.SetString("x")
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Uint32:
			field.SetUint(1)
		case reflect.Struct:
			field.Field(0).SetString("x")
		default:
			t.Fatalf("a field of kind %s: teach this test", field.Kind())
		}
		if fresh().equal(changed) || changed.equal(fresh()) {
			t.Errorf("%s does not count", reflect.TypeFor[Service]().Field(i).Name)
		}
	}
}

func TestDiffFromNothing(t *testing.T) {
	c := parsed(t, "role: director\nhostname: lb1\n")
	want := []Change{{Added, []string{"role"}, "", "director"}, {Added, []string{"hostname"}, "", "lb1"}}
	if diff := cmp.Diff(want, Diff(nil, c)); diff != "" {
		t.Errorf("diff (-want +got):\n%s", diff)
	}
	if got, want := Diff(c, nil)[1].String(), "delete hostname"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDefaults(t *testing.T) {
	c := parsed(t, `role: director
network:
  interfaces:
    eth0: {}
    eth1: {addresses: [192.168.4.5/24]}
    bond0: {bond: {members: [eth0]}}
services:
  web: {listen: 192.168.4.15:80, forward: tun, tunnel: {type: gue, port: 6080}, real-servers: [{address: 192.168.4.100}]}
`)
	s := c.Services[0]
	gue := Tunnel{Type: GUE, Port: 6080}
	want := Service{Name: "web", Listen: []Listen{ListenOn(netip.MustParseAddr("192.168.4.15"), 80)}, Family: IPv4,
		Protocols: []Protocol{TCP}, Scheduler: "wlc", OnDown: Drain, Assign: true, Forward: TUN, Tunnel: gue,
		RealServers: []RealServer{{Address: netip.MustParseAddr("192.168.4.100"), Port: 80, Weight: 1, Forward: TUN, Tunnel: gue, Verify: true}}}
	if diff := cmp.Diff(want, s, byValue()); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
	for protocol, want := range map[string]OnDown{"tcp": Drain, "udp": Reset, "[tcp, udp]": Drain} {
		c := parsed(t, "role: director\nnetwork: {interfaces: {eth0: {dhcp: true}}}\nservices: {a: {listen: 10.0.0.1:53, forward: dr, protocol: "+protocol+"}}\n")
		if got := c.Services[0].OnDown; got != want {
			t.Errorf("on-down of %s is %s, want %s", protocol, got, want)
		}
	}
	if diff := cmp.Diff(&Bond{"active-backup", []string{"eth0"}, 100 * time.Millisecond}, c.Network.Interfaces[0].Bond); diff != "" {
		t.Errorf("bond (-want +got):\n%s", diff)
	}
}

const secretive = `role: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24]}}}
management:
  ssh:
    users:
      admin: {role: admin, password-hash: $2b$10$abcdefghijklmnopqrstuuSPTD2kEtNUrnSVUDLe0lPvjHjgqY5Sq}
`

// TestSecretsAreHidden looks for a secret everywhere but in Render.
func TestSecretsAreHidden(t *testing.T) {
	c := parsed(t, secretive)
	const part = "abcdefgh"
	if !strings.Contains(string(Render(c)), part) {
		t.Error("Render has lost the secret")
	}
	bad := strings.Replace(secretive, "role: admin,", "role: admiral,", 1)
	_, err := Parse("dipper.yaml", []byte(bad))
	var faults Errors
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	other := parsed(t, strings.Replace(secretive, "abc", "xyz", 1))
	for what, text := range map[string]string{
		"error":         faults.Error(),
		"excerpt":       faults.Excerpt([]byte(bad)),
		"added":         fmt.Sprintf("%+v %v", Diff(nil, c), Diff(nil, c)),
		"removed":       fmt.Sprintf("%+v", Diff(c, parsed(t, secretive[:strings.Index(secretive, "management")]))),
		"changed":       fmt.Sprintf("%+v", Diff(other, c)),
		"printed":       fmt.Sprintf("%v %+v %#v %s", c, c, c, c.Management.SSH.Users[0].PasswordHash),
		"caret's place": mask("password-hash: abcdefgh, role: x"),
	} {
		if text == "" || strings.Contains(text, part) {
			t.Errorf("%s: %s", what, text)
		}
	}
	if changes := Diff(other, c); len(changes) != 1 {
		t.Errorf("a changed secret is %v", changes)
	}
}
