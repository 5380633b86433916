package session

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
)

// TestPointedAt: what is wrong with a line is said with a caret under the word at
// fault, and exits with 2.
func TestPointedAt(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"configure; annotate services web", `
configure; annotate services web
                             ^^^
error: annotate: the comment is not in quotes: annotate PATH "text"; "" removes it
`},
		{"show events kind sesion", `
show events kind sesion
                 ^^^^^^
error: kind: "sesion": expected one of all, candidate, command, commit, drift, server, session
`},
		{"show real-servers 9.9.9.9", `
show real-servers 9.9.9.9
                  ^^^^^^^
error: there is no real server "9.9.9.9": "show real-servers" lists them
`},
		{"show version | display set", `
show version | display set
               ^^^^^^^^^^^
error: show version: only a configuration is written in several ways
`},
		{"configure; commit | display set", `
configure; commit | display set
                    ^^^^^^^^^^^
error: commit: only a configuration is written in several ways
`},
		{"show service web | match tcp | compare", `
show service web | match tcp | compare
                               ^^^^^^^
error: show service web: only a whole configuration can be compared: "show | compare" in configuration mode
`},
		{"show events follow --json", `
show events follow --json
            ^^^^^^
error: what is to come is shown as text: there is no JSON of it
`},
		{"show log follow | json", `
show log follow | json
         ^^^^^^
error: what is to come is shown as text: there is no JSON of it
`},
		{"server 192.168.4.100 drain for 10m until 15:04", `
server 192.168.4.100 drain for 10m until 15:04
                                   ^^^^^
error: give either "for" or "until"
`},
		{"clear connections --yes", `
clear connections --yes
                       ^
error: whose connections?: "server ADDRESS", "service NAME", or both
`},
		{"configure; compare foo", `
configure; compare foo
                   ^^^
error: configuration: "foo": expected running, saved, boot or the number of a revision, which show revisions lists
`},
		{"show revisions compare 0", `
show revisions compare 0
                       ^
error: revision: "0": expected the number of a revision, which show revisions lists
`},
		{"configure; commit confirmed 400d", `
configure; commit confirmed 400d
                            ^^^^
error: time: "400d": expected a time span from 1s to 366d
`},
		{"configure; commit confirmed 0", `
configure; commit confirmed 0
                            ^
error: time: "0": expected a time span from 1s to 366d
`},
	} {
		out, errOut, status := exec(t, newFake(), api.Admin, "", tt.line)
		if diff := cmp.Diff(tt.want, "\n"+out+errOut); diff != "" || status != exitMistake {
			t.Errorf("%s: exit status %d (-want +got):\n%s", tt.line, status, diff)
		}
	}
}

// TestAnnotateTheLevel: below a level, a comment alone is about the level.
func TestAnnotateTheLevel(t *testing.T) {
	f := newFake()
	c := configuring(t, f, `edit services web; annotate "new since May"; annotate scheduler 'as ever'`)
	got := f.candidates[c.candidate.ID].lines
	want := []string{"annotate services web new since May", "annotate services web scheduler as ever"}
	if len(got) < 2 || !slices.Equal(got[len(got)-2:], want) {
		t.Errorf("the candidate is %q", got)
	}
}

