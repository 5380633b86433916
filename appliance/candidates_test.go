package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"dipper/appliance/api"
	"dipper/appliance/events"
)

// TestUpdate: changes go on top of what somebody else committed meanwhile, and
// then nothing is in the way of the commit.
func TestUpdate(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		first := candidateOf(t, anna, b, heavier, "set hostname lb7", "delete services web real-servers 192.168.4.200")
		second := candidateOf(t, bert, b, "set services web scheduler wlc", "set hostname lb8", "delete services web real-servers 192.168.4.200")
		if _, err := b.Commit(anna, first.ID, api.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		c, err := b.EditCandidate(bert, second.ID, api.Edit{Kind: api.EditUpdate})
		if err != nil || c.Stale || !c.Changed {
			t.Fatalf("updated: %+v, %v", c, err)
		}
		if clashes := []string{"hostname: yours is lb8, and meanwhile it became lb7"}; !slices.Equal(c.Clashes, clashes) {
			t.Errorf("what both changed: %q, want %q", c.Clashes, clashes)
		}
		k, err := b.CompareCandidate(bert, second.ID, "running")
		want := []string{"[edit]", "-  hostname: lb7", "+  hostname: lb8", "[edit services web]", "-  scheduler: wrr", "+  scheduler: wlc"}
		if err != nil || !slices.Equal(k.Tree, want) {
			t.Errorf("compared: %q, %v, want %q", k.Tree, err, want)
		}
		if _, err := b.Commit(bert, second.ID, api.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		if w := weight(t, m); w != "9" {
			t.Errorf("anna's weight 9 is %s after bert's commit", w)
		}
	})
}

func TestSharedCandidate(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		c, err := b.OpenCandidate(anna, true)
		if err != nil {
			t.Fatal(err)
		}
		joined, err := b.OpenCandidate(bert, true)
		if err != nil || joined.ID != c.ID {
			t.Errorf("bert got %+v, %v; want to join %s", joined, err, c.ID)
		}
		if _, err := b.EditCandidate(bert, c.ID, api.Edit{Kind: api.EditSet, Words: strings.Fields(heavier)[1:]}); err != nil {
			t.Fatal(err)
		}
		if err := b.SessionEnded(anna, "s1", false); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Commit(bert, c.ID, api.CommitOptions{}); err != nil || weight(t, m) != "9" {
			t.Errorf("commit: %v, weight %s", err, weight(t, m))
		}
	})
}

// TestWhoLeavesASharedCandidate: it is there until nobody is in it, and as long
// as it has changes, whatever those who leave know of those. A step is a session
// and what it does.
func TestWhoLeavesASharedCandidate(t *testing.T) {
	for name, tt := range map[string]struct {
		steps  string
		closed bool
	}{
		"without changes, the only one":        {"anna opens; anna exits", true},
		"without changes, not the last one":    {"anna opens; bert opens; bert exits; anna sets; anna shows", false},
		"with another's changes":               {"anna opens; bert opens; anna sets; bert exits; anna shows", false},
		"with changes, all":                    {"anna opens; bert opens; anna sets; anna exits; bert exits; bert opens; bert shows", false},
		"after they are discarded":             {"anna opens; bert opens; anna sets; anna exits; bert discards; bert exits", true},
		"twice":                                {"anna opens; bert opens; bert exits; bert exits; anna shows", false},
		"lost":                                 {"anna opens; bert opens; bert is lost; anna is lost", true},
		"lost with changes":                    {"anna opens; anna sets; anna is lost", false},
		"over a restart of the control plane":  {"anna opens; bert opens; restart; bert exits; anna sets; anna shows", false},
		"the last one, after a restart":        {"anna opens; bert opens; bert exits; restart; anna exits", true},
		"root, whom nobody misses, beside her": {"anna opens; root opens; root exits; anna shows", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				m.options.Uptime = nil
				m.boots(pair)
				b, kill := m.serves(t)
				id := ""
				for step := range strings.SplitSeq(tt.steps, "; ") {
					if step == "restart" {
						kill()
						b, kill = m.serves(t)
						continue
					}
					who, does, _ := strings.Cut(step, " ")
					session := "session of " + who
					if who == "root" {
						session = ""
					}
					if err := inShared(as(t, who, session), b, &id, does); err != nil {
						t.Fatalf("%s: %v", step, err)
					}
				}
				defer kill()
				if left := candidatesOf(t, b); tt.closed != (len(left) == 0) {
					t.Errorf("left: %q", left)
				}
				kept, err := b.files.names()
				if err != nil || tt.closed != (len(kept) == 0) {
					t.Errorf("kept for a restart: %q, %v", kept, err)
				}
			})
		})
	}
}

