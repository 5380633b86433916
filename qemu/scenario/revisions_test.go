package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dipper/appliance/api"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// stateful is a machine that is told who it is by fw_cfg until it has a state
// volume, on a disk that outlives it.
func stateful(disk machine.Disk) *lab.Description {
	return &lab.Description{Name: "state-volume", Nodes: []*lab.Node{{
		Name:   "director",
		Config: []byte("role: director\nhostname: lb\n"),
		Change: func(c *machine.Config) error {
			c.Disks = append(c.Disks, disk)
			return nil
		},
	}}}
}

// blankDisk is a disk with nothing on it.
func blankDisk(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCommitsOutliveAPowerCut makes a state volume on a blank disk and cuts
// the power while one commit follows the other, five times: the machine comes
// back with the last commit that was confirmed to the client, or with the one
// that was under way.
func TestCommitsOutliveAPowerCut(t *testing.T) {
	disk := blankDisk(t, 64<<20)
	committed := 0
	const cuts = 5
	for cut := range cuts + 1 {
		c := lab.StartT(t, stateful(machine.Disk{Path: disk}))
		ctx := patience(t)
		director := c.Appliance("director")
		if cut == 0 {
			if err := director.FormatState(ctx, "/dev/vda", false); err != nil {
				t.Fatal(err)
			}
			committed = commit(ctx, t, director, 1)
		} else {
			committed = cameBack(ctx, t, director, "/dev/vda", committed)
		}
		if cut < cuts {
			committed = commitUntilCut(ctx, t, c, committed)
		}
		if err := c.Close(); err != nil {
			t.Logf("after the power cut: %v", err)
		}
	}
	t.Logf("%d commits, %d power cuts", committed, cuts)
	wantSound(t, disk)
}

// TestStateVolumeOnUSB: a stick may appear after the control plane has
// started, and is the state volume all the same.
func TestStateVolumeOnUSB(t *testing.T) {
	disk := machine.Disk{Path: blankDisk(t, 64<<20), Bus: "usb"}
	c := lab.StartT(t, stateful(disk))
	ctx := patience(t)
	if err := c.Appliance("director").FormatState(ctx, "/dev/sda", false); err != nil {
		t.Fatal(err)
	}
	commit(ctx, t, c.Appliance("director"), 1)
	c.Machine("director").PowerCut()
	if err := c.Close(); err != nil {
		t.Logf("after the power cut: %v", err)
	}
	c = lab.StartT(t, stateful(disk))
	cameBack(ctx, t, c.Appliance("director"), "/dev/sda", 1)
	commit(ctx, t, c.Appliance("director"), 2)
}

// wantSound has Debian's e2fsck replay the journal and find nothing wrong.
func wantSound(t *testing.T, disk string) {
	t.Helper()
	for _, flags := range []string{"-p", "-fn"} {
		out, err := exec.CommandContext(t.Context(), "e2fsck", flags, disk).CombinedOutput()
		if err != nil {
			t.Errorf("e2fsck %s: %v\n%s", flags, err, out)
		}
	}
}

// commit names the machine by a number, which is also the revision's comment.
func commit(ctx context.Context, t *testing.T, director *api.Client, number int) int {
	t.Helper()
	if err := tryCommit(ctx, director, number); err != nil {
		t.Fatal(err)
	}
	return number
}

func tryCommit(ctx context.Context, director *api.Client, number int) error {
	open, err := director.OpenCandidate(ctx, false)
	if err != nil {
		return err
	}
	edit := api.Edit{Kind: api.EditSet, Words: []string{"hostname", fmt.Sprintf("lb%d", number)}}
	if _, err := director.EditCandidate(ctx, open.ID, edit); err != nil {
		return err
	}
	if _, err := director.Commit(ctx, open.ID, api.CommitOptions{Comment: fmt.Sprint(number)}); err != nil {
		return err
	}
	return director.CloseCandidate(ctx, open.ID)
}

// commitUntilCut commits as fast as it can until the power is cut, at a moment
// that nobody chose, and gives the last number that was confirmed.
func commitUntilCut(ctx context.Context, t *testing.T, c *lab.Cluster, committed int) int {
	t.Helper()
	var cut atomic.Bool
	time.AfterFunc(time.Duration(2000+rand.IntN(6000))*time.Millisecond, func() {
		cut.Store(true)
		c.Machine("director").PowerCut()
	})
	for {
		if err := tryCommit(ctx, c.Appliance("director"), committed+1); err != nil {
			if !cut.Load() {
				t.Fatalf("commit %d: %v", committed+1, err)
			}
			return committed
		}
		committed++
	}
}

// cameBack wants a machine that booted with the last confirmed commit or the
// one after it, and a list of revisions that says the same. It gives which.
func cameBack(ctx context.Context, t *testing.T, director *api.Client, device string, confirmed int) int {
	t.Helper()
	status, err := director.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(status.Source, "state volume: "+device) || status.Volatile {
		t.Errorf("it booted from %q, volatile: %t", status.Source, status.Volatile)
	}
	var number int
	if _, err := fmt.Sscanf(status.Hostname, "lb%d", &number); err != nil || number != confirmed && number != confirmed+1 {
		t.Fatalf("it came back as %s, want lb%d or lb%d", status.Hostname, confirmed, confirmed+1)
	}
	revisions, err := director.Revisions(ctx)
	if err != nil || len(revisions) == 0 || len(revisions) > 50 || revisions[0].Comment != fmt.Sprint(number) {
		t.Errorf("it came back as %s; its revisions are %+v (%v)", status.Hostname, revisions, err)
	}
	for _, problem := range status.Problems {
		t.Errorf("problem: %s", problem)
	}
	t.Logf("confirmed %d, came back as %d, %d revisions", confirmed, number, len(revisions))
	return number
}
