package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dipper/appliance/api"
	"dipper/qemu/ether"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// The cluster is examples/s2-dr, whose director the benchmark boots itself.
const (
	directorName = "director"
	clientName   = "client"
	lanName      = "lan"
)

// The example's addresses, and the prober's in the first run, which is none of
// them.
var (
	service      = netip.MustParseAddrPort("192.168.4.15:80")
	realServers  = []string{"192.168.4.100", "192.168.4.200"} // and their pages
	firstProbing = netip.MustParseAddr("192.168.4.20")
)

// bed is the cluster without its director: real servers that are up, and a LAN
// with a port for the director and one for the prober.
type bed struct {
	dir     string // of files
	run     string // of sockets
	config  string // the director's
	build   lab.Build
	cluster *lab.Cluster
	port    *ether.Port // of the director
	prober  *ether.Port
	probing netip.Addr // the prober's address in the next run
	cancel  context.CancelFunc
	serving sync.WaitGroup
}

// makeBed starts the real servers.
func makeBed(ctx context.Context, d *lab.Description, o lab.Options) (*bed, error) {
	b := &bed{dir: o.Dir, build: o.Build, probing: firstProbing, config: filepath.Join(o.Dir, directorName+".dipper.yaml")}
	config := d.Node(directorName).Config
	var err error
	if b.cluster, err = lab.Start(ctx, without(d, directorName, clientName), o); err != nil {
		return nil, err
	}
	if err := b.connect(config); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// without is a description that lacks some nodes.
func without(d *lab.Description, names ...string) *lab.Description {
	rest := &lab.Description{Name: d.Name}
	for _, n := range d.Nodes {
		if !slices.Contains(names, n.Name) {
			rest.Nodes = append(rest.Nodes, n)
		}
	}
	return rest
}

func (b *bed) connect(config []byte) (err error) {
	if err := os.WriteFile(b.config, config, 0o644); err != nil {
		return err
	}
	if b.run, err = os.MkdirTemp("", "dipper-"); err != nil { // a short path, for sockets
		return err
	}
	b.port = b.cluster.LAN(lanName).Port(directorName + ".eth0")
	b.prober = b.cluster.LAN(lanName).Port("prober")
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	wait, err := b.port.Listen(ctx, b.socket())
	if err != nil {
		return err
	}
	b.serving.Go(func() { _ = wait() }) // a director without network gives no answer
	return nil
}

func (b *bed) socket() string { return filepath.Join(b.run, "eth0") }

// Close ends the real servers.
func (b *bed) Close() error {
	err := b.cluster.Close()
	if b.cancel != nil {
		b.cancel()
	}
	b.serving.Wait()
	return errors.Join(err, os.RemoveAll(b.run))
}

// directorMAC is that of every system's network card.
const directorMAC = "52:54:00:00:ee:00"

// processor is what every measured system runs on: all that QEMU has, as earlier
// versions were measured. The lab's own leaves ERMS out, with which TCG is slow, and
// a Debian gains more by that than a Dipper does.
const processor = "max"

// place puts a system into the director's machine: all have the same.
func (b *bed) place(name string, c machine.Config) machine.Config {
	c.Name, c.Dir, c.Run = name, b.dir, b.run
	c.CPU, c.Memory = processor, guestMemory
	c.NICs = []machine.NIC{{MAC: directorMAC, Socket: b.socket()}}
	c.Ports = []string{api.ControlPort}
	return c
}

// timing is one boot.
type timing struct{ fromKernel, fromPower time.Duration }

// patience is for a boot without KVM on a host that has other things to do.
const patience = 10 * time.Minute

// boot starts a machine and waits until something says that it is up. The
// machine goes on.
func boot(ctx context.Context, c machine.Config, up func(context.Context, *machine.Machine) (time.Time, error)) (*machine.Machine, timing, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	power := time.Now()
	m, err := machine.Start(ctx, c)
	if err != nil {
		return nil, timing{}, err
	}
	var kernel, done time.Time
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { done, err = up(ctx, m); return err })
	group.Go(func() (err error) { kernel, err = kernelStart(ctx, m.Console()); return err })
	if err := group.Wait(); err != nil {
		return nil, timing{}, fmt.Errorf("%s: %w", c.Name, errors.Join(err, m.Close()))
	}
	return m, timing{done.Sub(kernel), done.Sub(power)}, nil
}

// answered is up for a director: a real server's page came through the VIP.
// Every boot is probed from an address of its own, of which no real server
// remembers connections.
func (b *bed) answered(ctx context.Context, _ *machine.Machine) (time.Time, error) {
	last := b.probing.As4()[3]
	self := endpoint{net.HardwareAddr{0x52, 0x54, 0, 0xff, 0, last}, b.probing}
	b.probing = b.probing.Next()
	station := b.prober.Station(1024)
	defer station.Unplug()
	page, at, err := newProber(self, service).firstAnswer(ctx, station)
	if err != nil {
		return at, err
	}
	if !slices.Contains(realServers, page) {
		return at, fmt.Errorf("the answer %q is no real server's", page)
	}
	return at, nil
}

// serving is what the appliance says last when it boots.
var serving = regexp.MustCompile(`is serving,`)
