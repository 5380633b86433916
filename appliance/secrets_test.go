package appliance

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/api"
)

// TestSecretsAreToldNowhere changes secrets in every way, and looks for them in
// all that is answered, remembered and logged.
func TestSecretsAreToldNowhere(t *testing.T) {
	made, err := makeHostKey(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	next, err := makeHostKey(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	line := func(key machineKey) string { return strings.Split(strings.TrimSpace(string(key.pem)), "\n")[2] }
	body, nextBody := line(made), line(next)
	const (
		first  = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
		second = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"
	)
	block := strings.ReplaceAll(strings.TrimSpace(string(made.pem)), "\n", "\n      ")
	management := fmt.Sprintf("management:\n  ssh:\n    host-key: |\n      %s\n    users:\n      anna: {role: admin, password-hash: %q}\n", block, first)
	synctest.Test(t, func(t *testing.T) {
		var said, log bytes.Buffer
		m := newMachine(t)
		m.options.Uptime = nil
		m.options.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		m.boots(pair + management)
		b, kill := m.serves(t)
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		note := func(what string, v any, err error) { fmt.Fprintf(&said, "%s: %+v %v\n", what, v, err) }
		edit := func(id string, kind api.EditKind, text string, words ...string) {
			t.Helper()
			c, err := b.EditCandidate(anna, id, api.Edit{Kind: kind, Text: text, Words: words})
			note("edit", c, err)
		}
		user := []string{"management", "ssh", "users", "anna", "password-hash"}
		other := candidateOf(t, bert, b, heavier)
		c := candidateOf(t, anna, b)
		edit(c.ID, api.EditSet, "", append(user, second)...)
		edit(c.ID, api.EditSet, "", append(user, strings.Replace(second, "$argon2id", "$argon9id", 1))...)
		edit(c.ID, api.EditSet, "", "management", "ssh", "host-key", strings.Replace(string(made.pem), "OPENSSH", "OPENSHH", 1))
		edit(c.ID, api.EditMerge, "management:\n  ssh:\n    hostkey: |\n      "+block+"\n")
		edit(c.ID, api.EditMerge, "set management ssh host-key "+strings.ReplaceAll(string(made.pem), "\n", " "))
		for _, words := range [][]string{append(user, ""), append(user[:4:4], "pass"), {"management", "ssh", ""}, {"management", "ssh", "host-key", ""}} {
			for _, kind := range []api.EditKind{api.EditSet, api.EditDelete, ""} {
				all, err := b.CompleteCandidate(anna, c.ID, api.CompleteQuery{Kind: kind, Words: words})
				note("complete", all, err)
			}
		}
		edit(c.ID, api.EditMerge, "management:\n  ssh:\n    host-key:\n    - |\n      "+block+"\n    - |\n      "+strings.ReplaceAll(strings.TrimSpace(string(next.pem)), "\n", "\n      ")+"\n")
		edit(c.ID, api.EditDelete, "", "management", "ssh", "host-key", strings.Replace(string(next.pem), "OPENSSH", "OPENSHH", 1))
		compared, err := b.CompareCandidate(anna, c.ID, "running")
		note("compare", compared, err)
		done, err := b.Commit(anna, c.ID, api.CommitOptions{Comment: "another password"})
		note("commit", done, err)
		if done.Revision == 0 {
			t.Errorf("nothing was committed: %v", err)
		}
		refused, err := b.Commit(bert, other.ID, api.CommitOptions{}) // tells what changed meanwhile
		note("conflict", refused, err)
		if no, ok := err.(*api.Error); !ok || !no.Conflict || len(no.Details) == 0 {
			t.Errorf("no conflict: %v", err)
		}
		if keys := announcedBy(t, b); len(keys) != 2 {
			t.Errorf("the machine has the keys %s, want two", keys)
		}
		changed, err := b.Changes(anna)
		note("changes", changed, err)
		between, err := b.CompareConfigs(anna, "1", "running")
		note("revisions", between, err)
		for _, which := range []string{"running", "saved", "1", "2", "boot"} {
			for _, format := range []api.ShowFormat{api.FormatYAML, api.FormatCommands, api.FormatJSON} {
				text, err := b.ShowConfig(anna, which, api.ShowQuery{Format: format})
				note("show "+which, text, err)
			}
		}
		applied, err := b.Apply(anna, []byte(pair+strings.Replace(management, "password-hash", "password", 1)), false)
		note("apply", applied, err)
		for e, err := range b.Events(anna, 0, false) {
			note("event", e, err)
		}
		note("status", b.Status(anna, -1), nil)
		kill()
		for where, text := range map[string]string{"an answer": said.String(), "the log": log.String()} {
			for _, secret := range []string{first, second, body, nextBody, first[8:30], second[30:]} {
				if at := strings.Index(text, secret); at >= 0 {
					t.Errorf("%s tells %q: ...%q", where, secret, text[max(0, at-200):at+len(secret)])
				}
			}
		}
		if !strings.Contains(said.String(), "<secret>") {
			t.Error("nothing was shown at all")
		}
	})
}

func TestSecretsAreNotShown(t *testing.T) {
	const hash = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
	bubble(t, pair+"management: {ssh: {users: {anna: {role: admin, password-hash: "+hash+"}}}}\n", func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b)
		for _, format := range []api.ShowFormat{api.FormatYAML, api.FormatCommands, api.FormatJSON} {
			for what, show := range map[string]func(q api.ShowQuery) (string, error){
				"candidate": func(q api.ShowQuery) (string, error) { return b.ShowCandidate(anna, c.ID, q) },
				"running":   func(q api.ShowQuery) (string, error) { return b.ShowConfig(anna, "running", q) },
			} {
				if text, err := show(api.ShowQuery{Format: format}); err != nil || strings.Contains(text, hash) || !strings.Contains(text, "anna") {
					t.Errorf("%s as %s, %v:\n%s", what, format, err, text)
				}
				if text, err := show(api.ShowQuery{Format: format, Secrets: true}); err != nil || !strings.Contains(text, hash) {
					t.Errorf("%s as %s, secrets asked for, %v:\n%s", what, format, err, text)
				}
			}
		}
		viewer := api.WithActor(t.Context(), api.Actor{User: "vera", Role: api.Viewer})
		if _, err := b.ShowConfig(viewer, "running", api.ShowQuery{Secrets: true}); err == nil {
			t.Error("a viewer sees secrets")
		}
		if access, err := b.Access(t.Context(), -1); err != nil || len(access.Users) != 1 || access.Users[0].PasswordHash != hash {
			t.Errorf("access %+v, %v", access, err)
		}
	})
}
