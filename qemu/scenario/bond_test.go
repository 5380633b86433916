package scenario

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// bonded has one cable per network card to a peer that speaks LACP. A bond needs
// to know its cards' speed, which a virtio card does not tell.
func bonded() *lab.Description {
	cables := []string{"cable0", "cable1"}
	gigabit := func(c *machine.Config) error {
		for i := range c.NICs {
			c.NICs[i].Model = "e1000e"
		}
		return nil
	}
	return &lab.Description{Name: "bond", Cables: cables, Nodes: []*lab.Node{
		{Name: "client", LANs: cables, Change: gigabit, Peer: true, Script: `
ip link add bond0 type bond mode 802.3ad miimon 100 lacp_rate fast
ip link set eth0 master bond0
ip link set eth1 master bond0
ip link set bond0 up
ip addr add 192.168.7.1/24 dev bond0
`},
		{Name: "web", LANs: cables, Change: gigabit, Config: []byte(`role: real-server
network:
  interfaces:
    eth0: {}
    eth1: {}
    bond0: {addresses: [192.168.7.10/24], bond: {mode: "802.3ad", members: [eth0, eth1], miimon: 100ms}}
serve:
  - {protocol: http, port: 80, body: "by the bond\n"}
`)},
	}}
}

// TestLACP: a bond finds its partner behind both cables, and serves by the one
// that is left when either is pulled out.
func TestLACP(t *testing.T) {
	t.Parallel()
	c := lab.StartT(t, bonded())
	ctx := patience(t)
	partner := "Partner Mac Address: " + lab.MAC(0, 0)
	awaitBond(ctx, t, c, 2, partner)
	for nic := range 2 {
		setCable(ctx, t, c, nic, false)
		awaitBond(ctx, t, c, 1, partner)
		said, err := c.Peer("client").Run(ctx, "curl -sS --retry 5 --retry-all-errors --max-time 60 http://192.168.7.10/")
		if err != nil || said != "by the bond\n" {
			t.Errorf("without eth%d: %q, %v", nic, said, err)
		}
		setCable(ctx, t, c, nic, true)
		awaitBond(ctx, t, c, 2, partner)
	}
}

// setCable pulls a cable out of both machines, or puts it back.
func setCable(ctx context.Context, t *testing.T, c *lab.Cluster, nic int, up bool) {
	t.Helper()
	for _, name := range c.Names() {
		if err := c.Machine(name).SetLink(ctx, nic, up); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitBond waits until both ends of the bond have so many ports in use, and the
// appliance's the partner.
func awaitBond(ctx context.Context, t *testing.T, c *lab.Cluster, ports int, partner string) {
	t.Helper()
	wanted := fmt.Sprintf("Number of ports: %d\n", ports)
	for {
		ours, err := c.Appliance("web").Run(ctx, "cat", "/proc/net/bonding/bond0")
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := c.Peer("client").Run(ctx, "cat /proc/net/bonding/bond0")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(ours.Stdout, wanted) && strings.Contains(ours.Stdout, partner) && strings.Contains(theirs, wanted) {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("expected %q and %q:\n%s\n%s", wanted, partner, ours.Stdout, theirs)
		}
	}
}
