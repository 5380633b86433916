package bench

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSample(t *testing.T) {
	for name, c := range map[string]struct {
		durations []time.Duration
		want      Sample
	}{
		"one":  {[]time.Duration{1500 * time.Millisecond}, Sample{[]float64{1.5}, 1.5, 1.5}},
		"odd":  {[]time.Duration{9 * time.Second, time.Second, 2 * time.Second}, Sample{[]float64{9, 1, 2}, 1, 2}},
		"even": {[]time.Duration{4 * time.Second, time.Second, 2 * time.Second, 9 * time.Second}, Sample{[]float64{4, 1, 2, 9}, 1, 3}},
		"ms":   {[]time.Duration{1234567 * time.Microsecond}, Sample{[]float64{1.235}, 1.235, 1.235}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, sample(c.durations)); d != "" {
				t.Error(d)
			}
		})
	}
}

func full() Report {
	steps := []Step{{Name: "kernel", Took: 2000, Outcome: "done"}, {Name: "apply", At: 2100, Took: 50, Outcome: "done"}}
	return Report{
		Conditions: Conditions{Accelerator: "tcg", QEMU: "QEMU 7.2", HostCPUs: 2, HostLoad: 0.5, GuestCPUs: 1, GuestMemory: 256},
		Dipper: System{
			Until: "page", Software: []string{"dipper 1"},
			FromKernel: Sample{[]float64{2.5}, 2.4, 2.5}, FromPower: Sample{[]float64{4}, 4, 4},
			Size:        Size{Kernel: 10 << 20, Initramfs: 5 << 20},
			Memory:      &Memory{Given: 262144, Total: 200000, Available: 196608, Used: 65536},
			Instruction: &Counted{UntilUp: 960, Steps: steps}, Steps: steps,
		},
		Floor: System{FromKernel: Sample{[]float64{2}, 2, 2}, Instruction: &Counted{UntilUp: 800}},
		Debian: &System{FromKernel: Sample{[]float64{30}, 27, 30},
			Size: Size{Kernel: 1 << 20, Initramfs: 2 << 20, Installed: 300 << 20}},
	}
}

func TestUntilServing(t *testing.T) {
	steps := append(full().Dipper.Steps, Step{Name: "crash records", At: 3000, Took: 50})
	if at, err := untilServing(steps); at != 2150 || err != nil {
		t.Errorf("%v, %v", at, err)
	}
	if _, err := untilServing(steps[:1]); err == nil {
		t.Error("a boot without its last step serves")
	}
}

func TestCompare(t *testing.T) {
	r := full()
	r.compare()
	want := Ratios{DebianToDipper: 12, DebianToDipperFastest: 11.25, DipperToFloor: 1.25, DipperToFloorFastest: 1.2, InstructionsToFloor: 1.2}
	if r.Ratios != want {
		t.Errorf("%+v", r.Ratios)
	}
	r.Debian, r.Ratios = nil, Ratios{}
	r.compare()
	if r.Ratios.DebianToDipper != 0 {
		t.Error("a ratio to nothing")
	}
}

// TestReportKeys holds the keys of bench.json, which later versions' figures
// are compared by.
func TestReportKeys(t *testing.T) {
	text, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"conditions.accelerator", "conditions.host_cpus", "conditions.host_load_before", "conditions.guest_memory_mib",
		"dipper.from_kernel_start_s.median", "dipper.from_kernel_start_s.min", "dipper.from_kernel_start_s.runs",
		"dipper.from_power_on_s.median", "dipper.size_bytes.kernel", "dipper.size_bytes.initramfs",
		"dipper.memory_kib.used", "dipper.instructions.until_up_millions", "dipper.instructions.boot_steps",
		"dipper.boot_steps", "floor.from_kernel_start_s.median", "floor.instructions.until_up_millions",
		"debian.from_kernel_start_s.median", "debian.size_bytes.installed",
		"ratios.dipper_to_floor", "ratios.dipper_to_floor_fastest",
	} {
		at := any(tree)
		for key := range strings.SplitSeq(path, ".") {
			object, _ := at.(map[string]any)
			at = object[key]
		}
		if at == nil {
			t.Errorf("no %s in %s", path, text)
		}
	}
}

func TestPrint(t *testing.T) {
	r := full()
	r.compare()
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"kernel start to answer, median, s   2.00    2.50   30.00",
		"kernel and initramfs, MiB      -    15.0     3.0",
		"installed besides, MiB      -       -   300.0",
		"memory in use when serving, MiB      -    64.0       -",
		"Debian / Dipper  12.00, fastest boots 11.25  (target: at least 10)",
		"Dipper / floor    1.25, fastest boots  1.20  (target: at most 2)",
		"apply   2100    50        2100   50       done",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestParseMemory(t *testing.T) {
	got, err := parseMemory("MemTotal:         216884 kB\nMemFree:          170000 kB\nMemAvailable:     173000 kB\n", 256)
	if want := (Memory{262144, 216884, 173000, 89144}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseMemory("MemTotal: 216884 kB\n", 256); err == nil || !strings.Contains(err.Error(), "MemAvailable") {
		t.Errorf("no available memory: %v", err)
	}
	own, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Skip(err)
	}
	if _, err := parseMemory(string(own), 256); err != nil {
		t.Error(err)
	}
}

func TestPrintkTime(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"[    0.000000] printk: legacy console [ttyS0] enabled": 0,
		"[    1.250000] printk: console [ttyS0] enabled":        1250 * time.Millisecond,
		// as a busy QEMU garbles it
		"[    0.0040000] printk: legacy connsole [ttyS0] enabled": 4 * time.Millisecond,
		"[    0.000000] printk: legacy console [ttySS0] enabled":  0,
		"[   00.000000] printk: legacy console [tyS0] enabled":    0,
	} {
		found := consoleEnabled.FindString(line)
		if got, err := printkTime(found); err != nil || got != want {
			t.Errorf("%s: %v, %v", line, got, err)
		}
	}
	for _, line := range []string{
		"[    5.856309] printk: legacy console [netcon0] enabled",
		"[    0.000000] Console: colour *CGA 80x25",
		"[    0.000000] Command line: console=ttyS0 panic=-1",
	} {
		if consoleEnabled.MatchString(line) {
			t.Errorf("taken for the anchor: %s", line)
		}
	}
}