// inShared does something to the shared candidate.
func inShared(ctx context.Context, b *backend, id *string, does string) error {
	set := api.Edit{Kind: api.EditSet, Words: []string{"hostname", "of-" + api.ActorOf(ctx).User}}
	var err error
	switch does {
	case "opens":
		var c api.Candidate
		c, err = b.OpenCandidate(ctx, true)
		*id = c.ID
	case "sets":
		_, err = b.EditCandidate(ctx, *id, set)
	case "discards":
		_, err = b.EditCandidate(ctx, *id, api.Edit{Kind: api.EditDiscard})
	case "shows":
		_, err = b.ShowCandidate(ctx, *id, api.ShowQuery{})
	case "commits":
		_, err = b.Commit(ctx, *id, api.CommitOptions{})
	case "exits":
		err = b.CloseCandidate(ctx, *id)
	case "is lost":
		err = b.SessionEnded(ctx, api.ActorOf(ctx).Session, true)
	default:
		err = errors.New("what is that?")
	}
	return err
}

// TestOthersAreToldOfASharedCandidate: that somebody else edits it than before,
// and that there are changes, or no more. Private ones are nobody's business.
func TestOthersAreToldOfASharedCandidate(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		candidateOf(t, anna, b, "set hostname lb7", "delete hostname")
		id := ""
		for _, step := range []struct {
			who  context.Context
			does string
		}{
			{anna, "opens"}, {bert, "opens"}, {anna, "discards"}, {anna, "sets"}, {anna, "sets"}, {bert, "sets"}, {bert, "sets"},
			{anna, "sets"}, {bert, "discards"}, {bert, "sets"}, {bert, "commits"}, {anna, "sets"}, {bert, "discards"},
		} {
			before := 0
			if id != "" {
				before = sharedOf(t, b).Edits
			}
			if err := inShared(step.who, b, &id, step.does); err != nil {
				t.Fatal(err)
			}
			if edits := sharedOf(t, b).Edits; step.does != "opens" && edits <= before {
				t.Errorf("%s: %d edits, and before %d", step.does, edits, before)
			}
		}
		var told []string
		for e := range b.Events(t.Context(), 0, false) {
			if e.Kind == events.Edit {
				told = append(told, e.Actor.User+" "+e.Text)
			}
		}
		want := []string{
			"anna opens a candidate", "anna opens a shared candidate", "bert joins the shared candidate",
			"anna edits the shared candidate", "bert edits the shared candidate", "anna edits the shared candidate",
			"bert discards the changes in the shared candidate", "bert edits the shared candidate",
			"anna edits the shared candidate", "bert discards the changes in the shared candidate",
		}
		if !slices.Equal(told, want) {
			t.Errorf("got  %q\nwant %q", told, want)
		}
	})
}

func sharedOf(t *testing.T, b *backend) api.Candidate {
	t.Helper()
	open, err := b.Candidates(t.Context())
	i := slices.IndexFunc(open, func(c api.Candidate) bool { return c.Shared })
	if err != nil || i < 0 {
		t.Fatalf("open are %+v, %v", open, err)
	}
	return open[i]
}

