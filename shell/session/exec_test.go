package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/shell/grammar"
)

// TestExec holds what `ssh host command` writes and how it ends.
func TestExec(t *testing.T) {
	for _, tt := range []struct {
		name, command, in string
		role              api.Role
		out, errOut       string
		status            int
	}{
		{name: "abbreviated", command: "sh ver", out: "Dipper  0.4\nkernel  6.12.57\n"},
		{name: "filters", command: `show services | match dns | except xyz | count`, out: "1\n"},
		{name: "last and first", command: `show log | last 2 | first 1`, out: "10:00:01 shell: listening\n"},
		{name: "json by a filter", command: `show timeouts | json`, out: "{\n  \"tcp\": \"15m0s\",\n  \"tcp-fin\": \"2m0s\",\n  \"udp\": \"5m0s\"\n}\n"},
		{name: "json before another filter", command: `show timeouts --json | match udp`, out: "  \"udp\": \"5m0s\"\n"},
		{
			name: "no JSON of text", command: `ping 10.0.0.1 | json`, status: 2,
			errOut: "ping 10.0.0.1 | json\n                ^^^^\nerror: ping 10.0.0.1: its output is text: there is no JSON of it\n",
		},
		{
			name: "a mistake", command: "show servcies", status: 2,
			errOut: "show servcies\n     ^^^^^^^^\nerror: \"servcies\" is not expected after \"show\": did you mean \"services\"?\n",
		},
		{
			name: "a mistake in the second", command: "show version; show", status: 2, out: "Dipper  0.4\nkernel  6.12.57\n",
			errOut: "show version; show\n                  ^\nerror: \"show\" is not complete: expected one of arp, boot, candidates, changes, configuration, connections, events, host-keys, interfaces, log, neighbours, rates, real-servers, revisions, routes, service and 8 more\n",
		},
		{
			name: "a mistake in a filter", command: "show version | match '('", status: 2,
			errOut: "show version | match '('\n                     ^^^\nerror: expression: \"(\": error parsing regexp: missing closing ): `(`\n",
		},
		{
			name: "a viewer must not", command: "configure", role: api.Viewer, status: 2,
			errOut: "configure\n^^^^^^^^^\nerror: configure: this needs the role admin, and yours is viewer: ask an administrator\n",
		},
		{
			name: "a viewer may look only", command: "ipvsadm -A -t 192.168.4.15:80", role: api.Viewer, status: 2,
			errOut: "ipvsadm -A -t 192.168.4.15:80\n        ^^\nerror: ipvsadm -A: this needs the role admin, and yours is viewer: -L shows the table\n",
		},
		{name: "a viewer looks", command: "ipvsadm -Ln --rate", role: api.Viewer, out: "ran ipvsadm -Ln --rate with \"\"\n"},
		{name: "ipvsadm takes what comes in", command: "ipvsadm -R", in: "-A -t 1.2.3.4:80\n", out: "ran ipvsadm -R with \"-A -t 1.2.3.4:80\\n\"\n"},
		{name: "a program's exit status", command: "debug fail", out: "ran fail with \"\"\n", errOut: "moan\n", status: 3},
		{name: "ping of IPv6", command: "ping 2001:db8::1 count 2", out: "ran ping -c 2 -6 2001:db8::1 with \"\"\n"},
		{name: "ping of a server that completion wrote", command: "ping 10.0.0.1:80", out: "ran ping -c 5 10.0.0.1 with \"\"\n"},
		{
			name: "an option is no host", command: "ping -f", status: 2,
			errOut: "ping -f\n     ^^\nerror: host: \"-f\": expected an address or a name\n",
		},
		{name: "capture is binary", command: "capture eth0 count 3 tcp port 80", out: "pcap of {Interface:eth0 Filter:tcp port 80 Without: Count:3 Snap:0}"},
		{
			name: "drain", command: "server 192.168.4.200 drain service web for 10m",
			out: "Service  Real server    Weight  Was  Connections left  Until\nweb      192.168.4.200       0    2                17  2026-11-21 12:10:00 (in 10m)\n",
		},
		{
			name: "drain until", command: "server 192.168.4.200 drain until 11:00",
			out: "Service  Real server    Weight  Was  Connections left  Until\nweb      192.168.4.200       0    2                17  2026-11-22 11:00:00 (in 23h)\n",
		},
		{name: "no question without a terminal", command: "reboot", status: 1, errOut: "2 virtual services with 4.3k active connections\nerror: reboot: there is nobody to ask: say \"reboot --yes\"\n"},
		{name: "reboot", command: "reboot --yes", out: "reboot is under way\n", errOut: "2 virtual services with 4.3k active connections\n"},
		{name: "commit", command: "configure; set services web scheduler wlc; commit", out: "committed as revision 8 with 1 kernel edit\n"},
		{
			name: "check", command: "configure; set services web scheduler wlc; commit check; discard; exit",
			out: "[edit]\n+  services web scheduler wlc\nkernel edits:\n  ipvsadm -E -t 192.168.4.15:80 -s wlc\nthe configuration is correct; nothing was changed\n",
		},
		{name: "commit confirmed", command: "configure; set hostname lb2; commit confirmed 5 comment x", out: "committed with 1 kernel edit; it is undone in 5m (12:05:00 UTC) unless you \"confirm\"\n"},
		{name: "nothing to commit", command: "configure; commit", out: "nothing to change\n"},
		{
			name: "forgotten commit", command: "configure; set hostname lb2", status: 1,
			errOut: "warning: the changes were not committed and are gone\n",
		},
		{
			name: "the control plane's mistake has its place", command: "configure; edit services web; set scheduler lcss", status: 2,
			errOut: "configure; edit services web; set scheduler lcss\n                                            ^^^^\nerror: unknown scheduler \"lcss\": did you mean \"lc\"?\n",
		},
		{name: "below a level", command: "configure; edit services web; set scheduler rr; top; compare; discard", out: "[edit]\n+  services web scheduler rr\nkernel edits:\n  ipvsadm -E -t 192.168.4.15:80 -s wlc\n"},
		{name: "show below a level", command: "configure; edit services web; show | display set; up; exit; run show version", out: "set services web listen 192.168.4.15:80\nset services web scheduler wrr\nDipper  0.4\nkernel  6.12.57\n"},
		{name: "load and commit", command: "load merge", in: "set services web scheduler wlc\n", out: "committed as revision 8 with 1 kernel edit\n"},
		{name: "load and check", command: "load override - check", in: "set hostname lb9\n", out: "[edit]\n-  role director\n-  hostname lb1\n-  services web listen 192.168.4.15:80\n-  services web scheduler wrr\n+  hostname lb9\nkernel edits:\n  ipvsadm -E -t 192.168.4.15:80 -s wlc\nthe configuration is correct; nothing was changed\n"},
		{name: "load nothing", command: "load merge", status: 1, errOut: "error: load: there is nothing in it\n"},
		{name: "revert", command: "revert", status: 1, errOut: "error: no commit waits to be confirmed\n"},
		{name: "empty", command: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			role := tt.role
			if role == "" {
				role = api.Admin
			}
			f := newFake()
			out, errOut, status := exec(t, f, role, tt.in, tt.command)
			if diff := cmp.Diff([]string{tt.out, tt.errOut}, []string{out, errOut}); diff != "" || status != tt.status {
				t.Errorf("exit status %d, want %d; output (-want +got):\n%s", status, tt.status, diff)
			}
			if len(f.candidates) > 0 {
				t.Errorf("candidates were left open: %+v", f.candidates)
			}
		})
	}
}

