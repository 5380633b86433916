// Package bench is the benchmark: how long a director takes from the start of
// its kernel to the first page through its VIP, beside the least that the same
// kernel needs and beside Debian with systemd and keepalived, all in the same
// run; their sizes, and the memory they use when they serve.
//
// It owns the measuring and the reference. It asserts nothing: figures are for
// docs/performance.md, and for whoever compares two versions.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// guestMemory is what every measured machine has, in MiB, and guestCPUs how
// many processors.
const (
	guestMemory = 256
	guestCPUs   = 1
)

// Options are what is measured.
type Options struct {
	Runs          int       // of each system
	WithoutDebian bool      // the reference takes most of the time
	Log           io.Writer // what is going on
}

// bench is a benchmark that goes on.
type bench struct {
	options Options
	lab     lab.Options
	bed     *bed
	floor   string    // initramfs
	debians []*debian // in the order of Report.debians
	report  Report
	times   map[*System][]timing
}

// Run measures. d is examples/s2-dr.
func Run(ctx context.Context, d *lab.Description, l lab.Options, o Options) (report Report, err error) {
	b := &bench{options: o, lab: l, times: make(map[*System][]timing)}
	if err := b.prepare(ctx); err != nil {
		return report, err
	}
	b.log("booting the real servers")
	if b.bed, err = makeBed(ctx, d, l); err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, b.bed.Close()) }()
	if err := b.warmUp(ctx); err != nil {
		return report, err
	}
	for run := range o.Runs {
		if err := b.round(ctx, run); err != nil {
			return report, err
		}
	}
	if l.Accelerator == machine.TCG || l.Accelerator == "" {
		if err := b.countInstructions(ctx); err != nil {
			return report, err
		}
	}
	b.summarise()
	return b.report, nil
}

func (b *bench) log(format string, values ...any) {
	fmt.Fprintf(b.options.Log, format+"\n", values...)
}

// prepare builds what is booted.
func (b *bench) prepare(ctx context.Context) (err error) {
	if err := os.MkdirAll(b.lab.Dir, 0o755); err != nil {
		return err
	}
	b.report.Conditions = conditions(ctx, b.lab.Accelerator)
	b.report.Dipper.Until, b.report.Floor.Until = "first page through the VIP", "its init's line"
	if b.floor, err = buildFloor(ctx, b.lab.Dir); err != nil {
		return err
	}
	b.report.Floor.Size, err = sizes(b.lab.Build.Kernel, b.floor)
	if err != nil {
		return err
	}
	if b.report.Dipper.Size, err = sizes(b.lab.Build.Kernel, b.lab.Build.Initramfs); err != nil {
		return err
	}
	if b.options.WithoutDebian {
		return nil
	}
	if b.report.Debian, err = b.prepareDebian(ctx, packaged); err != nil {
		return err
	}
	b.report.TunedDebian, err = b.prepareDebian(ctx, tuned)
	return err
}

func (b *bench) prepareDebian(ctx context.Context, r reference) (*System, error) {
	d, err := buildDebian(ctx, r, func(s string) { b.log("%s", s) })
	if err != nil {
		return nil, err
	}
	b.debians = append(b.debians, d)
	size, err := sizes(d.kernel, d.initramfs)
	size.Installed = d.installed
	return &System{Until: b.report.Dipper.Until, Software: d.software, Size: size}, err
}

func conditions(ctx context.Context, accelerator machine.Accelerator) Conditions {
	c := Conditions{Accelerator: string(accelerator), HostCPUs: runtime.NumCPU(), GuestCPUs: guestCPUs, GuestMemory: guestMemory}
	// Both are only for the reader: without them a figure is as good.
	if out, err := exec.CommandContext(ctx, "qemu-system-x86_64", "--version").Output(); err == nil {
		c.QEMU, _, _ = strings.Cut(string(out), "\n")
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &c.HostLoad)
	}
	return c
}

func sizes(kernel, initramfs string) (s Size, err error) {
	for path, size := range map[string]*int64{kernel: &s.Kernel, initramfs: &s.Initramfs} {
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		*size = info.Size()
	}
	return s, nil
}

// warmUp boots Dipper without measuring it: the real servers answer for the first
// time, and the host reads the files.
func (b *bench) warmUp(ctx context.Context) error {
	b.log("a first boot, which does not count")
	m, _, err := boot(ctx, b.bed.place("warm-up", b.dipper()), b.bed.answered)
	if err != nil {
		return err
	}
	return m.Close()
}

// round boots every system once, so that what else the host does meets all.
func (b *bench) round(ctx context.Context, run int) error {
	if err := b.bootDipper(ctx, run); err != nil {
		return err
	}
	if err := b.bootFloor(ctx, run); err != nil {
		return err
	}
	for i, d := range b.debians {
		if err := b.bootDebian(ctx, run, d, b.report.debians()[i]); err != nil {
			return err
		}
	}
	return nil
}

// add notes a boot, and tells whether it is the fastest of its system.
func (b *bench) add(s *System, name string, t timing) (fastest bool) {
	b.log("%-8s %6.2f s from the kernel's start, %6.2f s from power on", name, t.fromKernel.Seconds(), t.fromPower.Seconds())
	fastest = true
	for _, other := range b.times[s] {
		fastest = fastest && t.fromKernel < other.fromKernel
	}
	b.times[s] = append(b.times[s], t)
	return fastest
}