// TestLoadedCommands: of a text of commands, one that cannot be run is told with
// its line, and nothing of the text is taken. Merged, they are run on what is
// there.
func TestLoadedCommands(t *testing.T) {
	const runs = "services:\n  web:\n    scheduler: wrr\n"
	for name, tt := range map[string]struct {
		kind    api.EditKind
		text    string
		want    string   // the scheduler of web then, or the message
		details []string // of a refusal
	}{
		"deleted":         {api.EditMerge, "delete services web real-servers 192.168.4.200\nset services web scheduler rr", "rr\n", nil},
		"renamed":         {api.EditMerge, "# c\nrename services web to www\nset services www scheduler rr\nrename services www to web\n", "rr\n", nil},
		"copied":          {api.EditMerge, "copy services web to dns\nset services web scheduler sed\ndelete services dns", "sed\n", nil},
		"a mistake":       {api.EditMerge, "# c\nset services web scheduler rr\n\nset services web schedular x\n", `text:4:18: unknown key "schedular"`, []string{"   4 | set services web schedular x", "     |                  ^", "expected one of", `did you mean "scheduler"?`}},
		"something else":  {api.EditMerge, "set hostname lb2\ncommit", `text:2:1: unknown command "commit"`, []string{"   2 | commit", "     | ^", "expected one of set, delete, rename, copy, insert, annotate"}},
		"a missing word":  {api.EditMerge, "set hostname  # which?", "text:1:15: hostname needs a value", []string{"   1 | set hostname  # which?", "     |               ^", "expected"}},
		"a secret":        {api.EditMerge, "set management ssh users anna password-hash geheim", "text:1:45: ", []string{"   1 | set management ssh users anna passw******** ******", "     |                                             ^"}},
		"not there":       {api.EditMerge, "delete services dns", "text:1:17: there is no services dns", []string{"   1 | delete services dns", "     |                 ^"}},
		"from nothing":    {api.EditOverride, "set role director\ndelete services web", "text:2:8: there is no services", []string{"   2 | delete services web", "     |        ^", "this text begins with an empty configuration: load merge runs its commands on the candidate"}},
		"YAML, as before": {api.EditMerge, runs, "wrr\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
				anna := as(t, "anna", "s1")
				c := candidateOf(t, anna, b)
				_, err := b.EditCandidate(anna, c.ID, api.Edit{Kind: tt.kind, Text: tt.text})
				got, _ := b.ShowCandidate(anna, c.ID, api.ShowQuery{Path: []string{"services", "web", "scheduler"}})
				if tt.details == nil {
					if err != nil || got != tt.want {
						t.Errorf("%q, %v, want %q", got, err, tt.want)
					}
					return
				}
				var no *api.Error
				if !errors.As(err, &no) || !strings.HasPrefix(no.Message, tt.want) || got != "wrr\n" {
					t.Errorf("%v, and the scheduler is %q; want %q", err, got, tt.want)
					return
				}
				for i, want := range tt.details {
					if i >= len(no.Details) || !strings.HasPrefix(no.Details[i], want) {
						t.Errorf("details %q, want %q", no.Details, tt.details)
						break
					}
				}
				if strings.Contains(no.Message, "geheim") {
					t.Errorf("a secret is told: %q", no.Message)
				}
			})
		})
	}
}

// TestOpenedCandidatesAreEvents: others who configure can be told.
func TestOpenedCandidatesAreEvents(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		candidateOf(t, anna, b)
		for _, ctx := range []context.Context{anna, bert} {
			if _, err := b.OpenCandidate(ctx, true); err != nil {
				t.Fatal(err)
			}
		}
		var told []string
		for e := range b.Events(t.Context(), 0, false) {
			if e.Kind == events.Edit {
				told = append(told, e.Actor.User+" "+e.Text)
			}
		}
		want := []string{"anna opens a candidate", "anna opens a shared candidate", "bert joins the shared candidate"}
		if !slices.Equal(told, want) {
			t.Errorf("got %q, want %q", told, want)
		}
	})
}

// TestWhatIsKeptIsForEverybody: a viewer completes and compares what is kept,
// and opens no candidate for it.
func TestWhatIsKeptIsForEverybody(t *testing.T) {
	bubble(t, pair, func(t *testing.T, m *machine, b *backend) {
		viewer := api.WithActor(t.Context(), api.Actor{User: "vera", Role: api.Viewer})
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b, "set hostname lb2")
		if _, err := b.Commit(anna, c.ID, api.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := b.CloseCandidate(anna, c.ID); err != nil {
			t.Fatal(err)
		}
		got, err := b.CompleteConfig(viewer, "running", api.CompleteQuery{Kind: api.EditSet, Words: []string{"services", "web", "re"}})
		if err != nil || len(got) != 1 || got[0].Word != "real-servers" {
			t.Errorf("completed %+v, %v", got, err)
		}
		if got, err := b.CompleteConfig(viewer, "running", api.CompleteQuery{Kind: api.EditSet, Words: []string{"services", "web", "pers"}}); err != nil || len(got) != 0 {
			t.Errorf("what is not there is offered: %+v, %v", got, err)
		}
		revisions, err := b.Revisions(viewer)
		if err != nil || len(revisions) < 2 {
			t.Fatalf("revisions %+v, %v", revisions, err)
		}
		k, err := b.CompareConfigs(viewer, fmt.Sprint(revisions[1].Number), "running")
		if want := []string{"[edit]", "-  hostname: lb1", "+  hostname: lb2"}; err != nil || !slices.Equal(k.Tree, want) {
			t.Errorf("got %q, %v, want %q", k.Tree, err, want)
		}
		if open, _ := b.Candidates(viewer); len(open) > 0 {
			t.Errorf("left open: %+v", open)
		}
	})
}