func TestConflict(t *testing.T) {
	f := newFake()
	var out, errOut bytes.Buffer
	s := &Session{API: conflicting{f}, Actor: api.Actor{User: "ann", Role: api.Admin}, Out: &out, Err: &errOut}
	if status := s.Exec(t.Context(), "configure; set hostname x; commit"); status != 1 {
		t.Errorf("exit status %d", status)
	}
	want := `error: the running configuration changed since this candidate was opened
  what changed meanwhile:
  bob committed revision 8
  what to do: "update" puts your changes on top of what runs now, and "compare" shows them;
  "commit anyway" makes the candidate all there is, and undoes what the other changed;
  "discard" begins again from the running configuration
warning: the changes were not committed and are gone
`
	if diff := cmp.Diff(want, errOut.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// conflicting is a director on which somebody else commits at every edit.
type conflicting struct{ *fake }

func (c conflicting) EditCandidate(ctx context.Context, id string, e api.Edit) (api.Candidate, error) {
	c.generation++
	return c.fake.EditCandidate(ctx, id, e)
}

// TestScript runs a script as `ssh host < script` does.
func TestScript(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		out, errOut  string
		status       int
	}{
		{
			name: "configuration",
			script: `# the whole of it
configure
load merge terminal
set services web scheduler wlc
.
annotate services web "two
lines"
commit comment "by a script"
exit
show version
`,
			out: "committed as revision 8 with 2 kernel edits\nDipper  0.4\nkernel  6.12.57\n",
		},
		{
			name: "stops at the first mistake", script: "show version\n\nshow nothing\nshow version\n", status: 2,
			out:    "Dipper  0.4\nkernel  6.12.57\n",
			errOut: "show nothing\n     ^^^^^^^\nerror: line 3: \"nothing\" is not expected after \"show\": expected one of arp, boot, candidates, changes, configuration, connections, events, host-keys, interfaces, log, neighbours, rates, real-servers, revisions, routes, service and 8 more\n",
		},
		{name: "exit ends it", script: "exit\nshow nothing\n"},
		{name: "without a line end", script: "show timeouts | match udp", out: "udp            5m\n"},
		{name: "programs do not eat it", script: "debug cat\nshow timeouts | match udp\n", out: "ran cat with \"\"\nudp            5m\n"},
		{name: "forgotten commit", script: "configure\nset hostname lb2\n", status: 1, errOut: "warning: the changes were not committed and are gone\n"},
		{name: "exit forgets too", script: "configure\nset hostname lb2\nexit\n", errOut: "warning: the changes were not committed and are gone\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			s := &Session{API: newFake(), Actor: api.Actor{User: "ann", Role: api.Admin}, In: strings.NewReader(tt.script), Out: &out, Err: &errOut}
			err := s.Interact(t.Context())
			var status ExitError
			if errors.As(err, &status); int(status) != tt.status || err != nil && tt.status == 0 {
				t.Errorf("got %v, want exit status %d", err, tt.status)
			}
			if diff := cmp.Diff([]string{tt.out, tt.errOut}, []string{out.String(), errOut.String()}); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAudit: every command is recorded in full words, without secrets, and
// with what became of it.
func TestAudit(t *testing.T) {
	f := newFake()
	for _, command := range []string{
		"sh ver", "show nothing", "debug fail", "configure; set management ssh users bob password geheim; discard",
		`configure; set management ssh host-key "line 1` + "\n" + `line 2"; discard`,
		"set management ssh users bob passwrd geheim role admin",
		"set management ssh host-key -----BEGIN OPENSSH PRIVATE KEY----- geheim",
		"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW",
		"set keys AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
		"debug wget --password=geheim http://ann:geheim@192.168.4.1/a?token=geheim",
		"frobnicate https://ann:geheim@192.168.4.1/lb1.yaml?x=1 http://bob:geheim@[2001:db8::1]/a?token=geheim",
		`set hostname "geheim`,
		"frobnicate \"\\x1b[2J\n2026-11-21 12:00:00  command  bob: save: ok\"",
	} {
		exec(t, f, api.Admin, "", command)
	}
	exec(t, f, api.Viewer, "", "reboot --yes")
	want := []string{
		"ann: show version: ok", "ann: show nothing: mistake", "ann: debug fail: failed: exit status 3",
		"ann: configure: ok", "ann: set management ssh users bob password ********: ok", "ann: discard: ok",
		"ann: configure: ok", "ann: set management ssh host-key ********: ok", "ann: discard: ok",
		"ann: set management ssh users bob passwrd ********: mistake",
		"ann: set management ssh host-key ********: mistake",
		"ann: ********: mistake",
		"ann: set keys AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv08lkBzoO4XLz2qYjJa8CGmj3B1Ea: mistake",
		"ann: debug wget --password=******** ********: ok",
		"ann: frobnicate https://********@192.168.4.1/lb1.yaml?x=1 http://********@[2001:db8::1]/a?********: mistake",
		"ann: a line that cannot be read: mistake",
		`ann: frobnicate "\x1b[2J\n2026-11-21 12:00:00  command  bob: save: ok": mistake`,
		"ann: reboot --yes: refused: needs the role admin",
	}
	if diff := cmp.Diff(want, f.audit); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestRolesOfCommands holds which commands a role sees, at the top.
func TestRolesOfCommands(t *testing.T) {
	visible := func(role api.Role) []string {
		var names []string
		c := &conversation{Session: &Session{API: newFake(), Actor: api.Actor{Role: role}}}
		o, err := c.offers(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range o.Known {
			names = append(names, k.Word)
		}
		slices.Sort(names)
		return names
	}
	viewer := []string{"clear", "exit", "help", "ipvsadm", "monitor", "ping", "quit", "show", "terminal", "traceroute"}
	operator := append([]string{"capture", "server"}, viewer...)
	admin := append([]string{"configure", "confirm", "debug", "format", "host-key", "load", "poweroff", "reboot", "revert", "save"}, operator...)
	for role, want := range map[api.Role][]string{api.Viewer: viewer, api.Operate: operator, api.Admin: admin, "": admin} {
		slices.Sort(want)
		if diff := cmp.Diff(want, visible(role)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", role, diff)
		}
	}
}

// TestMonitorWithoutTerminal: a live display is one block of lines after the
// other.
func TestMonitorWithoutTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, errOut, status := exec(t, newFake(), api.Viewer, "", "monitor rates interval 5s count 2")
		if status != 0 || errOut != "" || strings.Count(out, "rates  12:00:00 UTC\nService") != 2 {
			t.Errorf("exit status %d, %s\n%s", status, errOut, out)
		}
		out, _, _ = exec(t, newFake(), api.Viewer, "", "monitor connections count 1")
		want := "5 connections  12:00:00 UTC\n\nState        Connections\nESTABLISHED            5\n\nService  Real server       Connections\nweb      192.168.4.100:80            5\n\nClient     Connections\n10.0.0.10            1\n10.0.0.11            1\n10.0.0.12            1\n10.0.0.8             1\n10.0.0.9             1\n\n"
		if diff := cmp.Diff(want, out); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestMoments(t *testing.T) {
	for text, want := range map[string]string{
		"13:30": "2026-11-21 13:30:00", "11:59": "2026-11-22 11:59:00", "12:00": "2026-11-22 12:00:00", "12:00:01": "2026-11-21 12:00:01",
		"2026-12-01T08:00": "2026-12-01 08:00:00", "2026-12-01 08:00": "2026-12-01 08:00:00", "2026-11-21T12:30:00+01:00": "", "soon": "", "25:00": "",
	} {
		got, err := parseMoment(text, noon)
		if want == "" && err == nil || want != "" && (err != nil || got.UTC().Format(time.DateTime) != want) {
			t.Errorf("%s: %v, %v; want %s", text, got, err, want)
		}
	}
}

// TestIPVSAdmRoles: everybody may look, operators may zero, the rest is for
// administrators.
func TestIPVSAdmRoles(t *testing.T) {
	for arguments, want := range map[string]api.Role{
		"": api.Viewer, "-L": api.Viewer, "-Ln": api.Viewer, "-ln": api.Viewer, "--list -n": api.Viewer, "-S": api.Viewer, "-Sn": api.Viewer, "--save": api.Viewer,
		"-h": api.Viewer, "--version": api.Viewer, "-Z": api.Operate, "--zero -t 1.2.3.4:80": api.Operate,
		"-C": api.Admin, "-A -t 1.2.3.4:80": api.Admin, "--set 1 2 3": api.Admin, "-R": api.Admin, "--lists": api.Admin, "-": api.Admin, "list": api.Admin, "-n -L": api.Admin,
	} {
		if got := ipvsadmRole(strings.Fields(arguments)); got != want {
			t.Errorf("ipvsadm %s: %s, want %s", arguments, got, want)
		}
	}
}

func TestLoadFromURL(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/lb1.yaml":
			fmt.Fprintln(w, "set hostname lb9")
		case "/huge":
			_, _ = io.CopyN(w, endless{}, maxText+10) // the client hangs up
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	for path, want := range map[string]string{
		"/lb1.yaml": "committed as revision 8 with 1 kernel edit\n",
		"/huge":     fmt.Sprintf("error: load: %s/huge: larger than %d bytes\n", server.URL, maxText),
		"/nothing":  fmt.Sprintf("error: load: %s/nothing: 404 Not Found\n", server.URL),
	} {
		out, errOut, _ := exec(t, newFake(), api.Admin, "", "load override "+server.URL+path)
		if got := out + errOut; got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// endless is a file without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestMemorable(t *testing.T) {
	for line, want := range map[string]bool{
		"show services": true, "set management ssh users bob password x": false, "configure; set a password-hash x": false,
		"load override http://ann:geheim@192.168.4.1/a": false, "debug x --password=geheim": false,
		"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW": false,
		`set a password "x`: false, "show configuration | match password": true,
	} {
		if got := memorable(line); got != want {
			t.Errorf("memorable(%q) = %v", line, got)
		}
	}
}

// parses reports whether a line is a whole command.
func parses(c *conversation, line string) bool {
	statements, err := grammar.Split(line)
	if err != nil || len(statements) != 1 {
		return false
	}
	_, err = grammar.Parse(c.table(), c.Actor.Role, statements[0][0])
	return err == nil
}

// meant is the line in full, as far as it is understood.
func meant(table []*command, line string) string {
	statements, err := grammar.Split(line)
	if err != nil {
		return err.Error()
	}
	full, err := grammar.Expand(table, statements[0][0])
	if err != nil {
		return err.Error()
	}
	return full
}

// wordsOf are all words of a table.
func wordsOf(list []*command) []string {
	seen := map[string]bool{}
	var visit func([]*command)
	visit = func(list []*command) {
		for _, c := range offeredIn(list) {
			seen[c.Name] = true
			for _, o := range c.Options {
				seen[o.Name] = true
			}
			visit(c.Sub)
		}
	}
	visit(list)
	return slices.Sorted(maps.Keys(seen))
}

// TestLastWithoutNumber: ten, as of head and tail.
func TestLastWithoutNumber(t *testing.T) {
	const command = "show configuration | match . | last"
	f := newFake()
	for i := range 20 {
		f.running = append(f.running, fmt.Sprintf("set services s%d scheduler rr", i))
	}
	out, errOut, status := exec(t, f, api.Viewer, "", command)
	if got := strings.Count(out, "\n"); got != 10 || status != 0 || !strings.HasSuffix(out, "services s19 scheduler rr\n") {
		t.Errorf("%d lines, exit status %d, %q:\n%s", got, status, errOut, out)
	}
}

// TestHostKeyReplaceAsks says whom another host key would surprise, and does
// nothing unasked.
func TestHostKeyReplaceAsks(t *testing.T) {
	steps := func(command string, about func(*fake)) (said string, status int, steps []api.HostKeyStep) {
		f := newFake()
		if about != nil {
			about(f)
		}
		_, said, status = exec(t, f, api.Admin, "", command)
		return said, status, f.rotated
	}
	said, status, done := steps("host-key replace", nil)
	if status != exitFailed || len(done) != 0 || !strings.Contains(said, "1 of 2 clients have not learned the announced key, and will be warned of another one: robot from 10.0.0.9") || !strings.Contains(said, `add "--yes"`) {
		t.Errorf("status %d, %v, %s", status, done, said)
	}
	said, _, done = steps("host-key replace", func(f *fake) { f.hostKeys.Clients = nil })
	if len(done) != 0 || !strings.Contains(said, "nobody has logged in since SHA256:Nx7q was announced") {
		t.Errorf("%v, %s", done, said)
	}
	for command, want := range map[string]api.HostKeyStep{
		"host-key replace --yes": api.HostKeyReplace, "host-key announce": api.HostKeyAnnounce, "host-key withdraw": api.HostKeyWithdraw,
	} {
		if said, status, done := steps(command, nil); status != 0 || len(done) != 1 || done[0] != want {
			t.Errorf("%s: status %d, %v, %s", command, status, done, said)
		}
	}
}
