package nice_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dipper/appliance/nice"
)

// valueIn reads a nice value: field 19 of proc_pid_stat(5), which is the 17th
// behind the name.
func valueIn(stat []byte) string {
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.Fields(rest)[16]
}

// own are those of all threads of this process.
func own(t *testing.T) (values []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil || len(files) == 0 {
		t.Fatalf("threads: %d, %v", len(files), err)
	}
	for _, file := range files {
		if stat, err := os.ReadFile(file); err == nil { // else a thread that has ended
			values = append(values, valueIn(stat))
		}
	}
	return values
}

// TestWhile: a child is as nice as it was told to be, and nobody else became so.
func TestWhile(t *testing.T) {
	before := own(t)[0]
	for value, want := range map[int]string{0: before, 12: "12", 17: "17", 19: "19"} {
		for range 10 {
			var child strings.Builder
			cmd := exec.Command("cat", "/proc/self/stat")
			cmd.Stdout = &child
			if err := nice.While(value, cmd.Start); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			if got := valueIn([]byte(child.String())); got != want {
				t.Errorf("a child that is to have %d has the nice value %s", value, got)
			}
		}
	}
	for _, value := range own(t) {
		if value != before {
			t.Errorf("a thread of the parent has the nice value %s, and had %s", value, before)
		}
	}
}

// TestItsError is what fork answered.
func TestItsError(t *testing.T) {
	want := errors.New("no")
	if err := nice.While(11, func() error { return fmt.Errorf("fork: %w", want) }); !errors.Is(err, want) {
		t.Error(err)
	}
}
