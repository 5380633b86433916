package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dipper/appliance/api"
	"dipper/qemu/ether"
	"dipper/qemu/machine"
	"dipper/qemu/peer"
	"dipper/qemu/peer/call"
)

// Options are how a cluster is started, apart from what it is.
type Options struct {
	Build       Build
	Dir         string // keeps command lines, console logs and captures; made if missing
	Accelerator machine.Accelerator
	Patience    time.Duration // until every machine must be ready; 10 minutes if 0
	Waiting     func()        // called once if other clusters must end first; nil: nobody is told
}

// defaultPatience bounds a start that hangs. Fourteen machines on a host with a load
// of 12 for each processor have needed more than 5 minutes.
const defaultPatience = 10 * time.Minute

// Cluster is machines that run. Close it.
type Cluster struct {
	description *Description
	options     Options
	run         string // of sockets: a short path
	initramfs   string // of peers

	ctx       context.Context // of what serves the machines
	cancel    context.CancelFunc
	serving   sync.WaitGroup
	slot      *slot
	lans      map[string]*lan
	members   map[string]*Member
	closeOnce sync.Once
	closed    error
}

// lan is a switch with its capture.
type lan struct {
	*ether.LAN
	capture *ether.Capture
}

// Member is one machine of a cluster.
type Member struct {
	node    *Node
	ports   []*ether.Port
	ready   chan struct{} // closed when it is
	machine *machine.Machine
	control *control    // of an appliance
	client  *api.Client // of an appliance
	peer    *peer.Peer  // of a peer
}

// Start boots a cluster and waits until all its machines are ready. At most two
// clusters run on a host at a time: others wait here for their turn. ctx limits
// the start only.
func Start(ctx context.Context, d *Description, o Options) (*Cluster, error) {
	if err := errors.Join(d.check(), o.Build.check(d)); err != nil {
		return nil, err
	}
	c, err := prepare(ctx, d, o)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", d.Name, err)
	}
	if err := c.boot(ctx); err != nil {
		return nil, fmt.Errorf("cluster %s: %w", d.Name, errors.Join(err, c.Close()))
	}
	return c, nil
}

func prepare(ctx context.Context, d *Description, o Options) (*Cluster, error) {
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Waiting == nil {
		o.Waiting = func() {}
	}
	c := &Cluster{description: d, options: o, lans: make(map[string]*lan), members: make(map[string]*Member)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	err := c.prepareFiles(ctx)
	if err == nil {
		err = c.plugIn()
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) prepareFiles(ctx context.Context) error {
	dir, err := slotDir()
	if err != nil {
		return err
	}
	if c.slot, err = takeSlot(ctx, dir, c.options.Waiting); err != nil {
		return err
	}
	if slices.ContainsFunc(c.description.Nodes, func(n *Node) bool { return n.Peer || n.Reference }) {
		if c.initramfs, err = peer.Initramfs(ctx); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.options.Dir, 0o755); err != nil {
		return err
	}
	c.run, err = os.MkdirTemp("", "dipper-") // below TMPDIR, since the tree's path may be too long for a socket
	return err
}

// plugIn makes LANs, and a port for every network card.
func (c *Cluster) plugIn() error {
	for _, n := range c.description.Nodes {
		m := &Member{node: n, ready: make(chan struct{})}
		c.members[n.Name] = m
		for i, name := range n.LANs {
			l, err := c.lan(name)
			if err != nil {
				return err
			}
			port := l.Port(fmt.Sprintf("%s.eth%d", n.Name, i))
			m.ports = append(m.ports, port)
			if err := c.listen(port); err != nil {
				return err
			}
		}
	}
	return nil
}

// lan makes a LAN when it is first named.
func (c *Cluster) lan(name string) (*lan, error) {
	if l := c.lans[name]; l != nil {
		return l, nil
	}
	capture, err := ether.NewCapture(filepath.Join(c.options.Dir, name+".pcapng"))
	if err != nil {
		return nil, err
	}
	made := ether.NewLAN
	if slices.Contains(c.description.Cables, name) {
		made = ether.NewCable
	}
	l := &lan{made(name), capture}
	l.LAN.Capture(capture)
	c.lans[name] = l
	return l, nil
}

func (c *Cluster) listen(port *ether.Port) error {
	wait, err := port.Listen(c.ctx, filepath.Join(c.run, port.Name()))
	if err != nil {
		return err
	}
	// A port that stops listening is a machine without network, which the
	// test sees.
	c.serving.Go(func() { _ = wait() })
	return nil
}

// bootAtOnce bounds how many machines fight for the processors at boot.
const bootAtOnce = 4

func (c *Cluster) boot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.Patience)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	booting := make(chan struct{}, bootAtOnce)
	for i, n := range c.description.Nodes {
		group.Go(func() error {
			m := c.members[n.Name]
			if err := c.await(ctx, n.After, booting); err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			defer func() { <-booting }()
			if err := c.bootMember(ctx, i, m); err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			close(m.ready)
			return nil
		})
	}
	return group.Wait()
}

