package pid1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCrashRecords: what a dead kernel left is told of, and named.
func TestCrashRecords(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(Options{PstoreDir: dir})
	if detail, err := m.crashRecords(); detail != "none" || err != nil {
		t.Errorf("nothing there: %q, %v", detail, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dmesg-efi-1"), []byte("Oops"), 0o600); err != nil {
		t.Fatal(err)
	}
	if detail, err := m.crashRecords(); detail != "dmesg-efi-1" || err != nil {
		t.Errorf("a record: %q, %v", detail, err)
	}
	if log := strings.Join(m.journal.Tail("init", 0, 10), "\n"); !strings.Contains(log, "a kernel died here before; its last messages are in "+dir) {
		t.Errorf("the log does not tell:\n%s", log)
	}
}
