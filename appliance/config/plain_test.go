package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// places writes a tree with the line of every node, and with its column if
// that is wanted.
func (n *node) places(b *strings.Builder, columns bool) {
	fmt.Fprintf(b, "%s@%d", n.kind, n.line)
	if columns {
		fmt.Fprintf(b, ":%d", n.column)
	}
	if n.kind == scalarNode {
		text := n.text
		if n.class == nullScalar {
			text = ""
		}
		fmt.Fprintf(b, "<%s %q %v>", n.class, text, n.multiline)
	}
	for _, e := range n.entries {
		b.WriteString("{")
		e.key.places(b, columns)
		b.WriteString(": ")
		e.value.places(b, columns)
		b.WriteString("}")
	}
	for _, item := range n.items {
		b.WriteString("[")
		item.places(b, columns)
		b.WriteString("]")
	}
}

// agree holds the plain reader to the library's tree of a text that it takes.
func agree(t *testing.T, src string) (plain bool) {
	t.Helper()
	text, err := readText([]byte(src))
	if err != nil {
		return false
	}
	got, _, err := readPlain(text)
	if err != nil {
		return false
	}
	want, err := readOdd(text)
	if err != nil {
		t.Fatalf("%q\nis read plainly, and the library says %v", src, err)
	}
	var gotText, wantText strings.Builder
	// The library counts columns wrongly where spaces end a line.
	columns := !strings.Contains(text+"\n", " \n")
	got.places(&gotText, columns)
	want.places(&wantText, columns)
	if gotText.String() != wantText.String() {
		t.Fatalf("%q\nplain   %s\nlibrary %s", src, &gotText, &wantText)
	}
	return true
}

// plainSeeds are texts on both sides of what is plain.
func plainSeeds(t testing.TB) []string {
	seeds := []string{everyDirector, everyRealServer, secretive,
		"a:\n- b\n- c: d\n  e: f\n-   g: h\n    i:\n", "a:\n  -\n    b: c\n  -\n", "a: b # c\n", "a: b#c\n", "a: [b, c: d]\n", "a: {b: c,}\n",
		"a: {}\nb: []\nc:\n", "a:\n  b\n", "a: b\n  c\n", "a: 'b'\n", "a: \"b\\n\"\n", "a: \"b\\x41\"\n", "a: b:\n", "a: [b:]\n", "a : b\n", "\"a b\": c\n",
		"a: ~\n", "a: [~, null]\n", "a: .5\n", "a: .inf\n", "a: 1.5\n", "a: 010\n", "a: -1\n", "a: 12345678901234567890\n", "a: 1_0\n", "a: y\n", "a: é\n", "é: a\n",
		"a: \"é\" # x\n", "a: [\"é\", b]\n", "- a\n- {b: c}\n", "a\n", "a: |\n  b\n", "---\na: b\n", "a: b\n...\n", "a:\n # b\n  c: d\n", " a: b\n c: d\n", " a: b\nc: d\n",
		"a: $2b$10$x\n", "a: b@c\n", "a: (b)\n", "a: 1:2\n", "a: 1:2:3\n", "a: :1\n", "a: ::1\n", "a: [::1]\n", "a: {b: ::1}\n", "null: a\n", "true: a\n", "1: a\n", "a: b, c\n",
		"a: -\n", "a: [-]\n", "a: - b\n", "a:\n  - - b\n", "a: b\r\nc: d\r\n", "a: [1, 2] # x\n", "a: [1, 2]#x\n", "a: \"b\"#c\n", "a: \"b\" c\n", "a: {b: \"c\", \"d\": e}\n",
		"a:\n- b\nc: d\n", "a:\n    - b\n    - c\n", "a: {b: [c, {d: e}], f: g}\n", "a: {b: c d, e: f g }\n", "a:\n\n\n  b: c\n\n", "a: x.y\n", "a: e5\n", "a: 1e5\n", "a: 0x1g\n", "a: nan.\n"}
	for _, pattern := range []string{"testdata/*/*.yaml", "../../examples/*/*.yaml"} {
		for _, file := range glob(t, pattern) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			seeds = append(seeds, string(src))
		}
	}
	return seeds
}

func TestPlainAgrees(t *testing.T) {
	for _, src := range plainSeeds(t) {
		agree(t, src)
	}
}

func FuzzPlainAgrees(f *testing.F) {
	for _, src := range plainSeeds(f) {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) { agree(t, src) })
}

// TestExamplesArePlain keeps what people write and what Render writes on the
// quick way.
func TestExamplesArePlain(t *testing.T) {
	for _, file := range glob(t, "../../examples/*/*.yaml") {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !agree(t, string(src)) {
			t.Errorf("%s is not plain", file)
		}
	}
	for name, src := range map[string]string{"director": everyDirector, "secret": secretive} {
		if !agree(t, string(Render(parsed(t, src)))) {
			t.Errorf("%s: rendered, it is not plain", name)
		}
	}
}

// TestPlainCommentsAgree holds the comments of plain files to the library's.
func TestPlainCommentsAgree(t *testing.T) {
	seeds := append(plainSeeds(t), "a: \"# no\" # yes\n", "a: \"\\\"# no\" # \"yes\n", "#\n#a\n\n  # b\na: b #\n", "a: \"b\"\t# c\n", "a: [b, \"c # d\"] # e # f\n")
	compared := 0
	for _, src := range seeds {
		text, err := readText([]byte(src))
		if err != nil {
			continue
		}
		if _, _, err := readPlain(text); err != nil {
			continue
		}
		compared++
		if got, want := fmt.Sprint(plainComments(text)), fmt.Sprint(oddComments(text)); got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", src, got, want)
		}
	}
	if compared < 50 {
		t.Errorf("compared %d files", compared)
	}
}
