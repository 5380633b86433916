package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
)

// operated is an appliance that can be operated; it remembers what was asked.
type operated struct {
	*appliance
	api.Operator
	api.Configurator
	asked []any
}

func (o *operated) Program(_ context.Context, argv []string, in io.Reader, out, errOut io.Writer) (int, error) {
	read, err := io.ReadAll(in)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(out, "%s read %q", strings.Join(argv, " "), read)
	fmt.Fprint(errOut, "moan")
	if argv[0] == "false" {
		return 3, nil
	}
	return 0, nil
}

func (o *operated) SetServer(_ context.Context, v api.ServerVerb) ([]api.ServerResult, error) {
	o.asked = append(o.asked, v)
	return []api.ServerResult{{
		Service: "web", Server: "192.168.4.100:80", Weight: v.Weight, Was: 2, Connections: 7,
		Until: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}}, nil
}

func (o *operated) Clear(_ context.Context, q api.ClearQuery) (int, error) {
	o.asked = append(o.asked, q)
	return 3, nil
}

func (o *operated) Changes(context.Context) (api.Comparison, error) {
	return api.Comparison{Tree: []string{"[edit services web]", "+  scheduler: rr"}, Warnings: []string{"drained"}}, nil
}

func (o *operated) Save(_ context.Context, comment string) (api.Revision, error) {
	o.asked = append(o.asked, comment)
	return api.Revision{Number: 4}, nil
}

func (o *operated) Confirm(context.Context) (api.Revision, error) {
	return api.Revision{Number: 5}, nil
}

func (o *operated) Revisions(context.Context) ([]api.Revision, error) {
	return []api.Revision{{Number: 4, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), User: "anna", Via: "commit", Comment: "more"}}, nil
}

func (o *operated) Events(context.Context, int, bool) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		yield(api.Event{Number: 1, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Kind: "drift", Text: "put back"}, nil)
	}
}

func (o *operated) OpenCandidate(context.Context, bool) (api.Candidate, error) {
	return api.Candidate{ID: "9"}, nil
}

func (o *operated) EditCandidate(_ context.Context, id string, e api.Edit) (api.Candidate, error) {
	o.asked = append(o.asked, id, e)
	return api.Candidate{ID: id}, nil
}

func (o *operated) Commit(_ context.Context, _ string, c api.CommitOptions) (api.Committed, error) {
	o.asked = append(o.asked, c)
	return api.Committed{Comparison: api.Comparison{Plan: []string{"ipvsadm -C"}, Disturbed: []string{"all"}}, Revision: 6}, nil
}

func (o *operated) CloseCandidate(_ context.Context, id string) error {
	o.asked = append(o.asked, "close "+id)
	return nil
}

func TestCLIOperates(t *testing.T) {
	file := filepath.Join(t.TempDir(), "next.yaml")
	if err := os.WriteFile(file, []byte("role: director\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const server = `
SERVICE  SERVER            WEIGHT  WAS  ACTIVE  UNTIL
web      192.168.4.100:80  %d       2    7       2026-01-02 03:04:05
`
	tests := []struct {
		args  string
		in    string
		want  string
		asked []any
	}{
		{args: "ipvsadm -Ln", in: "nobody reads this", want: "ipvsadm -Ln read \"\""},
		{args: "ipvsadm -R", in: "-C\n", want: "ipvsadm -R read \"-C\\n\""},
		{args: "debug ps aux", want: "ps aux read \"\""},
		{args: "server 192.168.4.100 drain", want: fmt.Sprintf(server[1:], 0), asked: []any{api.ServerVerb{Server: "192.168.4.100", Verb: api.Drain}}},
		{
			args: "server 192.168.4.100:80 of web weight 5 for 10m", want: fmt.Sprintf(server[1:], 5),
			asked: []any{api.ServerVerb{Server: "192.168.4.100:80", Service: "web", Verb: api.Weigh, Weight: 5, For: api.Duration(10 * time.Minute)}},
		},
		{args: "clear counters web", want: "3 cleared\n", asked: []any{api.ClearQuery{What: "counters", Service: "web"}}},
		{args: "clear connections web 192.168.4.100", want: "3 cleared\n", asked: []any{api.ClearQuery{What: "connections", Service: "web", Server: "192.168.4.100"}}},
		{args: "changes", want: "[edit services web]\n+  scheduler: rr\n# drained\n"},
		{args: "save for good", want: "revision 4\n", asked: []any{"for good"}},
		{args: "confirm", want: "revision 5\n"},
		{args: "revisions", want: "REVISION  TIME                 USER  VIA     COMMENT\n4         2026-01-02 03:04:05  anna  commit  more\n"},
		{args: "events", want: "2026-01-02 03:04:05 drift    put back\n"},
		{
			args: "commit " + file + " confirmed 10m comment careful", want: "> ipvsadm -C\n! all\nrevision 6\n",
			asked: []any{
				"9", api.Edit{Kind: api.EditOverride, Text: "role: director\n"},
				api.CommitOptions{Confirm: api.Duration(10 * time.Minute), Comment: "careful"}, "close 9",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			o := &operated{appliance: &appliance{changed: make(chan struct{})}}
			var out, errOut bytes.Buffer
			if err := CLI(t.Context(), socket(t, o), strings.Fields(tt.args), strings.NewReader(tt.in), &out, &errOut); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", out.String(), tt.want)
			}
			if diff := cmp.Diff(tt.asked, o.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCLIOperatesNot(t *testing.T) {
	o := &operated{appliance: &appliance{changed: make(chan struct{})}}
	c := socket(t, o)
	var out, errOut bytes.Buffer
	run := func(line string) error {
		return CLI(t.Context(), c, strings.Fields(line), strings.NewReader(""), &out, &errOut)
	}
	var exit ExitError
	if err := run("debug false"); !errors.As(err, &exit) || exit != 3 || errOut.String() != "moan" {
		t.Errorf("debug: got %v, want exit status 3; said %q", err, errOut.String())
	}
	for _, line := range []string{
		"server 192.168.4.100", "server 192.168.4.100 weight", "server 192.168.4.100 weight x", "server 192.168.4.100 drain for", "server 192.168.4.100 drain for ever",
		"clear", "commit", "commit /nonexistent", "commit x confirmed", "commit x confirmed soon", "commit x quickly please", "capture",
	} {
		if err := run(line); err == nil {
			t.Errorf("%q was understood", line)
		}
	}
	if len(o.asked) > 0 {
		t.Errorf("asked for %v", o.asked)
	}
}
