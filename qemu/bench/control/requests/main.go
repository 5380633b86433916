// Command requests asks the control socket of the machine it runs on, as a
// session does, and prints what that took.
//
//	requests weights             one weight of the bench's table, changed in several ways
//	requests editing SUFFIX      one weight by a candidate, and what comes before its commit
//	requests connections CLIENT  the connections of one client, one a line
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"dipper/appliance/api"
)

// rounds is how often each way is gone. An audit of the whole table, every ten
// seconds, falls on one of them at most.
const rounds = 5

func main() {
	ctx, c := context.Background(), api.NewClient(api.SocketPath)
	err := errors.New("usage: requests weights | editing SUFFIX | connections CLIENT")
	switch {
	case len(os.Args) == 2 && os.Args[1] == "weights":
		err = measure(ctx, c, "", byCommand, byVerb)
	case len(os.Args) == 3 && os.Args[1] == "editing":
		err = measure(ctx, c, os.Args[2], byCandidate, afterRule)
	case len(os.Args) == 3 && os.Args[1] == "connections":
		err = connections(ctx, c, os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "requests:", err)
		os.Exit(1)
	}
}

// connections prints those of one client, and how much memory it took.
func connections(ctx context.Context, c *api.Client, client string) error {
	before, err := peak()
	if err != nil {
		return err
	}
	for found, err := range c.Connections(ctx, api.ConnectionQuery{Client: client}) {
		if err != nil {
			return err
		}
		fmt.Println(found.Protocol, found.Client, found.Virtual, found.Server, found.State)
	}
	after, err := peak()
	fmt.Println("count: memory-of-client", after-before)
	return err
}

// peak is the most memory that this process has had, in KiB.
func peak() (kib int, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, line, found := strings.Cut(string(status), "VmHWM:")
	if !found {
		return 0, errors.New("the kernel does not say how much memory a process has had")
	}
	_, err = fmt.Sscan(line, &kib)
	return kib, err
}

// way is a way to change the weight of 10.1.0.5:80 of the service at
// 192.168.4.5:1500. It answers how long what it asked for took, by name.
type way func(ctx context.Context, c *api.Client, weight int) (map[string]time.Duration, error)

// measure goes each of the ways on one connection, which stays open. What it
// prints is the median of the times from the request to the answer, by which
// the kernel has it.
func measure(ctx context.Context, c *api.Client, suffix string, ways ...way) error {
	for _, do := range ways {
		took := make(map[string][]time.Duration)
		for round := range rounds + 1 {
			asked, err := do(ctx, c, 100+round)
			if err != nil {
				return err
			}
			for name, d := range asked {
				if round > 0 { // the first opens the connection
					took[name] = append(took[name], d)
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(took)) {
			slices.Sort(took[name])
			fmt.Printf("elapsed: %s%s %d\n", name, suffix, took[name][rounds/2].Microseconds())
		}
	}
	return nil
}

// asking collects how long requests take, until the first that fails.
type asking struct {
	took map[string]time.Duration
	err  error
}

func (a *asking) ask(name string, do func() error) {
	if a.err != nil {
		return
	}
	began := time.Now()
	if err := do(); err != nil {
		a.err = fmt.Errorf("%s: %w", name, err)
	}
	if a.took == nil {
		a.took = make(map[string]time.Duration)
	}
	a.took[name] = time.Since(began)
}

// byCommand types ipvsadm -e.
func byCommand(ctx context.Context, c *api.Client, weight int) (map[string]time.Duration, error) {
	argv := strings.Fields(fmt.Sprintf("ipvsadm -e -t 192.168.4.5:1500 -r 10.1.0.5:80 -m -w %d", weight))
	var a asking
	a.ask("weight-session", func() error {
		status, err := c.Program(ctx, argv, strings.NewReader(""), io.Discard, os.Stderr)
		if err == nil && status != 0 {
			err = fmt.Errorf("exit status %d", status)
		}
		return err
	})
	return a.took, a.err
}

// byVerb is what "server weight" of the shell asks for.
func byVerb(ctx context.Context, c *api.Client, weight int) (map[string]time.Duration, error) {
	service, err := serviceName(ctx, c)
	var a asking
	if err == nil {
		a.ask("weight-verb", func() error {
			_, err := c.SetServer(ctx, api.ServerVerb{Service: service, Server: "10.1.0.5", Verb: api.Weigh, Weight: weight})
			return err
		})
	}
	return a.took, errors.Join(err, a.err)
}

// byCandidate is what somebody asks for who looks at a service, edits it and
// commits.
func byCandidate(ctx context.Context, c *api.Client, weight int) (map[string]time.Duration, error) {
	service, err := serviceName(ctx, c)
	if err != nil {
		return nil, err
	}
	// What an operator said would go before what is committed.
	if _, err = c.SetServer(ctx, api.ServerVerb{Service: service, Server: "10.1.0.5", Verb: api.Enable}); err != nil {
		return nil, err
	}
	var a asking
	var opened api.Candidate
	a.ask("show-one", func() error {
		_, err := c.ShowConfig(ctx, "running", api.ShowQuery{Path: []string{"services", service}})
		return err
	})
	a.ask("configure", func() (err error) {
		opened, err = c.OpenCandidate(ctx, false)
		return err
	})
	set := func(weight int) error {
		words := []string{"services", service, "real-servers", "10.1.0.5:80", "weight", fmt.Sprint(weight)}
		_, err := c.EditCandidate(ctx, opened.ID, api.Edit{Kind: api.EditSet, Words: words})
		return err
	}
	a.ask("set", func() error { return set(weight) })
	a.ask("compare", func() error {
		_, err := c.CompareCandidate(ctx, opened.ID, "")
		return err
	})
	a.ask("commit-check", func() error {
		_, err := c.Commit(ctx, opened.ID, api.CommitOptions{CheckOnly: true})
		return err
	})
	a.ask("set-again", func() error { return set(2 * weight) }) // what is committed was not looked at yet
	a.ask("weight-commit", func() error {
		_, err := c.Commit(ctx, opened.ID, api.CommitOptions{})
		return err
	})
	if opened.ID != "" {
		a.err = errors.Join(a.err, c.CloseCandidate(ctx, opened.ID))
	}
	return a.took, a.err
}

// afterRule is the first look at the configuration after a rule of ipvsadm's:
// it has no text yet.
func afterRule(ctx context.Context, c *api.Client, weight int) (map[string]time.Duration, error) {
	service, err := serviceName(ctx, c)
	if err == nil {
		_, err = byCommand(ctx, c, weight)
	}
	var a asking
	if err == nil {
		a.ask("show-after-rule", func() error {
			_, err := c.ShowConfig(ctx, "running", api.ShowQuery{Path: []string{"services", service}})
			return err
		})
	}
	return a.took, errors.Join(err, a.err)
}

// serviceName is the name of the service at 192.168.4.5:1500.
func serviceName(ctx context.Context, c *api.Client) (string, error) {
	names, err := c.Names(ctx, api.NamesQuery{Kind: "service", Prefix: "tcp-192.168.4.5-1500"})
	if err != nil {
		return "", err
	}
	if len(names) != 1 {
		return "", fmt.Errorf("%d services are named so", len(names))
	}
	return names[0].Word, nil
}
