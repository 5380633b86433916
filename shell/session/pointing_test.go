package session

import (
	"slices"
	"testing"
	"testing/synctest"

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