// await waits for the nodes that must be there before, and for a turn to boot.
func (c *Cluster) await(ctx context.Context, before []string, turn chan<- struct{}) error {
	for _, name := range before {
		select {
		case <-c.member(name).ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	select {
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Cluster) bootMember(ctx context.Context, index int, m *Member) error {
	config, err := c.machineConfig(index, m)
	if err != nil {
		return err
	}
	if m.machine, err = machine.Start(ctx, config); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // nobody waits for a machine that is gone
		select {
		case <-m.machine.Ended():
			cancel(errors.New("the machine has ended"))
		case <-ctx.Done():
		}
	}()
	ready := m.awaitAppliance
	if m.node.Peer {
		ready = m.awaitPeer
	}
	if err := ready(ctx, c); err != nil {
		return fmt.Errorf("%w (%w); console:\n%s", err, context.Cause(ctx), lastLines(m.machine.Console().Output()))
	}
	return nil
}

func lastLines(text string) string {
	const count = 30
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(len(lines)-count, 0):], "\n")
}

// kernelCommandLine of every machine. A panic ends it at once.
const kernelCommandLine = "console=ttyS0 panic=-1"

// memory in MiB. An appliance has what it promises to need; a peer unpacks its
// 50 MB into memory.
const (
	applianceMemory = 128
	peerMemory      = 256
)

func (c *Cluster) machineConfig(index int, m *Member) (machine.Config, error) {
	config := machine.Config{
		Name: m.node.Name, Dir: c.options.Dir, Run: c.run,
		Kernel: c.options.Build.Kernel, CommandLine: kernelCommandLine,
		Accelerator: c.options.Accelerator,
		UUID:        fmt.Sprintf("00000000-0000-4000-8000-%012d", index+1),
		Serial:      m.node.Name,
	}
	for i, port := range m.ports {
		config.NICs = append(config.NICs, machine.NIC{MAC: MAC(index, i), Socket: filepath.Join(c.run, port.Name())})
	}
	switch {
	case m.node.Peer:
		config.Initrds, config.Memory, config.Ports = []string{c.initramfs}, peerMemory, []string{call.Port}
	case m.node.Reference: // what both have, such as /init, is the appliance's: it is unpacked last
		config.Initrds, config.Memory, config.Ports = []string{c.initramfs, c.options.Build.Initramfs}, applianceMemory+peerMemory, []string{api.ControlPort}
	default:
		config.Initrds, config.Memory, config.Ports = []string{c.options.Build.Initramfs}, applianceMemory, []string{api.ControlPort}
	}
	if err := c.handOver(m.node, &config); err != nil {
		return config, err
	}
	if m.node.Change != nil {
		return config, m.node.Change(&config)
	}
	return config, nil
}

// handOver gives the appliance its boot config.
func (c *Cluster) handOver(n *Node, config *machine.Config) error {
	if n.Config == nil {
		return nil
	}
	path := filepath.Join(c.options.Dir, n.Name+".dipper.yaml")
	config.FWCfg = map[string]string{"opt/dipper/config": path}
	return os.WriteFile(path, n.Config, 0o644)
}

// MAC is the address of a network card: locally administered, and readable in
// a capture. Both numbers count from 0, in the order of the description.
func MAC(node, nic int) string { return fmt.Sprintf("52:54:00:00:%02x:%02x", node+1, nic) }

// Names are the machines' names, in the order of the description.
func (c *Cluster) Names() []string {
	var names []string
	for _, n := range c.description.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// MACs are the machines' names by the addresses of their network cards.
func (c *Cluster) MACs() map[string]string {
	names := make(map[string]string)
	for i, n := range c.description.Nodes {
		for nic := range n.LANs {
			names[MAC(i, nic)] = n.Name
		}
	}
	return names
}

// LANs are the names of all LANs, sorted.
func (c *Cluster) LANs() []string { return slices.Sorted(maps.Keys(c.lans)) }

// member of a name that is not there is a mistake in a test: BUG.
func (c *Cluster) member(name string) *Member {
	m := c.members[name]
	if m == nil {
		panic(fmt.Sprintf("BUG: cluster %s has no machine %q", c.description.Name, name))
	}
	return m
}

// Machine is the virtual machine of that name.
func (c *Cluster) Machine(name string) *machine.Machine { return c.member(name).machine }

// Peer runs commands in the peer of that name.
func (c *Cluster) Peer(name string) *peer.Peer { return c.member(name).peer }

// Appliance asks the control plane of the appliance of that name.
func (c *Cluster) Appliance(name string) *api.Client { return c.member(name).client }

// Port is the switch's port that a machine's network card is plugged into.
func (c *Cluster) Port(name string, nic int) *ether.Port { return c.member(name).ports[nic] }

// LAN is the switch of that name.
func (c *Cluster) LAN(name string) *ether.LAN { return c.lans[name].LAN }

// Capture is what the LAN of that name has carried since the start.
func (c *Cluster) Capture(lan string) *ether.Capture { return c.lans[lan].capture }

// Dir is where the cluster keeps its files.
func (c *Cluster) Dir() string { return c.options.Dir }

// Close ends all machines and waits until nothing is left but the files in Dir.
func (c *Cluster) Close() error {
	c.closeOnce.Do(func() { c.closed = c.close() })
	return c.closed
}

func (c *Cluster) close() error {
	var group errgroup.Group
	for _, m := range c.members {
		group.Go(m.close)
	}
	err := group.Wait()
	c.cancel()
	for _, l := range c.lans {
		l.Close()
		err = errors.Join(err, l.capture.Close())
	}
	c.serving.Wait()
	if c.run != "" {
		err = errors.Join(err, os.RemoveAll(c.run))
	}
	return errors.Join(err, c.slot.release())
}

func (m *Member) close() error {
	if m.client != nil {
		m.client.Close()
	}
	if m.peer != nil {
		_ = m.peer.Close() // the machine goes with it
	}
	if m.machine == nil {
		return nil
	}
	return m.machine.Close()
}
