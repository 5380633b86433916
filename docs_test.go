package dipper_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"dipper/appliance/config"
)

// pages answers the project's own documentation: path to text.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, root := range []string{"README.md", "docs"} {
		err := fs.WalkDir(os.DirFS("."), root, func(name string, _ fs.DirEntry, err error) error {
			if err != nil || path.Ext(name) != ".md" {
				return err
			}
			text, err := os.ReadFile(name)
			texts[name] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

var (
	fence = regexp.MustCompile("(?ms)^```.*?^```$")
	link  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	head  = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// TestLinks follows every link between the pages, and into the tree.
func TestLinks(t *testing.T) {
	texts := pages(t)
	for page, text := range texts {
		for _, found := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(found[1], "#")
			target := page
			if file != "" {
				target = path.Join(path.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, found[1], err)
			} else if anchor != "" && !slices.Contains(anchors(texts[target]), anchor) {
				t.Errorf("%s links to %s: %s has no such heading, only %q", page, found[1], target, anchors(texts[target]))
			}
		}
	}
}

// anchors are the names of a page's headings, as hosts of repositories make them
// of the text.
func anchors(text string) []string {
	var names []string
	for _, heading := range head.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		names = append(names, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			default:
				return -1
			}
		}, heading[1]))
	}
	return names
}

// TestEveryDecisionIsInTheIndex wants its number, title and link.
func TestEveryDecisionIsInTheIndex(t *testing.T) {
	texts := pages(t)
	index := texts["docs/decisions/README.md"]
	for page, text := range texts {
		number, isDecision := strings.CutPrefix(page, "docs/decisions/0")
		if !isDecision {
			continue
		}
		title, _, _ := strings.Cut(strings.TrimPrefix(text, "# "), "\n")
		if entry := "[" + title + "](0" + number + ")"; !strings.Contains(index, entry) {
			t.Errorf("docs/decisions/README.md lacks %s", entry)
		}
	}
}

var wholeConfig = regexp.MustCompile("(?ms)^```yaml\n(role: .*?)^```$")

// TestConfigurationsOfThePagesAreValid parses what is shown as a whole boot
// config, warnings included: who copies it must not be told of a mistake.
func TestConfigurationsOfThePagesAreValid(t *testing.T) {
	parsed := 0
	for page, text := range pages(t) {
		for _, found := range wholeConfig.FindAllStringSubmatch(text, -1) {
			parsed++
			c, err := config.Parse(page, []byte(found[1]))
			if err != nil {
				t.Error(err)
			} else if warnings := config.Warnings(c); len(warnings) > 0 && page == "README.md" {
				t.Errorf("%s: %q", page, warnings)
			}
		}
	}
	if parsed < 10 {
		t.Errorf("%d configurations found: is this still how they are shown?", parsed)
	}
}

// What a page says in code about the tree: a path below one of its directories, a
// package, a target of the Makefile.
var (
	inTree = regexp.MustCompile("`((?:appliance|docs|examples|image|init|kernel-config|qemu|shell)/[A-Za-z0-9_./-]+)`")
	goRun  = regexp.MustCompile(`go (?:run|test) (?:-\S+ )*\./([a-z/-]+)`)
	target = regexp.MustCompile("(?m)(?:^|`)make ([a-z]+)")
)

// TestDocsNameWhatExists wants every path, package and make target that the
// pages name to be there.
func TestDocsNameWhatExists(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for page, text := range pages(t) {
		for _, found := range append(inTree.FindAllStringSubmatch(text, -1), goRun.FindAllStringSubmatch(text, -1)...) {
			if _, err := os.Stat(found[1]); err != nil {
				t.Errorf("%s names %s: %v", page, found[0], err)
			}
		}
		for _, found := range target.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(makefile), "\n"+found[1]+":") {
				t.Errorf("%s names %q: the Makefile has no such target", page, found[0])
			}
		}
	}
}

var (
	goFile   = regexp.MustCompile("`([a-z_]+\\.go)`")
	testName = regexp.MustCompile("`(Test[A-Za-z]+)`")
	function = regexp.MustCompile(`(?m)^func (Test[A-Za-z]+)\(`)
)

