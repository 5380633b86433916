package network

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

// missingLink is the Op that stands for a link that cannot be had.
type missingLink struct {
	want   Link
	reason error
}

func (o missingLink) String() string {
	switch {
	case o.want.MatchMAC != "":
		return fmt.Sprintf("ip link show %s  # by MAC %s", o.want.Name, o.want.MatchMAC)
	case o.want.MatchDriver != "":
		return fmt.Sprintf("ip link show %s  # by driver %s", o.want.Name, o.want.MatchDriver)
	}
	return "ip link show " + o.want.Name
}

func (o missingLink) subject() string     { return "" }
func (o missingLink) makes() string       { return o.want.Name }
func (o missingLink) apply(*Kernel) error { return o.reason }

// renameLink is the Op that renames. The kernel allows it while the link is
// up (dev.c, dev_change_name, since 6.2).
type renameLink struct{ from, to string }

func (o renameLink) String() string  { return fmt.Sprintf("ip link set %s name %s", o.from, o.to) }
func (o renameLink) subject() string { return o.from }
func (o renameLink) makes() string   { return o.to }
func (o renameLink) apply(k *Kernel) error {
	link, err := k.link(o.from)
	if err != nil {
		return err
	}
	return k.netlink.LinkSetName(link, o.to)
}

// deleteLink is the Op that deletes a VLAN or bond.
type deleteLink struct{ name, reason string }

func (o deleteLink) String() string  { return fmt.Sprintf("ip link del %s  # %s", o.name, o.reason) }
func (o deleteLink) subject() string { return o.name }
func (o deleteLink) apply(k *Kernel) error {
	link, err := k.link(o.name)
	if err != nil {
		return err
	}
	return k.netlink.LinkDel(link)
}

// addVLAN is the Op that makes an 802.1Q link.
type addVLAN struct{ Link }

func (o addVLAN) String() string {
	return fmt.Sprintf("ip link add link %s name %s type vlan id %d", o.Parent, o.Name, o.VLANID)
}
func (o addVLAN) subject() string { return o.Parent }
func (o addVLAN) makes() string   { return o.Name }
func (o addVLAN) apply(k *Kernel) error {
	parent, err := k.link(o.Parent)
	if err != nil {
		return err
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.ParentIndex = o.Name, parent.Attrs().Index
	return k.netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attributes, VlanId: o.VLANID})
}

// addBond is the Op that makes a bond without members.
type addBond struct{ Link }

func (o addBond) String() string {
	s := fmt.Sprintf("ip link add %s type bond mode %s", o.Name, o.BondMode)
	if o.BondMIIMon != 0 {
		s += fmt.Sprintf(" miimon %d", o.BondMIIMon.Milliseconds())
	}
	return s
}
func (o addBond) subject() string { return o.Name }
func (o addBond) makes() string   { return o.Name }
func (o addBond) apply(k *Kernel) error {
	mode := netlink.StringToBondMode(o.BondMode)
	if mode == netlink.BOND_MODE_UNKNOWN {
		return fmt.Errorf("unknown bond mode %q", o.BondMode)
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = o.Name
	bond := netlink.NewLinkBond(attributes)
	bond.Mode = mode
	if o.BondMIIMon != 0 {
		bond.Miimon = int(o.BondMIIMon.Milliseconds())
	}
	return k.netlink.LinkAdd(bond)
}

// setMIIMon is the Op that sets how often a bond looks at its members.
type setMIIMon struct {
	bond     string
	interval time.Duration
}

func (o setMIIMon) String() string {
	return fmt.Sprintf("ip link set %s type bond miimon %d", o.bond, o.interval.Milliseconds())
}
func (o setMIIMon) subject() string { return o.bond }
func (o setMIIMon) apply(k *Kernel) error {
	link, err := k.link(o.bond)
	if err != nil {
		return err
	}
	change := netlink.NewLinkBond(netlink.LinkAttrs{Name: o.bond, Index: link.Attrs().Index, TxQLen: -1})
	change.Miimon = int(o.interval.Milliseconds())
	return k.netlink.LinkModify(change)
}

// joinBond is the Op that makes a link a member of a bond.
type joinBond struct{ member, bond string }

func (o joinBond) String() string  { return fmt.Sprintf("ip link set %s master %s", o.member, o.bond) }
func (o joinBond) subject() string { return o.bond }
func (o joinBond) apply(k *Kernel) error {
	bond, err := k.link(o.bond)
	if err != nil {
		return err
	}
	member, err := k.link(o.member)
	if err != nil {
		return err
	}
	return k.netlink.LinkSetMaster(member, bond)
}

// markLink is the Op that marks a link as made by this package.
type markLink struct{ name string }

func (o markLink) String() string  { return fmt.Sprintf("ip link set %s alias %s", o.name, alias) }
func (o markLink) subject() string { return o.name }
func (o markLink) apply(k *Kernel) error {
	link, err := k.link(o.name)
	if err != nil {
		return err
	}
	return k.netlink.LinkSetAlias(link, alias)
}

// setMTU is the Op that sets a link's MTU in bytes.
type setMTU struct {
	link string
	mtu  int
}

func (o setMTU) String() string  { return fmt.Sprintf("ip link set %s mtu %d", o.link, o.mtu) }
func (o setMTU) subject() string { return o.link }
func (o setMTU) apply(k *Kernel) error {
	link, err := k.link(o.link)
	if err != nil {
		return err
	}
	return k.netlink.LinkSetMTU(link, o.mtu)
}

// setLink is the Op that brings a link "up" or "down" or makes it leave its
// bond ("nomaster").
type setLink struct{ link, action string }

func (o setLink) String() string  { return fmt.Sprintf("ip link set %s %s", o.link, o.action) }
func (o setLink) subject() string { return o.link }
func (o setLink) apply(k *Kernel) error {
	link, err := k.link(o.link)
	if err != nil {
		return err
	}
	switch o.action {
	case "up":
		return k.netlink.LinkSetUp(link)
	case "down":
		return k.netlink.LinkSetDown(link)
	case "nomaster":
		return k.netlink.LinkSetNoMaster(link)
	}
	return errors.New("BUG: unknown action")
}
