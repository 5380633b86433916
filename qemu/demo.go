package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"dipper/qemu/scenario"
)

// runDemo boots the demonstrated clusters one after the other and shows what
// went where. It fails when anything is not as it should be.
func runDemo(ctx context.Context, _ []string) error {
	wrong := 0
	for _, s := range scenario.Demonstrated() {
		fmt.Printf("\n%s: %s. Booting a client, a director and %d real servers ...\n", s.Example, s.Title, len(s.Servers))
		report, err := demonstrate(ctx, s)
		if err != nil {
			return err
		}
		if err := printReport(os.Stdout, report); err != nil {
			return err
		}
		wrong += len(report.Failed())
	}
	if wrong > 0 {
		return fmt.Errorf("%d claims do not hold", wrong)
	}
	fmt.Println("\nAll of it is right.")
	return nil
}

func demonstrate(ctx context.Context, s scenario.Scenario) (report scenario.Report, err error) {
	d, err := s.Load()
	if err != nil {
		return report, err
	}
	c, err := start(ctx, d, labDir("demo-"+s.Example))
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return s.Show(ctx, c)
}

// printReport prints a table of who answered, and the claims.
func printReport(w io.Writer, r scenario.Report) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\n  curl %s\t%d requests\n", r.Scenario.URL(), r.Requests)
	for _, server := range r.Scenario.Servers {
		fmt.Fprintf(table, "  %s %s\t%d answers\tweight %d\t%s\n", server.Name, server.RIP,
			r.Answers[server.Name], server.Weight, strings.Repeat("#", r.Answers[server.Name]))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, fact := range r.Facts {
		if fact.Denial == nil {
			fmt.Fprintf(w, "  ok     %s\n", fact.Claim)
		} else {
			fmt.Fprintf(w, "  WRONG  %s: %v\n", fact.Claim, fact.Denial)
		}
	}
	return nil
}
