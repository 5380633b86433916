package appliance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryFileHasItsPlace holds the package's comment to its files.
func TestEveryFileHasItsPlace(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	drawn := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if entry, ok := strings.CutPrefix(line, "//\t"); ok {
			drawn[strings.Fields(entry)[0]] = true
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if name != "doc.go" && !strings.HasSuffix(name, "_test.go") && !drawn[name] {
			t.Errorf("doc.go does not say what %s is for", name)
		}
		delete(drawn, name)
	}
	for name := range drawn {
		t.Errorf("doc.go speaks of %s, which is not there", name)
	}
}
