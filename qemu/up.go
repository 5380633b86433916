package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// labDir is where a cluster that stays up keeps its files, below the top of the
// tree.
func labDir(scenario string) string { return filepath.Join("build", "lab", scenario) }

// load finds a scenario by its name in examples/, or by its directory.
func load(scenario string) (*lab.Description, error) {
	if _, err := os.Stat(filepath.Join(scenario, "lab.yaml")); err == nil {
		return lab.Load(scenario)
	}
	root, err := lab.Root()
	if err != nil {
		return nil, err
	}
	examples := filepath.Join(root, "examples")
	d, err := lab.Load(filepath.Join(examples, scenario))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: expected a directory with a lab.yaml, or one of %s", err, strings.Join(directories(examples), ", "))
	}
	return d, err
}

// directories are the names of those in dir. It is for a message: what cannot be
// read is not in it.
func directories(dir string) []string {
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func start(ctx context.Context, d *lab.Description, dir string) (*lab.Cluster, error) {
	options, err := lab.OptionsFromEnvironment(ctx, d, dir)
	if err != nil {
		return nil, err
	}
	options.Waiting = func() { fmt.Println("two other clusters are up on this host: waiting for one of them to end ...") }
	return lab.Start(ctx, d, options)
}

// runLab keeps a cluster up until it is interrupted.
func runLab(ctx context.Context, arguments []string) (err error) {
	d, err := load(arguments[0])
	if err != nil {
		return err
	}
	fmt.Printf("booting %s ...\n", d.Name)
	openConsoles(d)
	c, err := start(ctx, d, labDir(d.Name))
	if err != nil {
		return err
	}
	defer func() {
		if closed := c.Close(); err == nil {
			err = closed
		}
	}()
	if err := c.Offer(); err != nil {
		return err
	}
	describe(d, c)
	<-ctx.Done()
	fmt.Println("\nending")
	return nil
}

// openConsoles lets whoever sits at an appliance's console in: those who look at
// a cluster need no key for it.
func openConsoles(d *lab.Description) {
	for _, n := range d.Nodes {
		if !n.Peer {
			n.Change = func(m *machine.Config) error {
				m.CommandLine += " dipper.console=open"
				return nil
			}
		}
	}
}

// describe prints how to reach each machine.
func describe(d *lab.Description, c *lab.Cluster) {
	fmt.Printf("\n%s is up. Ctrl-C ends it. From another terminal:\n", d.Name)
	for _, n := range d.Nodes {
		fmt.Printf("\n%s", n.Name)
		for i, lan := range n.LANs {
			fmt.Printf("  eth%d in %s", i, lan)
		}
		if n.Peer {
			fmt.Printf("\n  go run ./qemu console %s %s    Ctrl-] leaves it\n", d.Name, n.Name)
			fmt.Printf("  go run ./qemu exec %s %s ip addr\n", d.Name, n.Name)
		} else {
			fmt.Printf("\n  go run ./qemu console %s %s    its shell; Ctrl-] leaves it\n", d.Name, n.Name)
			fmt.Printf("  go run ./qemu ctl %s %s /v1/status\n", d.Name, n.Name)
			fmt.Printf("  curl --unix-socket %s http://dipper/v1/status\n", filepath.Join(labDir(d.Name), "run", n.Name+".control"))
		}
	}
	fmt.Printf("\nconsoles, captures and command lines: %s\n", c.Dir())
}
