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

// TestReferenceTables holds the table of every section to the schema: its keys
// and no others, with their defaults.
func TestReferenceTables(t *testing.T) {
	reference, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]string{"": "The top level", "master": "master and backup", "backup": "master and backup"}
	var check func(s Schema)
	check = func(s Schema) {
		heading := s.Name
		if special, ok := headings[s.Name]; ok {
			heading = special
		}
		rows := firstTable(string(reference), heading)
		for _, k := range s.Keys {
			row, found := rows[k.Name]
			switch {
			case !found:
				t.Errorf("the table below %q has no key `%s`", heading, k.Name)
			case !strings.Contains(row, k.Default):
				t.Errorf("the table below %q does not say that %s is %q by default: %s", heading, k.Name, k.Default, row)
			}
			delete(rows, k.Name)
			if len(k.Keys) > 0 {
				check(k)
			}
		}
		for name := range rows {
			t.Errorf("the table below %q has `%s`, which is no key", heading, name)
		}
	}
	check(Describe())
}

// TestReasons holds the table of docs/ipvs.md to the schema: every setting of
// IPVS with its default, the kernel's, and a reason.
func TestReasons(t *testing.T) {
	page, err := os.ReadFile("../../docs/ipvs.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := firstTable(string(page), "Settings")
	seen := make(map[string]bool)
	var check func(s Schema)
	check = func(s Schema) {
		for _, k := range s.Keys {
			if len(k.Keys) > 0 {
				check(k)
				continue
			}
			columns := strings.Split(rows[k.Name], "|")
			if len(columns) != 6 {
				t.Errorf("docs/ipvs.md has no row of `%s`, its default, the kernel's and the reason: %q", k.Name, rows[k.Name])
			} else if !strings.Contains(columns[2], k.Default) || len(strings.Fields(columns[4])) < 3 {
				t.Errorf("docs/ipvs.md: `%s` is %q by default, with a reason: %s", k.Name, k.Default, rows[k.Name])
			}
			seen[k.Name] = true
		}
	}
	all, found := Describe().Find("ipvs")
	if check(all); !found || len(seen) < 40 {
		t.Errorf("%d settings", len(seen))
	}
	for name := range rows {
		if !seen[name] {
			t.Errorf("docs/ipvs.md: `%s` is no setting", name)
		}
	}
}

// firstTable gives the rows of the first table below a heading by the word in
// their first column, without backquotes.
func firstTable(text, heading string) map[string]string {
	_, below, _ := strings.Cut(text, "# "+heading+"\n")
	rows := make(map[string]string)
	for line := range strings.SplitSeq(below, "\n") {
		switch {
		case strings.HasPrefix(line, "| `"):
			name, _, _ := strings.Cut(strings.TrimPrefix(line, "| `"), "`")
			rows[name] = strings.ReplaceAll(line, "`", "")
		case line == "" && len(rows) > 0, strings.HasPrefix(line, "#"):
			return rows
		}
	}
	return rows
}

// TestSchema holds every key to what completion and editors need.
func TestSchema(t *testing.T) {
	var check func(path string, s Schema)
	check = func(path string, s Schema) {
		switch {
		case s.Help == "" || strings.HasSuffix(s.Help, ".") || strings.Contains(s.Help, "\n"):
			t.Errorf("%s: the help %q is no line", path, s.Help)
		case (s.Kind == KindValue || s.Kind == KindValues) && (s.Type == "" || s.Expected == ""):
			t.Errorf("%s: nothing says what values it takes", path)
		case s.Kind == KindSections && len(s.Identity) == 0:
			t.Errorf("%s: nothing tells its items apart", path)
		case s.Kind == KindEntries && s.Entry == "":
			t.Errorf("%s: nothing says what its names are", path)
		case s.Type == TypeChoice && len(s.Allowed) == 0:
			t.Errorf("%s: no choice", path)
		}
		if s.Example != "" {
			if err := NewChecker().Check(s.Example, strings.Split(path, ".")...); err != nil && !s.Secret {
				t.Errorf("%s: the example %q: %v", path, s.Example, err)
			}
		}
		for _, name := range s.Identity {
			if _, ok := s.Find(name); !ok {
				t.Errorf("%s: items are told apart by %s, which is no key", path, name)
			}
		}
		for _, k := range s.Keys {
			below := path + "." + k.Name
			if s.Kind == KindEntries {
				below = path + ".x1." + k.Name
			}
			check(below, k)
		}
	}
	for _, k := range Describe().Keys {
		check(k.Name, k)
	}
	if weight, ok := Describe().Find("services", "real-servers", "weight"); !ok || weight.High != "2147483647" || weight.Default != "1" {
		t.Errorf("weight: %+v, %v", weight, ok)
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
