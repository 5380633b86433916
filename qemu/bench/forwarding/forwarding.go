// Package forwarding measures what a packet costs on its way through a
// director, in guest instructions: plain routing, each way of IPVS, and the
// destination NAT of nftables, for new and for known flows, on our kernel and
// on Debian's cloud kernel of the same version.
//
// It owns the guest in which that is measured. It asserts nothing.
package forwarding

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/u-root/mkuimage/cpio"

	"dipper/qemu/machine"
	"dipper/qemu/peer"
)

// Report is what was measured on each kernel.
type Report struct {
	Kernels []Kernel `json:"kernels"`
}

// Kernel is a kernel and what packets cost on it.
type Kernel struct {
	Name        string `json:"name"`
	Release     string `json:"release"`                // uname -r
	Mitigation  string `json:"spectre_v2"`             // as the kernel says
	CommandLine string `json:"command_line,omitempty"` // besides the usual
	Costs       []Cost `json:"costs"`
}

// Cost is what a packet costs in instructions, what pktgen and the wire take
// included: that alone is the Cost named Nothing.
type Cost struct {
	Way   string  `json:"way"`
	New   float64 `json:"new_flow_instructions"`
	Known float64 `json:"known_flow_instructions"`
}

// Nothing is the way of packets that are thrown away where they come in.
const Nothing = "nothing"

// Options are what is measured, and where files may be left.
type Options struct {
	Kernel string // ours
	Dir    string
	Log    io.Writer
}

// guest is what runs in the measured machine.
//
//go:embed guest
var guest embed.FS

// Run measures.
func Run(ctx context.Context, o Options) (Report, error) {
	programs, err := peer.Initramfs(ctx)
	if err != nil {
		return Report{}, err
	}
	reference, err := fetchDebian(ctx, o.Dir)
	if err != nil {
		return Report{}, fmt.Errorf("debian's kernel: %w", err)
	}
	var report Report
	for _, k := range []subject{
		{name: "dipper", kernel: o.Kernel},
		{name: "debian", kernel: reference.kernel, modules: reference.modules},
		{name: "dipper-without-mitigations", kernel: o.Kernel, commandLine: "mitigations=off"},
		{name: "dipper-without-init-on-alloc", kernel: o.Kernel, commandLine: "init_on_alloc=0"},
	} {
		fmt.Fprintf(o.Log, "forwarding on %s\n", k.name)
		measured, err := k.measure(ctx, programs, o.Dir)
		if err != nil {
			return report, fmt.Errorf("forwarding on %s: %w", k.name, err)
		}
		report.Kernels = append(report.Kernels, measured)
	}
	return report, nil
}

// subject is a kernel to measure.
type subject struct {
	name, kernel, commandLine string
	modules                   []string // files, in the order of loading
}

// patience is for a guest that counts instructions on a busy host.
const patience = 15 * time.Minute

// guestMemory has room for the modules and for 60,000 connections, in MiB.
const guestMemory = 512

var measured = regexp.MustCompile(`measured: exit status (\d+)`)

func (s subject) measure(ctx context.Context, programs, dir string) (k Kernel, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	own := filepath.Join(dir, s.name+".cpio")
	if err := writeGuest(own, s.modules); err != nil {
		return k, err
	}
	defer os.Remove(own) // made again each time
	run, err := os.MkdirTemp("", "dipper-")
	if err != nil {
		return k, err
	}
	defer os.RemoveAll(run)
	m, err := machine.Start(ctx, machine.Config{
		Name: "forwarding-" + s.name, Dir: dir, Run: run, Memory: guestMemory,
		Kernel: s.kernel, Initrds: []string{programs, own}, CountInstructions: true,
		CommandLine: strings.TrimSpace("console=ttyS0 panic=-1 no_timer_check quiet " + s.commandLine),
	})
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if _, err := m.Console().Expect(ctx, measured); err != nil {
		return k, err
	}
	k, err = parse(m.Console().Output())
	k.Name, k.CommandLine = s.name, s.commandLine
	return k, err
}

// writeGuest makes an initramfs to be laid over the peers': the programs are
// theirs, and /init is ours.
func writeGuest(path string, modules []string) error {
	archive, err := os.Create(path)
	if err != nil {
		return err
	}
	defer archive.Close()
	records := []cpio.Record{cpio.Directory("modules", 0o755)}
	for _, name := range []string{"init", "measure.sh"} {
		text, err := guest.ReadFile("guest/" + name)
		if err != nil {
			return err
		}
		records = append(records, cpio.StaticFile(name, string(text), 0o755))
	}
	for i, module := range modules {
		code, err := os.ReadFile(module)
		if err != nil {
			return err
		}
		records = append(records, cpio.StaticFile(fmt.Sprintf("modules/%02d-%s", i, filepath.Base(module)), string(code), 0o644))
	}
	writer := cpio.Newc.Writer(archive)
	if err := cpio.WriteRecords(writer, records); err != nil {
		return err
	}
	return cpio.WriteTrailer(writer)
}

// cost is a line of guest/measure.sh: microseconds for so many packets, and how
// many of all came out.
var cost = regexp.MustCompile(`(?m)^cost: (\S+) new (\d+) (\d+) known (\d+) (\d+) passed (\d+) of (\d+)\r?$`)

var fact = regexp.MustCompile(`(?m)^(kernel|spectre_v2): ([^\r\n]*)`)

// parse reads what the guest said.
func parse(said string) (Kernel, error) {
	var k Kernel
	for _, f := range fact.FindAllStringSubmatch(said, -1) {
		switch f[1] {
		case "kernel":
			k.Release = f[2]
		case "spectre_v2":
			k.Mitigation = f[2]
		}
	}
	for _, line := range cost.FindAllStringSubmatch(said, -1) {
		c, err := parseCost(line)
		if err != nil {
			return k, err
		}
		k.Costs = append(k.Costs, c)
	}
	if status := measured.FindStringSubmatch(said); status == nil || status[1] != "0" {
		return k, fmt.Errorf("measuring failed in the guest:\n%s", said)
	}
	return k, nil
}

// instructions are those of a microsecond, when a nanosecond is one.
const instructions = 1000

func parseCost(line []string) (Cost, error) {
	var n [6]float64
	for i, text := range line[2:] {
		if _, err := fmt.Sscan(text, &n[i]); err != nil {
			return Cost{}, fmt.Errorf("%s: %w", line[0], err)
		}
	}
	if n[1] == 0 || n[3] == 0 || n[4] != n[5] {
		return Cost{}, fmt.Errorf("%s: %.0f packets of %.0f came out: nothing was measured", line[1], n[4], n[5])
	}
	return Cost{Way: line[1], New: n[0] * instructions / n[1], Known: n[2] * instructions / n[3]}, nil
}
