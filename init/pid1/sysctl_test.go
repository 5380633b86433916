package pid1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// procSys makes a directory with settings as the kernel shows them.
func procSys(t *testing.T, settings map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, value := range settings {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestApplySysctls(t *testing.T) {
	dir := procSys(t, map[string]string{
		"kernel/panic": "0\n", "kernel/sysrq": "176\n", "kernel/printk": "7\t4\t1\t7\n",
	})
	// A setting that takes a write and keeps its value.
	if err := os.Symlink("/dev/null", filepath.Join(dir, "kernel", "deaf")); err != nil {
		t.Fatal(err)
	}
	// A setting that takes no write.
	if err := os.Mkdir(filepath.Join(dir, "kernel", "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		s    Sysctl
		want string
		err  string
	}{
		{Sysctl{Path: "kernel/panic", Value: "10"}, "1 of 1 as wanted", ""},
		{Sysctl{Path: "kernel/sysrq", Value: "176"}, "1 of 1 as wanted", ""},
		{Sysctl{Path: "kernel/printk", Value: "7 4 1 7"}, "1 of 1 as wanted", ""},
		{Sysctl{Path: "kernel/deaf", Value: "2"}, "0 of 1 as wanted", `sysctl kernel.deaf: wanted "2", the kernel has ""`},
		{Sysctl{Path: "kernel/none", Value: "2"}, "0 of 1 as wanted", "sysctl kernel.none: open"},
		{Sysctl{Path: "kernel/none", Value: "2", MayLack: true}, "0 of 1 as wanted, not in this kernel: kernel.none", ""},
		{Sysctl{Path: "kernel/dir", Value: "2", MayLack: true}, "0 of 1 as wanted", "sysctl kernel.dir: read"},
	} {
		got, err := applySysctls(dir, []Sysctl{tt.s})
		if got != tt.want || (err == nil) != (tt.err == "") {
			t.Errorf("%s: %s, %v", tt.s.Path, got, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), tt.err) {
			t.Errorf("%s: error %q, want %q…", tt.s.Path, err, tt.err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "kernel/panic")); err != nil || string(text) != "10\n" {
		t.Errorf("kernel.panic is %q, %v", text, err)
	}
}

// TestRightSettingsAreNotWritten: a kernel that locked a setting at its value
// refuses any write, the same value too.
func TestRightSettingsAreNotWritten(t *testing.T) {
	dir := procSys(t, map[string]string{"kernel/locked": "1"}) // a write would add a newline
	if _, err := applySysctls(dir, []Sysctl{{Path: "kernel/locked", Value: "1"}}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "kernel/locked")); err != nil || string(text) != "1" {
		t.Errorf("written: %q, %v", text, err)
	}
}

// TestDeath holds the settings without which a sick machine stays sick.
func TestDeath(t *testing.T) {
	have := map[string]string{}
	for _, s := range sysctls() {
		if _, twice := have[s.Path]; twice {
			t.Errorf("%s stands twice", s.Path)
		}
		have[s.Path] = s.Value
	}
	for path, value := range map[string]string{
		"kernel/panic": "10", "kernel/panic_on_oops": "1", "kernel/ctrl-alt-del": "0", "vm/panic_on_oom": "0",
	} {
		if have[path] != value {
			t.Errorf("%s is %q, want %q", path, have[path], value)
		}
	}
}
