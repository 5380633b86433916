package config

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReference parses every YAML example of the reference, without a
// warning that the example is not about.
func TestReference(t *testing.T) {
	reference, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```\n").FindAllSubmatchIndex(reference, -1)
	if len(examples) < 10 {
		t.Fatalf("found %d examples", len(examples))
	}
	for _, span := range examples {
		line := strings.Count(string(reference[:span[2]]), "\n")
		// Empty lines in front make the lines of errors those of the reference.
		src := strings.Repeat("\n", line) + string(reference[span[2]:span[3]]) + "\n"
		if _, err := Parse("docs/config.md", []byte(src)); err != nil {
			t.Error(err)
		}
	}
}

// TestReferenceShowsErrors makes the mistake of which the reference shows the
// error in its first example.
func TestReferenceShowsErrors(t *testing.T) {
	reference, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(reference), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	src := []byte(strings.Replace(example, "wrr", "lcss", 1))
	var faults Errors
	if _, err := Parse("dipper.yaml", src); !errors.As(err, &faults) {
		t.Fatalf("Parse gave %v", err)
	}
	if got := "```text\n" + faults.Excerpt(src) + "```"; !strings.Contains(string(reference), got) {
		t.Errorf("the reference should show\n%s", got)
	}
}

// TestReferenceIsComplete finds every key, and every word that a key can have
// as its value, in the reference.
func TestReferenceIsComplete(t *testing.T) {
	reference, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	words := keysOf(Describe())
	words = append(words, schedulers()...)
	words = append(words, bondModes()...)
	for _, word := range words {
		if !strings.Contains(string(reference), "`"+word+"`") {
			t.Errorf("docs/config.md does not name `%s`", word)
		}
	}
}

// keysOf gives all keys of a part of the configuration.
func keysOf(s Schema) []string {
	var names []string
	for _, k := range s.Keys {
		names = append(append(names, k.Name), keysOf(k)...)
	}
	return names
}
