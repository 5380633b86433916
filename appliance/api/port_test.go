package api

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestFindPort(t *testing.T) {
	class := t.TempDir()
	for port, name := range map[string]string{"vport0p0": "", "vport0p1": "lab.agent\n", "vport1p2": "dipper.control\n"} {
		if err := os.MkdirAll(filepath.Join(class, port), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, port, "name"), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := findPort(class, ControlPort); err != nil || got != "/dev/vport1p2" {
		t.Errorf("findPort = %q, %v; want /dev/vport1p2", got, err)
	}
	for _, where := range []string{class, filepath.Join(class, "absent")} {
		if got, err := findPort(where, "other"); !errors.Is(err, ErrNoPort) {
			t.Errorf("findPort(%s, other) = %q, %v; want ErrNoPort", where, got, err)
		}
	}
}
