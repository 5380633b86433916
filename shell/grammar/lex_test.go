package grammar

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// written is how a line was read: words between bars, stages after "|",
// statements after ";".
func written(statements []Statement) string {
	var lines []string
	for _, s := range statements {
		var stages []string
		for _, stage := range s {
			var words []string
			for _, w := range stage.Words {
				words = append(words, "<"+w.Text+">")
			}
			stages = append(stages, strings.Join(words, " "))
		}
		lines = append(lines, strings.Join(stages, " | "))
	}
	return strings.Join(lines, " ; ")
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{`show services`, `<show> <services>`},
		{"  show\tservices  ", `<show> <services>`},
		{`show log|match x`, `<show> <log> | <match> <x>`},
		{`show log | match 'a b' | count`, `<show> <log> | <match> <a b> | <count>`},
		{`show log | match 10\.0`, `<show> <log> | <match> <10\.0>`},
		{`show log | match "10\.\d+|x"`, `<show> <log> | <match> <10\.\d+|x>`},
		{`a\ b \| \; \\ \"`, `<a b> <|> <;> <\> <">`},
		{`annotate x "two\nlines \"quoted\" \u00e9\x41"`, "<annotate> <x> <two\nlines \"quoted\" \u00e9A>"},
		{`it"'"s 'a'b"c"`, `<it's> <abc>`},
		{`match "\bfoo\b"`, `<match> <\bfoo\b>`},
		{`x ""`, `<x> <>`},
		{`set a; set b ;; commit`, `<set> <a> ; <set> <b> ; <commit>`},
		{"set a\nset b # why\n# nothing\ncommit", `<set> <a> ; <set> <b> ; <commit>`},
		{`set a#b`, `<set> <a#b>`},
		{`capture eth0 tcp[13] = 2`, `<capture> <eth0> <tcp[13]> <=> <2>`},
		{``, ``},
		{`# a comment`, ``},
	} {
		statements, err := Split(tt.line)
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
		}
		if got := written(statements); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.line, got, tt.want)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, tt := range []struct{ line, carets, want string }{
		{`show log | match "a b`, `                 ^^^^`, `a quote is not closed: it ends with another "`},
		{`| match x`, `^`, `there is no command before the |`},
		{`show log | | count`, `         ^`, `there is no filter after the |: a | that is part of a word must be quoted`},
		{`show log |`, `         ^`, `there is no filter after the |: a | that is part of a word must be quoted`},
	} {
		_, err := Split(tt.line)
		wantMistake(t, tt.line, err, tt.carets, tt.want)
	}
}

// wantMistake compares a mistake and where its carets stand.
func wantMistake(t *testing.T, line string, err error, carets, want string) {
	t.Helper()
	var m *Mistake
	if !errors.As(err, &m) {
		t.Errorf("%s: got %v, want a mistake", line, err)
		return
	}
	got := strings.Repeat(" ", m.Start) + strings.Repeat("^", max(1, m.End-m.Start))
	if diff := cmp.Diff(line+"\n"+carets+"\n"+want, line+"\n"+got+"\n"+m.Error()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestIncomplete(t *testing.T) {
	for line, want := range map[string]bool{
		`annotate "two`: true, `annotate 'two`: true, `annotate "two"`: false, `it\'s`: false, `"a" 'b`: true, ``: false,
	} {
		if got := Incomplete(line); got != want {
			t.Errorf("Incomplete(%q) = %v", line, got)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, line := range []string{
		`show log | match "a\"b\\" ; x`, `a\ b'c`, "set x \"\\u00e9\\xff\"\n#", "\x00\xff\\", `"\`, `|;|`, "\\", "\u00a0x",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		statements, err := Split(line)
		var m *Mistake
		if err != nil && (!errors.As(err, &m) || m.Start < 0 || m.Start > len(line) || m.End < m.Start) {
			t.Fatalf("%q: %v at a place that is not there: %+v", line, err, m)
		}
		at := 0
		for _, s := range statements {
			for _, stage := range s {
				for _, w := range stage.Words {
					if w.Start < at || w.End <= w.Start || w.End > len(line) {
						t.Fatalf("%q: word %+v after byte %d", line, w, at)
					}
					at = w.End
				}
			}
		}
		stage, _ := Last(line)
		if stage.Start > len(line) || stage.End > len(line) {
			t.Fatalf("%q: last stage %+v", line, stage)
		}
	})
}

// FuzzQuote holds that what is quoted is read back as one word.
func FuzzQuote(f *testing.F) {
	for _, word := range []string{"", "a b", `"`, `\`, `\a`, "\a", "\x00\xff", "#", "é", "\u00a0", "10.0|x;y", "--json", "\\x41", "\u200b"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		statements, err := Split("x " + Quote(word) + " y")
		if err != nil || len(statements) != 1 || len(statements[0]) != 1 || len(statements[0][0].Words) != 3 {
			t.Fatalf("%q as %s: %v %v", word, Quote(word), statements, err)
		}
		if got := statements[0][0].Words[1].Text; got != word {
			t.Fatalf("%q as %s is read as %q", word, Quote(word), got)
		}
	})
}
