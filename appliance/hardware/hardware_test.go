package hardware

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text + "\n")} }
	root := fstest.MapFS{
		"proc/meminfo":                         file("MemTotal:         474560 kB\nMemFree:          300000 kB\nMemAvailable:     400000 kB"),
		"proc/loadavg":                         file("0.20 0.18 0.12 1/80 11206"),
		"proc/sys/kernel/osrelease":            file("6.12.48-dipper"),
		"proc/cmdline":                         file("console=ttyS0"),
		"sys/devices/system/cpu/online":        file("0-3,8"),
		"sys/class/dmi/id/sys_vendor":          file("QEMU"),
		"sys/class/dmi/id/product_name":        file("Standard PC"),
		"sys/class/hwmon/hwmon0/name":          file("coretemp"),
		"sys/class/hwmon/hwmon0/temp1_input":   file("45500"),
		"sys/class/hwmon/hwmon0/temp1_label":   file("Core 0"),
		"sys/class/hwmon/hwmon1/name":          file("drivetemp"),
		"sys/class/hwmon/hwmon1/temp1_input":   file("-3000"),
		"sys/class/hwmon/hwmon1/temp2_input":   file("asleep"),
		"sys/class/thermal/thermal_zone0/temp": file("99000"),
		"sys/class/thermal/thermal_zone0/type": file("acpitz"),
	}
	want := Facts{
		Kernel: "6.12.48-dipper", Product: "QEMU Standard PC", Processors: 5, Load: [3]float64{0.20, 0.18, 0.12},
		MemoryTotal: 474560 << 10, MemoryFree: 400000 << 10, CommandLine: "console=ttyS0",
		Temperatures: []Temperature{{"coretemp Core 0", 45.5}, {"drivetemp", -3}},
	}
	got, err := Read(root)
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("%v, (-want +got):\n%s", err, cmp.Diff(want, got))
	}

	if free, err := MemoryFree(root); err != nil || free != 400000<<10 {
		t.Errorf("free memory: %d, %v", free, err)
	}
	if free, err := MemoryFree(fstest.MapFS{"proc/meminfo": file("MemTotal: 1 kB")}); err == nil {
		t.Errorf("without MemAvailable: %d", free)
	}

	delete(root, "sys/class/hwmon/hwmon0/temp1_input")
	delete(root, "sys/class/hwmon/hwmon1/temp1_input")
	if got, _ := Read(root); !cmp.Equal(got.Temperatures, []Temperature{{"acpitz", 99}}) {
		t.Errorf("without hwmon: %v, want the thermal zone", got.Temperatures)
	}
}

func TestReadThisMachine(t *testing.T) {
	f, err := Read(os.DirFS("/"))
	if err != nil || f.MemoryTotal == 0 || f.MemoryFree == 0 || f.MemoryFree > f.MemoryTotal || f.Processors == 0 || f.Kernel == "" {
		t.Errorf("%+v, %v", f, err)
	}
}
