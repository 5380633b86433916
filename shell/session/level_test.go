package session

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"dipper/appliance/api"
)

// configuring is a conversation in configuration mode, in which lines were typed.
func configuring(t *testing.T, f *fake, lines string) *conversation {
	t.Helper()
	s := &Session{API: f, Actor: api.Actor{User: "ann", Role: api.Admin}, Out: io.Discard, Err: io.Discard}
	c, done := s.begin(t.Context())
	t.Cleanup(done)
	if status := c.line(t.Context(), "configure; "+lines); status != 0 {
		t.Fatalf("%s: exit status %d", lines, status)
	}
	return c
}

// TestLevel: where edit, up, top and exit lead.
func TestLevel(t *testing.T) {
	for _, tt := range []struct{ lines, want string }{
		{"edit services web", "services web"},
		{"edit services; edit web", "services web"},
		{"edit services web; up", "services"},
		{"edit services web real-servers; up 2", "services"},
		{"edit services web; up 9", ""},
		{"edit services web; top", ""},
		{"up", ""},
		{"top", ""},
		// exit goes back to where edit was said
		{"edit services web; exit", ""},
		{"edit services; edit web real-servers; exit", "services"},
		{"edit services; edit web real-servers; exit; exit", ""},
		{"edit services web; top edit network; exit", "services web"},
		{"edit services web; up edit dns; exit", "services web"},
		// and never deeper, nor to where one is
		{"edit services; edit web real-servers; up; exit", "services"},
		{"edit services; edit web real-servers; up 2; exit", ""},
		{"edit services web; edit real-servers; up 2; exit", ""},
		{"edit services web; top edit network; edit interfaces; exit", "network"},
		{"edit services web; top; edit network; exit", ""},
		{"edit services web; exit configuration-mode; configure; edit network; exit", ""},
		// a command elsewhere leads nowhere
		{"edit services web; top set hostname lb2", "services web"},
		{"edit services web; up 2 show", "services web"},
		// but for edit
		{"edit services web; top edit network", "network"},
		{"edit services web; up edit dns", "services dns"},
		{"edit services web real-servers; up 2 edit dns", "services dns"},
	} {
		c := configuring(t, newFake(), tt.lines)
		if got := strings.Join(c.level, " "); got != tt.want || c.candidate == nil {
			t.Errorf("%s: at [%s], want [%s]", tt.lines, got, tt.want)
		}
	}
	if c := configuring(t, newFake(), "edit services; edit web; up; exit; exit"); c.candidate != nil {
		t.Errorf("still in configuration mode, at %q", c.level)
	}
}

// TestCommandsElsewhere: what top and up run goes on from there, and a secret is one
// there too.
func TestCommandsElsewhere(t *testing.T) {
	f := newFake()
	c := configuring(t, f, "edit services web; set scheduler wlc; top set hostname lb2; up set dns scheduler rr; up 2 delete role; "+
		"up 1 rename web to www; top copy services web to dns; up insert web a before b; top annotate services web 'why'")
	want := []string{
		"set services web scheduler wlc", "set hostname lb2", "set services dns scheduler rr", "rename services web to www ",
		"copy services web to dns ", "insert services web a before b ", "annotate services web why",
	}
	got := f.candidates[c.candidate.ID].lines
	if len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) || slices.Contains(got, "set role director") {
		t.Errorf("the candidate is\n%s", strings.Join(got, "\n"))
	}
	const secret = "edit management; top set management ssh users bob password geheim"
	if configuring(t, f, secret); strings.Contains(strings.Join(f.audit, "\n"), "geheim") {
		t.Errorf("the audit log says %q", f.audit)
	}
	if memorable(secret) {
		t.Errorf("%q is kept in the history", secret)
	}
	for _, tt := range []struct{ lines, want string }{
		{"edit services web; top show hostname", "hostname lb1\n"},
		{"edit services; up show | display set | match hostname", "set hostname lb1\n"},
		{"edit services; top set hostname lb2; top show | compare; discard", "[edit]\n+  hostname lb2\n"},
	} {
		out, errOut, _ := exec(t, newFake(), api.Admin, "", "configure; "+tt.lines)
		if !strings.HasPrefix(out, tt.want) || errOut != "" {
			t.Errorf("%s: got %s%s", tt.lines, out, errOut)
		}
	}
	for _, tt := range []struct{ line, want string }{
		{"top commit", `"commit" is not expected after "top"`},
		{"up 0 show", `"0": expected a number from 1 to 100`},
		{"up s", `"s" is short for more than one word: it could be set, show`},
		{"top se", `"top set" is not complete`},
	} {
		if _, errOut, status := exec(t, newFake(), api.Admin, "", "configure; "+tt.line); status != exitMistake || !strings.Contains(errOut, tt.want) {
			t.Errorf("%s: exit status %d, %s", tt.line, status, errOut)
		}
	}
}

// TestCompletingElsewhere: what may follow top and up is what there is there.
func TestCompletingElsewhere(t *testing.T) {
	const shared = "set delete rename copy insert annotate edit show"
	c := configuring(t, newFake(), "edit services web")
	for _, tt := range []struct{ line, want string }{
		{"set ", "scheduler listen"},
		{"up set ", "web"},
		{"up 1 set ", "web"},
		{"up 2 set ", "hostname services"},
		{"up 9 set ", "hostname services"},
		{"top set ", "hostname services"},
		{"top show s", "services"},
		{"top edit services ", "web"},
		{"up edit w", "web"},
		{"up 2 set services web s", "scheduler"},
		{"top ", shared},
		{"up ", shared},
		{"up 1 ", shared},
	} {
		o, err := c.offers(t.Context(), tt.line)
		if got := strings.Join(o.words(), " "); got != tt.want || err != nil {
			t.Errorf("%q offers %q, %v; want %q", tt.line, got, err, tt.want)
		}
	}
}

// TestEditLevel: the level is said in full, there is none of what cannot be, and
// a mistake elsewhere is pointed at.
func TestEditLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sit(t, newFake(), 60, 24)
		d.types("configure", enter, "edit servi web", enter, ctrlL, "edit nonsense", enter)
		d.sees(`
ann@lb1# edit nonsense
              ^^^^^^^^
error: unknown key "nonsense"

[edit services web]
ann@lb1# _`)
		d.types(ctrlL, "up 2 edit servi nonsense", enter)
		d.sees(`
ann@lb1# up 2 edit servi nonsense
                         ^^^^^^^^
error: unknown key "nonsense"

[edit services web]
ann@lb1# _`)
		d.types(ctrlL, "up set web scheduler lcss", enter)
		d.sees(`
ann@lb1# up set web scheduler lcss
                              ^^^^
error: unknown scheduler "lcss": did you mean "lc"?

[edit services web]
ann@lb1# _`)
		d.types("exit", enter, "exit", enter, ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}
