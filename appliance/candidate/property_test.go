package candidate

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/config"
)

// configurations gives the valid configurations of config's tests and of the
// examples by their files.
func configurations(t testing.TB) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, pattern := range []string{"../config/testdata/good/*.yaml", "../../examples/*/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: no files (%v)", pattern, err)
		}
		for _, name := range names {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(name) != "lab.yaml" {
				all[name] = string(src)
			}
		}
	}
	return all
}

// TestEveryConfiguration: what config takes can be said in commands, and in
// YAML by this package, and means the same.
func TestEveryConfiguration(t *testing.T) {
	for name, src := range configurations(t) {
		t.Run(filepath.Base(filepath.Dir(name))+"/"+filepath.Base(name), func(t *testing.T) {
			want, err := config.Parse(name, []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			for form, yaml := range map[string]string{"source": src, "rendered": string(config.Render(want))} {
				d := parsed(t, yaml)
				wantConfig(t, form, d, want)
				wantConfig(t, form+", replayed", replayed(t, d), want)
			}
		})
	}
}

// replayed runs a document's commands on an empty one.
func replayed(t testing.TB, d *Document) *Document {
	t.Helper()
	commands, err := d.Commands(View{Secrets: true})
	if err != nil {
		t.Fatal(err)
	}
	again := New()
	if err := again.Run("commands", strings.Join(commands, "\n")); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(commands, "\n"))
	}
	return again
}

func wantConfig(t *testing.T, form string, d *Document, want *config.Config) {
	t.Helper()
	got, err := config.Parse(form, d.YAML())
	if err != nil {
		t.Fatalf("%s: %v\n%s", form, err, d.YAML())
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: another configuration (-want +got):\n%s\nof\n%s", form,
			cmp.Diff(strings.Split(string(config.Render(want)), "\n"), strings.Split(string(config.Render(got)), "\n")), d.YAML())
	}
}

// wantStable holds what is true for every document: it comes back from its
// YAML and from its commands.
func wantStable(t *testing.T, d *Document) {
	t.Helper()
	again, err := Parse("again.yaml", d.YAML())
	if err != nil {
		t.Fatalf("%v\n%s", err, d.YAML())
	}
	wantSame(t, again, d)
	wantSame(t, replayed(t, d), d)
}

const commented = `# The first director of the pair.
# Ask the network team before changing it.

role: director # for now
network:
  interfaces:
    eth0:
      # towards the clients
      addresses:
        - 192.168.4.5/24 # the DIP
        - 2001:db8:4::5/64
services:
  # the shop
  web:
    listen: 192.168.4.15:80
    real-servers:
      # rack 7
      - {address: 192.168.4.100, weight: 1}
      -
        # rack 8
        address: 192.168.4.200
        weight: 1 # as long as it is hot
        tunnel: {type: gue, port: 6080} # not needed
`

func TestCommentsAreKept(t *testing.T) {
	d := parsed(t, commented)
	wantText(t, string(d.YAML()), `# The first director of the pair.
# Ask the network team before changing it.

# for now
role: director
network:
  interfaces:
    eth0:
      # towards the clients
      addresses:
        # the DIP
        - 192.168.4.5/24
        - 2001:db8:4::5/64
services:
  # the shop
  web:
    listen: 192.168.4.15:80
    real-servers:
      # rack 7
      - {address: 192.168.4.100, weight: 1}
      # rack 8
      - address: 192.168.4.200
        # as long as it is hot
        weight: 1
        # not needed
        tunnel: {type: gue, port: 6080}
`)
	wantStable(t, d)
	wantStable(t, edited(t, d, `
annotate "all of it"
annotate services ''
annotate services web ""
annotate services web real-servers 192.168.4.100 weight "# not a number: [\nof machines"
set services web real-servers 192.168.4.100 weight 2
`))
}

