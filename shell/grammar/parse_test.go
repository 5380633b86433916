package grammar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dipper/appliance/api"
)

type cmd = Command[string]

func number(text string) error {
	if strings.Trim(text, "0123456789") != "" {
		return fmt.Errorf("%q: expected a number", text)
	}
	return nil
}

// table has one of everything.
func table() []*cmd {
	service := Arg{Name: "service", Help: "a virtual service", Kind: "service"}
	json := Option{Name: "--json", Help: "as JSON"}
	return []*cmd{
		{Name: "no", Instead: "delete it", Hidden: true},
		{Name: "write", Hidden: true, Bare: true, Run: "saved", Sub: []*cmd{{Name: "memory", Hidden: true, Run: "saved"}, {Name: "terminal", Instead: "show it", Hidden: true}}},
		{Name: "showing", Hidden: true, Run: "never by its abbreviation"},
		{Name: "show", Help: "show", Sub: []*cmd{
			{Name: "service", Help: "one", Args: []Arg{service}, Options: []Option{json}, Run: "one"},
			{Name: "services", Help: "all", Options: []Option{json}, Run: "all"},
			{Name: "log", Help: "log", Args: []Arg{{Name: "lines", Check: number, Optional: true}}, Options: []Option{{Name: "follow"}, json}, Run: "log"},
			{Name: "connections", Help: "connections", Options: []Option{
				{Name: "client", Arg: &Arg{Name: "address"}},
				{Name: "limit", Arg: &Arg{Name: "number", Check: number}}, json,
			}, Run: "connections"},
			{Name: "configuration", Help: "configuration", Args: []Arg{{Name: "path", Optional: true, Repeated: true}}, Options: []Option{json}, Run: "configuration"},
		}},
		{Name: "server", Help: "server", Role: api.Operate, Args: []Arg{{Name: "server"}}, Sub: []*cmd{
			{Name: "drain", Help: "drain", Run: "drain", Options: []Option{{Name: "for", Arg: &Arg{Name: "time"}}}},
			{Name: "weight", Help: "weigh", Args: []Arg{{Name: "weight", Check: number}}, Run: "weight"},
		}},
		{Name: "configure", Help: "configure", Role: api.Admin, Bare: true, Run: "configure", Sub: []*cmd{{Name: "shared", Help: "together", Run: "shared"}}},
		{Name: "compare", Help: "compare", Args: []Arg{{Name: "with", Optional: true, Values: []Value{{Word: "running"}, {Word: "saved"}}, Check: number}}, Run: "compare"},
		{Name: "keep", Help: "keep", Role: api.Admin, Args: []Arg{{Name: "name", Optional: true, Check: number}}, Options: []Option{
			{Name: "within", Arg: &Arg{Name: "time", Check: number, Optional: true}}, {Name: "check"}, {Name: "comment", Arg: &Arg{Name: "text"}},
		}, Run: "keep"},
		{Name: "ipvsadm", Help: "ipvsadm", Args: []Arg{{Name: "arguments", Optional: true, Verbatim: true}}, Run: "ipvsadm"},
		{Name: "set", Help: "set", Args: []Arg{{Name: "path", Verbatim: true}}, Run: "set"},
	}
}

