package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/shell/grammar"
)

// moving is an appliance on which a virtual service gets another address, and
// somebody else commits in between.
type moving struct{ *fake }

func (m moving) Commit(context.Context, string, api.CommitOptions) (api.Committed, error) {
	changes, err := m.Changes(context.Background())
	return api.Committed{Comparison: changes, Revision: 8}, err
}

func (m moving) EditCandidate(ctx context.Context, id string, e api.Edit) (api.Candidate, error) {
	k, err := m.fake.EditCandidate(ctx, id, e)
	if e.Kind == api.EditUpdate {
		k.Clashes = []string{"services web scheduler: yours is wlc, and meanwhile it became lc"}
	}
	return k, err
}

// said runs a line as an administrator with a window of some width, or without
// one.
func said(t *testing.T, width int, line string) string {
	t.Helper()
	var out bytes.Buffer
	s := &Session{API: moving{newFake()}, Actor: api.Actor{User: "ann", Role: api.Admin}, In: strings.NewReader(""), Out: &out, Err: &out}
	if width > 0 {
		s.Terminal = &Terminal{Width: width, Height: 24, Type: "vt100"}
	}
	if status := s.Exec(t.Context(), line); status != 0 {
		t.Errorf("%s: exit status %d", line, status)
	}
	return strings.ReplaceAll(out.String(), "\r", "")
}

// TestEditsThatEndConnections: each is named with what it does, in the plan and
// by the commit; on one line where no window is too narrow for it.
func TestEditsThatEndConnections(t *testing.T) {
	for _, tt := range []struct {
		width      int
		line, want string
	}{
		{0, "configure; commit", `kernel edits that could not keep connections:
  service "web": 17 connections end: ipvsadm -D -t 192.168.4.14:80  # ends the connections of this virtual service: its address cannot be edited
committed as revision 8 with 2 kernel edits
`},
		{80, "configure; commit", `kernel edits that could not keep connections:
  service "web": 17 connections end: ipvsadm -D -t 192.168.4.14:80
    # ends the connections of this virtual service: its address cannot be edited
committed as revision 8 with 2 kernel edits
`},
		{60, "show changes", `[edit services web]
-  scheduler: rr
+  scheduler: wrr
kernel edits:
  ipvsadm -E -t 192.168.4.15:80 -s wrr -p 360
  ipvsadm -D -t 192.168.4.14:80
    # ends the connections of this virtual service: its
    # address cannot be edited
connections that would not survive:
  service "web": 17 connections end: ipvsadm -D -t
  192.168.4.14:80
`},
	} {
		if diff := cmp.Diff(tt.want, said(t, tt.width, tt.line)); diff != "" {
			t.Errorf("%s in %d columns (-want +got):\n%s", tt.line, tt.width, diff)
		}
	}
}

// TestUpdateTellsOfClashes: whose value holds where two changed the same is said
// by line.
func TestUpdateTellsOfClashes(t *testing.T) {
	want := `your changes are on top of what runs now: "compare" shows them
what you and somebody else changed is now as you have it:
  services web scheduler: yours is wlc, and meanwhile it became lc
`
	if diff := cmp.Diff(want, said(t, 0, "configure shared; set services web scheduler wlc; update; discard")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestBlame: a refusal that speaks of one value of the line points at it.
func TestBlame(t *testing.T) {
	server, service := grammar.Word{Text: "192.168.4.101", Start: 7, End: 20}, grammar.Word{Text: "web", Start: 35, End: 38}
	for message, want := range map[string]string{
		"there is no real server 192.168.4.101: there are 192.168.4.100:80": "192.168.4.101",
		`capture: "web": there is no such interface`:                        "web",
		`there is no real server 192.168.4.101 of service "web"`:            "192.168.4.101",
		"there is no real server 192.168.4.10":                              "",
		"the kernel refused it":                                             "",
	} {
		err := blame(fmt.Errorf("asked: %w", &api.Error{Message: message}), []grammar.Word{server, service})
		got := ""
		var at *blamed
		if errors.As(err, &at) {
			got = at.word.Text
		}
		if no, ok := asRefusal(err); got != want || !ok || no.Message != message {
			t.Errorf("%s: points at %q, want %q; %v", message, got, want, err)
		}
	}
}

// TestSaveOnce: what is saved is not saved again, unless somebody comments on it
// or something may be wrong with what is kept.
func TestSaveOnce(t *testing.T) {
	for _, tt := range []struct {
		line   string
		status api.Status
		want   string
	}{
		{"save", api.Status{Source: "revision 7"}, "the running configuration is saved already, as revision 7\n"},
		{"save comment again", api.Status{Source: "revision 7"}, "saved as revision 8\n"},
		{"save", api.Status{Source: "revision 7", Unsaved: true}, "saved as revision 8\n"},
		{"save", api.Status{Source: "revision 7", Problems: []string{"state volume: input/output error"}}, "saved as revision 8\n"},
		{"write memory", api.Status{Source: "fw_cfg opt/dipper/config"}, "saved as revision 8\n"},
	} {
		f := newFake()
		f.status = tt.status
		if out, errOut, _ := exec(t, f, api.Admin, "", tt.line); out+errOut != tt.want {
			t.Errorf("%s with %+v: %q, want %q", tt.line, tt.status, out+errOut, tt.want)
		}
	}
}

// drained is a control plane with a drained real server.
type drained struct{ *fake }

func (drained) Save(context.Context, string) (api.Revision, error) {
	return api.Revision{Number: 14, Notes: "192.168.4.100:80 of web is saved with weight 0\nand 1 more"}, nil
}

// TestSaveTellsOfWeights beside the answer, which programs read.
func TestSaveTellsOfWeights(t *testing.T) {
	var out, errOut strings.Builder
	s := &Session{API: drained{newFake()}, Actor: api.Actor{User: "ann", Role: api.Admin}, Out: &out, Err: &errOut}
	if status := s.Exec(t.Context(), "save comment why"); status != 0 || out.String() != "saved as revision 14\n" || errOut.String() != "192.168.4.100:80 of web is saved with weight 0\nand 1 more\n" {
		t.Errorf("exit status %d, %q, %q", status, out.String(), errOut.String())
	}
}
