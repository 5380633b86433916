package appliance

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/network"
	"dipper/appliance/network/capture"
)

// routeRoles is the least role that each call of the control socket needs:
// "root" is for whom acts on nobody's behalf. {id} is the candidate of the
// tests.
var routeRoles = map[string]struct {
	need string
	body string
}{
	"GET /v1/status":       {need: "viewer"},
	"GET /v1/boot":         {need: "viewer"},
	"GET /v1/services":     {need: "viewer"},
	"GET /v1/log":          {need: "viewer"},
	"GET /v1/log/follow":   {need: "viewer"},
	"GET /v1/events":       {need: "viewer"},
	"GET /v1/interfaces":   {need: "viewer"},
	"GET /v1/routes":       {need: "viewer"},
	"GET /v1/neighbours":   {need: "viewer"},
	"GET /v1/sysctls":      {need: "viewer"},
	"GET /v1/system":       {need: "viewer"},
	"GET /v1/timeouts":     {need: "viewer"},
	"POST /v1/names":       {"viewer", `{"kind": "service"}`},
	"GET /v1/changes":      {need: "viewer"},
	"GET /v1/revisions":    {need: "viewer"},
	"GET /v1/candidates":   {need: "viewer"},
	"POST /v1/config/show": {"viewer", `{}`},

	"POST /v1/config/complete":                     {"viewer", `{"kind": "", "words": [""]}`},
	"GET /v1/config/compare":                       {need: "viewer"},
	"POST /v1/config/show?of=running with secrets": {"admin", `{"secrets": true}`},
	"POST /v1/connections":                         {"viewer", `{}`},
	"POST /v1/audit":                               {"viewer", `{"kind": "command", "text": "show", "result": "ok"}`},
	"POST /v1/sessions/began":                      {"viewer", ``},
	"POST /v1/sessions/ended":                      {"viewer", `{"session": "own"}`},
	"POST /v1/sessions/ended of another":           {"root", `{"session": "s1"}`},

	"POST /v1/program?arg=ipvsadm&arg=-Ln":                           {need: "viewer"},
	"POST /v1/program?arg=ipvsadm&arg=-Z":                            {need: "operator"},
	"POST /v1/program?arg=ipvsadm&arg=-D&arg=-t&arg=192.168.4.15:80": {need: "admin"},
	"POST /v1/program?arg=ipvsadm&arg=-C":                            {need: "admin"},
	"POST /v1/program?arg=ipvsadm&arg=--clear":                       {need: "admin"},
	"POST /v1/program?arg=ipvsadm&arg=-R":                            {"admin", "-A -t 192.168.4.15:8080\n"},
	"POST /v1/program?arg=ipvsadm&arg=--set&arg=1&arg=2&arg=3":       {need: "admin"},
	"POST /v1/program?arg=ipvsadm&arg=--start-daemon&arg=master":     {need: "admin"},
	"POST /v1/program?arg=traceroute":                                {need: "viewer"},
	"POST /v1/program?arg=no-such-program":                           {need: "admin"},
	"POST /v1/program?arg=../bbin/ping":                              {need: "admin"},
	"POST /v1/debug":                                                 {"admin", `{"argv": ["no-such-program"]}`},
	"POST /v1/debug of ipvsadm":                                      {"admin", `{"argv": ["ipvsadm", "-C"]}`},

	"POST /v1/capture": {"operator", `{"interface": "eth0"}`},
	"POST /v1/servers": {"operator", `{"server": "192.168.4.100", "verb": "drain"}`},
	"POST /v1/clear":   {"operator", `{"what": "counters"}`},

	"GET /v1/config":                    {need: "admin"},
	"PUT /v1/config":                    {"admin", "role: none\n"},
	"PUT /v1/config?dry-run":            {"admin", pair},
	"POST /v1/candidates":               {"admin", `{"shared": true}`},
	"DELETE /v1/candidates/{id}":        {need: "admin"},
	"POST /v1/candidates/{id}/edit":     {"admin", `{"kind": "set", "words": ["hostname", "lb9"]}`},
	"POST /v1/candidates/{id}/path":     {"admin", `["services"]`},
	"POST /v1/candidates/{id}/show":     {"admin", `{}`},
	"POST /v1/candidates/{id}/complete": {"admin", `{"kind": "set", "words": [""]}`},
	"GET /v1/candidates/{id}/compare":   {need: "admin"},
	"POST /v1/candidates/{id}/commit":   {"admin", `{}`},
	"POST /v1/confirm":                  {need: "admin"},
	"POST /v1/revert":                   {need: "admin"},
	"POST /v1/save":                     {"admin", `{}`},
	"POST /v1/state-volume":             {"admin", `{"device": "/dev/none"}`},
	"GET /v1/host-keys":                 {need: "viewer"},
	"POST /v1/host-keys":                {"admin", `{"step": "announce"}`},
	"POST /v1/host-key/offered":         {"viewer", `{"fingerprint": "SHA256:x"}`},
	"POST /v1/power":                    {"admin", `"reboot"`},

	"GET /v1/access":   {need: "root"},
	"GET /v1/host-key": {need: "root"},
}

