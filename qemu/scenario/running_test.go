package scenario

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/qemu/lab"
)

// operatedDirector is a director without real servers that answer: what is
// tested here is its table.
const operatedDirector = `
role: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24]}}}
services:
  web:
    listen: 192.168.4.15:80
    scheduler: wrr
    forward: dr
    real-servers: [{address: 192.168.4.100, weight: 3}, {address: 192.168.4.200, weight: 1}]
`

// operated starts a director that also has Debian's ipvsadm.
func operated(t *testing.T, drift string) *lab.Cluster {
	t.Helper()
	return lab.StartT(t, &lab.Description{Name: "operated-" + drift, Nodes: []*lab.Node{{
		Name: "director", LANs: []string{"lan"}, Reference: true, Config: []byte(operatedDirector + "ipvs: {drift: " + drift + "}\n"),
	}}})
}

// theirs runs Debian's ipvsadm on the director.
func theirs(ctx context.Context, t *testing.T, c *lab.Cluster, line string) string {
	t.Helper()
	done, err := c.Appliance("director").Run(ctx, "sh", "-c", "PATH=/sbin:/bin; ipvsadm "+line)
	if err != nil || done.Exit != 0 {
		t.Fatalf("ipvsadm %s: %v, %+v", line, err, done)
	}
	return done.Stdout
}

// mine runs the appliance's.
func mine(ctx context.Context, t *testing.T, c *lab.Cluster, line string) {
	t.Helper()
	done, err := c.Appliance("director").Run(ctx, append([]string{"ipvsadm"}, strings.Fields(line)...)...)
	if err != nil || done.Exit != 0 {
		t.Fatalf("ipvsadm %s: %v, %+v", line, err, done)
	}
}

const (
	operatedRules = "-A -t 192.168.4.15:80 -s wrr\n-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 3\n-a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 1\n"
	foreignRules  = "-A -t 192.168.4.15:25 -s rr\n-A -t 192.168.4.15:80 -s wrr\n-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 9\n"
)

// foreignEdits are what makes the one of the other, and what the event says that
// would undo it.
var foreignEdits = []struct{ edit, undo string }{
	{"-e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 9", "ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 3"},
	{"-d -t 192.168.4.15:80 -r 192.168.4.200:80", "ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 1"},
	{"-A -t 192.168.4.15:25 -s rr", "ipvsadm -D -t 192.168.4.15:25"},
}

// TestForeignEdits lets somebody with ipvsadm edit the kernel's table behind
// the control plane's back.
func TestForeignEdits(t *testing.T) {
	for drift, tt := range map[string]struct {
		says, rules string
		unsaved     bool
	}{
		"repair": {"put back", operatedRules, false},
		"adopt":  {"taken over", foreignRules, true},
		"report": {"left as it is", foreignRules, false},
	} {
		t.Run(drift, func(t *testing.T) {
			t.Parallel()
			c := operated(t, drift)
			ctx := patience(t)
			for _, foreign := range foreignEdits {
				theirs(ctx, t, c, foreign.edit)
				if e := awaitEvent(ctx, t, c, "drift", foreign.undo); !strings.Contains(e.Text, tt.says) {
					t.Errorf("event %q: want it to say %q", e.Text, tt.says)
				}
			}
			// An event is told before the kernel is edited: any answer of the
			// reconciler is after it.
			mine(ctx, t, c, "-Z")
			got := slices.Sorted(strings.Lines(theirs(ctx, t, c, "-Sn")))
			if diff := cmp.Diff(slices.Sorted(strings.Lines(tt.rules)), got); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
			if s, err := c.Appliance("director").Status(ctx); err != nil || s.Unsaved != tt.unsaved {
				t.Errorf("status %+v, %v; want unsaved %v", s, err, tt.unsaved)
			}
		})
	}
}

// awaitEvent waits for the first event of a kind that says something. Events of
// a control plane that was killed are told by its successor again.
func awaitEvent(ctx context.Context, t *testing.T, c *lab.Cluster, kind, says string) api.Event {
	t.Helper()
	after := 0
	for ctx.Err() == nil {
		for e, err := range c.Appliance("director").Events(ctx, after, false) {
			if err != nil {
				break // the control plane is being restarted
			}
			if after = e.Number; e.Kind == kind && strings.Contains(e.Text, says) {
				return e
			}
		}
		pauseFor(ctx, 200*time.Millisecond)
	}
	t.Fatalf("no event of kind %s that says %q", kind, says)
	return api.Event{}
}

func pauseFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// TestEditsOutliveTheControlPlane kills it after edits through ipvsadm and
// verbs, and while a commit waits to be confirmed.
func TestEditsOutliveTheControlPlane(t *testing.T) {
	t.Parallel()
	c := operated(t, "repair")
	ctx := patience(t)
	director := c.Appliance("director")
	mine(ctx, t, c, "-A -u 192.168.4.16:53 -s rr")
	mine(ctx, t, c, "-a -u 192.168.4.16:53 -r 192.168.4.100 -g")
	if _, err := director.SetServer(ctx, api.ServerVerb{Server: "192.168.4.200", Verb: api.Drain}); err != nil {
		t.Fatal(err)
	}
	edited := theirs(ctx, t, c, "-Sn")
	if !strings.Contains(edited, "-r 192.168.4.200:80 -g -w 0") || !strings.Contains(edited, "-A -u 192.168.4.16:53 -s rr") {
		t.Fatalf("table:\n%s", edited)
	}
	status, err := director.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	signal(ctx, t, c, "director", "-9", status.PID)
	status = awaitSuccessor(ctx, t, c, "director", status.PID)
	if got := theirs(ctx, t, c, "-Sn"); got != edited || status.Edits != 0 || !status.Unsaved {
		t.Errorf("after %d edits of its successor:\n%swant:\n%s", status.Edits, got, edited)
	}

	candidate, err := director.OpenCandidate(ctx, false)
	if err == nil {
		_, err = director.EditCandidate(ctx, candidate.ID, api.Edit{Kind: api.EditSet, Words: strings.Fields("services web scheduler wlc")})
	}
	if err == nil {
		_, err = director.Commit(ctx, candidate.ID, api.CommitOptions{Confirm: api.Duration(time.Minute)})
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := theirs(ctx, t, c, "-Sn"); !strings.Contains(got, "-s wlc") {
		t.Errorf("committed:\n%s", got)
	}
	signal(ctx, t, c, "director", "-9", status.PID)
	awaitSuccessor(ctx, t, c, "director", status.PID)
	awaitEvent(ctx, t, c, "commit", "the unconfirmed commit of")
	mine(ctx, t, c, "-Z") // see above
	if got := theirs(ctx, t, c, "-Sn"); got != edited {
		t.Errorf("nobody confirmed, and the table is:\n%swant:\n%s", got, edited)
	}
	if revisions, err := director.Revisions(ctx); err != nil || len(revisions) > 0 {
		t.Errorf("what nobody confirmed was kept: %+v, %v", revisions, err)
	}
}
