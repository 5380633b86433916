package candidate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// edited runs commands on a document. Tests are written as one would type.
func edited(t *testing.T, from *Document, commands string) *Document {
	t.Helper()
	d := from.Clone()
	for line := range strings.SplitSeq(commands, "\n") {
		words, err := Split(line)
		if err == nil && len(words) > 0 {
			err = d.Do(words...)
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return d
}

// s2 configures the director of the second scenario from nothing.
const s2 = `
set role director
set hostname lb1
set network interfaces eth0 addresses 192.168.4.5/24
set services web listen 192.168.4.15:80
set services web scheduler wrr
set services web forward dr
set services web real-servers 192.168.4.100 weight 1
set services web real-servers 192.168.4.200 weight 2
`

const s2YAML = `role: director
hostname: lb1
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24]}
services:
  web:
    listen: 192.168.4.15:80
    scheduler: wrr
    forward: dr
    real-servers:
      - {address: 192.168.4.100, weight: 1}
      - {address: 192.168.4.200, weight: 2}
`

func parsed(t *testing.T, yaml string) *Document {
	t.Helper()
	d, err := Parse("dipper.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}

func TestFromNothing(t *testing.T) {
	wantText(t, string(edited(t, New(), s2).YAML()), s2YAML)
}

// TestEdits types commands into the director of s2 and compares.
func TestEdits(t *testing.T) {
	for _, tt := range []struct{ name, commands, want string }{
		{"a value", "set services web scheduler wlc", `
[edit services web]
-  scheduler: wrr
+  scheduler: wlc`},
		{"abbreviated keys", "set servi web forw nat", `
[edit services web]
-  forward: dr
+  forward: nat`},
		{"several values", "set services web real-servers 192.168.4.100:80 weight 3 upper-threshold 100", `
[edit services web real-servers 192.168.4.100]
-  weight: 1
+  weight: 3
+  upper-threshold: 100`},
		{"another port is another real server", "set services web real-servers 192.168.4.100:8080 weight 3", `
[edit services web real-servers]
+  - {address: 192.168.4.100, port: 8080, weight: 3}`},
		{"port as a key", "set services web real-servers 192.168.4.100 port 8080 weight 3", `
[edit services web real-servers]
+  - {address: 192.168.4.100, port: 8080, weight: 3}`},
		{"a list gets a value", "set network interfaces eth0 addresses 2001:DB8:4::5/64", `
[edit network interfaces eth0 addresses]
+  - 2001:db8:4::5/64`},
		{"a list gets two", "set network interfaces eth0 addresses [ 192.168.4.6/24 192.168.4.7/24 ] mtu 1400", `
[edit network interfaces eth0 addresses]
+  - 192.168.4.6/24
+  - 192.168.4.7/24
[edit network interfaces eth0]
+  mtu: 1400`},
		{"what is there already", "set network interfaces eth0 addresses 192.168.4.5/24", ``},
		{"one or more is replaced", "set services web listen 192.168.4.15:81", `
[edit services web]
-  listen: 192.168.4.15:80
+  listen: 192.168.4.15:81`},
		{"several", "set services web listen [ 192.168.4.15:80 192.168.4.16:80 ]", `
[edit services web]
-  listen: 192.168.4.15:80
+  listen: [192.168.4.15:80, 192.168.4.16:80]`},
		{"nothing instead of a default", "set services web scheduler-flags [ ]", `
[edit services web]
+  scheduler-flags: []`},
		{"nothing instead of something", "set services web scheduler-flags [ port fallback ]\nset services web scheduler-flags [ ]", `
[edit services web]
+  scheduler-flags: []`},
		{"an interface without settings", "set network interfaces eth1", `
[edit network interfaces]
+  eth1: {}`},
		{"a new service", "set services dns listen 192.168.4.15:53 protocol udp forward nat", `
[edit services]
+  dns:
+    listen: 192.168.4.15:53
+    protocol: udp
+    forward: nat`},
		{"delete a value", "delete services web scheduler", `
[edit services web]
-  scheduler: wrr`},
		{"delete a value by what it is", "delete services web scheduler wrr", `
[edit services web]
-  scheduler: wrr`},
		{"delete an item", "delete services web real-servers 192.168.4.200", `
[edit services web real-servers]
-  - {address: 192.168.4.200, weight: 2}`},
		{"delete an item by address and port", "delete services web real-servers 192.168.4.200:80", `
[edit services web real-servers]
-  - {address: 192.168.4.200, weight: 2}`},
		{"delete a list's last value", "delete network interfaces eth0 addresses 192.168.4.5/24", `
[edit network interfaces eth0]
-  addresses: [192.168.4.5/24]`},
		{"delete all", "delete services", `
[edit]
-  services:
-    web:
-      listen: 192.168.4.15:80
-      scheduler: wrr
-      forward: dr
-      real-servers:
-        - {address: 192.168.4.100, weight: 1}
-        - {address: 192.168.4.200, weight: 2}`},
		{"routes", "set network routes default via 192.168.4.254\nset network routes 10.0.0.0/8 metric 5 interface eth0\nset network routes default via fe80::1 interface eth0", `
[edit network]
+  routes:
+    - {to: default, via: 192.168.4.254}
+    - {to: 10.0.0.0/8, interface: eth0, metric: 5}
+    - {to: "::/0", via: fe80::1, interface: eth0}`},
		{"the default route by its other name", "set network routes default via 192.168.4.254\nset network routes 0.0.0.0/0 interface eth0\ndelete network routes \"0.0.0.0/0\" via", `
[edit network]
+  routes:
+    - {to: default, interface: eth0}`},
		{"rename a service", "rename services web to www", `
[edit services]
-  web:
-    listen: 192.168.4.15:80
-    scheduler: wrr
-    forward: dr
-    real-servers:
-      - {address: 192.168.4.100, weight: 1}
-      - {address: 192.168.4.200, weight: 2}
+  www:
+    listen: 192.168.4.15:80
+    scheduler: wrr
+    forward: dr
+    real-servers:
+      - {address: 192.168.4.100, weight: 1}
+      - {address: 192.168.4.200, weight: 2}`},
		{"rename a real server, which keeps its place", "rename services web real-servers 192.168.4.100 to 192.168.4.101", `
[edit services web real-servers]
-  - {address: 192.168.4.100, weight: 1}
+  - {address: 192.168.4.101, weight: 1}`},
		{"rename an interface and what names it", "set network interfaces eth0.7 vlan parent eth0 id 7\nrename network interfaces eth0 to lan0\ndelete network interfaces lan0", `
[edit network interfaces]
-  eth0: {addresses: [192.168.4.5/24]}
+  eth0.7: {vlan: {parent: lan0, id: 7}}`},
		{"copy a real server", "copy services web real-servers 192.168.4.200 to 192.168.4.201", `
[edit services web real-servers]
+  - {address: 192.168.4.201, weight: 2}`},
		{"copy to another port", "copy services web real-servers 192.168.4.200 to 192.168.4.200:8080", `
[edit services web real-servers]
+  - {address: 192.168.4.200, port: 8080, weight: 2}`},
		{"insert", "insert services web real-servers 192.168.4.200 before 192.168.4.100", `
[edit services web real-servers]
!  192.168.4.100 moves after 192.168.4.200`},
		{"annotate", "annotate services web \"new since May\\nask the web team\"\nannotate services web real-servers 192.168.4.200 'rack 7'", `
[edit services web]
+  # new since May
+  # ask the web team
[edit services web real-servers 192.168.4.200]
+  # rack 7`},
		{"a port stands beside the address only", "set serve http port 8080 body hello\nset serve tcp-echo", `
[edit]
+  serve:
+    - {protocol: http, port: 8080, body: hello}
+    - {protocol: tcp-echo}`},
		{"the default port said", "set serve http body hello\nset serve http port 80 status 404", `
[edit]
+  serve:
+    - {protocol: http, body: hello, status: 404}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := parsed(t, s2YAML)
			after := edited(t, before, tt.commands)
			var got strings.Builder
			for _, line := range Compare(before, after) {
				got.WriteString("\n" + line.String())
			}
			wantText(t, got.String(), tt.want)
			wantSame(t, after, parsed(t, string(after.YAML())))
			replayed := edited(t, before, strings.Join(Changes(View{Secrets: true}, before, after), "\n"))
			wantSame(t, replayed, after)
		})
	}
}

// wantSame compares documents by what they hold.
func wantSame(t *testing.T, got, want *Document) {
	t.Helper()
	if !got.Equal(want) {
		t.Errorf("not the same (-want +got):\n%s", cmp.Diff(strings.Split(string(want.YAML()), "\n"), strings.Split(string(got.YAML()), "\n")))
	}
}

// TestRefused types what is wrong; the caret stands under the word at fault,
// and nothing has changed.
func TestRefused(t *testing.T) {
	for _, tt := range []struct{ command, caret, want string }{
		{"set services web scheduler lcss",
			"                           ^", `unknown scheduler "lcss": expected one of rr, wrr, lc,`},
		{"set services web listen 192.168.4.15:80 wieght 3",
			"                                        ^", `unknown key "wieght": expected one of listen, fwmark,`},
		{"set services web real-servers 192.168.4.100 weight 1 upper-threshold many",
			"                                                                     ^", `"many" is no whole decimal number: expected a number of connections from 0 to 2147483647`},
		{"set services web real-servers 192.168.4.300 weight 1",
			"                              ^", `"192.168.4.300" is no IP address: expected a real server's address such as 192.168.4.100`},
		{"set services web s rr",
			"                 ^", `"s" is ambiguous: expected scheduler, scheduler-flags`},
		{"set services", "             ^", `services needs a name: expected the name of a service`},
		{"set services web scheduler", "                           ^", `scheduler needs a value: expected one of rr, wrr, lc,`},
		{"set services web! scheduler rr", "             ^", `the name "web!" has the character '!': expected a name of letters, digits`},
		{"set services web real-servers", "                              ^", `real-servers needs one of its items: expected a real server's address`},
		{"set services web real-servers 192.168.4.100 weight 2 port 8080",
			"                                                     ^", `port is part of what tells the item apart; write it directly behind address, or use rename`},
		{"set network", "            ^", `network needs more: expected one of interfaces, routes, name-servers`},
		{"set network routes default metric", "                                  ^", `metric needs a value: expected a metric from 0 to 4294967295`},
		{"set services web listen [192.168.4.15:80, 192.168.4.16:80]",
			"                        ^", `"[192.168.4.15:80," is no IP address: expected a VIP and a port such as 192.168.4.15:80 or "[2001:db8::15]:80"; several are written [ A B ]`},
		{"set services web protocol tcp,udp", "                          ^", `unknown protocol "tcp,udp": expected one of tcp, udp, sctp, ah, esp; several are written [ A B ]`},
		{"set services web listen 80", "                        ^", `"80" is no IP address: expected a VIP and a port such as 192.168.4.15:80 or "[2001:db8::15]:80"`},
		{"set network name-servers [ 192.168.4.1", "                                       ^", `the list has no end: expected ]`},
		{"set network interfaces eth0 addresses [ ]", "                                        ^", `the list is empty: expected an address`},
		{"set hostname lb1 lb2", "                 ^", `unknown key "lb2"`},
		{"delete services www", "                ^", `there is no services www`},
		{"delete services wbe", "                ^", `there is no services wbe; did you mean "web"?`},
		{"delete services dns scheduler rr", "                ^", `there is no services dns`},
		{"delete services web persistence timeout 5m", "                    ^", `there is no services web persistence`},
		{"delete network routes default metric 5 via", "               ^", `there is no network routes`},
		{"delete services web real-servers 192.168.4.101 weight", "                                 ^", `there is no services web real-servers 192.168.4.101; did you mean "192.168.4.100"?`},
		{"delete network interfaces eth0 addresses 192.168.4.6/24", "                                         ^", `there is no network interfaces eth0 addresses 192.168.4.6/24; did you mean "192.168.4.5/24"?`},
		{"delete services web scheduler rr", "                              ^", `there is no services web scheduler rr`},
		{"delete services web real-servers 192.168.4.100 address", "                                               ^", `address is part of what tells the item apart; use rename, or delete the item`},
		{"delete", "       ^", `nothing to delete`},
		{"rename services web www", "                        ^", `the new name is missing: expected PATH to NAME`},
		{"rename services web scheduler to www", "                    ^", `this has no name of yours`},
		{"rename services web to web", "                       ^", `web is its name already`},
		{"rename services web to www2!", "                       ^", `the name "www2!" has the character '!'`},
		{"copy services web real-servers 192.168.4.100 to 192.168.4.100:80", "                                                ^", `192.168.4.100:80 is there already`},
		{"insert services web before dns", "                ^", `what is here is in no order of yours`},
		{"insert services web real-servers 192.168.4.100 before 192.168.4.9", "                                                      ^", `no other item of this list`},
		{"annotate services www text", "                  ^", `there is no services www`},
		{"frobnicate", "^", `unknown command "frobnicate"`},
	} {
		t.Run(tt.command, func(t *testing.T) {
			d := parsed(t, s2YAML)
			words := strings.Fields(tt.command)
			err := d.Do(words...)
			var fault *WordError
			if !errors.As(err, &fault) {
				t.Fatalf("got %v, want a *WordError", err)
			}
			if !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
			if got := caret(tt.command, fault.Word); got != tt.caret {
				t.Errorf("the caret is misplaced:\n%s\n%s got word %d\n%s want", tt.command, got, fault.Word, tt.caret)
			}
			wantSame(t, d, parsed(t, s2YAML))
		})
	}
}

// caret stands under a word of a command, or behind the last.
func caret(command string, word int) string {
	at := 0
	for range word {
		next := strings.IndexByte(command[at:], ' ')
		if next < 0 {
			return strings.Repeat(" ", len(command)+1) + "^"
		}
		at += next + 1
	}
	return strings.Repeat(" ", at) + "^"
}

// TestSecretsCompared: that one changed is said, and nothing of it.
func TestSecretsCompared(t *testing.T) {
	const first, second = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "$2a$10$vI8aWBnW3fID.ZQ4/zo1G.q1lRps.9cGLcZEiGDMVr5yUP1KUOYTa"
	a := edited(t, New(), "set management ssh users anna role admin\nset management ssh users anna password-hash "+first)
	for _, tc := range []struct{ edit, want string }{
		{"set management ssh users anna password-hash " + second, "[edit management ssh users anna]\n!  password-hash: changed; secrets are not shown"},
		{"delete management ssh users anna password-hash", "[edit management ssh users anna]\n-  password-hash: \"<secret>\""},
		{"set management ssh users bert password-hash " + second, "[edit management ssh users]\n+  bert: {password-hash: \"<secret>\"}"},
	} {
		b := edited(t, a, tc.edit)
		var got []string
		for _, l := range Compare(a, b) {
			got = append(got, l.String())
		}
		if diff := cmp.Diff(strings.Split(tc.want, "\n"), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.edit, diff)
		}
		if back := edited(t, a, strings.Join(Changes(View{Secrets: true}, a, b), "\n")); !back.Equal(b) {
			t.Errorf("%s: the commands lead to\n%s", tc.edit, back.YAML())
		}
	}
}

// TestSecretAsJSON: what stands for it is readable, and not escaped as for HTML.
func TestSecretAsJSON(t *testing.T) {
	d := edited(t, New(), `set management ssh users anna password-hash "$2y$10$abcdefghijklmnopqrstuuN0AWmhDMBaKRXpAJJmWJ2Mh9bnlIuHa"`)
	text, err := d.JSON(View{}, "management", "ssh", "users", "anna", "password-hash")
	if want := "\"<secret>\"\n"; err != nil || string(text) != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
}

// TestPath: edit goes to what can be there, by words in full.
func TestPath(t *testing.T) {
	d := edited(t, New(), s2)
	for _, tc := range []struct{ words, want string }{
		{"servi web", "services web"},
		{"serv web", "0"},
		{"services shop", "services shop"},
		{"services web real", "services web real-servers"},
		{"servi web real 192.168.4.100", "services web real-servers 192.168.4.100"},
		{"net inter eth7", "network interfaces eth7"},
		{"nonsense", "0"},
		{"services web schedular", "2"},
		{"services web scheduler", "2"},
		{"net inter eth0 addresses", "3"},
		{"role director", "1"},
	} {
		path, err := d.Path(strings.Fields(tc.words)...)
		got := Join(path...)
		var fault *WordError
		if errors.As(err, &fault) {
			got = fmt.Sprint(fault.Word)
		}
		if got != tc.want {
			t.Errorf("%s: got %q, %v, want %q", tc.words, got, err, tc.want)
		}
	}
}

func TestCommands(t *testing.T) {
	d := edited(t, New(), s2)
	for _, tt := range []struct{ path, want string }{
		{"", s2},
		{"services web real-servers", `
set services web real-servers 192.168.4.100 weight 1
set services web real-servers 192.168.4.200 weight 2
`},
		{"services web real-servers 192.168.4.200:80", `
set services web real-servers 192.168.4.200 weight 2
`},
		{"services web listen", `
set services web listen 192.168.4.15:80
`},
		{"network interfaces eth0 addresses 192.168.4.5/24", `
set network interfaces eth0 addresses 192.168.4.5/24
`},
		{"services web persistence", "\n\n"},
	} {
		got, err := d.Commands(View{}, strings.Fields(tt.path)...)
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
		}
		wantText(t, "\n"+strings.Join(got, "\n")+"\n", tt.want)
	}
	if _, err := d.Commands(View{}, "services", "www"); err == nil {
		t.Error("commands of what is not there")
	}
}

func ExampleDocument_Show() {
	d := New()
	for line := range strings.SplitSeq(strings.TrimSpace(s2), "\n") {
		words, err := Split(line)
		if err == nil {
			err = d.Do(words...)
		}
		if err != nil {
			fmt.Println(err)
		}
	}
	text, err := d.Show(View{}, "services", "web")
	fmt.Println(text, err)
	json, err := d.JSON(View{}, "services", "web", "real-servers", "192.168.4.100")
	fmt.Println(string(json), err)
	// Output:
	// listen: 192.168.4.15:80
	// scheduler: wrr
	// forward: dr
	// real-servers:
	//   - {address: 192.168.4.100, weight: 1}
	//   - {address: 192.168.4.200, weight: 2}
	//  <nil>
	// {
	//   "address": "192.168.4.100",
	//   "weight": 1
	// }
	//  <nil>
}

// TestCommentsAreQuoted: without quotes, the last word of a path would be taken
// for the comment that somebody forgot. Commands that are written have them.
func TestCommentsAreQuoted(t *testing.T) {
	d := parsed(t, s2YAML)
	err := d.Run("pasted", "annotate services \"of 2026\"\nannotate services web\n")
	var line *LineError
	var fault *WordError
	if !errors.As(err, &line) || line.Line != 2 || !errors.As(err, &fault) || fault.Word != 2 {
		t.Errorf("got %v, want a fault in word 2 of line 2", err)
	}
	wantSame(t, d, parsed(t, s2YAML))
	for _, text := range []string{`"old"`, `'old'`, `"old" # as it was`} {
		if err := d.Run("pasted", "annotate services web "+text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	commands, err := d.Commands(View{}, "services", "web")
	if want := `annotate services web "old"`; err != nil || commands[len(commands)-1] != want {
		t.Errorf("got %q, %v, want %s", commands, err, want)
	}
	if changes := Changes(View{}, parsed(t, s2YAML), d); !slices.Equal(changes, []string{`annotate services web "old"`}) {
		t.Errorf("the change is %q", changes)
	}
}
