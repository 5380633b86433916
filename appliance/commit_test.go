package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/api"
)

func as(t *testing.T, user, session string) context.Context {
	t.Helper()
	return api.WithActor(t.Context(), api.Actor{User: user, Role: api.Admin, Session: session, From: "192.0.2.1"})
}

// candidateOf opens a candidate and sets what the commands say.
func candidateOf(t *testing.T, ctx context.Context, b *backend, commands ...string) api.Candidate {
	t.Helper()
	c, err := b.OpenCandidate(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range commands {
		words := strings.Fields(command)
		if c, err = b.EditCandidate(ctx, c.ID, api.Edit{Kind: api.EditKind(words[0]), Words: words[1:]}); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	return c
}

func weight(t *testing.T, m *machine) string {
	t.Helper()
	table := m.table.String()
	_, rest, _ := strings.Cut(table, "-r 192.168.4.100:80 -g -w ")
	w, _, _ := strings.Cut(rest, "\n")
	return w
}

const heavier = "set services web real-servers 192.168.4.100 weight 9"

func TestCommit(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b, heavier)
		if !c.Changed || c.Stale {
			t.Errorf("candidate %+v: want it changed", c)
		}
		compared, err := b.CompareCandidate(anna, c.ID, "running")
		wantPlan := []string{"ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 9"}
		if err != nil || !slices.Equal(compared.Plan, wantPlan) || !slices.Equal(compared.Commands, []string{heavier}) || len(compared.Disturbed) > 0 {
			t.Errorf("compare: %+v, %v", compared, err)
		}
		if done, err := b.Commit(anna, c.ID, api.CommitOptions{CheckOnly: true}); err != nil || !slices.Equal(done.Plan, wantPlan) || done.Revision != 0 {
			t.Errorf("check: %+v, %v", done, err)
		}
		if w := weight(t, m); w != "1" {
			t.Errorf("comparing and checking made the weight %s", w)
		}
		done, err := b.Commit(anna, c.ID, api.CommitOptions{Comment: "more"})
		if err != nil || done.Revision != 2 || weight(t, m) != "9" {
			t.Errorf("commit: %+v, %v, weight %s", done, err, weight(t, m))
		}
		revisions, err := b.Revisions(anna)
		if err != nil || len(revisions) != 2 || revisions[0].User != "anna" || revisions[0].Comment != "more" || revisions[1].Via != "boot: test" {
			t.Errorf("revisions %+v, %v", revisions, err)
		}
		if s := b.Status(anna, -1); s.Unsaved || s.Source != "revision 2" {
			t.Errorf("status %+v", s)
		}
		// The candidate goes on, and back to what was booted with.
		if _, err := b.EditCandidate(anna, c.ID, api.Edit{Kind: api.EditRollback, Words: []string{"1"}}); err != nil {
			t.Fatal(err)
		}
		if done, err := b.Commit(anna, c.ID, api.CommitOptions{}); err != nil || done.Revision != 3 || weight(t, m) != "1" {
			t.Errorf("rollback: %+v, %v, weight %s", done, err, weight(t, m))
		}
		if done, err := b.Commit(anna, c.ID, api.CommitOptions{}); err != nil || done.Revision != 0 {
			t.Errorf("a commit of nothing: %+v, %v", done, err)
		}
	})
}

func TestCommitRefused(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		table := m.table.String()
		{
			c := candidateOf(t, anna, b, "delete services web listen")
			var no *api.Error
			if _, err := b.Commit(anna, c.ID, api.CommitOptions{}); !errors.As(err, &no) || !strings.Contains(no.Error(), "listen is missing") {
				t.Errorf("got %v", err)
			}
			compared, err := b.CompareCandidate(anna, c.ID, "running")
			if err != nil || len(compared.Warnings) < 2 || len(compared.Tree) == 0 {
				t.Errorf("compare: %+v, %v", compared, err)
			}
		}
		{
			m.table.lacks = "mh"
			c := candidateOf(t, anna, b, heavier, "set services bad listen 192.168.4.15:81 forward dr scheduler mh")
			var no *api.Error
			if _, err := b.Commit(anna, c.ID, api.CommitOptions{}); !errors.As(err, &no) || !strings.Contains(no.Message, "is back") || !strings.Contains(no.Error(), `service "bad"`) {
				t.Errorf("got %v", err)
			}
			if s := b.Status(anna, -1); s.State != api.Serving || s.Unsaved {
				t.Errorf("status %+v", s)
			}
		}
		{
			c := candidateOf(t, anna, b)
			var no *api.Error
			_, err := b.EditCandidate(anna, c.ID, api.Edit{Kind: api.EditSet, Words: []string{"services", "web", "scheduler", "lcss"}})
			if !errors.As(err, &no) || no.Word != 4 {
				t.Errorf("got %+v, want the fourth word at fault", err)
			}
		}
		{
			viewer := api.WithActor(t.Context(), api.Actor{User: "vera", Role: api.Viewer})
			if _, err := b.OpenCandidate(viewer, false); err == nil {
				t.Error("a viewer configures")
			}
		}
		if got := m.table.String(); got != table {
			t.Errorf("table:\n%swant:\n%s", got, table)
		}
	})
}

