// Command requests asks the control socket of the machine it runs on, as a
// session does, and prints what that took.
//
//	requests weights             one weight of the bench's table, changed in several ways
//	requests connections CLIENT  the connections of one client, one a line
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	err := errors.New("usage: requests weights | connections CLIENT")
	switch {
	case len(os.Args) == 2 && os.Args[1] == "weights":
		err = weights(ctx, c)
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
// 192.168.4.5:1500.
type way struct {
	name string
	do   func(ctx context.Context, c *api.Client, weight int) (time.Duration, error)
}

// weights goes each of the ways on one connection, which stays open. What it
// prints is the median of the times from the request to the answer, by which
// the kernel has it.
func weights(ctx context.Context, c *api.Client) error {
	for _, w := range []way{{"weight-session", byCommand}, {"weight-verb", byVerb}, {"weight-commit", byCommit}} {
		var took []time.Duration
		for round := range rounds + 1 {
			d, err := w.do(ctx, c, 100+round)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if round > 0 { // the first opens the connection
				took = append(took, d)
			}
		}
		slices.Sort(took)
		fmt.Printf("elapsed: %s %d\n", w.name, took[rounds/2].Microseconds())
	}
	return nil
}

// timed does one thing and says how long it took.
func timed(do func() error) (time.Duration, error) {
	began := time.Now()
	err := do()
	return time.Since(began), err
}

// byCommand types ipvsadm -e.
func byCommand(ctx context.Context, c *api.Client, weight int) (time.Duration, error) {
	argv := strings.Fields(fmt.Sprintf("ipvsadm -e -t 192.168.4.5:1500 -r 10.1.0.5:80 -m -w %d", weight))
	return timed(func() error {
		status, err := c.Program(ctx, argv, strings.NewReader(""), io.Discard, os.Stderr)
		if err == nil && status != 0 {
			err = fmt.Errorf("exit status %d", status)
		}
		return err
	})
}

// byVerb is what "server weight" of the shell asks for.
func byVerb(ctx context.Context, c *api.Client, weight int) (time.Duration, error) {
	service, err := serviceName(ctx, c)
	if err != nil {
		return 0, err
	}
	return timed(func() error {
		_, err := c.SetServer(ctx, api.ServerVerb{Service: service, Server: "10.1.0.5", Verb: api.Weigh, Weight: weight})
		return err
	})
}

// byCommit is the commit of a candidate that somebody has edited.
func byCommit(ctx context.Context, c *api.Client, weight int) (took time.Duration, err error) {
	service, err := serviceName(ctx, c)
	if err != nil {
		return 0, err
	}
	_, err = c.SetServer(ctx, api.ServerVerb{Service: service, Server: "10.1.0.5", Verb: api.Enable})
	if err != nil {
		return 0, err
	}
	candidate, err := c.OpenCandidate(ctx, false)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closed := c.CloseCandidate(ctx, candidate.ID); err == nil {
			err = closed
		}
	}()
	words := []string{"services", service, "real-servers", "10.1.0.5:80", "weight", fmt.Sprint(weight)}
	if _, err := c.EditCandidate(ctx, candidate.ID, api.Edit{Kind: api.EditSet, Words: words}); err != nil {
		return 0, err
	}
	return timed(func() error {
		_, err := c.Commit(ctx, candidate.ID, api.CommitOptions{})
		return err
	})
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