// TestRolesOfEveryCall asks each call with each role, on a machine that is as
// it was when the answer is no: what the shell would have refused before is
// refused again here.
func TestRolesOfEveryCall(t *testing.T) {
	ranks := []string{"viewer", "operator", "admin", "root"}
	rank := func(role string) int {
		for i, r := range ranks {
			if r == role {
				return i
			}
		}
		t.Fatalf("there is no role %q", role)
		return 0
	}
	for call, tt := range routeRoles {
		for _, role := range ranks {
			bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
				b.view, b.capture = emptyView{}, func(context.Context, capture.Query, io.Writer) error { return nil }
				c := candidateOf(t, as(t, "anna", "s1"), b, heavier)
				actor := api.Actor{User: "joe", Session: "own"}
				if role != "root" {
					actor.Role = api.Role(role)
				}
				// An administrator has a candidate of his own.
				if role == "admin" {
					actor.Session = "s1"
				}
				call, _, _ := strings.Cut(strings.ReplaceAll(call, "{id}", c.ID), " of ")
				call, _, _ = strings.Cut(call, " with ")
				before := m.table.String() + said(b)
				answer := ask(t, b, actor, call, strings.ReplaceAll(tt.body, `"own"`, `"`+actor.Session+`"`))
				refused := strings.Contains(answer, "needs the role") || strings.Contains(answer, "for the shell itself") || strings.Contains(answer, "is another's")
				if tt.body == `{"session": "s1"}` && role == "admin" {
					return // his own
				}
				if want := rank(role) < rank(tt.need); refused != want {
					t.Errorf("%s by %s: refused: %v, want %v: %.200q", call, role, refused, want, answer)
				}
				if after := m.table.String() + said(b); refused && after != before {
					t.Errorf("%s by %s is refused and done:\n%s\nbefore:\n%s", call, role, after, before)
				}
			})
		}
	}
}

// emptyView is a network without anything in it.
type emptyView struct{}

func (emptyView) LinkStates(context.Context) ([]network.LinkState, error)            { return nil, nil }
func (emptyView) RouteEntries(context.Context) ([]network.RouteEntry, error)         { return nil, nil }
func (emptyView) NeighbourEntries(context.Context) ([]network.NeighbourEntry, error) { return nil, nil }
func (emptyView) Sysctls(context.Context, []network.Sysctl) ([]network.Sysctl, error) {
	return nil, nil
}

// said is what the machine is asked to be.
func said(b *backend) string {
	text, err := b.reconciler.in.text.text()
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// ask puts a call to the control socket and answers what it says.
func ask(t *testing.T, b *backend, actor api.Actor, call, body string) string {
	t.Helper()
	header, err := json.Marshal(actor)
	if err != nil {
		t.Fatal(err)
	}
	method, path, _ := strings.Cut(call, " ")
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Dipper-Actor", string(header))
	w := httptest.NewRecorder()
	api.Handler(b).ServeHTTP(w, r)
	if w.Code == 404 || w.Code == 405 {
		t.Errorf("%s: there is no such call", call)
	}
	return w.Body.String()
}

// TestEveryCallHasARole finds calls that the table above lacks.
func TestEveryCallHasARole(t *testing.T) {
	routes := regexp.MustCompile(`"((?:GET|PUT|POST|DELETE) /v1/[^"]*)"`)
	found := 0
	for _, name := range []string{"api/server.go", "api/routes.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range routes.FindAllStringSubmatch(string(text), -1) {
			found++
			if _, ok := routeRoles[m[1]]; !ok && m[1] != "POST /v1/program" {
				t.Errorf("%s: nobody says which role it needs", m[1])
			}
		}
	}
	if found < 40 {
		t.Errorf("found only %d calls: are they elsewhere by now?", found)
	}
}

