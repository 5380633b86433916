package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew; read them as a user would before committing")

// TestBad compares what a user is told about every faulty configuration in
// testdata/bad with the text beside it.
func TestBad(t *testing.T) {
	for _, file := range glob(t, "testdata/bad/*.yaml") {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse("dipper.yaml", src)
			var faults Errors
			if c != nil || !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("Parse gave %v, %v; want no Config and Errors", c, err)
			}
			checkPlaces(t, faults, src)
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			got := faults.Excerpt(src)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("diff (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGood holds testdata/good to what is valid, without a warning, and to
// what comes back from its rendering.
func TestGood(t *testing.T) {
	for _, file := range glob(t, "testdata/good/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := parsed(t, string(src))
			for _, warning := range Warnings(c) {
				t.Errorf("warning: %s", warning)
			}
			if diff := cmp.Diff(c, parsed(t, string(Render(c))), byValue()); diff != "" {
				t.Errorf("rendered, it came back differently (-before +after):\n%s", diff)
			}
		})
	}
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	return files
}

// checkPlaces holds every fault to a place inside the file (one character
// behind the end of a line is inside).
func checkPlaces(t testing.TB, faults Errors, src []byte) {
	t.Helper()
	lines := strings.Split(strings.TrimPrefix(string(src), byteOrderMark), "\n")
	for i, fault := range faults {
		if fault.Line < 1 || fault.Line > len(lines) || fault.Column < 1 || fault.Column > len([]rune(lines[fault.Line-1]))+1 {
			t.Errorf("place outside the file: %v", fault)
		}
		if i > 0 && (fault.Line < faults[i-1].Line || fault.Line == faults[i-1].Line && fault.Column < faults[i-1].Column) {
			t.Errorf("out of order: %v", fault)
		}
		if fault.Problem == "" {
			t.Errorf("no problem said: %v", fault)
		}
	}
}