// settle is how long after its first answer a system's memory is measured.
const settle = 5 * time.Second

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// machineCommandLine is of every system, for the machine that all of them have.
// Without noreplace-smp a kernel that finds one processor rewrites the lock
// prefixes of its code, which TCG has to translate again; on hardware that is
// nothing. no_timer_check is built into Dipper's kernel.
const machineCommandLine = "console=ttyS0 panic=-1 noreplace-smp no_timer_check"

func (b *bench) dipper() machine.Config {
	return machine.Config{Kernel: b.lab.Build.Kernel, Initrds: []string{b.lab.Build.Initramfs}, CommandLine: machineCommandLine,
		FWCfg: map[string]string{"opt/dipper/config": b.bed.config}}
}

func (b *bench) bootDipper(ctx context.Context, run int) (err error) {
	m, t, err := boot(ctx, b.bed.place(fmt.Sprintf("dipper-%d", run+1), b.dipper()), b.bed.answered)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	system := &b.report.Dipper
	fastest := b.add(system, "dipper", t)
	if !fastest && system.Memory != nil {
		return nil
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	return ask(ctx, m, system)
}

// ask asks an appliance that serves for its version, its boot and its memory.
func ask(ctx context.Context, m *machine.Machine, system *System) error {
	client := api.NewClientFunc(func(ctx context.Context) (net.Conn, error) { return m.Dial(ctx, api.ControlPort) })
	defer client.Close()
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	system.Software = []string{"dipper " + status.Version}
	if system.Steps, err = bootSteps(ctx, client); err != nil {
		return err
	}
	meminfo, err := client.Run(ctx, "cat", "/proc/meminfo")
	if err != nil {
		return err
	}
	memory, err := parseMemory(meminfo.Stdout, guestMemory)
	system.Memory = &memory
	return err
}

func bootSteps(ctx context.Context, client *api.Client) ([]Step, error) {
	told, err := client.Boot(ctx)
	if err != nil {
		return nil, err
	}
	steps := make([]Step, 0, len(told))
	for _, s := range told {
		steps = append(steps, Step{s.Name, milliseconds(time.Duration(s.At)), milliseconds(time.Duration(s.Took)), s.Outcome})
	}
	return steps, nil
}

func milliseconds(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }

func (b *bench) floorConfig() machine.Config {
	return machine.Config{Kernel: b.lab.Build.Kernel, Initrds: []string{b.floor}, CommandLine: machineCommandLine}
}

func (b *bench) bootFloor(ctx context.Context, run int) error {
	up := func(ctx context.Context, m *machine.Machine) (time.Time, error) {
		_, err := floorUp(ctx, m)
		return time.Now(), err
	}
	m, t, err := boot(ctx, b.bed.place(fmt.Sprintf("floor-%d", run+1), b.floorConfig()), up)
	if err != nil {
		return err
	}
	b.add(&b.report.Floor, "floor", t)
	return m.Close()
}

func (b *bench) bootDebian(ctx context.Context, run int, d *debian, system *System) (err error) {
	path := filepath.Join(b.lab.Dir, "debian.disk")
	defer os.Remove(path) // a gigabyte, if a sparse one
	disk, err := d.freshDisk(ctx, path)
	if err != nil {
		return err
	}
	c := b.bed.place(fmt.Sprintf("debian-%s-%d", d.reference, run+1), d.machine())
	c.Disks = []machine.Disk{disk}
	m, t, err := boot(ctx, c, b.bed.answered)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	b.add(system, "debian, "+string(d.reference), t)
	if system.Memory != nil {
		return nil
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	memory, err := debianMemory(ctx, m)
	system.Memory = &memory
	return err
}

// countInstructions boots Dipper and the floor with a clock that is the count
// of instructions: a nanosecond each, and idle time skipped.
func (b *bench) countInstructions(ctx context.Context) error {
	b.log("counting instructions")
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := b.countFloor(ctx); err != nil {
		return err
	}
	return b.countDipper(ctx)
}

func (b *bench) startCounting(ctx context.Context, name string, c machine.Config) (*machine.Machine, error) {
	c = b.bed.place(name, c)
	c.CountInstructions = true
	return machine.Start(ctx, c)
}

func (b *bench) countFloor(ctx context.Context) (err error) {
	m, err := b.startCounting(ctx, "floor-counted", b.floorConfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	clock, err := floorUp(ctx, m)
	b.report.Floor.Instruction = &Counted{UntilUp: milliseconds(clock)}
	return err
}

func (b *bench) countDipper(ctx context.Context) (err error) {
	m, err := b.startCounting(ctx, "dipper-counted", b.dipper())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	// Nobody asks before it serves: that would be work, too.
	if _, err := m.Console().Expect(ctx, serving); err != nil {
		return err
	}
	client := api.NewClientFunc(func(ctx context.Context) (net.Conn, error) { return m.Dial(ctx, api.ControlPort) })
	defer client.Close()
	steps, err := bootSteps(ctx, client)
	if err != nil {
		return err
	}
	up, err := untilServing(steps)
	b.report.Dipper.Instruction = &Counted{UntilUp: up, Steps: steps}
	return err
}

// untilServing is when the kernel was as configured, in milliseconds. Steps that
// nobody waits for come later.
func untilServing(steps []Step) (float64, error) {
	for _, s := range steps {
		if s.Name == "apply" {
			return s.At + s.Took, nil
		}
	}
	return 0, errors.New("no step of the boot is called apply")
}

func (b *bench) summarise() {
	for system, timings := range b.times {
		var kernel, power []time.Duration
		for _, t := range timings {
			kernel, power = append(kernel, t.fromKernel), append(power, t.fromPower)
		}
		system.FromKernel, system.FromPower = sample(kernel), sample(power)
	}
	b.report.compare()
}
