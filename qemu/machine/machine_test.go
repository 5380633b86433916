package machine

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// patience bounds what a hung QEMU costs; it asserts nothing.
const patience = 3 * time.Minute

// bare is a machine with nothing to boot: its firmware says so on the console.
func bare(t *testing.T) (Config, context.Context) {
	t.Helper()
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		if os.Getenv("DIPPER_LAB") == "require" {
			t.Fatalf("DIPPER_LAB=require: %v", err)
		}
		t.Skipf("needs Debian's qemu-system-x86: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	dir := t.TempDir()
	return Config{Name: "bare", Dir: dir, Run: shortDir(t), Memory: 64}, ctx
}

// shortDir is for sockets, whose paths have at most 108 bytes.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func startBare(t *testing.T, change func(*Config)) (*Machine, context.Context) {
	t.Helper()
	c, ctx := bare(t)
	if change != nil {
		change(&c)
	}
	m, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m, ctx
}

var noBootDevice = regexp.MustCompile(`No bootable device`)

func expect(ctx context.Context, t *testing.T, m *Machine, pattern *regexp.Regexp) {
	t.Helper()
	if _, err := m.Console().Expect(ctx, pattern); err != nil {
		t.Fatal(err)
	}
}

func named(name string) func(Event) bool {
	return func(e Event) bool { return e.Name == name }
}

