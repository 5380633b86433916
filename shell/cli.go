package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"dipper/appliance/api"
)

// ExitError is a program's exit status other than 0, to be passed on.
type ExitError int

// Error is the status in words; nobody prints it.
func (e ExitError) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// errUsage is what a command line that makes no sense gets.
var errUsage = errors.New(`usage:
  dipper status | boot | services | config
  dipper log [LINES] | events | revisions
  dipper plan FILE | apply FILE        (- is standard input)
  dipper ipvsadm ...                   (ipvsadm's language, on the running configuration)
  dipper server ADDRESS[:PORT] [of SERVICE] drain|disable|enable|weight N [for TIME]
  dipper clear counters|connections [SERVICE] [ADDRESS[:PORT]]
  dipper changes | save [COMMENT] | confirm | revert
  dipper commit FILE [confirmed TIME] [comment TEXT]
  dipper capture INTERFACE [FILTER]    (pcap; Ctrl-C ends it)
  dipper debug PROGRAM [ARGUMENTS]
  dipper reboot | poweroff`)

// CLI runs one command on the control socket.
func CLI(ctx context.Context, c *api.Client, args []string, in io.Reader, out, errOut io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	word, rest := args[0], args[1:]
	switch {
	case word == "debug" && len(rest) > 0:
		return program(ctx, c, rest, nil, out, errOut)
	case word == "ipvsadm":
		if !restores(rest) {
			in = nil
		}
		return program(ctx, c, args, in, out, errOut)
	case word == "server" && len(rest) > 1:
		return setServer(ctx, c, rest, out)
	case word == "capture" && len(rest) > 0:
		return c.Capture(ctx, api.CaptureQuery{Interface: rest[0], Filter: strings.Join(rest[1:], " ")}, out)
	case word == "clear" && len(rest) > 0:
		return clearThings(ctx, c, rest, out)
	case word == "save":
		return save(ctx, c, strings.Join(rest, " "), out)
	case word == "commit" && len(rest) > 0:
		return commitFile(ctx, c, rest, in, out)
	case (word == "plan" || word == "apply") && len(rest) == 1:
		return configure(ctx, c, word, rest[0], in, out)
	case word == "log" && len(rest) <= 1:
		return log(ctx, c, rest, out)
	case len(rest) > 0:
		return errUsage
	}
	return bare(ctx, c, word, out)
}

// bare runs a command that is one word.
func bare(ctx context.Context, c *api.Client, word string, out io.Writer) error {
	switch word {
	case "status":
		status, err := c.Status(ctx)
		return printJSON(out)(status, err)
	case "boot":
		return printBoot(ctx, c, out)
	case "services":
		return printServices(ctx, c, out)
	case "config":
		yaml, err := c.Config(ctx)
		if err != nil {
			return err
		}
		_, err = out.Write(yaml)
		return err
	case "changes":
		return printChanges(ctx, c, out)
	case "revisions":
		return printRevisions(ctx, c, out)
	case "events":
		return printEvents(ctx, c, out)
	case "confirm":
		revision, err := c.Confirm(ctx)
		if err == nil {
			fmt.Fprintf(out, "revision %d\n", revision.Number)
		}
		return err
	case "revert":
		return c.Revert(ctx)
	case "reboot", "poweroff":
		return c.End(ctx, api.Power(word))
	}
	return errUsage
}

// restores tells whether a command line of ipvsadm reads its standard input: a
// connection that carries a request's body for nothing cannot be used again.
func restores(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		return a == "--restore" || strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, "R")
	})
}

// program runs a program of the image, or the appliance's own ipvsadm.
func program(ctx context.Context, c *api.Client, argv []string, in io.Reader, out, errOut io.Writer) error {
	status, err := c.Program(ctx, argv, in, out, errOut)
	if err == nil && status != 0 {
		err = ExitError(status)
	}
	return err
}

// configure plans or applies a configuration file and prints the commands.
func configure(ctx context.Context, c *api.Client, word, file string, in io.Reader, out io.Writer) error {
	yaml, err := slurp(file, in)
	if err != nil {
		return err
	}
	act := c.Apply
	if word == "plan" {
		act = c.Plan
	}
	done, err := act(ctx, yaml)
	if err != nil {
		return err
	}
	for _, edit := range done.Plan {
		fmt.Fprintln(out, edit)
	}
	return nil
}

func slurp(file string, in io.Reader) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(io.LimitReader(in, api.MaxConfigSize+1))
	}
	return os.ReadFile(file)
}

func log(ctx context.Context, c *api.Client, args []string, out io.Writer) error {
	n := 50
	if len(args) == 1 {
		var err error
		if n, err = strconv.Atoi(args[0]); err != nil {
			return fmt.Errorf("log: %q is no number of lines", args[0])
		}
	}
	text, err := c.Log(ctx, n)
	if err != nil {
		return err
	}
	for _, l := range text {
		fmt.Fprintln(out, l)
	}
	return nil
}

func printBoot(ctx context.Context, c *api.Client, out io.Writer) error {
	steps, err := c.Boot(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AT\tTOOK\tSTEP\tOUTCOME\tDETAIL")
	for _, s := range steps {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", ms(s.At), ms(s.Took), s.Name, s.Outcome, s.Detail)
	}
	return w.Flush()
}

func ms(d api.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
}

func printServices(ctx context.Context, c *api.Client, out io.Writer) error {
	services, err := c.Services(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tADDRESS\tSCHEDULER\tFORWARD\tWEIGHT\tACTIVE\tINACTIVE\tCONNECTIONS\tIN\tOUT")
	for _, s := range services {
		fmt.Fprintf(w, "%s\t%s %s\t%s\t\t\t\t\t%d\t%d\t%d\n", orElse(s.Name, "-"), s.Protocol, s.Listen,
			s.Scheduler, s.Statistics.Connections, s.Statistics.InBytes, s.Statistics.OutBytes)
		for _, rs := range s.RealServers {
			fmt.Fprintf(w, "\t  %s\t\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", rs.Address, strings.ToLower(rs.Forward), rs.Weight,
				rs.ActiveConnections, rs.InactiveConnections,
				rs.Statistics.Connections, rs.Statistics.InBytes, rs.Statistics.OutBytes)
		}
	}
	return w.Flush()
}

// printJSON prints an answer of the control socket, indented.
func printJSON(out io.Writer) func(v any, err error) error {
	return func(v any, err error) error {
		if err != nil {
			return err
		}
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
}
