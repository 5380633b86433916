package lab

import (
	"path/filepath"
	"testing"
)

// TestRoot finds the tree from one of its directories, and none elsewhere.
func TestRoot(t *testing.T) {
	want, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if root, err := Root(); err != nil || root != want {
		t.Errorf("got %s and %v, want %s", root, err, want)
	}
	t.Chdir(t.TempDir())
	if root, err := Root(); err == nil {
		t.Errorf("outside of any tree: got %s", root)
	}
}