func TestConsoleHasTheFirstAndTheLastByte(t *testing.T) {
	m, ctx := startBare(t, nil)
	expect(ctx, t, m, regexp.MustCompile(`^\s*\S*SeaBIOS`))
	expect(ctx, t, m, noBootDevice)
	// QEMU writes the log after the socket: it is whole when QEMU is gone.
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(m.config.file("console.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !noBootDevice.Match(log) {
		t.Errorf("console log lacks what the console said: %q", log)
	}
}

func TestResetEndsAMachineThatMustNotReboot(t *testing.T) {
	m, ctx := startBare(t, nil)
	expect(ctx, t, m, noBootDevice)
	if err := m.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	event, err := m.Await(ctx, named("SHUTDOWN"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := event.Data["reason"], "host-qmp-system-reset"; got != want {
		t.Errorf("shut down because of %v, want %v", got, want)
	}
	<-m.Ended()
}

func TestResetReboots(t *testing.T) {
	m, ctx := startBare(t, func(c *Config) { c.Reboots = true })
	expect(ctx, t, m, noBootDevice)
	if err := m.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Await(ctx, named("RESET")); err != nil {
		t.Error(err)
	}
	expect(ctx, t, m, noBootDevice)
}

func TestPowerCutIsNoFailure(t *testing.T) {
	m, ctx := startBare(t, nil)
	m.PowerCut()
	<-m.Ended()
	if err := m.PowerButton(ctx); !errors.Is(err, errMonitorEnded) {
		t.Errorf("power button of a machine without power: got %v, want %v", err, errMonitorEnded)
	}
	if _, err := m.Await(ctx, named("POWERDOWN")); !errors.Is(err, errMonitorEnded) {
		t.Errorf("event of a machine without power: got %v, want %v", err, errMonitorEnded)
	}
	if _, err := m.Console().Expect(ctx, regexp.MustCompile("never said")); !errors.Is(err, errConsoleEnded) {
		t.Errorf("console of a machine without power: got %v, want %v", err, errConsoleEnded)
	}
}

func TestExecuteReportsWhatTheMonitorRefuses(t *testing.T) {
	m, ctx := startBare(t, nil)
	if _, err := m.Execute(ctx, "set_link", map[string]any{"name": "nothing", "up": false}); err == nil || !strings.Contains(err.Error(), "Device 'nothing' not found") {
		t.Errorf("got error %v, want QEMU's", err)
	}
	if answer, err := m.Execute(ctx, "query-status", nil); err != nil || !strings.Contains(string(answer), `"running": true`) {
		t.Errorf("query-status: %s, %v", answer, err)
	}
}

func TestPortsCanBeDialled(t *testing.T) {
	m, ctx := startBare(t, func(c *Config) { c.Ports = []string{"first", "second"} })
	for _, port := range m.config.Ports {
		conn, err := m.Dial(ctx, port)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if _, err := m.Dial(ctx, "third"); err == nil {
		t.Error("dialled a port that the machine does not have")
	}
}

func TestEveryDeviceIsOneThatQEMUHas(t *testing.T) {
	var disk string
	m, ctx := startBare(t, func(c *Config) {
		disk = filepath.Join(c.Dir, "disk, with a comma")
		if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		item := filepath.Join(c.Dir, "item")
		if err := os.WriteFile(item, []byte("role: director\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, bus := range []string{"virtio", "nvme", "usb", "cdrom"} {
			c.Disks = append(c.Disks, Disk{Path: disk, Bus: bus, ReadOnly: true, Serial: "serial-" + bus})
		}
		for _, model := range []string{"", "e1000", "e1000e", "igb"} {
			if model == "igb" {
				continue // since QEMU 8.0
			}
			socket := filepath.Join(c.Run, "nic"+model)
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			c.NICs = append(c.NICs, NIC{MAC: "52:54:00:00:00:0" + string(rune('0'+len(c.NICs))), Socket: socket, Model: model})
		}
		c.OEMStrings = []string{"dipper.config=a,b"}
		c.FWCfg = map[string]string{"opt/dipper/config": item}
		c.Serial, c.UUID = "serial,1", "00000000-0000-4000-8000-000000000001"
		c.Watchdog, c.Screen, c.CountInstructions, c.CPUs = true, true, true, 1
	})
	expect(ctx, t, m, regexp.MustCompile(`SeaBIOS`))
	if err := m.SetLink(ctx, 0, false); err != nil {
		t.Error(err)
	}
	answer, err := m.Execute(ctx, "query-named-block-nodes", nil)
	if err != nil || !strings.Contains(string(answer), disk) {
		t.Errorf("no disk %q: %s, %v", disk, answer, err)
	}
}

func TestStartTellsWhatQEMUComplainsAbout(t *testing.T) {
	c, ctx := bare(t)
	c.Kernel = "/nonexistent/vmlinuz"
	m, err := Start(ctx, c)
	if err == nil {
		m.Close()
		t.Fatal("started without its kernel")
	}
	for _, want := range []string{"machine bare", "could not open kernel file '/nonexistent/vmlinuz'"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}

// TestProcessDiesWithItsParent runs this test in a child that starts a machine
// and is killed without any chance to clean up.
func TestProcessDiesWithItsParent(t *testing.T) {
	const role = "DIPPER_TEST_ABANDON"
	if os.Getenv(role) != "" {
		m, _ := startBare(t, nil)
		_, _ = os.Stdout.WriteString("started\n")
		<-m.Ended()
		return
	}
	_, ctx := bare(t)
	parent := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	dir := shortDir(t)
	parent.Env = append(os.Environ(), role+"=1", "TMPDIR="+dir)
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("started\n"))); err != nil {
		t.Fatal(err)
	}
	sockets, err := filepath.Glob(filepath.Join(dir, "m*", "bare.qmp"))
	if err != nil || len(sockets) != 0 { // QEMU called; the listener is closed and removed
		t.Fatalf("sockets %v, %v", sockets, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed
	waitUntilGone(ctx, t, dir)
}

// waitUntilGone waits until no process has marker in its command line.
func waitUntilGone(ctx context.Context, t *testing.T, marker string) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for anyProcess(t, marker) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("a QEMU of %s outlives its parent", marker)
		}
	}
}

func anyProcess(t *testing.T, marker string) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), marker) {
			return true
		}
	}
	return false
}

func TestInitrdsAreJoined(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c, err := joinInitrds(Config{Name: "m", Dir: dir, Initrds: []string{write("a", "12345"), write("b", "6789"), write("c", "0")}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(c.Initrds[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := "12345\x00\x00\x0067890\x00\x00\x00"; string(got) != want {
		t.Errorf("joined to %q, want %q", got, want)
	}
}

func TestShellQuote(t *testing.T) {
	arguments := []string{"plain", "two words", `it's "quoted"`, "", "a;b|c$d"}
	out, err := exec.Command("sh", "-c", `for a in `+shellQuote(arguments)+`; do printf '%s\0' "$a"; done`).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out), strings.Join(arguments, "\x00")+"\x00"; got != want {
		t.Errorf("a shell reads %q, want %q", got, want)
	}
}
