package pid1

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPanicIsContained wants a part of PID 1 that panics to be run again, and
// the log to say where it was.
func TestPanicIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(Options{})
		runs := 0
		m.safely("fragile part", func() {
			runs++
			if runs < 3 {
				var none []int
				_ = none[runs]
			}
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if runs != 3 {
			t.Errorf("%d runs, want 3: two panics and a return", runs)
		}
		log := strings.Join(m.journal.Tail("init", 0, 100), "\n")
		for _, want := range []string{"BUG: panic in fragile part: runtime error: index out of range [1]", "safely_test.go"} {
			if !strings.Contains(log, want) {
				t.Errorf("the log lacks %q:\n%s", want, log)
			}
		}
	})
}

func TestStepOutcomes(t *testing.T) {
	m := newMachine(Options{})
	dir := filepath.Join(t.TempDir(), "dipper")
	m.step("before there is a file", func() (string, error) { return "1 of 1", nil })
	if err := m.steps.openIn(dir); err != nil {
		t.Fatal(err)
	}
	m.step("absent", func() (string, error) { return "", fmt.Errorf("pstore: %w", errAbsent) })
	m.step("failed", func() (string, error) { return "2 of 3", errors.Join(errors.New("one"), errors.New("two")) })
	m.step("broken", func() (string, error) { panic("told to") })
	text, err := os.ReadFile(filepath.Join(dir, "boot.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := []bootStep{
		{Name: "before there is a file", Outcome: "done", Detail: "1 of 1"},
		{Name: "absent", Outcome: "absent", Detail: "pstore: not on this machine"},
		{Name: "failed", Outcome: "failed", Detail: "2 of 3; one; two"},
		{Name: "broken", Outcome: "failed", Detail: "panic, see the log"},
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines: %s", len(lines), text)
	}
	for i, l := range lines {
		var got bootStep
		if err := json.Unmarshal([]byte(l), &got); err != nil {
			t.Fatal(err)
		}
		for _, d := range []string{got.At, got.Took} {
			if _, err := time.ParseDuration(d); err != nil {
				t.Errorf("%s: %v", got.Name, err)
			}
		}
		if got.At, got.Took = "", ""; got != want[i] {
			t.Errorf("step %+v, want %+v", got, want[i])
		}
	}
}

func TestRunIsForPID1(t *testing.T) {
	if err := Run(Options{}); err == nil {
		t.Error("Run took a process that is not the first")
	}
}