func TestCommitTellsWhatOperatorsOverride(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		if _, err := b.SetServer(anna, api.ServerVerb{Server: "192.168.4.100", Verb: api.Drain}); err != nil {
			t.Fatal(err)
		}
		c := candidateOf(t, anna, b, heavier)
		done, err := b.Commit(anna, c.ID, api.CommitOptions{})
		want := "192.168.4.100:80 of web stays drained by an operator: enable gives it weight 9"
		if err != nil || !slices.Contains(done.Warnings, want) || weight(t, m) != "0" {
			t.Errorf("warnings %q, %v, weight %s", done.Warnings, err, weight(t, m))
		}
		if _, err := b.SetServer(anna, api.ServerVerb{Server: "192.168.4.100", Verb: api.Enable}); err != nil || weight(t, m) != "9" {
			t.Errorf("enabled: %v, weight %s", err, weight(t, m))
		}
	})
}

// TestCommitOfNothing makes no revision: what operators said of real servers is
// no commit's to save. What an edit by ipvsadm left is.
func TestCommitOfNothing(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		commit := func(c api.Candidate, want int) {
			t.Helper()
			if done, err := b.Commit(anna, c.ID, api.CommitOptions{}); err != nil || done.Revision != want {
				t.Errorf("committed %+v, %v, want revision %d", done, err, want)
			}
		}
		c := candidateOf(t, anna, b, "set hostname lb2")
		commit(c, 2)
		if _, err := b.SetServer(anna, api.ServerVerb{Server: "192.168.4.100", Verb: api.Drain}); err != nil {
			t.Fatal(err)
		}
		if !b.Status(anna, -1).Unsaved {
			t.Error("the drain is said to be saved")
		}
		commit(c, 0)
		commit(c, 0)
		if status, said := adm(t, b, "", "-E -t 192.168.4.15:80 -s rr"); status != 0 {
			t.Fatal(said)
		}
		commit(candidateOf(t, anna, b), 3)
		commit(candidateOf(t, anna, b), 0)
	})
}

// TestSavedWeights: of a drained real server, save says what it saves, and the
// machine knows which revision that is.
func TestSavedWeights(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna := as(t, "anna", "s1")
		for _, tt := range []struct {
			say  api.ServerVerb
			want string
		}{
			{api.ServerVerb{Server: "192.168.4.100", Verb: api.Drain, For: api.Duration(time.Minute)}, ""}, // ends by itself
			{api.ServerVerb{Server: "192.168.4.100", Verb: api.Weigh, Weight: 1}, ""},                      // as configured
			{api.ServerVerb{Server: "192.168.4.200", Verb: api.Drain},
				"192.168.4.200:80 of web is drained by an operator, and saved so: after the next boot it is configured with weight 0 instead of 2"},
		} {
			if _, err := b.SetServer(anna, tt.say); err != nil {
				t.Fatal(err)
			}
			r, err := b.Save(anna, "")
			if err != nil || r.Notes != tt.want {
				t.Errorf("%+v: saved %+v, %v, want %q", tt.say, r, err, tt.want)
			}
			if s := b.Status(anna, -1); s.Source != fmt.Sprintf("revision %d", r.Number) || s.Unsaved {
				t.Errorf("%+v: revision %d is saved, and the status says %q, unsaved %t", tt.say, r.Number, s.Source, s.Unsaved)
			}
		}
	})
}

