package cells

import (
	"slices"
	"strings"
	"testing"
)

func TestWidth(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "show": 4, "é": 1, "e\u0301": 1, "名前": 4, "\x1b[31mdown\x1b[0m": 4, "\x1b[1mé\x1b[0m": 1, "a\x1b": 1,
	} {
		if got := Width(text); got != want {
			t.Errorf("%q: %d cells, want %d", text, got, want)
		}
	}
}

func TestTruncate(t *testing.T) {
	for _, tt := range []struct {
		text  string
		width int
		want  string
	}{
		{"show", 4, "show"},
		{"shows", 4, "sho>"},
		{"名前です", 5, "名前>"},
		{"名前です", 6, "名前>"},
		{"\x1b[31mdown\x1b[0m", 3, "\x1b[31mdo>\x1b[0m"},
		{"x", 0, ""},
	} {
		got := Truncate(tt.text, tt.width)
		if got != tt.want || Width(got) > tt.width {
			t.Errorf("%q at %d: got %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}

func FuzzTruncate(f *testing.F) {
	f.Add("\x1b[31mdown\x1b[0m 名前", 7)
	f.Add("\xff\x1b[e\u0301", 2)
	f.Fuzz(func(t *testing.T, text string, width int) {
		width %= 200
		got := Truncate(text, width)
		if width >= 0 && Width(got) > max(width, 0) && Width(text) > width {
			t.Errorf("%q at %d: %q takes %d cells", text, width, got, Width(got))
		}
		if Width(Pad(text, 10, true)) < 10 || strings.ContainsAny(Safe(text), "\x1b\x00\u009b") {
			t.Errorf("%q: Pad or Safe", text)
		}
	})
}

func TestWrap(t *testing.T) {
	for _, tc := range []struct {
		line  string
		width int
		want  []string
	}{
		{"expected one of rr, wrr", 80, []string{"expected one of rr, wrr"}},
		{"expected one of rr, wrr", 0, []string{"expected one of rr, wrr"}},
		{"  expected one of rr, wrr", 16, []string{"  expected one", "  of rr, wrr"}},
		{"  äöü äöü äöü", 9, []string{"  äöü äöü", "  äöü"}},
		{"a-word-longer-than-the-line b", 10, []string{"a-word-longer-than-the-line", "b"}},
		{"  12 |     scheduler: lcss", 26, []string{"  12 |     scheduler: lcss"}},
		{"", 10, []string{""}},
	} {
		if got := Wrap(tc.line, tc.width); !slices.Equal(got, tc.want) {
			t.Errorf("%q in %d: %q, want %q", tc.line, tc.width, got, tc.want)
		}
	}
}
