// Package control measures what work on the table costs, in guest instructions,
// kernel included: loading, changing and listing it, and reading connections,
// with our control plane, and with Debian's ipvsadm and keepalived on the same
// kernel.
//
// It owns the scripts that do that in the guests. It asserts nothing.
package control

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// Report is what was measured. Costs are by the names of the scripts.
type Report struct {
	Dipper    Costs `json:"dipper"`
	Reference Costs `json:"reference"` // Debian's programs
}

// Costs are what pieces of work took, in millions of guest instructions, and
// what was counted beside.
type Costs struct {
	Millions map[string]float64 `json:"millions_of_instructions"`
	Counts   map[string]int     `json:"counts"`
}

//go:embed guest/*.sh
var guest embed.FS

// Options are what the guests boot, and where they leave their files.
type Options struct {
	Lab           lab.Options
	WithoutDebian bool // the reference takes most of the time
	// Connections, if not 0, are how many are read, and nothing else is
	// measured. A million take hours (docs/decisions/0014).
	Connections int
	Log         io.Writer
}

// guestMemory has room for 110,000 rules and the connections, in MiB.
const guestMemory = 1024

// patience is for one guest that counts instructions on a busy host.
const patience = 90 * time.Minute

// longPatience is for as many connections as somebody asks for.
const longPatience = 12 * time.Hour

// director is the appliance's boot config: nothing but the address that all
// services are at.
const director = `
role: director
hostname: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24]}}}
`

// Run measures.
func Run(ctx context.Context, o Options) (r Report, err error) {
	if err := os.MkdirAll(o.Lab.Dir, 0o755); err != nil {
		return r, err
	}
	requests, err := buildRequests(ctx, o.Lab.Dir)
	if err != nil {
		return r, err
	}
	if o.Connections > 0 {
		return manyConnections(ctx, o, requests)
	}
	if !o.WithoutDebian {
		fmt.Fprintln(o.Log, "the table, by Debian's programs")
		r.Reference, err = measure(ctx, o, "reference.sh", &lab.Node{Peer: true, Change: counted}, nil)
		if err != nil {
			return r, err
		}
	}
	fmt.Fprintln(o.Log, "the table, by the appliance")
	r.Dipper, err = measure(ctx, o, "director.sh", &lab.Node{Reference: true, Config: []byte(director), Change: counted}, requests)
	return r, err
}

// counted is a machine that counts instructions.
func counted(c *machine.Config) error {
	c.CountInstructions, c.Memory = true, guestMemory
	return nil
}

// manyConnections measures one client's of very many, which both programs read
// in the same guest: making them takes time, too.
func manyConnections(ctx context.Context, o Options, requests []byte) (r Report, err error) {
	fmt.Fprintf(o.Log, "one client's of %d connections\n", o.Connections)
	node := &lab.Node{Reference: true, Config: []byte(director), Change: func(c *machine.Config) error {
		c.CommandLine += connectionRows
		return counted(c)
	}}
	both, err := measure(ctx, o, "connections.sh", node, requests)
	r.Dipper = both
	const theirs = "ipvsadm-connections"
	if cost, measured := both.Millions[theirs]; measured {
		delete(both.Millions, theirs)
		r.Reference.Millions = map[string]float64{"connections": cost}
	}
	return r, err
}

// connectionRows are as many as a million connections want (docs/ipvs.md).
const connectionRows = " ip_vs.conn_tab_bits=20"

// buildRequests builds the program that asks on an open connection.
func buildRequests(ctx context.Context, dir string) ([]byte, error) {
	program := filepath.Join(dir, "requests")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
		"-o", program, "dipper/qemu/bench/control/requests")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOAMD64=v1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("requests: %w: %s", err, out)
	}
	return os.ReadFile(program)
}

// measure boots one machine and runs a script in it, with a file for its input.
func measure(ctx context.Context, o Options, script string, node *lab.Node, in []byte) (costs Costs, err error) {
	limit := patience
	if o.Connections > 0 {
		limit = longPatience
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	text, err := scriptText(script)
	if err != nil {
		return costs, err
	}
	text = o.variables() + text
	node.Name, node.LANs = "director", []string{"lan"}
	o.Lab.Dir = filepath.Join(o.Lab.Dir, strings.TrimSuffix(script, ".sh"))
	c, err := lab.Start(ctx, &lab.Description{Name: "bench-control", Nodes: []*lab.Node{node}}, o.Lab)
	if err != nil {
		return costs, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	said, err := run(ctx, c, node, text, in)
	if err != nil {
		return costs, fmt.Errorf("%s: %w\n%s", script, err, said)
	}
	return parse(said)
}

// variables are what the scripts are told.
func (o Options) variables() string {
	var b strings.Builder
	if o.Connections > 0 {
		fmt.Fprintf(&b, "connections=%d\n", o.Connections)
	}
	withDebian := "yes"
	if o.WithoutDebian {
		withDebian = ""
	}
	fmt.Fprintf(&b, "with_debian=%s\n", withDebian)
	return b.String()
}

func scriptText(name string) (string, error) {
	common, err := guest.ReadFile("guest/clock.sh")
	if err != nil {
		return "", err
	}
	own, err := guest.ReadFile("guest/" + name)
	return string(common) + string(own), err
}

// run runs a script in the only machine of c, and answers what it printed.
func run(ctx context.Context, c *lab.Cluster, node *lab.Node, script string, in []byte) (string, error) {
	if node.Peer {
		return c.Peer(node.Name).Run(ctx, script)
	}
	var out, errOut strings.Builder
	status, err := c.Appliance(node.Name).Program(ctx, []string{"sh", "-c", script}, bytes.NewReader(in), &out, &errOut)
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d: %s", status, errOut.String())
	}
	return out.String(), err
}

// figure is a line of the scripts: "cost: load 1441323" in microseconds of a
// clock that counts a nanosecond for each instruction, the cost of measuring
// included, "elapsed: weight-session 2100" without it, or "count: edits 0".
var figure = regexp.MustCompile(`(?m)^(cost|elapsed|count): (\S+) (\d+)$`)

// nothing is the cost of measuring.
const nothing = "nothing"

func parse(said string) (Costs, error) {
	c := Costs{Millions: make(map[string]float64), Counts: make(map[string]int)}
	costs := make(map[string]float64)
	for _, f := range figure.FindAllStringSubmatch(said, -1) {
		n, err := strconv.Atoi(f[3])
		if err != nil {
			return c, fmt.Errorf("%s: %w", f[0], err)
		}
		switch f[1] {
		case "count":
			c.Counts[f[2]] = n
		case "elapsed":
			c.Millions[f[2]] = float64(n) / 1000
		default:
			costs[f[2]] = float64(n) / 1000
		}
	}
	for name, cost := range costs {
		if name != nothing {
			cost -= costs[nothing]
		}
		c.Millions[name] = cost
	}
	if len(c.Millions) == 0 {
		return c, fmt.Errorf("nothing was measured:\n%s", said)
	}
	return c, nil
}
