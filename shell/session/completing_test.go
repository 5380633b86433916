package session

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"dipper/appliance/api"
	"dipper/shell/grammar"
)

// TestTooMany: where more fit than are shown, Tab goes no further than all do.
func TestTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		for i := range 300 {
			f.manyNames = append(f.manyNames, fmt.Sprintf("10.0.0.%03d", i))
		}
		d := sit(t, f, 100, 150)
		d.types(ctrlL, "server 10", tab) // the first hundred begin with 10.0.0.0
		s := d.vt.Screen()
		if !strings.HasSuffix(s, "  ... and more: type on\nann@lb1> server 10_") || !strings.Contains(s, "\n  10.0.0.099  weight 1\n") {
			t.Errorf("screen:\n%s", s)
		}
		d.types(ctrlU, "server 10.0.0.27", tab)
		if s := d.vt.Screen(); !strings.HasSuffix(s, "  10.0.0.279  weight 1\nann@lb1> server 10.0.0.27_") {
			t.Errorf("screen:\n%s", s)
		}
		d.types(ctrlU, ctrlD)
		if err := d.ends(); err != nil {
			t.Error(err)
		}
	})
}

// TestHelpIsTheGrammar: whatever `?` lists is accepted as the next word, and
// every other word of the tables is not, unless it is a hidden one there. All
// places that can be reached by words of the tables are tried.
func TestHelpIsTheGrammar(t *testing.T) {
	places := 0
	for _, configuring := range []bool{false, true} {
		c := &conversation{Session: &Session{API: newFake(), Actor: api.Actor{Role: api.Admin}}}
		if configuring {
			c.candidate = &api.Candidate{ID: "1"}
		}
		every := wordsOf(c.table())
		var visit func(line string, depth int)
		visit = func(line string, depth int) {
			places++
			o, err := c.offers(t.Context(), line)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			offered := map[string]bool{}
			for _, k := range o.Known {
				offered[k.Word] = true
			}
			_, complete := understood(c, line)
			if complete != o.Enter && line != "" {
				t.Errorf("%q: help says that it may end here: %v; it is so: %v", line, o.Enter, complete)
			}
			for _, w := range every {
				accepted, _ := understood(c, line+w)
				if accepted && !offered[w] && entersHidden(t, c, line+w) {
					continue
				}
				if len(o.Asked) == 0 && accepted != offered[w] && !abbreviates(w, offered) {
					t.Errorf("%q then %q: accepted %v, offered %v", line, w, accepted, offered[w])
				}
				if offered[w] && !accepted {
					t.Errorf("%q then %q is offered and not accepted", line, w)
				}
			}
			if depth == 0 {
				return
			}
			for w := range offered {
				visit(line+w+" ", depth-1)
			}
			for _, a := range o.Asked {
				if v := sample(a.Arg.Check); v != "" && !a.Arg.Repeated && !a.Arg.Verbatim {
					visit(line+v+" ", depth-1)
				}
			}
		}
		visit("", 3)
	}
	if places < 250 {
		t.Errorf("only %d places were visited", places)
	}
}

// entersHidden reports whether the last word of a line is a command that is
// not offered.
func entersHidden(t *testing.T, c *conversation, line string) bool {
	statements, err := grammar.Split(line)
	if err != nil {
		t.Fatal(err)
	}
	full, err := grammar.Expand(c.table(), statements[0][0])
	words := strings.Fields(full)
	return err == nil && hiddenWords(c.table())[words[len(words)-1]]
}

// hiddenWords are the names of a table that are not offered.
func hiddenWords(list []*command) map[string]bool {
	names := map[string]bool{}
	for _, c := range list {
		if c.Hidden {
			names[c.Name] = true
		}
		maps.Copy(names, hiddenWords(c.Sub))
	}
	return names
}

// abbreviates reports whether a word is short for one that is offered.
func abbreviates(word string, offered map[string]bool) bool {
	for o := range offered {
		if strings.HasPrefix(o, word) {
			return true
		}
	}
	return false
}

// sample is a value that passes a check.
func sample(check func(string) error) string {
	for _, v := range []string{"web", "5", "10m", "10.0.0.1", "http://a/b"} {
		if check == nil || check(v) == nil {
			return v
		}
	}
	return ""
}

// understood reports whether the words of a line fit so far, and whether the
// line is complete.
func understood(c *conversation, line string) (fits, complete bool) {
	_, err := c.offers(context.Background(), strings.TrimSuffix(line, " ")+" ")
	return err == nil, parses(c, line)
}

