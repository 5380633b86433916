package watchdog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// sysfs makes /sys as the kernel has it: the class directory holds links into
// /sys/devices.
func sysfs(t *testing.T, dogs map[string]string) string {
	t.Helper()
	sys := t.TempDir()
	class := filepath.Join(sys, "class", "watchdog")
	if err := os.MkdirAll(class, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir, identity := range dogs {
		dir = filepath.Join(sys, "devices", dir)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if identity != "" {
			if err := os.WriteFile(filepath.Join(dir, "identity"), []byte(identity+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(dir, filepath.Join(class, filepath.Base(dir))); err != nil {
			t.Fatal(err)
		}
	}
	return class
}

func TestHardwareFirst(t *testing.T) {
	const (
		soft  = "virtual/watchdog/watchdog0"
		hard  = "virtual/watchdog/watchdog1" // i6300esb names no parent
		hard2 = "pci0000:00/0000:00:1f.0/iTCO_wdt.0.auto/watchdog/watchdog2"
	)
	for _, tt := range []struct {
		name string
		dogs map[string]string
		want []Device
	}{
		{"both", map[string]string{soft: "Software Watchdog", hard: "i6300ESB timer"},
			[]Device{{Name: "watchdog1", Identity: "i6300ESB timer"}}},
		{"software only", map[string]string{soft: "Software Watchdog"},
			[]Device{{Name: "watchdog0", Identity: "Software Watchdog", Software: true}}},
		{"two", map[string]string{hard2: "iTCO_wdt", hard: "i6300ESB timer"},
			[]Device{{Name: "watchdog1", Identity: "i6300ESB timer"}, {Name: "watchdog2", Identity: "iTCO_wdt"}}},
		{"without a name", map[string]string{hard: ""},
			[]Device{{Name: "watchdog1", Identity: "unknown"}}},
	} {
		devices, err := Devices(sysfs(t, tt.dogs))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Choose(devices); !slices.Equal(got, tt.want) || err != nil {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestNoWatchdog(t *testing.T) {
	for _, dir := range []string{sysfs(t, nil), "/nowhere"} {
		devices, err := Devices(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Choose(devices); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