// TestDroppedVerbs: that a drain ends because its real server is gone is told,
// by check too, and what the one of the renamed service has.
func TestDroppedVerbs(t *testing.T) {
	for edit, want := range map[string][]string{
		"set hostname lb2":                                     nil,
		"rename services web to www":                           {"192.168.4.200:80 of web, drained by an operator, is there no more; that of www has weight 2"},
		"copy services web to dns":                             nil,
		"delete services web real-servers 192.168.4.200":       {"192.168.4.200:80 of web, drained by an operator, is there no more"},
		"delete services web":                                  {"192.168.4.200:80 of web, drained by an operator, is there no more"},
		"set services web real-servers 192.168.4.200 weight 9": {"192.168.4.200:80 of web stays drained by an operator: enable gives it weight 9"},
	} {
		t.Run(edit, func(t *testing.T) {
			bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
				anna := as(t, "anna", "s1")
				if _, err := b.SetServer(anna, api.ServerVerb{Server: "192.168.4.200", Verb: api.Drain}); err != nil {
					t.Fatal(err)
				}
				edits := []string{edit}
				if strings.HasPrefix(edit, "copy") {
					edits = append(edits, "set services dns listen 192.168.4.15:53")
				}
				c := candidateOf(t, anna, b, edits...)
				done, err := b.Commit(anna, c.ID, api.CommitOptions{CheckOnly: true})
				got := slices.DeleteFunc(done.Warnings, func(w string) bool { return !strings.Contains(w, "by an operator") })
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("warnings %q, %v, want %q", got, err, want)
				}
			})
		})
	}
}

// TestLockOutIsTold before it is committed, by commit check and compare: that
// nobody can log in as admin, and whose own session that ends.
func TestLockOutIsTold(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
	users := pair + "management: {ssh: {users: {anna: {role: admin, keys: [" + key + "]}}}}\n"
	bubble(t, users, func(t *testing.T, m *machine, b *backend) {
		const none, own = "management.ssh.users: nobody can log in over SSH any more", "management.ssh.users.anna: your own session ends with this commit"
		for from, want := range map[string][]string{"192.0.2.1": {none, own}, "console": {none}} {
			actor := api.Actor{User: "anna", Role: api.Admin, Session: "of " + from, From: from, Fingerprint: "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8"}
			anna := api.WithActor(t.Context(), actor)
			c := candidateOf(t, anna, b, "delete management ssh users anna keys")
			checked, err := b.Commit(anna, c.ID, api.CommitOptions{CheckOnly: true})
			compared, noComparison := b.CompareCandidate(anna, c.ID, "running")
			if err != nil || noComparison != nil {
				t.Fatal(err, noComparison)
			}
			for _, got := range [][]string{checked.Warnings, compared.Warnings} {
				got = slices.DeleteFunc(got, func(w string) bool { return !strings.Contains(w, "management.") })
				if !slices.Equal(got, want) {
					t.Errorf("from %s: warnings %q, want %q", from, got, want)
				}
			}
		}
	})
}

func TestSecondCommitterIsTold(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		first := candidateOf(t, anna, b, heavier)
		second := candidateOf(t, bert, b, "set services web scheduler wlc")
		if err := b.CloseCandidate(bert, first.ID); err == nil {
			t.Error("bert closed anna's private candidate")
		}
		if _, err := b.Commit(bert, first.ID, api.CommitOptions{}); err == nil {
			t.Error("bert committed anna's private candidate")
		}
		if _, err := b.Commit(anna, first.ID, api.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		var no *api.Error
		_, err := b.Commit(bert, second.ID, api.CommitOptions{})
		if !errors.As(err, &no) || !no.Conflict || !slices.Contains(no.Details, heavier) {
			t.Errorf("got %v, want a conflict that says what changed", err)
		}
		if _, err := b.Commit(bert, second.ID, api.CommitOptions{Anyway: true}); err != nil {
			t.Fatal(err)
		}
		if w := weight(t, m); w != "1" {
			t.Errorf("bert's candidate says weight 1, it is %s", w)
		}
	})
}

func TestCommitFromMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		b, kill := m.serves(t)
		defer kill()
		root := t.Context()
		access, err := b.Access(root, -1)
		if err != nil || len(access.OneTimePassword) < 16 || len(access.Users) > 0 {
			t.Errorf("access %+v, %v: want a one-time password", access, err)
		}
		c, err := b.OpenCandidate(root, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.EditCandidate(root, c.ID, api.Edit{Kind: api.EditOverride, Text: pair}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Commit(root, c.ID, api.CommitOptions{Confirm: api.Duration(time.Minute)}); err == nil {
			t.Error("there is nothing that an unconfirmed commit could go back to")
		}
		done, err := b.Commit(root, c.ID, api.CommitOptions{})
		if err != nil || done.Revision != 1 || weight(t, m) != "1" {
			t.Errorf("commit: %+v, %v", done, err)
		}
		if s := b.Status(root, -1); s.State != api.Serving || s.Unsaved {
			t.Errorf("status %+v", s)
		}
		if access, err := b.Access(root, -1); err != nil || access.OneTimePassword != "" || !slices.Equal(access.Listen, []string{"192.168.4.5:22"}) {
			t.Errorf("access %+v, %v: want no one-time password any more", access, err)
		}
	})
}