func stage(t testing.TB, line string) Stage {
	t.Helper()
	statements, err := Split(line)
	if err != nil {
		t.Fatal(err)
	}
	return statements[0][0]
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"show services", "all: show services"},
		{"sh services --json", "all: show services --json"},
		{"sh services --j", "all: show services --json"},
		{"show service web", "one: show service web service=[web]"},
		{`show service "a b"`, `one: show service "a b" service=[a b]`},
		{"show log", "log: show log"},
		{"show log 20 fol", "log: show log 20 follow lines=[20]"},
		{"show log f", "log: show log follow"},
		{"show con l 5 cl 10.0.0.1", ""},
		{"show conn l 5 cl 10.0.0.1", "connections: show connections limit 5 client 10.0.0.1 client=[10.0.0.1] limit=[5]"},
		{"show conf services web --json", "configuration: show configuration services web --json path=[services web]"},
		{"show conf", "configuration: show configuration"},
		{"ser 10.0.0.1 dr for 10m", "drain: server 10.0.0.1 drain for 10m for=[10m] server=[10.0.0.1]"},
		{"server drain drain", "drain: server drain drain server=[drain]"},
		{"server x weight 7", "weight: server x weight 7 server=[x] weight=[7]"},
		{"configure", "configure: configure"},
		{"conf s", "shared: configure shared"},
		{"comp", "compare: compare"},
		{"comp r", "compare: compare running with=[running]"},
		{"comp 7", "compare: compare 7 with=[7]"},
		{"ipvsadm -Ln --json x", "ipvsadm: ipvsadm -Ln --json x arguments=[-Ln --json x]"},
		{"ip", "ipvsadm: ipvsadm"},
		{"set services --json", "set: set services --json path=[services --json]"},
		{"sh log", "log: show log"},
		{"wr", "saved: write"},
		{"write m", "saved: write memory"},
		{"keep within", "keep: keep within"},
		{"keep within 5", "keep: keep within 5 within=[5]"},
		{"keep within 5 check", "keep: keep within 5 check within=[5]"},
		{"keep within check comment x", "keep: keep within check comment x comment=[x]"},
		{"keep within com x", "keep: keep within comment x comment=[x]"},
		{"keep within 5 6", "keep: keep within 5 6 name=[6] within=[5]"},
		{"keep within check 5", "keep: keep within check 5 name=[5]"},
		{"keep check comment", ""},
	} {
		call, err := Parse(table(), api.Admin, stage(t, tt.line))
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s was understood as %s", tt.line, call)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		if got := described(call); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.line, got, tt.want)
		}
	}
}

func described(call *Call[string]) string {
	text := call.Command().Run + ": " + call.String()
	var names []string
	for name := range call.values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if len(call.Texts(name)) > 0 {
			text += fmt.Sprintf(" %s=%v", name, call.Texts(name))
		}
	}
	return text
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ line, carets, want string }{
		{"shwo services", "^^^^", `unknown command "shwo": did you mean "show"?`},
		{"frobnicate", "^^^^^^^^^^", `unknown command "frobnicate": ? lists the commands`},
		{"show servces", "     ^^^^^^^", `"servces" is not expected after "show": did you mean "services"?`},
		{"sh", "  ^", `"show" is not complete: expected one of service, services, log, connections, configuration`},
		{"s services", "^", `"s" is short for more than one word: it could be show, server, set`},
		{"show serv", "     ^^^^", `"serv" is short for more than one word: it could be service, services`},
		{"show service", "            ^", `"show service" is not complete: expected <service>`},
		{"show services web", "              ^^^", `"web" is not expected after "show services": expected --json`},
		{"show connections limit", "                      ^", `"show connections limit" is not complete: expected <number>`},
		{"show connections limit many", "                       ^^^^", `number: "many": expected a number`},
		{"show connections limit 5 limit 6", "                         ^^^^^", `"limit" is not expected after "show connections limit 5": expected one of client, --json`},
		{"show log many", "         ^^^^", `lines: "many": expected a number`},
		{"server x weight", "               ^", `"server x weight" is not complete: expected <weight>`},
		{"server x wieght 3", "         ^^^^^^", `"wieght" is not expected after "server x": did you mean "weight"?`},
		{"compare sved", "        ^^^^", `with: "sved": expected a number`},
		{"configure shared x", "                 ^", `"x" is not expected after "configure shared": nothing may follow it`},
		{"no service web", "^^", `there is no "no" here: delete it`},
		{"write terminal now", "      ^^^^^^^^", `there is no "terminal" here: show it`},
		{"wri e", "    ^", `"e" is not expected after "write": nothing may follow it`},
		{`"show" services`, "^^^^^^", `unknown command "show": write it without quotes`},
	} {
		_, err := Parse(table(), api.Admin, stage(t, tt.line))
		wantMistake(t, tt.line, err, tt.carets, tt.want)
	}
}