// TestUnknownRole refuses who claims a role that there is not.
func TestUnknownRole(t *testing.T) {
	bubble(t, pair, func(t *testing.T, _ *machine, b *backend) {
		for _, role := range []api.Role{"emperor", "Admin", "admin "} {
			if answer := ask(t, b, api.Actor{Role: role}, "GET /v1/status", ""); !strings.Contains(answer, "expected viewer, operator or admin") {
				t.Errorf("%q: %.100q", role, answer)
			}
		}
	})
}

// TestOnlyRootReads looks at what the control plane leaves in its directory:
// the socket, configurations with their secrets, candidates, the host key.
func TestOnlyRootReads(t *testing.T) {
	m := newMachine(t)
	m.boots(pair)
	c, _ := m.run(t)
	await(t, c, api.Serving)
	ctx := api.WithActor(t.Context(), api.Actor{User: "anna", Role: api.Admin, Session: "s1"})
	open, err := c.OpenCandidate(ctx, false)
	if err == nil {
		_, err = c.EditCandidate(ctx, open.ID, api.Edit{Kind: api.EditSet, Words: strings.Fields(heavier)[1:]})
	}
	if err == nil {
		_, err = c.Commit(ctx, open.ID, api.CommitOptions{Confirm: api.Duration(time.Hour)})
	}
	if err == nil {
		_, err = c.HostKey(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	err = filepath.WalkDir(m.options.RunDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && !entry.IsDir() && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v: others may open it", path, info.Mode())
		}
		seen[entry.Name()] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"api.sock", "config.yaml", "unconfirmed.json", "booted.json", "events", open.ID + ".jsonl", "host_key"} {
		if !seen[name] {
			t.Errorf("%s is not there: is it elsewhere by now?", name)
		}
	}
}

func TestCommandLineWithoutPasswords(t *testing.T) {
	for line, want := range map[string]string{
		"": "", "console=ttyS0  quiet": "console=ttyS0 quiet",
		"dipper.config=https://lb1:geheim@10.0.0.1/lb1.yaml?x=a@b quiet": "dipper.config=https://********@10.0.0.1/lb1.yaml?x=a@b quiet",
		"dipper.config=http://10.0.0.1/~a@b":                             "dipper.config=http://10.0.0.1/~a@b",
		"dipper.config=http://a@b:c@10.0.0.1":                            "dipper.config=http://********@10.0.0.1",
	} {
		if got := withoutPasswords(line); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

func TestRoles(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		calls := map[string]struct {
			need api.Role
			call func(ctx context.Context) error
		}{
			"server": {api.Operate, func(ctx context.Context) error {
				_, err := b.SetServer(ctx, api.ServerVerb{Server: "192.168.4.100", Verb: api.Enable})
				return err
			}},
			"clear": {api.Operate, func(ctx context.Context) error {
				_, err := b.Clear(ctx, api.ClearQuery{What: "counters"})
				return err
			}},
			"save":  {api.Admin, func(ctx context.Context) error { _, err := b.Save(ctx, ""); return err }},
			"apply": {api.Admin, func(ctx context.Context) error { _, err := b.Apply(ctx, []byte(pair), false); return err }},
			"open":  {api.Admin, func(ctx context.Context) error { _, err := b.OpenCandidate(ctx, false); return err }},
		}
		for name, tt := range calls {
			for rank, role := range []api.Role{api.Viewer, api.Operate, api.Admin, ""} {
				err := tt.call(api.WithActor(t.Context(), api.Actor{Role: role}))
				allowed := role == tt.need || role == "" || rank == 2
				if (err == nil) != allowed {
					t.Errorf("%s by %q: %v", name, role, err)
				}
			}
			if err := tt.call(api.WithActor(t.Context(), api.Actor{Role: "emperor"})); err == nil {
				t.Errorf("%s by an unknown role", name)
			}
		}
	})
}
