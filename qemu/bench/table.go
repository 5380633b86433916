package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Print writes the report as tables for people.
func (r Report) Print(w io.Writer) error {
	c := r.Conditions
	fmt.Fprintf(w, "\n%s, %s, host of %d processors with a load of %.1f before; guests of %d processor and %d MiB\n\n",
		c.QEMU, c.Accelerator, c.HostCPUs, c.HostLoad, c.GuestCPUs, c.GuestMemory)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	names, systems := []string{"floor", "Dipper"}, []System{r.Floor, r.Dipper}
	for _, d := range []struct {
		name   string
		system *System
	}{{"Debian", r.Debian}, {"tuned Debian", r.TunedDebian}} {
		if d.system != nil {
			names, systems = append(names, d.name), append(systems, *d.system)
		}
	}
	row := func(title string, value func(System) string) {
		fmt.Fprint(t, title, "\t")
		for _, s := range systems {
			fmt.Fprint(t, value(s), "\t")
		}
		fmt.Fprintln(t)
	}
	fmt.Fprint(t, "\t", strings.Join(names, "\t"), "\t\n")
	row("kernel start to answer, median, s", func(s System) string { return seconds(s.FromKernel.Median) })
	row("fastest, s", func(s System) string { return seconds(s.FromKernel.Min) })
	row("power on to answer, median, s", func(s System) string { return seconds(s.FromPower.Median) })
	row("instructions until up, millions", func(s System) string { return counted(s.Instruction) })
	row("kernel and initramfs, MiB", func(s System) string { return mebibytes(s.Size.Kernel + s.Size.Initramfs) })
	row("installed besides, MiB", func(s System) string { return mebibytes(s.Size.Installed) })
	row("memory in use when serving, MiB", func(s System) string { return used(s.Memory) })
	if err := t.Flush(); err != nil {
		return err
	}
	r.printRatios(w)
	return r.printSteps(w)
}

func (r Report) printRatios(w io.Writer) {
	fmt.Fprintln(w)
	if r.Debian != nil {
		fmt.Fprintf(w, "Debian / Dipper  %5.2f, fastest boots %5.2f  (target: at least 10)\n", r.Ratios.DebianToDipper, r.Ratios.DebianToDipperFastest)
	}
	if r.TunedDebian != nil {
		fmt.Fprintf(w, "tuned Debian     %5.2f, fastest boots %5.2f\n", r.Ratios.TunedToDipper, r.Ratios.TunedToDipperFastest)
	}
	fmt.Fprintf(w, "Dipper / floor   %5.2f, fastest boots %5.2f  (target: at most 2)\n", r.Ratios.DipperToFloor, r.Ratios.DipperToFloorFastest)
	if r.Ratios.InstructionsToFloor > 0 {
		fmt.Fprintf(w, "in instructions  %5.2f\n", r.Ratios.InstructionsToFloor)
	}
}

func (r Report) printSteps(w io.Writer) error {
	fmt.Fprintf(w, "\nDipper's fastest boot, and in millions of instructions\n\n")
	counts := make(map[string]Step)
	if r.Dipper.Instruction != nil {
		for _, s := range r.Dipper.Instruction.Steps {
			counts[s.Name] = s
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "step\tat, ms\ttook, ms\tat, M\ttook, M\toutcome")
	for _, s := range r.Dipper.Steps {
		n := counts[s.Name]
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t%s\n", s.Name, s.At, s.Took, n.At, n.Took, s.Outcome)
	}
	return t.Flush()
}

func seconds(s float64) string { return fmt.Sprintf("%.2f", s) }

func mebibytes(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(bytes)/(1<<20))
}

func counted(c *Counted) string {
	if c == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f", c.UntilUp)
}

func used(m *Memory) string {
	if m == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(m.Used)/1024)
}
