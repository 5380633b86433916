package control

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"
)

// rows are the pieces of work, each beside what it is held to.
var rows = []struct {
	title, ours, theirs string
	target              float64 // of ours by theirs, at most
}{
	{"load 1,000 services of 10 / ipvsadm -R", "load", "load", 1. / 2},
	{"list it / ipvsadm -Ln", "list", "list", 1},
	{"the same configuration again / load by ipvsadm -R", "again", "load", 1. / 5},
	{"one weight, on an open connection / keepalived's reload", "weight-session", "keepalived-reload", 1. / 30},
	{"the same, a server's verb", "weight-verb", "keepalived-reload", 1. / 30},
	{"the same, a commit", "weight-commit", "keepalived-reload", 1. / 30},
	{"before it: configure", "configure", "", 0},
	{"set, the first one", "set", "", 0},
	{"set, the next one", "set-again", "", 0},
	{"compare", "compare", "", 0},
	{"commit check", "commit-check", "", 0},
	{"show configuration services NAME", "show-one", "", 0},
	{"the same, after a rule of ipvsadm's", "show-after-rule", "", 0},
	{"the same, a new process of ipvsadm", "weight", "keepalived-reload", 1. / 30},
	{"the same, the first after a load", "weight-first", "keepalived-reload", 1. / 30},
	{"of that, a process that asks nothing", "client", "", 0},
	{"the same / until keepalived's weight counts, in time", "weight", "keepalived-until-it-counts", 1. / 30},
	{"load 10,000 services of 10 / ipvsadm -R", "load-10000", "load-10000", 1. / 2},
	{"list them / ipvsadm -Ln", "list-10000", "list-10000", 1},
	{"one weight of them, a commit", "weight-commit-10000", "", 0},
	{"before it: configure", "configure-10000", "", 0},
	{"set, the first one", "set-10000", "", 0},
	{"set, the next one", "set-again-10000", "", 0},
	{"compare", "compare-10000", "", 0},
	{"commit check", "commit-check-10000", "", 0},
	{"show configuration services NAME", "show-one-10000", "", 0},
	{"the same, after a rule of ipvsadm's", "show-after-rule-10000", "", 0},
	{"one client's connections / ipvsadm -Lcn and grep", "connections", "connections", 1},
}

// figureText is a figure, "" where there is none.
func figureText(v float64, digits int) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// Print writes a table for people.
func (r Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "\nThe table, in millions of instructions\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "work\tDipper\treference\tratio\tat most\t")
	for _, row := range rows {
		ours, theirs := r.Dipper.Millions[row.ours], r.Reference.Millions[row.theirs]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t\n", row.title,
			figureText(ours, 1), figureText(theirs, 1), figureText(ours/theirs, 3), figureText(row.target, 3))
	}
	for _, work := range []string{"load", "list"} {
		growth := func(c Costs) float64 { return c.Millions[work+"-10000"] / c.Millions[work] / 10 }
		fmt.Fprintf(t, "%s, growth per entry, 10 times as many\t%s\t%s\t\t1.5\t\n", work,
			figureText(growth(r.Dipper), 2), figureText(growth(r.Reference), 2))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	counts := r.Dipper.Counts
	_, err := fmt.Fprintf(w, "\nkernel edits: %d for one weight, %d for the same again; memory for %d connections: %d KiB of the control plane's, %d KiB of the client's\n",
		counts["edits-weight"], counts["edits-again"], counts["connections"], counts["memory-of-control-plane"], counts["memory-of-client"])
	return err
}
