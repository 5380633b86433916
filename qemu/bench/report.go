package bench

import (
	"slices"
	"time"
)

// Report is what build/bench.json holds. Keys name their units and stay as they
// are: figures of later versions are compared with it.
type Report struct {
	Conditions  Conditions `json:"conditions"`
	Dipper      System     `json:"dipper"`
	Floor       System     `json:"floor"`
	Debian      *System    `json:"debian,omitempty"`       // as its packages make it
	TunedDebian *System    `json:"debian_tuned,omitempty"` // for a fast boot
	Ratios      Ratios     `json:"ratios"`
}

// Conditions are what the figures were measured on. Absolute times are worth
// nothing without them.
type Conditions struct {
	Accelerator string  `json:"accelerator"`
	QEMU        string  `json:"qemu"`
	HostCPUs    int     `json:"host_cpus"`
	HostLoad    float64 `json:"host_load_before"` // over a minute
	GuestCPUs   int     `json:"guest_cpus"`
	GuestMemory int     `json:"guest_memory_mib"`
}

// System is one that boots. Until is what was waited for: the first page
// through the VIP or, for the floor, its init's line.
type System struct {
	Until       string   `json:"until"`
	Software    []string `json:"software,omitempty"`
	FromKernel  Sample   `json:"from_kernel_start_s"`
	FromPower   Sample   `json:"from_power_on_s"`
	Size        Size     `json:"size_bytes"`
	Memory      *Memory  `json:"memory_kib,omitempty"`
	Instruction *Counted `json:"instructions,omitempty"`
	Steps       []Step   `json:"boot_steps,omitempty"` // of the fastest run
}

// Sample is a figure of several runs, in seconds.
type Sample struct {
	Runs   []float64 `json:"runs"`
	Min    float64   `json:"min"`
	Median float64   `json:"median"`
}

// Size is what must be stored or fetched. Installed is the sum of all files,
// for a system that is more than kernel and initramfs.
type Size struct {
	Kernel    int64 `json:"kernel"`
	Initramfs int64 `json:"initramfs"`
	Installed int64 `json:"installed,omitempty"`
}

// Total is what the machine boots from.
func (s Size) Total() int64 { return s.Kernel + s.Initramfs + s.Installed }

// Counted are the guest's instructions from kernel start until it serves, in
// millions, with QEMU's -icount shift=0,sleep=off: they repeat.
type Counted struct {
	UntilUp float64 `json:"until_up_millions"`
	Steps   []Step  `json:"boot_steps,omitempty"` // 1 ms is 1 million
}

// Step is one step of the boot, as the appliance tells it.
type Step struct {
	Name    string  `json:"name"`
	At      float64 `json:"at_ms"` // since the kernel's start
	Took    float64 `json:"took_ms"`
	Outcome string  `json:"outcome"`
}

// Ratios compare medians, and fastest boots, to which a busy host adds least. The
// targets are at least 10, and at most 2.
type Ratios struct {
	DebianToDipper        float64 `json:"debian_to_dipper,omitempty"`
	DebianToDipperFastest float64 `json:"debian_to_dipper_fastest,omitempty"`
	TunedToDipper         float64 `json:"debian_tuned_to_dipper,omitempty"`
	TunedToDipperFastest  float64 `json:"debian_tuned_to_dipper_fastest,omitempty"`
	DipperToFloor         float64 `json:"dipper_to_floor"`
	DipperToFloorFastest  float64 `json:"dipper_to_floor_fastest"`
	InstructionsToFloor   float64 `json:"dipper_to_floor_instructions,omitempty"`
}

// sample of durations; there must be one.
func sample(durations []time.Duration) Sample {
	var s Sample
	for _, d := range durations {
		s.Runs = append(s.Runs, round(d.Seconds()))
	}
	sorted := slices.Sorted(slices.Values(durations))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + median) / 2
	}
	s.Min, s.Median = round(sorted[0].Seconds()), round(median.Seconds())
	return s
}

// round keeps three digits after the point.
func round(x float64) float64 { return float64(int64(x*1000+0.5)) / 1000 }

// debians are the references, in the order of booting.
func (r *Report) debians() []*System { return []*System{r.Debian, r.TunedDebian} }

func (r *Report) compare() {
	dipper, floor := r.Dipper.FromKernel, r.Floor.FromKernel
	r.Ratios.DipperToFloor = round(dipper.Median / floor.Median)
	r.Ratios.DipperToFloorFastest = round(dipper.Min / floor.Min)
	if r.Debian != nil {
		r.Ratios.DebianToDipper = round(r.Debian.FromKernel.Median / dipper.Median)
		r.Ratios.DebianToDipperFastest = round(r.Debian.FromKernel.Min / dipper.Min)
	}
	if r.TunedDebian != nil {
		r.Ratios.TunedToDipper = round(r.TunedDebian.FromKernel.Median / dipper.Median)
		r.Ratios.TunedToDipperFastest = round(r.TunedDebian.FromKernel.Min / dipper.Min)
	}
	if r.Dipper.Instruction != nil && r.Floor.Instruction != nil {
		r.Ratios.InstructionsToFloor = round(r.Dipper.Instruction.UntilUp / r.Floor.Instruction.UntilUp)
	}
}
