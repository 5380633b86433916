package shell

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConsoles(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]string{
		"ttyS0\n":           "/dev/ttyS0",
		"tty0 ttyS0 hvc0\n": "/dev/tty1 /dev/ttyS0 /dev/hvc0",
		"":                  "",
	}
	for text, want := range tests {
		file := filepath.Join(dir, "active")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := consolesIn(file, "/dev")
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
	if got, err := consolesIn(filepath.Join(dir, "none"), "/dev"); err != nil || len(got) != 0 {
		t.Errorf("no terminals: got %q, %v", got, err)
	}
}

// TestDeviceTakesMoreThanItKeeps: what has no room at once is written later.
func TestDeviceTakesMoreThanItKeeps(t *testing.T) {
	p := newPseudo(t)
	d, err := openTTY(p.path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	text := strings.Repeat("0123456789abcdef", 1<<12) + "the end"
	if n, err := d.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("wrote %d of %d bytes, %v", n, len(text), err)
	}
	p.expect("the end$")
	if got := len(p.all()); got != len(text) {
		t.Errorf("%d bytes of %d came", got, len(text))
	}
}