// TestDocsNameCodeThatExists wants every test and file of Go that the pages name,
// wherever it is.
func TestDocsNameCodeThatExists(t *testing.T) {
	there := make(map[string]bool)
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, _ fs.DirEntry, err error) error {
		switch {
		case name == "build" || name == ".git": // other tests write there
			return fs.SkipDir
		case err != nil || path.Ext(name) != ".go":
			return err
		}
		text, err := os.ReadFile(name)
		there[path.Base(name)] = true
		for _, found := range function.FindAllStringSubmatch(string(text), -1) {
			there[found[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for page, text := range pages(t) {
		for _, found := range append(goFile.FindAllStringSubmatch(text, -1), testName.FindAllStringSubmatch(text, -1)...) {
			if !there[found[1]] {
				t.Errorf("%s names %s, which is nowhere", page, found[1])
			}
		}
	}
}

var (
	route     = regexp.MustCompile(`HandleFunc\("([A-Z]+) (/[^"]+)"`)
	parameter = regexp.MustCompile(`{([a-z]+)}`)
)

// TestEveryCallIsInTheReference wants each call of the control socket in
// docs/api.md, with its method or, in a list, behind one that has it.
func TestEveryCallIsInTheReference(t *testing.T) {
	reference, err := os.ReadFile("docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("appliance/api/*.go")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range route.FindAllStringSubmatch(string(text), -1) {
			calls++
			written := regexp.QuoteMeta(parameter.ReplaceAllStringFunc(found[2], strings.ToUpper))
			written = strings.NewReplacer(`\{`, "", `\}`, "").Replace(written)
			if !regexp.MustCompile("`(" + found[1] + " )?" + written + "[`?]").Match(reference) {
				t.Errorf("docs/api.md lacks %s %s", found[1], found[2])
			}
		}
	}
	if calls < 30 {
		t.Errorf("%d calls found in appliance/api: is this still how they are made?", calls)
	}
}

// TestLayout compares the tree that docs/development.md draws with the packages
// that there are, and holds those that it calls pure to that.
func TestLayout(t *testing.T) {
	drawn := drawnPackages(t)
	for _, p := range listPackages(t) {
		if p.ImportPath == "dipper" {
			continue
		}
		name := strings.TrimPrefix(p.ImportPath, "dipper/")
		what, ok := drawn[name]
		if !ok {
			t.Errorf("docs/development.md does not draw %s: say there what it owns", name)
		}
		if i := slices.IndexFunc(p.Imports, isOutside); i >= 0 && strings.HasSuffix(what, "(pure)") {
			t.Errorf("%s imports %s, and docs/development.md calls it pure", name, p.Imports[i])
		}
	}
	for name := range drawn {
		if info, err := os.Stat(name); err != nil || !info.IsDir() {
			t.Errorf("docs/development.md draws %s, which is no directory", name)
		}
	}
}

// isOutside tells whether a package reaches the machine: what is called with the
// same arguments twice may answer differently.
func isOutside(imported string) bool {
	return slices.Contains([]string{
		"math/rand/v2", "net/http", "os", "os/exec", "os/signal", "runtime", "syscall", "golang.org/x/sys/unix",
	}, imported)
}

// drawnPackages reads the tree, in which two spaces deeper is a directory below:
// what stands beside each directory.
func drawnPackages(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("docs/development.md")
	if err != nil {
		t.Fatal(err)
	}
	drawn := make(map[string]string)
	var above []string
	for line := range strings.Lines(fence.FindString(string(text))) {
		entry := strings.TrimLeft(line, " ")
		name, what, isDirectory := strings.Cut(entry, "/ ")
		depth := (len(line) - len(entry)) / 2
		if !isDirectory || strings.Contains(name, " ") || depth > len(above) {
			continue
		}
		above = append(above[:depth:depth], name)
		drawn[path.Join(above...)] = strings.TrimSpace(what)
	}
	return drawn
}
