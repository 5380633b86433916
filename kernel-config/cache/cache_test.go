package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// put makes a thing that was used that long ago: a directory where its name ends
// in "/".
func put(t *testing.T, dir, name string, ago time.Duration) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if strings.HasSuffix(name, "/") {
		if err := os.MkdirAll(filepath.Join(path, "inside"), 0o755); err != nil {
			t.Fatal(err)
		}
	} else if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, now.Add(-ago), now.Add(-ago)); err != nil {
		t.Fatal(err)
	}
	return path
}

// named is a key that begins with a digit that tells the test which it is.
func named(n int, suffix string) string {
	return fmt.Sprintf("%x", n) + strings.Repeat("0", 15) + suffix
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestUseKeepsTheLast(t *testing.T) {
	dir := t.TempDir()
	const day = 24 * time.Hour
	for n := range 7 { // 0 was used last
		put(t, dir, named(n, "/"), time.Duration(n+1)*day)
	}
	others := []string{"agent", "lock", "object-amd64", "unfinished-123"}
	for _, name := range others {
		put(t, dir, name, 100*day)
	}
	put(t, dir, named(8, ".cpio"), 100*day) // of another kind
	if err := Use(filepath.Join(dir, named(5, "")), now); err != nil {
		t.Fatal(err)
	}
	want := append(others, named(8, ".cpio"), named(5, ""), named(0, ""), named(1, ""), named(2, ""))
	slices.Sort(want)
	if diff := cmp.Diff(want, names(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUseLeavesWhatIsYoung(t *testing.T) {
	dir := t.TempDir()
	for n := range 9 {
		put(t, dir, named(n, ".cpio"), time.Duration(n)*time.Minute)
	}
	if err := Use(filepath.Join(dir, named(0, ".cpio")), now); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != 9 {
		t.Errorf("left: %q", got)
	}
}

func TestUseOfWhatIsNotThere(t *testing.T) {
	if err := Use(filepath.Join(t.TempDir(), named(1, "")), now); err == nil {
		t.Error("no error")
	}
}

// TestUseOfWhatIsNeverTidied: the Debian of the benchmark once stayed for ever,
// because its name was no key.
func TestUseOfWhatIsNeverTidied(t *testing.T) {
	path := put(t, t.TempDir(), named(1, "-tuned"), 0)
	if err := Use(path, now); err == nil || !strings.Contains(err.Error(), "BUG") {
		t.Errorf("Use = %v, want a complaint about the name", err)
	}
}
