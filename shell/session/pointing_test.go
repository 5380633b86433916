package session

import (
	"slices"
	"testing"

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
