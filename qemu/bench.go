package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dipper/qemu/bench"
	"dipper/qemu/bench/control"
	"dipper/qemu/bench/forwarding"
	"dipper/qemu/lab"
)

// figures is what build/bench.json holds.
type figures struct {
	*bench.Report
	Control    *control.Report    `json:"control,omitempty"`
	Forwarding *forwarding.Report `json:"forwarding,omitempty"`
}

// benchOptions are what is measured.
type benchOptions struct {
	bench.Options
	connections int // control.Options.Connections
}

// benchParts are what can be measured, in the order of measuring.
var benchParts = []string{"boot", "control", "forwarding"}

// runBench measures, prints tables, and writes the figures to a file.
func runBench(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	path := flags.String("o", "build/bench.json", "file for the figures")
	parts := flags.String("parts", strings.Join(benchParts, ","), "what to measure")
	runs := flags.Int("runs", 5, "boots of each system")
	withoutDebian := flags.Bool("without-debian", false, "boot, control: leave the reference out")
	connections := flags.Int("connections", 0, "control: only read so many connections; a million take hours")
	if err := flags.Parse(arguments); err != nil {
		return exitStatus(2) // flags has said why
	}
	wanted := strings.Split(*parts, ",")
	known := func(part string) bool { return slices.Contains(benchParts, part) }
	if *runs < 1 || *connections < 0 || flags.NArg() > 0 || !all(wanted, known) {
		flags.Usage()
		return exitStatus(2)
	}
	d, err := load("s2-dr")
	if err != nil {
		return err
	}
	options, err := lab.OptionsFromEnvironment(ctx, d, labDir("bench"))
	if err != nil {
		return err
	}
	var f figures
	for _, part := range wanted {
		o := benchOptions{bench.Options{Runs: *runs, WithoutDebian: *withoutDebian, Log: os.Stderr}, *connections}
		if err := f.measure(ctx, part, d, options, o); err != nil {
			return fmt.Errorf("bench: %s: %w", part, err)
		}
	}
	if err := writeJSON(*path, f); err != nil {
		return err
	}
	fmt.Printf("\nfigures: %s\n", *path)
	return nil
}

func all(words []string, is func(string) bool) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !is(w) })
}

// measure measures one part and prints its table.
func (f *figures) measure(ctx context.Context, part string, d *lab.Description, l lab.Options, o benchOptions) error {
	switch part {
	case "boot":
		report, err := bench.Run(ctx, d, l, o.Options)
		if err != nil {
			return err
		}
		f.Report = &report
		return report.Print(os.Stdout)
	case "control":
		report, err := control.Run(ctx, control.Options{Lab: l, WithoutDebian: o.WithoutDebian, Connections: o.connections, Log: os.Stderr})
		if err != nil {
			return err
		}
		f.Control = &report
		return report.Print(os.Stdout)
	case "forwarding":
		if err := os.MkdirAll(l.Dir, 0o755); err != nil {
			return err
		}
		report, err := forwarding.Run(ctx, forwarding.Options{Kernel: l.Build.Kernel, Dir: l.Dir, Log: os.Stderr})
		if err != nil {
			return err
		}
		f.Forwarding = &report
		return report.Print(os.Stdout)
	}
	return fmt.Errorf("%q is nothing that can be measured: expected %s", part, strings.Join(benchParts, ", "))
}

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
