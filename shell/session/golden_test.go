package session

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

// exec runs one command without a terminal, and answers what it says and its
// exit status.
func exec(t testing.TB, f *fake, role api.Role, in, command string) (out, errOut string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	s := &Session{
		API: f, Actor: api.Actor{User: "ann", Role: role, From: "10.0.0.1", Session: "s1"}, In: strings.NewReader(in), Out: &o, Err: &e,
		Registry: &Registry{}, Now: func() time.Time { return noon },
	}
	status = s.Exec(t.Context(), command)
	return o.String(), e.String(), status
}

// shown are the arguments that a show needs to show something.
var shown = map[string][]string{
	"service":       {"web", "web --json", "nothing"},
	"services":      {"", "--exact", "--json"},
	"connections":   {"", "limit 2", "service dns6"},
	"configuration": {"", "services", "| display set"},
	"revisions":     {"", "compare 6"},
	"events":        {"", "1"},
	"log":           {"", "2"},
	"real-servers":  {"", "192.168.4.200"},
	"interfaces":    {"", "--json"},
}

// TestShows holds what every show writes; a new one has no golden file yet and
// fails.
func TestShows(t *testing.T) {
	for _, c := range showTable() {
		t.Run(c.Name, func(t *testing.T) {
			arguments := shown[c.Name]
			if arguments == nil {
				arguments = []string{""}
			}
			var transcript strings.Builder
			for _, a := range arguments {
				command := strings.TrimSpace("show " + c.Name + " " + a)
				out, errOut, _ := exec(t, newFake(), api.Viewer, "", command)
				transcript.WriteString("lb1> " + command + "\n" + out + errOut + "\n")
			}
			golden(t, "show-"+c.Name, transcript.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v\nrun the test with -update, and read what it writes", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestEveryShowHasJSON: all but the followed ones.
func TestEveryShowHasJSON(t *testing.T) {
	for _, c := range showTable() {
		if !c.Run.json {
			t.Errorf("show %s: no JSON", c.Name)
		}
		flag := false
		for _, o := range c.Options {
			flag = flag || o.Name == "--json"
		}
		if !flag {
			t.Errorf("show %s: no --json", c.Name)
		}
	}
}
