package network

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// observeFOU lists the GUE receive ports. A kernel without FOU has none.
func (k *Kernel) observeFOU() ([]FOU, error) {
	if _, err := netlink.FouFamilyId(); err != nil {
		return nil, nil // adding a port will fail with the reason
	}
	var ports []FOU
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		raw, err := dump(func() ([]netlink.Fou, error) { return k.netlink.FouList(family) })
		if err != nil {
			return nil, fmt.Errorf("fou: %w", err)
		}
		for _, f := range raw {
			port := FOU{Port: uint16(f.Port), IPv6: f.Family == unix.AF_INET6}
			if f.EncapType == netlink.FOU_ENCAP_GUE && !slices.Contains(ports, port) {
				ports = append(ports, port)
			}
		}
	}
	return ports, nil
}

func planFOU(observed, desired []FOU) []Op {
	var ops []Op
	for _, have := range observed {
		if !slices.Contains(desired, have) {
			ops = append(ops, editFOU{FOU: have, verb: "del"})
		}
	}
	for i, want := range desired {
		if !slices.Contains(observed, want) && !slices.Contains(desired[:i], want) {
			ops = append(ops, editFOU{FOU: want, verb: "add"})
		}
	}
	return ops
}

// editFOU is the Op that adds or deletes a GUE receive port.
type editFOU struct {
	FOU
	verb string // "add" or "del"
}

func (o editFOU) String() string {
	s := fmt.Sprintf("ip fou %s port %d", o.verb, o.Port)
	if o.verb == "add" {
		s += " gue"
	}
	if o.IPv6 {
		s += " -6"
	}
	return s
}

func (o editFOU) subject() string { return "" }

func (o editFOU) apply(k *Kernel) error {
	f := netlink.Fou{Family: unix.AF_INET, Port: int(o.Port), EncapType: netlink.FOU_ENCAP_GUE}
	if o.IPv6 {
		f.Family = unix.AF_INET6
	}
	edit := k.netlink.FouAdd
	if o.verb == "del" {
		edit = k.netlink.FouDel
	}
	err := edit(f)
	if errors.Is(err, unix.ENOENT) && o.verb == "add" {
		return fmt.Errorf("the kernel has no foo-over-UDP (CONFIG_NET_FOU): %w", err)
	}
	return err
}
