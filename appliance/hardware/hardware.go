// Package hardware tells what the machine below the services is and how it
// does: memory, load, sensors, maker. It reads /proc and /sys, edits nothing,
// and knows nothing of configurations or services.
package hardware

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Facts are what a machine says of itself.
type Facts struct {
	Kernel       string // "6.12.48"
	Product      string // vendor and product; "" when the firmware does not say
	Processors   int
	Load         [3]float64 // processes that want to run, over 1, 5 and 15 minutes
	MemoryTotal  uint64     // bytes
	MemoryFree   uint64     // bytes that programs could have
	CommandLine  string
	Temperatures []Temperature
}

// Temperature is what a sensor says.
type Temperature struct {
	Sensor  string
	Celsius float64
}

// Read reads the facts below root, which holds proc and sys. What a machine
// does not tell is left empty; without its /proc there is an error.
func Read(root fs.FS) (Facts, error) {
	var f Facts
	meminfo, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return f, fmt.Errorf("hardware: %w", err)
	}
	f.MemoryTotal, f.MemoryFree = kilobytes(meminfo, "MemTotal"), kilobytes(meminfo, "MemAvailable")
	f.Load = load(line(root, "proc/loadavg"))
	f.Kernel = line(root, "proc/sys/kernel/osrelease")
	f.CommandLine = line(root, "proc/cmdline")
	f.Processors = processors(line(root, "sys/devices/system/cpu/online"))
	f.Product = strings.TrimSpace(line(root, "sys/class/dmi/id/sys_vendor") + " " + line(root, "sys/class/dmi/id/product_name"))
	f.Temperatures = temperatures(root)
	return f, nil
}

// MemoryFree is how many bytes programs could have, below a root that holds
// proc.
func MemoryFree(root fs.FS) (uint64, error) {
	meminfo, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("hardware: %w", err)
	}
	free := kilobytes(meminfo, "MemAvailable")
	if free == 0 {
		return 0, errors.New("hardware: proc/meminfo does not say MemAvailable")
	}
	return free, nil
}

// line is a file's only line, "" when there is none.
func line(root fs.FS, name string) string {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return "" // not every machine has every file
	}
	return strings.TrimSpace(string(text))
}

// kilobytes reads one value of /proc/meminfo (proc(5)), in bytes.
func kilobytes(meminfo []byte, name string) uint64 {
	for lines := bufio.NewScanner(bytes.NewReader(meminfo)); lines.Scan(); {
		rest, found := strings.CutPrefix(lines.Text(), name+":")
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 54)
		if err != nil {
			return 0
		}
		return n << 10
	}
	return 0
}

// load reads /proc/loadavg: "0.20 0.18 0.12 1/80 11206".
func load(text string) (averages [3]float64) {
	for i, word := range strings.Fields(text) {
		if i == len(averages) {
			break
		}
		averages[i], _ = strconv.ParseFloat(word, 64) // 0 for what is none
	}
	return averages
}

// processors counts those of a list such as "0-3,8".
func processors(list string) int {
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		to := from
		if isRange {
			if to, err = strconv.Atoi(last); err != nil {
				continue
			}
		}
		n += to - from + 1
	}
	return n
}

// temperatures reads all sensors: those of hwmon and, where there is none, the
// thermal zones (Documentation/ABI: millidegrees Celsius).
func temperatures(root fs.FS) []Temperature {
	var all []Temperature
	for _, input := range glob(root, "sys/class/hwmon/hwmon*/temp*_input") {
		name := line(root, path.Join(path.Dir(input), "name"))
		if label := line(root, strings.TrimSuffix(input, "_input")+"_label"); label != "" {
			name += " " + label
		}
		all = appendTemperature(all, name, line(root, input))
	}
	if len(all) > 0 {
		return all
	}
	for _, zone := range glob(root, "sys/class/thermal/thermal_zone*") {
		all = appendTemperature(all, line(root, zone+"/type"), line(root, zone+"/temp"))
	}
	return all
}

func appendTemperature(all []Temperature, sensor, millidegrees string) []Temperature {
	n, err := strconv.Atoi(millidegrees)
	if err != nil {
		return all // a sensor that is asleep
	}
	return append(all, Temperature{sensor, float64(n) / 1000})
}

func glob(root fs.FS, pattern string) []string {
	names, err := fs.Glob(root, pattern)
	if err != nil {
		panic("BUG: hardware: " + err.Error()) // the patterns are ours
	}
	slices.Sort(names)
	return names
}
