package children

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// niceValues are those of all threads of a process: field 19 of proc_pid_stat(5),
// which is the 17th behind the name.
func niceValues(t *testing.T, process string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/" + process + "/task/*/stat")
	if err != nil || len(files) == 0 {
		t.Fatalf("threads of %s: %d, %v", process, len(files), err)
	}
	var values []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		values = append(values, strings.Fields(rest)[16])
	}
	return values
}

// TestNice: a child is as nice as it was told to be, and nobody else became so.
func TestNice(t *testing.T) {
	c := New()
	before := fmt.Sprint(niceValues(t, "self")[0])
	out := filepath.Join(t.TempDir(), "stat")
	for range 20 {
		p, err := c.Start(Command{Path: "/bin/sh", Argv: []string{"child", "-c", "cat /proc/self/stat >" + out}, Nice: 17})
		if err != nil {
			t.Fatal(err)
		}
		reapUntil(t, c, func(int, bool) bool { return ended(p) })
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	if got := strings.Fields(rest)[16]; got != "17" {
		t.Errorf("the child's nice value is %s", got)
	}
	for _, nice := range niceValues(t, "self") {
		if nice != before {
			t.Errorf("a thread of the parent has the nice value %s, and had %s", nice, before)
		}
	}
}
