// Package lab is clusters of machines: it boots what a description names on
// LANs of its own, waits until every machine is ready, and keeps what they said
// and sent.
//
// It owns the wiring of switch, machines and peers. It knows nothing of load
// balancing and asserts nothing: that is for those who use it.
package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/goccy/go-yaml"

	"dipper/appliance/api"
	"dipper/qemu/machine"
)

// Description is a cluster before it is started.
type Description struct {
	Name  string // of files and directories
	Nodes []*Node
	// Cables are those LANs that have no switch: a cable between two network
	// cards carries what a switch keeps to itself, such as LACP.
	Cables []string
}

// Node is one machine of a Description: an appliance, or a peer.
type Node struct {
	Name string
	LANs []string // one network card in each, eth0 first
	// After are nodes that must be ready before this one is switched on: the
	// server that it boots from.
	After []string

	// An appliance: its boot config, handed over as fw_cfg item
	// opt/dipper/config. nil: none is handed over.
	Config []byte
	// Ready are the states in which an appliance is up; Serving if empty.
	Ready []api.State
	// Reference puts the peers' programs of Debian beside the appliance's own,
	// so that they act on the same kernel: its ipvsadm is what ours is held to.
	// They are run through the control socket, as "sh" with a script.
	Reference bool

	// A peer: the shell script that makes it what it is, run once it is up.
	Peer   bool
	Script string

	// Change is called, if set, with what would be started, to make it
	// another machine: less memory, a disk, another source of the boot config.
	Change func(*machine.Config) error
}

// layout is the file lab.yaml of a scenario.
type layout struct {
	// Machines by name, each with the LANs that its network cards are in.
	Machines map[string][]string `yaml:"machines"`
	Cables   []string            `yaml:"cables"`
}

// names are part of paths, host names and pcap interface names.
var name = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// Load reads a scenario: a directory with lab.yaml, and for every machine in it
// either NAME.yaml, the boot config of an appliance, or NAME.sh, the script of
// a peer.
func Load(dir string) (*Description, error) {
	path := filepath.Join(dir, "lab.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	var l layout
	if err := yaml.UnmarshalWithOptions(text, &l, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	d := &Description{Name: filepath.Base(absolute), Cables: l.Cables}
	for _, machine := range slices.Sorted(maps.Keys(l.Machines)) {
		node, err := loadNode(dir, machine, l.Machines[machine])
		if err != nil {
			return nil, fmt.Errorf("%s: machines.%s: %w", path, machine, err)
		}
		d.Nodes = append(d.Nodes, node)
	}
	return d, d.check()
}

func loadNode(dir, machine string, lans []string) (*Node, error) {
	node := &Node{Name: machine, LANs: lans}
	script, err := os.ReadFile(filepath.Join(dir, machine+".sh"))
	switch {
	case err == nil:
		node.Peer, node.Script = true, string(script)
		return node, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	node.Config, err = os.ReadFile(filepath.Join(dir, machine+".yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("expected a boot config %s.yaml or a peer's script %s.sh beside lab.yaml", machine, machine)
	}
	return node, err
}

// Node finds a node by its name, for changes before the start. A name that is
// not there is a mistake in a test: BUG.
func (d *Description) Node(name string) *Node {
	i := slices.IndexFunc(d.Nodes, func(n *Node) bool { return n.Name == name })
	if i < 0 {
		panic(fmt.Sprintf("BUG: scenario %s has no machine %q", d.Name, name))
	}
	return d.Nodes[i]
}

func (d *Description) check() error {
	if len(d.Nodes) == 0 {
		return fmt.Errorf("scenario %s: no machines", d.Name)
	}
	seen := make(map[string]bool)
	for _, n := range d.Nodes {
		switch {
		case !name.MatchString(n.Name):
			return fmt.Errorf("scenario %s: machine %q: expected small letters, digits and -", d.Name, n.Name)
		case seen[n.Name]:
			return fmt.Errorf("scenario %s: two machines %q", d.Name, n.Name)
		case n.Peer && n.Config != nil:
			return fmt.Errorf("scenario %s: machine %s: a peer has no boot config", d.Name, n.Name)
		}
		for _, before := range n.After {
			if !seen[before] {
				return fmt.Errorf("scenario %s: machine %s: after %q: expected one that is described before it", d.Name, n.Name, before)
			}
		}
		seen[n.Name] = true
		for _, lan := range n.LANs {
			if !name.MatchString(lan) {
				return fmt.Errorf("scenario %s: LAN %q: expected small letters, digits and -", d.Name, lan)
			}
		}
	}
	return d.checkCables()
}

func (d *Description) checkCables() error {
	ends := make(map[string]int)
	for _, n := range d.Nodes {
		for _, lan := range n.LANs {
			ends[lan]++
		}
	}
	for _, cable := range d.Cables {
		if ends[cable] != 2 {
			return fmt.Errorf("scenario %s: cable %q: expected 2 network cards in it, not %d", d.Name, cable, ends[cable])
		}
	}
	return nil
}