// TestAbbreviations: every prefix of a command that is unique among its
// siblings means that command, unless it is a hidden word itself, as ip is.
func TestAbbreviations(t *testing.T) {
	tried := 0
	for _, table := range [][]*command{operationalTable(), configurationTable()} {
		var visit func(path []string, list []*command)
		visit = func(path []string, list []*command) {
			notOffered := map[string]bool{}
			for _, c := range list {
				notOffered[c.Name] = c.Hidden
			}
			list = offeredIn(list)
			for _, c := range list {
				for n := 1; n <= len(c.Name); n++ {
					prefix := c.Name[:n]
					fits := 0
					for _, other := range list {
						if strings.HasPrefix(other.Name, prefix) {
							fits++
						}
					}
					if fits > 1 && prefix != c.Name || notOffered[prefix] {
						continue
					}
					tried++
					line := strings.Join(append(path[:len(path):len(path)], prefix), " ")
					got := meant(table, line)
					if want := strings.Join(append(path[:len(path):len(path)], c.Name), " "); got != want {
						t.Errorf("%q means %q, want %q", line, got, want)
					}
				}
				next := append(path[:len(path):len(path)], c.Name)
				for _, a := range c.Args {
					if !a.Optional {
						next = append(next, sample(a.Check))
					}
				}
				visit(next, c.Sub)
			}
		}
		visit(nil, table)
	}
	if tried < 300 {
		t.Errorf("only %d abbreviations were tried", tried)
	}
}

// crowded is a session on a director with so many real servers.
func crowded(count int) *conversation {
	f := newFake()
	for i := range count {
		f.manyNames = append(f.manyNames, fmt.Sprintf("10.0.%d.%d", i/250, i%250+1))
	}
	slices.Sort(f.manyNames)
	return &conversation{Session: &Session{API: f, Actor: api.Actor{Role: api.Admin}}}
}

// TestCompletionIsBounded: among ten thousand real servers it costs what it
// costs among two hundred.
func TestCompletionIsBounded(t *testing.T) {
	cost := func(c *conversation) float64 {
		return testing.AllocsPerRun(10, func() {
			o, err := c.offers(t.Context(), "server 10.0.")
			if err != nil || len(o.values) != maxOffered || !o.cut {
				t.Fatalf("%d values, more: %v, %v", len(o.values), o.cut, err)
			}
		})
	}
	few, many := cost(crowded(200)), cost(crowded(10_000))
	if many > few*1.1 {
		t.Errorf("%v allocations among 10,000 real servers, %v among 200", many, few)
	}
}

// BenchmarkComplete completes among ten thousand real servers.
func BenchmarkComplete(b *testing.B) {
	c := crowded(10_000)
	for b.Loop() {
		if _, err := c.offers(b.Context(), "server 10.0.3"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCompletesIPVSAdm: its commands, as far as the role may, then the options of
// the one that stands there, and the values that the appliance knows.
func TestCompletesIPVSAdm(t *testing.T) {
	for _, tt := range []struct {
		role       api.Role
		line, want string
	}{
		{api.Viewer, "ipvsadm -", "-L -S -h"},
		{api.Operate, "ipvsadm -", "-L -S -Z -h"},
		{api.Admin, "ipvsadm ", "-A -E -D -a -e -d -C -R -L -S -Z --set --start-daemon --stop-daemon -h"},
		{api.Admin, "ipvsadm --s", "--set --start-daemon --stop-daemon"},
		{api.Admin, "ipvsadm -A -t 192.168.4.15:80 -s ", "wlc wrr"},
		{api.Admin, "ipvsadm -A -t 192.168.4.15:80 -s w", "wlc wrr"},
		{api.Admin, "ipvsadm -A -t ", ""},
		{api.Admin, "ipvsadm -A -t 192.168.4.15:80 -", "-s -p -M -o -b"},
		{api.Admin, "ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.1", "192.168.4.100"},
		{api.Admin, "ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.100 -", "-g -i -m -w -x -y"},
		{api.Viewer, "ipvsadm -L --st", "--stats"},
		{api.Viewer, "ipvsadm -Ln --ra", "--rate"},
		{api.Viewer, "ipvsadm -h ", ""},
		{api.Viewer, "ipvsadm nonsense -", ""},
	} {
		c := &conversation{Session: &Session{API: newFake(), Actor: api.Actor{Role: tt.role}}}
		o, err := c.offers(t.Context(), tt.line)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(o.words(), " "); got != tt.want {
			t.Errorf("%s: %q\n got %s\nwant %s", tt.role, tt.line, got, tt.want)
		}
	}
}
