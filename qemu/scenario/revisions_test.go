package scenario

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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

// The power is cut while these are made, and once more after the last.
const (
	commitsInAll = 1000
	cutsBetween  = 10
)

// powerCut is when the power goes: so long after a commit began as a commit
// takes, times turns.
type powerCut struct {
	commit int
	turns  float64
}

// randomPowerCuts are in order. DIPPER_SEED=N, from the log of a test that
// failed, gives the same ones again.
func randomPowerCuts(t *testing.T) []powerCut {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("DIPPER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("DIPPER_SEED: %v", err)
		}
	}
	t.Logf("DIPPER_SEED=%d cuts the power at the same moments", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var all []powerCut
	for i := range cutsBetween + 1 {
		commit := commitsInAll
		if i < cutsBetween { // not the first one: until then there is nothing to come back with
			commit = 2 + random.IntN(commitsInAll-2)
		}
		all = append(all, powerCut{commit, 1.5 * random.Float64()})
	}
	slices.SortFunc(all, func(a, b powerCut) int { return cmp.Compare(a.commit, b.commit) })
	return all
}

// TestCommitsOutliveAPowerCut makes a state volume on a blank disk, and then a
// thousand commits, one right after the other, while the power is cut at random
// moments: the machine comes back with the last commit that was confirmed to
// the client, or with the one that was under way, and with all revisions that
// are kept.
func TestCommitsOutliveAPowerCut(t *testing.T) {
	t.Parallel()
	disk := blankDisk(t, 64<<20)
	committed, unconfirmed := 0, 0
	cuts := randomPowerCuts(t)
	for _, cut := range cuts {
		c := lab.StartT(t, stateful(machine.Disk{Path: disk}))
		ctx := patience(t)
		director := c.Appliance("director")
		if committed == 0 {
			if err := director.FormatState(ctx, "/dev/vda", false); err != nil {
				t.Fatal(err)
			}
			committed = commit(ctx, t, director, 1)
		} else {
			back := cameBack(ctx, t, director, "/dev/vda", committed)
			unconfirmed += back - committed
			committed = back
		}
		committed = commitUntilCut(ctx, t, c, committed, cut)
		if err := c.Close(); err != nil {
			t.Logf("after the power cut: %v", err)
		}
	}
	c := lab.StartT(t, stateful(machine.Disk{Path: disk}))
	back := cameBack(patience(t), t, c.Appliance("director"), "/dev/vda", committed)
	unconfirmed += back - committed
	committed = back
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if committed < commitsInAll-1 {
		t.Errorf("%d commits were made, want about %d", committed, commitsInAll)
	}
	t.Logf("%d commits, %d power cuts, of which %d took a commit along that nobody had confirmed", committed, len(cuts), unconfirmed)
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

// stateDir is where the appliance mounts its state volume.
const stateDir = "/run/dipper/volume"

// TestFullAndBrokenStateVolume fills a machine's state volume, and then damages
// it while the machine is off: a commit runs all the same and says that it is
// not saved, the machine boots all the same and says why it has no revisions,
// and with the volume well again all are there.
func TestFullAndBrokenStateVolume(t *testing.T) {
	t.Parallel()
	path := blankDisk(t, 64<<20)
	c := lab.StartT(t, stateful(machine.Disk{Path: path}))
	ctx := patience(t)
	director := c.Appliance("director")
	if err := director.FormatState(ctx, "/dev/vda", false); err != nil {
		t.Fatal(err)
	}
	commit(ctx, t, director, 1)
	fillState(ctx, t, director)
	wantUnsaved(ctx, t, director, 2)
	run(ctx, t, director, "rm", stateDir+"/filler1M", stateDir+"/filler1024")
	commit(ctx, t, director, 3)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	const groups = 4096 // where the group descriptors begin, in blocks of that size
	whole := overwrite(t, path, bytes.Repeat([]byte{0xa5}, 4096), groups)
	c = lab.StartT(t, stateful(machine.Disk{Path: path}))
	director = c.Appliance("director")
	system, err := director.System(ctx)
	if err != nil || system.State.Device != "" || !strings.Contains(system.State.Error, "its file system is damaged") {
		t.Errorf("state volume %+v (%v), want one that is damaged", system.State, err)
	}
	if status, err := director.Status(ctx); err != nil || status.Hostname != "lb" || !status.Volatile {
		t.Errorf("it booted as %q, volatile: %t (%v); want lb, as fw_cfg says", status.Hostname, status.Volatile, err)
	}
	commit(ctx, t, director, 4) // in memory
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	if damaged := overwrite(t, path, whole, groups); !bytes.Equal(damaged, bytes.Repeat([]byte{0xa5}, 4096)) {
		t.Error("the damaged volume was written to")
	}
	c = lab.StartT(t, stateful(machine.Disk{Path: path}))
	status, err := c.Appliance("director").Status(ctx)
	if err != nil || status.Hostname != "lb3" || status.Volatile {
		t.Errorf("it booted as %q, volatile: %t (%v); want lb3, from the volume", status.Hostname, status.Volatile, err)
	}
}

// fillState takes all room on the state volume.
func fillState(ctx context.Context, t *testing.T, director *api.Client) {
	t.Helper()
	for _, size := range []string{"1M", "1024"} {
		result, err := director.Run(ctx, "dd", "if=/dev/zero", "of="+stateDir+"/filler"+size, "bs="+size)
		if err != nil || !strings.Contains(result.Stderr, "no space left") {
			t.Fatalf("filling the volume: %+v, %v", result, err)
		}
	}
}

func run(ctx context.Context, t *testing.T, director *api.Client, argv ...string) {
	t.Helper()
	if result, err := director.Run(ctx, argv...); err != nil || result.Exit != 0 {
		t.Fatalf("%v: %+v, %v", argv, result, err)
	}
}

// wantUnsaved makes a commit that runs and cannot be saved, and loses nothing.
func wantUnsaved(ctx context.Context, t *testing.T, director *api.Client, number int) {
	t.Helper()
	before, err := director.Revisions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	open, err := director.OpenCandidate(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	defer director.CloseCandidate(ctx, open.ID)
	err = tryCommit(ctx, director, open.ID, number)
	if err == nil || !strings.Contains(err.Error(), "runs, but could not be saved") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a commit with a full volume: %v", err)
	}
	status, err := director.Status(ctx)
	if err != nil || status.Hostname != fmt.Sprintf("lb%d", number) || !status.Unsaved {
		t.Errorf("it is %q, unsaved: %t (%v)", status.Hostname, status.Unsaved, err)
	}
	if after, err := director.Revisions(ctx); err != nil || !slices.Equal(before, after) {
		t.Errorf("revisions are %+v (%v), and were %+v", after, err, before)
	}
}

// overwrite writes to a disk that no machine has, and gives what was there.
func overwrite(t *testing.T, disk string, data []byte, at int64) []byte {
	t.Helper()
	file, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := make([]byte, len(data))
	_, err = file.ReadAt(before, at)
	if err == nil {
		_, err = file.WriteAt(data, at)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return before
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
	open, err := director.OpenCandidate(ctx, false)
	if err == nil {
		err = errors.Join(tryCommit(ctx, director, open.ID, number), director.CloseCandidate(ctx, open.ID))
	}
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func tryCommit(ctx context.Context, director *api.Client, candidate string, number int) error {
	edit := api.Edit{Kind: api.EditSet, Words: []string{"hostname", fmt.Sprintf("lb%d", number)}}
	if _, err := director.EditCandidate(ctx, candidate, edit); err != nil {
		return err
	}
	_, err := director.Commit(ctx, candidate, api.CommitOptions{Comment: fmt.Sprint(number)})
	return err
}

// commitUntilCut commits as fast as it can until the power is cut, and gives
// the last number that was confirmed.
func commitUntilCut(ctx context.Context, t *testing.T, c *lab.Cluster, committed int, cut powerCut) int {
	t.Helper()
	director := c.Appliance("director")
	open, err := director.OpenCandidate(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	var isCut atomic.Bool
	began, before, armed := time.Now(), committed, false
	for {
		// The number may be behind already: some commits are made until the
		// power is gone.
		if !armed && committed+1 >= cut.commit && committed > before {
			armed = true
			each := time.Since(began) / time.Duration(committed-before)
			time.AfterFunc(time.Duration(cut.turns*float64(each)), func() {
				isCut.Store(true)
				c.Machine("director").PowerCut()
			})
		}
		if err := tryCommit(ctx, director, open.ID, committed+1); err != nil {
			if !isCut.Load() {
				t.Fatalf("commit %d: %v", committed+1, err)
			}
			t.Logf("%d commits in %v", committed-before, time.Since(began).Round(time.Millisecond))
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
	wantRevisions(ctx, t, director, number)
	for _, problem := range status.Problems {
		t.Errorf("problem: %s", problem)
	}
	t.Logf("confirmed %d, came back as %d", confirmed, number)
	return number
}

// wantRevisions reads all revisions of a machine whose last commit has a
// number. The first revision is what it was booted with, and from there on
// every commit is one.
func wantRevisions(ctx context.Context, t *testing.T, director *api.Client, number int) {
	t.Helper()
	const kept = 50
	revisions, err := director.Revisions(ctx)
	if err != nil || len(revisions) != min(kept, number+1) {
		t.Fatalf("there are %d revisions after %d commits (%v)", len(revisions), number, err)
	}
	for i, r := range revisions {
		comment, hostname := fmt.Sprint(number-i), fmt.Sprintf("hostname: lb%d\n", number-i)
		if number == i {
			comment, hostname = "", "hostname: lb\n"
		}
		text, err := director.ShowConfig(ctx, fmt.Sprint(r.Number), api.ShowQuery{})
		if err != nil || r.Number != number-i+1 || r.Comment != comment || !strings.Contains(text, hostname) {
			t.Errorf("revision %d at place %d of the list has the comment %q, want %q, and says (%v)\n%s", r.Number, i, r.Comment, comment, err, text)
		}
	}
}