// TestCandidatesOutliveTheControlPlane kills it between an edit and the commit.
func TestCandidatesOutliveTheControlPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots(pair)
		b, kill := m.serves(t)
		anna, bert := as(t, "anna", "s1"), as(t, "bert", "s2")
		mine := candidateOf(t, anna, b, heavier, "annotate services web")
		gone := candidateOf(t, bert, b, "set services web scheduler wlc")
		if err := b.CloseCandidate(bert, gone.ID); err != nil {
			t.Fatal(err)
		}
		stale := candidateOf(t, bert, b, "set services web scheduler rr", "rollback 0", "set services web scheduler sed")
		untouched := candidateOf(t, bert, b)
		kill()
		b, kill = m.serves(t)
		defer kill()
		open, err := b.Candidates(anna)
		if err != nil || len(open) != 3 || open[0].ID != mine.ID || open[0].Owner.User != "anna" || !open[0].Changed || open[0].Stale {
			t.Fatalf("open are %+v, %v", open, err)
		}
		if _, err := b.EditCandidate(bert, mine.ID, api.Edit{Kind: api.EditDiscard}); err == nil {
			t.Error("bert edits anna's private candidate")
		}
		if done, err := b.Commit(anna, mine.ID, api.CommitOptions{}); err != nil || done.Revision != 2 || weight(t, m) != "9" {
			t.Errorf("commit: %+v, %v, weight %s", done, err, weight(t, m))
		}
		var no *api.Error
		if _, err := b.Commit(bert, stale.ID, api.CommitOptions{}); !errors.As(err, &no) || !no.Conflict {
			t.Errorf("got %v, want a conflict", err)
		}
		text, err := b.ShowCandidate(bert, stale.ID, api.ShowQuery{Path: []string{"services", "web", "scheduler"}})
		if err != nil || !strings.Contains(text, "sed") {
			t.Errorf("bert's candidate says %q, %v", text, err)
		}
		if next := candidateOf(t, bert, b); next.ID == mine.ID || next.ID == stale.ID {
			t.Errorf("a new candidate is called %s", next.ID)
		}
		// What nobody has edited is what runs, whatever that is by now, until it is
		// edited: then it is what it was copied from, whatever runs.
		for _, tt := range []struct {
			edit  []string
			base  string // the weight that it began with
			stale bool
		}{{nil, "9", false}, {[]string{"set", "hostname", "lb7"}, "9", false}, {[]string{"set", "hostname", "lb8"}, "9", true}} {
			if tt.edit != nil {
				if _, err := b.EditCandidate(bert, untouched.ID, api.Edit{Kind: api.EditSet, Words: tt.edit[1:]}); err != nil {
					t.Fatal(err)
				}
			}
			if tt.stale {
				other := candidateOf(t, anna, b, "set services web real-servers 192.168.4.100 weight 8")
				if _, err := b.Commit(anna, other.ID, api.CommitOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			kill()
			b, kill = m.serves(t)
			text, err := b.ShowCandidate(bert, untouched.ID, api.ShowQuery{Path: []string{"services", "web", "real-servers", "192.168.4.100", "weight"}})
			if err != nil || text != tt.base+"\n" {
				t.Errorf("after %q: weight %q, %v, want %s", tt.edit, text, err, tt.base)
			}
			open, err := b.Candidates(bert)
			at := slices.IndexFunc(open, func(c api.Candidate) bool { return c.ID == untouched.ID })
			if err != nil || at < 0 || open[at].Stale != tt.stale || open[at].Changed != (tt.edit != nil) {
				t.Errorf("after %q: %+v, %v", tt.edit, open, err)
			}
		}
	})
}

// TestMendBootConfig: what is right of a broken boot config is taken by rollback
// boot, mended by set and committed.
func TestMendBootConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots(strings.Replace(pair, "scheduler: wrr", "schedular: wrr", 1))
		b, kill := m.serves(t)
		defer kill()
		if s := b.Status(t.Context(), -1); s.State != api.Maintenance {
			t.Fatalf("status %+v", s)
		}
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b, "rollback boot", "set services web scheduler wlc")
		if _, err := b.Commit(anna, c.ID, api.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		if table := m.table.String(); !strings.Contains(table, "-s wlc") || !strings.Contains(table, "192.168.4.200") {
			t.Errorf("after the commit:\n%s", table)
		}
	})
}

// TestUnreadableBootConfig: of what is no YAML nothing is taken, and it is said
// where it is broken.
func TestUnreadableBootConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.options.Uptime = nil
		m.boots("role: director\nservices: {web: [\n")
		b, kill := m.serves(t)
		defer kill()
		anna := as(t, "anna", "s1")
		c := candidateOf(t, anna, b)
		_, err := b.EditCandidate(anna, c.ID, api.Edit{Kind: api.EditRollback, Words: []string{"boot"}})
		var no *api.Error
		if !errors.As(err, &no) || len(no.Details) < 2 || !strings.Contains(no.Details[0], ":2:") {
			t.Errorf("got %v", err)
		}
	})
}
