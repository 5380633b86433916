package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"dipper/qemu/bench"
	"dipper/qemu/lab"
)

// runBench measures, prints tables, and writes the figures to a file.
func runBench(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	path := flags.String("o", "build/bench.json", "file for the figures")
	runs := flags.Int("runs", 3, "boots of each system")
	withoutDebian := flags.Bool("without-debian", false, "leave the reference out")
	if err := flags.Parse(arguments); err != nil {
		return exitStatus(2) // flags has said why
	}
	if *runs < 1 || flags.NArg() > 0 {
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
	report, err := bench.Run(ctx, d, options, bench.Options{Runs: *runs, WithoutDebian: *withoutDebian, Log: os.Stderr})
	if err != nil {
		return err
	}
	if err := writeJSON(*path, report); err != nil {
		return err
	}
	if err := report.Print(os.Stdout); err != nil {
		return err
	}
	fmt.Printf("\nfigures: %s\n", *path)
	return nil
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