// TestPointedAtWhereTheLineIsLong: a caret below a line that takes several rows
// would stand below another word, so it is below an excerpt; and below what the
// first command of a line said, it is below a copy.
func TestPointedAtWhereTheLineIsLong(t *testing.T) {
	for _, tt := range []struct {
		width      int
		line, want string
	}{
		{60, "edit nonsense web real-servers 192.168.4.100 weight", `
ann@lb1# edit nonsense web real-servers 192.168.4.100 weight

edit nonsense web real-servers 192.168.4.100 weight
     ^^^^^^^^
error: unknown key "nonsense"

[edit]
ann@lb1# _`},
		{60, "edit nonsense web real-servers 192.168.4.100 weights", `
ann@lb1# edit nonsense web real-servers 192.168.4.100 weight
s
edit nonsense web real-servers 192.168.4.100 weights
     ^^^^^^^^
error: unknown key "nonsense"

[edit]
ann@lb1# _`},
		{60, "edit services web real-servers 192.168.4.100 weight nonsense", `
ann@lb1# edit services web real-servers 192.168.4.100 weight
 nonsense
<it services web real-servers 192.168.4.100 weight nonsense
                                                   ^^^^^^^^
error: unknown key "nonsense"

[edit]
ann@lb1# _`},
		{40, "edit services web real-servers 192.168.4.100 nonsense upper-threshold 100 lower-threshold 50", `
ann@lb1# edit services web real-servers
192.168.4.100 nonsense upper-threshold 1
00 lower-threshold 50
<192.168.4.100 nonsense upper-threshol>
               ^^^^^^^^
error: unknown key "nonsense"

[edit]
ann@lb1# _`},
		{60, "edit 日本語日本語日本語 nonsense", `
ann@lb1# edit 日本語日本語日本語 nonsense
                                 ^^^^^^^^
error: unknown key "nonsense"

[edit]
ann@lb1# _`},
		{60, "edit services; edit nonsense", `
ann@lb1# edit services; edit nonsense
edit services; edit nonsense
                    ^^^^^^^^
error: unknown key "nonsense"

[edit services]
ann@lb1# _`},
	} {
		t.Run(tt.line, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := sit(t, newFake(), tt.width, 24)
				d.types("configure", enter, ctrlL, tt.line, enter)
				d.sees(tt.want)
				d.types("quit", enter, ctrlD)
				if err := d.ends(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestRefusedAt: what the control plane refuses is pointed at as well.
func TestRefusedAt(t *testing.T) {
	for _, tt := range []struct{ line, message, want string }{
		{"configure; rollback 5", "there is no revision 5: show revisions lists them", `
configure; rollback 5
                    ^
error: there is no revision 5: show revisions lists them
`},
		{"configure; compare 3", "there is no revision 3: show revisions lists them", `
configure; compare 3
                   ^
error: there is no revision 3: show revisions lists them
`},
		{"show revisions compare 1", "there is no revision 1: show revisions lists them", `
show revisions compare 1
                       ^
error: there is no revision 1: show revisions lists them
`},
		{"server 192.168.4.100 weight 5 service dns6", `there is no real server 192.168.4.100 of service "dns6": there are [2001:db8:4::100]:53`, `
server 192.168.4.100 weight 5 service dns6
       ^^^^^^^^^^^^^
error: there is no real server 192.168.4.100 of service "dns6": there are [2001:db8:4::100]:53
`},
		{"server 192.168.4.100 weight 5", "after 5 tries", "\nerror: after 5 tries\n"},
	} {
		out := &strings.Builder{}
		s := &Session{API: refusing{newFake(), tt.message}, Actor: api.Actor{User: "ann", Role: api.Admin}, Out: out, Err: out}
		status := s.Exec(t.Context(), tt.line)
		if diff := cmp.Diff(tt.want, "\n"+out.String()); diff != "" || status != exitFailed {
			t.Errorf("%s: exit status %d (-want +got):\n%s", tt.line, status, diff)
		}
	}
}

// refusing is a director that refuses.
type refusing struct {
	*fake
	message string
}

func (r refusing) no() error { return &api.Error{Message: r.message} }

func (r refusing) EditCandidate(context.Context, string, api.Edit) (api.Candidate, error) {
	return api.Candidate{}, r.no()
}

func (r refusing) CompareCandidate(context.Context, string, string) (api.Comparison, error) {
	return api.Comparison{}, r.no()
}

func (r refusing) CompareConfigs(context.Context, string, string) (api.Comparison, error) {
	return api.Comparison{}, r.no()
}

func (r refusing) SetServer(context.Context, api.ServerVerb) ([]api.ServerResult, error) {
	return nil, r.no()
}

// TestSpans: days too, as ages are shown; a bare number is of minutes.
func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "5": 5 * time.Minute, "1h30m": 90 * time.Minute, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "366d": 366 * 24 * time.Hour, "1s": time.Second,
		"0": 0, "0s": 0, "-5": 0, "-1d": 0, "1d-1h": 0, "d": 0, "1.5d": 0, "367d": 0, "366d1s": 0, "8785h": 0, "1h1d": 0, "soon": 0, "": 0,
		"9223372036854775807": 0, "99999999999999d": 0, "4294967295d": 0, "366d2562047h": 0,
	} {
		got, err := parseSpan(text)
		if got != want || (err == nil) != (want > 0) || err != nil && !strings.HasPrefix(err.Error(), strconv.Quote(text)+": ") {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
}

// TestConfirmedWithoutATime: ten minutes, as in Junos.
func TestConfirmedWithoutATime(t *testing.T) {
	for line, want := range map[string]string{
		"commit confirmed": "10m", "commit confirmed comment x": "10m", "commit confirmed 1d comment x": "1d", "commit comment x confirmed": "10m",
	} {
		out, errOut, status := exec(t, newFake(), api.Admin, "", "configure; set hostname lb2; "+line)
		if !strings.HasPrefix(out, "committed with 1 kernel edit; it is undone in "+want+" (") || status != 0 {
			t.Errorf("%s: exit status %d, %s%s", line, status, out, errOut)
		}
	}
}

// TestNothingAsJSON: what is empty is an empty list, and what one real server
// is asked for, it alone.
func TestNothingAsJSON(t *testing.T) {
	f := newFake()
	f.services = nil
	for _, line := range []string{"show services --json", "show services | json"} {
		if out, _, _ := exec(t, f, api.Viewer, "", line); out != "[]\n" {
			t.Errorf("%s: %s", line, out)
		}
	}
	out, _, _ := exec(t, newFake(), api.Viewer, "", "show real-servers 192.168.4.100 --json")
	if strings.Count(out, `"scheduler"`) != 1 || !strings.Contains(out, "192.168.4.100:80") || strings.Contains(out, "192.168.4.9:80") {
		t.Errorf("one real server: %s", out)
	}
}
