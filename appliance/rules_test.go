package appliance

import "testing"

// TestRulesBehind: what adds or deletes is carried out by itself, and whatever
// is carried out by itself is work.
func TestRulesBehind(t *testing.T) {
	edit := rules{text: []byte("-e\n"), work: 10}
	add := rules{text: []byte("-a\n"), apart: true, work: 1000}
	for _, tt := range []struct {
		what          string
		first, second rules
		text          string
		work          int
	}{
		{"edits", edit, edit, "-e\n", 10},
		{"an addition behind an edit", edit, add, "# then\n-a\n", 1010},
		{"an edit behind an addition", add, edit, "# then\n-e\n", 1010},
		{"additions", add, add, "# then\n-a\n", 2000},
	} {
		got := tt.second.behind(tt.first)
		if string(got.text) != tt.text || got.work != tt.work || got.apart != tt.second.apart {
			t.Errorf("%s: got %q, %d, %t; want %q, %d", tt.what, got.text, got.work, got.apart, tt.text, tt.work)
		}
	}
}