func TestRoles(t *testing.T) {
	for _, tt := range []struct {
		role  api.Role
		line  string
		allow bool
	}{
		{api.Viewer, "show services", true},
		{api.Viewer, "server x drain", false},
		{api.Viewer, "configure", false},
		{api.Operate, "server x drain", true},
		{api.Operate, "configure shared", false},
		{api.Admin, "configure", true},
		{"", "configure", true},        // the machine itself
		{"nobody", "configure", false}, // a role that is not known may look only
		{"nobody", "show services", true},
	} {
		_, err := Parse(table(), tt.role, stage(t, tt.line))
		var refused *Refused
		if errors.As(err, &refused) == tt.allow || err == nil != tt.allow {
			t.Errorf("%s: %s: %v", tt.role, tt.line, err)
		}
	}
	var refused *Refused
	_, err := Parse(table(), api.Viewer, stage(t, "conf"))
	if !errors.As(err, &refused) || err.Error() != "configure: this needs the role admin, and yours is viewer: ask an administrator" {
		t.Errorf("got %v", err)
	}
}

// complete answers what may come next, written as one line.
func complete(t testing.TB, role api.Role, line string) string {
	t.Helper()
	s, _ := Last(line)
	c, _, err := Complete(table(), role, s)
	if err != nil {
		return "error: " + err.Error()
	}
	var words []string
	for _, k := range c.Known {
		words = append(words, k.Word)
	}
	for _, a := range c.Asked {
		words = append(words, "<"+a.Arg.Name+">")
		if len(a.Before) > 0 {
			words = append(words, fmt.Sprint(a.Before))
		}
	}
	if c.Enter {
		words = append(words, "enter")
	}
	return strings.Join(words, " ")
}

func TestComplete(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"", "show server configure compare keep ipvsadm set"},
		{"s", "show server set"},
		{"show ", "service services log connections configuration"},
		{"sh serv", "service services"},
		{"sh services", "services"},
		{"show services ", "--json enter"},
		{"show services --json ", "enter"},
		{"show service ", "<service>"},
		{"show log ", "follow --json <lines> enter"},
		{"show connections client ", "<address>"},
		{"show connections client 10.0.0.1 ", "limit --json enter"},
		{"show configuration a b", "<path> [a]"},
		{"show configuration a ", "--json <path> [a] enter"},
		{"server ", "<server>"},
		{"server x ", "drain weight"},
		{"server x w", "weight"},
		{"server x weight ", "<weight>"},
		{"compare r", "running <with>"},
		{"configure ", "shared enter"},
		{"set a b ", "<path> [a b] enter"},
		{"keep within ", "check comment <time> <name> enter"},
		{"keep within 5 ch", "check <name>"},
		{"show x ", `error: "x" is not expected after "show": expected one of service, services, log, connections, configuration`},
		{"show services; conf", "configure"},
	} {
		if got := complete(t, api.Admin, tt.line); got != tt.want {
			t.Errorf("%q\n got %s\nwant %s", tt.line, got, tt.want)
		}
	}
	if got := complete(t, api.Viewer, ""); got != "show compare ipvsadm set" {
		t.Errorf("a viewer is offered %s", got)
	}
}

// FuzzParse holds that nothing that can be typed does harm, and that what was
// understood is understood again when it is written in full.
func FuzzParse(f *testing.F) {
	for _, line := range []string{"sh services --j", "ser x dr for 10m", `show service "`, "set a | match b", "comp 7", "show log 5 f"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		last, _ := Last(line)
		if _, _, err := Complete(table(), api.Admin, last); err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
		statements, err := Split(line)
		if err != nil || len(statements) == 0 {
			return
		}
		call, err := Parse(table(), api.Admin, statements[0][0])
		if err != nil {
			return
		}
		again, err := Parse(table(), api.Admin, stage(t, call.String()))
		if err != nil || again.String() != call.String() {
			t.Fatalf("%q is %s, and that is %v, %v", line, call, again, err)
		}
	})
}
