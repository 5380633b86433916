package peer

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestKnownUntilAnInputChanges(t *testing.T) {
	dir, lists := t.TempDir(), t.TempDir()
	inputs := []string{lists, filepath.Join(lists, "missing")}
	answer := []string{"curl=1"}
	get := func() []string {
		t.Helper()
		got, err := known(t.Context(), dir, inputs, func(context.Context) ([]string, error) { return answer, nil })
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := get(); !slices.Equal(got, []string{"curl=1"}) {
		t.Errorf("at first: %v", got)
	}
	answer = []string{"curl=2", "dash=1"}
	if got := get(); !slices.Equal(got, []string{"curl=1"}) {
		t.Errorf("nothing changed: %v", got)
	}
	if err := os.WriteFile(filepath.Join(lists, "Packages"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := get(); !slices.Equal(got, answer) {
			t.Errorf("after the lists changed: %v", got)
		}
	}
}