func FuzzParse(f *testing.F) {
	for _, src := range configurations(f) {
		f.Add(src)
	}
	f.Add(commented)
	f.Add(s2YAML)
	f.Add("role: director\n# the end")
	f.Add("# nothing\n")
	f.Add("services: {web: {listen: [\"[2001:db8::1]:80\"], persistence: {}}}")
	f.Add("serve: [{protocol: http, body: \"\\x00\\t# \\U0001F600\"}]")
	f.Fuzz(func(t *testing.T, src string) {
		d, err := Parse("fuzz.yaml", []byte(src))
		if err != nil {
			return
		}
		wantStable(t, d)
		before, err := config.Parse("fuzz.yaml", []byte(src))
		if err == nil {
			wantConfig(t, "fuzz", d, before)
		}
	})
}

func FuzzCommands(f *testing.F) {
	f.Add(s2)
	f.Add("set services web listen 1.2.3.4:80\nrename services web to a\ncopy services a to b\ndelete services a listen")
	f.Add("set network routes default metric 5 via 1.2.3.4\nset network routes 0.0.0.0/0 metric 5 via fe80::1\nset network routes ::/0 interface eth0")
	f.Add("annotate '#'\nset serve http port 80 address ::1 body '# \"'\nset serve http\nset serve tcp-echo port 7")
	f.Add("set services web real-servers [::1]:80 weight 1\nset services web listen [::2]:80\nset services web real-servers ::1 weight 0\ninsert services web real-servers ::1 before ::2")
	f.Add("set management ssh users a keys 'ssh-ed25519 AAAA x'")
	f.Fuzz(func(t *testing.T, commands string) {
		d := parsed(t, s2YAML)
		for line := range strings.SplitSeq(commands, "\n") {
			words, err := Split(line)
			if err != nil || len(words) == 0 {
				continue
			}
			d.Complete(Verb(words[0]), words[1:], "", 10)
			before := d.Clone()
			if d.Do(words...) != nil {
				wantSame(t, d, before)
			}
		}
		wantStable(t, d)
	})
}

// FuzzCompare: the commands of a comparison lead from one to the other.
func FuzzCompare(f *testing.F) {
	f.Add(s2YAML, commented)
	f.Add(commented, s2YAML)
	f.Add("network: {name-servers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4]}", "network: {name-servers: [1.1.1.3, 1.1.1.5, 1.1.1.1, 1.1.1.4]}")
	f.Add("services: {web: {listen: 1.1.1.1:80, real-servers: [{address: 1.1.1.2}]}}", "services: {web: {listen: [1.1.1.1:81, 1.1.1.1:82], real-servers: [{address: 1.1.1.2, port: 80}]}}")
	f.Add("services: {web: {scheduler-flags: [port, fallback]}}", "services: {web: {scheduler-flags: []}}")
	f.Add("services: {web: {scheduler-flags: []}}", "services: {web: {scheduler-flags: [port]}}")
	f.Fuzz(func(t *testing.T, first, second string) {
		a, errA := Parse("a.yaml", []byte(first))
		b, errB := Parse("b.yaml", []byte(second))
		if errA != nil || errB != nil {
			return
		}
		changes := strings.Join(Changes(View{Secrets: true}, a, b), "\n")
		result := a.Clone()
		if err := result.Run("changes", changes); err != nil {
			t.Fatalf("%v\n%s", err, changes)
		}
		if left := Compare(result, b); len(left) > 0 {
			t.Errorf("left over: %v\nof\n%s", left, changes)
		}
	})
}

// TestSalvageEveryMistake: what is right of a bad configuration can be edited and
// written.
func TestSalvageEveryMistake(t *testing.T) {
	files, err := filepath.Glob("../config/testdata/bad/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d, _, err := Salvage(file, src)
		if err != nil {
			continue // config's tests say which
		}
		back, err := Parse(file, d.YAML())
		if err != nil || !back.Equal(d) {
			t.Errorf("%s: written and read again, %v:\n%s", file, err, d.YAML())
		}
	}
}
