package bbin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test's program is also the stand-in for our executable, to which the names
// in the directory lead, and for the command in the image: see TestMain.
const (
	command = "hello"
	place   = "DIPPER_TEST_PLACE" // the directory with Commands, in processes that the test starts
	inside  = "DIPPER_TEST_INSIDE"
)

func commandsIn(dir string) Commands {
	return Commands{Dir: filepath.Join(dir, "bbin"), Image: filepath.Join(dir, "bbin.squashfs")}
}

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != command {
		os.Exit(m.Run())
	}
	c := commandsIn(os.Getenv(place))
	self, err := os.Executable()
	if err == nil && filepath.Dir(self) == c.Dir {
		fmt.Println(strings.Join(os.Args, " ")) // from the image
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, errors.Join(err, c.Exec(command, os.Args)))
	os.Exit(1)
}

// patience bounds what calls cost that wait for each other; it asserts nothing.
const patience = time.Minute

// TestFirstCallsMount runs itself in a mount namespace of its own.
func TestFirstCallsMount(t *testing.T) {
	if dir := os.Getenv(inside); dir != "" {
		callAtOnce(t, dir)
		return
	}
	dir := machine(t)
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), inside+"="+dir)
	child.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// machine is a directory with the links and the image of a machine.
func machine(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounts: needs root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		// What calls a command of the image in a machine tests it there.
		t.Skipf("this kernel refuses loop devices: %v", err)
	}
	dir := t.TempDir()
	c := commandsIn(dir)
	tree := filepath.Join(dir, "tree")
	for _, d := range []string{c.Dir, tree} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(tree, command), body, 0o755), os.Symlink(self, filepath.Join(c.Dir, command))); err != nil {
		t.Fatal(err)
	}
	pack := exec.Command("mksquashfs", tree, c.Image, "-quiet", "-no-progress", "-comp", "zstd", "-Xcompression-level", "1")
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("mksquashfs, of squashfs-tools: %v\n%s", err, out)
	}
	return dir
}

// callAtOnce calls the command several times at once, before it is mounted.
func callAtOnce(t *testing.T, dir string) {
	c := commandsIn(dir)
	var calls sync.WaitGroup
	for n := range 8 {
		calls.Go(func() {
			want := fmt.Sprintf("%s/%s call %d\n", c.Dir, command, n)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			call := exec.CommandContext(ctx, filepath.Join(c.Dir, command), "call", fmt.Sprint(n))
			call.Env = append(os.Environ(), place+"="+dir)
			if out, err := call.CombinedOutput(); err != nil || string(out) != want {
				t.Errorf("call %d: %v, %q, want %q", n, err, out, want)
			}
		})
	}
	calls.Wait()
	mounts := mountsOn(t, c.Dir)
	if len(mounts) != 1 {
		t.Fatalf("mounted %d times: %q", len(mounts), mounts)
	}
	for _, want := range []string{"ro", "nosuid", "nodev"} {
		if !strings.Contains(","+strings.Fields(mounts[0])[5]+",", ","+want+",") {
			t.Errorf("mounted without %s: %s", want, mounts[0])
		}
	}
	if err := unix.Unmount(c.Dir, 0); err != nil {
		t.Fatal(err)
	}
	if device := deviceOf(t, c.Image); device != "" {
		t.Errorf("%s is still attached", device)
	}
}

// mountsOn answers the lines of /proc/self/mountinfo of what is mounted there.
func mountsOn(t *testing.T, dir string) []string {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(table)) {
		if strings.Fields(line)[4] == dir {
			found = append(found, line)
		}
	}
	return found
}

// deviceOf answers the loop device that a file is attached to.
func deviceOf(t *testing.T, file string) string {
	t.Helper()
	attached, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range attached {
		name, err := os.ReadFile(path)
		if err == nil && strings.TrimSpace(string(name)) == file {
			return path
		}
	}
	return ""
}

func TestWhatIsNoCommandMountsNothing(t *testing.T) {
	c := commandsIn(t.TempDir()) // no image: to mount would be another error
	if err := c.Exec("frobnicate", []string{"frobnicate"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v, want %v", err, ErrUnknown)
	}
}

func TestAMissingImageIsTold(t *testing.T) {
	c := commandsIn(t.TempDir())
	if err := errors.Join(os.Mkdir(c.Dir, 0o755), os.Symlink("/nowhere", filepath.Join(c.Dir, "ls"))); err != nil {
		t.Fatal(err)
	}
	err := c.Exec("ls", []string{"ls"})
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "ls: the commands cannot be mounted: open "+c.Image) {
		t.Errorf("got %v", err)
	}
}
