package shell

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"dipper/appliance/api"
)

// setServer carries out a verb on a real server: ADDRESS [of SERVICE] VERB
// [WEIGHT] [for TIME].
func setServer(ctx context.Context, c *api.Client, words []string, out io.Writer) error {
	verb, err := parseVerb(words)
	if err != nil {
		return err
	}
	results, err := c.SetServer(ctx, verb)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tSERVER\tWEIGHT\tWAS\tACTIVE\tUNTIL")
	for _, r := range results {
		until := "-"
		if !r.Until.IsZero() {
			until = r.Until.UTC().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n", r.Service, r.Server, r.Weight, r.Was, r.Connections, until)
	}
	return w.Flush()
}

func parseVerb(words []string) (api.ServerVerb, error) {
	v := api.ServerVerb{Server: words[0]}
	words = words[1:]
	if len(words) > 2 && words[0] == "of" {
		v.Service, words = words[1], words[2:]
	}
	v.Verb, words = api.Verb(words[0]), words[1:]
	if v.Verb == api.Weigh {
		if len(words) == 0 {
			return v, errUsage
		}
		weight, err := strconv.Atoi(words[0])
		if err != nil {
			return v, fmt.Errorf("server: weight %q: expected a number", words[0])
		}
		v.Weight, words = weight, words[1:]
	}
	if len(words) == 0 {
		return v, nil
	}
	if len(words) != 2 || words[0] != "for" {
		return v, errUsage
	}
	d, err := time.ParseDuration(words[1])
	if err != nil {
		return v, fmt.Errorf("server: for %q: expected a time such as 10m", words[1])
	}
	v.For = api.Duration(d)
	return v, nil
}

// clearThings zeroes counters or ends connections.
func clearThings(ctx context.Context, c *api.Client, words []string, out io.Writer) error {
	q := api.ClearQuery{What: words[0]}
	for _, word := range words[1:] {
		if strings.ContainsAny(word, ".:") {
			q.Server = word
		} else {
			q.Service = word
		}
	}
	n, err := c.Clear(ctx, q)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d cleared\n", n)
	return err
}

// save makes the running configuration the saved one.
func save(ctx context.Context, c *api.Client, comment string, out io.Writer) error {
	revision, err := c.Save(ctx, comment)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "revision %d\n", revision.Number)
	return err
}

// commitFile commits a configuration: FILE [confirmed TIME] [comment TEXT].
func commitFile(ctx context.Context, c *api.Client, words []string, in io.Reader, out io.Writer) error {
	o, err := parseCommit(words[1:])
	if err != nil {
		return err
	}
	yaml, err := slurp(words[0], in)
	if err != nil {
		return err
	}
	candidate, err := c.OpenCandidate(ctx, false)
	if err != nil {
		return err
	}
	_, err = c.EditCandidate(ctx, candidate.ID, api.Edit{Kind: api.EditOverride, Text: string(yaml)})
	var done api.Committed
	if err == nil {
		done, err = c.Commit(ctx, candidate.ID, o)
	}
	if closing := c.CloseCandidate(ctx, candidate.ID); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	printComparison(out, done.Comparison)
	switch {
	case !done.ConfirmBy.IsZero():
		_, err = fmt.Fprintf(out, "to be confirmed by %s\n", done.ConfirmBy.UTC().Format(time.DateTime))
	case done.Revision == 0:
		_, err = fmt.Fprintln(out, "nothing changed")
	default:
		_, err = fmt.Fprintf(out, "revision %d\n", done.Revision)
	}
	return err
}

func parseCommit(words []string) (api.CommitOptions, error) {
	var o api.CommitOptions
	for len(words) >= 2 {
		switch words[0] {
		case "confirmed":
			d, err := time.ParseDuration(words[1])
			if err != nil {
				return o, fmt.Errorf("commit confirmed %q: expected a time such as 10m", words[1])
			}
			o.Confirm = api.Duration(d)
		case "comment":
			o.Comment = words[1]
		default:
			return o, errUsage
		}
		words = words[2:]
	}
	if len(words) > 0 {
		return o, errUsage
	}
	return o, nil
}

// printChanges shows what is not saved.
func printChanges(ctx context.Context, c *api.Client, out io.Writer) error {
	changes, err := c.Changes(ctx)
	if err != nil {
		return err
	}
	printComparison(out, changes)
	return nil
}

func printComparison(out io.Writer, c api.Comparison) {
	for _, part := range []struct {
		mark  string
		lines []string
	}{{"", c.Tree}, {"> ", c.Plan}, {"! ", c.Disturbed}, {"# ", c.Warnings}} {
		for _, line := range part.lines {
			fmt.Fprintln(out, part.mark+line)
		}
	}
}

func printRevisions(ctx context.Context, c *api.Client, out io.Writer) error {
	revisions, err := c.Revisions(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REVISION\tTIME\tUSER\tVIA\tCOMMENT")
	for _, r := range revisions {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", r.Number, r.Time.UTC().Format(time.DateTime), orElse(r.User, "-"), r.Via, r.Comment)
	}
	return w.Flush()
}

func printEvents(ctx context.Context, c *api.Client, out io.Writer) error {
	for e, err := range c.Events(ctx, 0, false) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %-8s %s\n", e.Time.UTC().Format(time.DateTime), e.Kind, e.Text)
	}
	return nil
}
