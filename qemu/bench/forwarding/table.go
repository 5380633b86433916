package forwarding

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Print writes a table for people: instructions a packet, of new and of known
// flows, and on the first kernel as a multiple of the second.
func (r Report) Print(w io.Writer) error {
	if len(r.Kernels) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nInstructions a packet, new flow / known flow\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\t")
	for _, k := range r.Kernels {
		fmt.Fprint(t, k.Name, "\t")
	}
	fmt.Fprintln(t, "first / second\t")
	for i, first := range r.Kernels[0].Costs {
		fmt.Fprint(t, first.Way, "\t")
		for _, k := range r.Kernels {
			fmt.Fprintf(t, "%.0f / %.0f\t", k.Costs[i].New, k.Costs[i].Known)
		}
		if len(r.Kernels) > 1 {
			second := r.Kernels[1].Costs[i]
			fmt.Fprintf(t, "%.3f / %.3f\t", first.New/second.New, first.Known/second.Known)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
