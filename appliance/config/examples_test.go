package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestExamples holds every example to what Parse takes, without a warning.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, file := range files {
		if filepath.Base(file) == "lab.yaml" {
			continue // describes a laboratory, not a machine
		}
		tested++
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(file, src)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, warning := range Warnings(c) {
			t.Errorf("%s: %s", file, warning)
		}
	}
	if tested < 39 {
		t.Errorf("found %d examples, want the 13 clusters of 3 machines", tested)
	}
}
