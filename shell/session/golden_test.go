package session

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/shell/cells"
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
	"services":      {"", "dns6", "wab", "--exact", "--json"},
	"connections":   {"", "limit 2", "service dns6"},
	"configuration": {"", "services", "| display set"},
	"revisions":     {"", "compare 6"},
	"events":        {"", "1"},
	"log":           {"", "2"},
	"real-servers":  {"", "192.168.4.200"},
	"interfaces":    {"", "eth0", "eth7", "--json"},
}

// TestShows holds what every show writes; a new one has no golden file yet and
// fails.
func TestShows(t *testing.T) {
	for _, c := range offeredIn(showTable()) {
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

// TestShowsFitEightyColumns holds what every show writes on a window of the
// usual size, when much is going on.
func TestShowsFitEightyColumns(t *testing.T) {
	f := newFake()
	for i := range f.services {
		f.services[i].Statistics = busy
		for j := range f.services[i].RealServers {
			f.services[i].RealServers[j].Statistics = busy
			f.services[i].RealServers[j].ActiveConnections = 1_048_576
		}
	}
	var transcript strings.Builder
	for _, c := range offeredIn(showTable()) {
		if c.Name == "configuration" || c.Name == "changes" || c.Name == "log" {
			continue // a text as somebody wrote it
		}
		command := strings.TrimSpace("show " + c.Name + " " + map[string]string{"service": "web"}[c.Name])
		var out bytes.Buffer
		s := &Session{
			API: f, Actor: api.Actor{User: "ann", Role: api.Viewer, From: "10.0.0.1", Session: "s1"}, In: strings.NewReader(""), Out: &out, Err: &out,
			Registry: &Registry{}, Terminal: &Terminal{Width: 80, Height: 24, Type: "vt100"}, Now: func() time.Time { return noon },
		}
		s.Exec(t.Context(), command)
		shown := strings.ReplaceAll(out.String(), "\r", "")
		if strings.Contains("interfaces rates real-servers revisions service services", c.Name) {
			transcript.WriteString("lb1> " + command + "\n" + shown + "\n")
		}
		for line := range strings.Lines(shown) {
			if w := cells.Width(strings.TrimSuffix(line, "\n")); w > 80 {
				t.Errorf("%s: %d cells: %s", command, w, line)
			}
		}
	}
	golden(t, "eighty-columns", transcript.String())
}

// busy is what a service may have counted that gets 10 Gbit/s.
var busy = api.Statistics{
	Connections: 987_654_321, InPackets: 987_654_321_987, OutPackets: 987_654_321, InBytes: 987 << 40, OutBytes: 987 << 30,
	ConnectionRate: 98_765, InPacketRate: 987_654, OutPacketRate: 987_654, InByteRate: 1_250_000_000, OutByteRate: 98_000_000,
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

// offeredIn are the commands of a table that somebody is told of.
func offeredIn(table []*command) []*command {
	return slices.DeleteFunc(slices.Clone(table), func(c *command) bool { return c.Hidden })
}

// TestEveryShowHasJSON: all but the followed ones.
func TestEveryShowHasJSON(t *testing.T) {
	for _, c := range offeredIn(showTable()) {
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
