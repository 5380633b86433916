package network

import (
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// observeFOU lists the GUE receive ports. A kernel without FOU has none.
func (k *Kernel) observeFOU() ([]FOU, error) {
	if _, err := netlink.FouFamilyId(); err != nil {
		return nil, nil // adding a port will fail with the reason
	}
	// The dump is of both families, whichever is asked for.
	raw, err := dump(func() ([]netlink.Fou, error) { return k.netlink.FouList(unix.AF_INET) })
	if err != nil {
		return nil, fmt.Errorf("fou: %w", err)
	}
	var ports []FOU
	for _, f := range raw {
		if f.EncapType == netlink.FOU_ENCAP_GUE {
			ports = append(ports, FOU{Port: uint16(f.Port), IPv6: f.Family == unix.AF_INET6})
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

func (o editFOU) apply(*Kernel) error {
	family, err := netlink.FouFamilyId()
	if err != nil {
		return fmt.Errorf("the kernel has no foo-over-UDP (CONFIG_NET_FOU): %w", err)
	}
	request := nl.NewNetlinkRequest(family, unix.NLM_F_ACK)
	request.AddData(o.message())
	_, err = request.Execute(unix.NETLINK_GENERIC, 0)
	return err
}

// message is the edit for the kernel. The netlink library's own sends an
// IP protocol of 0 with GUE, which kernels refuse since 6.11 (fou_nl.c,
// fou_nl_policy: at least 1).
func (o editFOU) message() rawMessage {
	command, family := byte(netlink.FOU_CMD_ADD), byte(unix.AF_INET)
	if o.verb == "del" {
		command = netlink.FOU_CMD_DEL
	}
	if o.IPv6 {
		family = unix.AF_INET6
	}
	const version = 1
	m := rawMessage{command, version, 0, 0}
	m = append(m, nl.NewRtAttr(netlink.FOU_ATTR_PORT, []byte{byte(o.Port >> 8), byte(o.Port)}).Serialize()...)
	m = append(m, nl.NewRtAttr(netlink.FOU_ATTR_AF, []byte{family}).Serialize()...)
	if o.verb == "add" {
		m = append(m, nl.NewRtAttr(netlink.FOU_ATTR_TYPE, []byte{netlink.FOU_ENCAP_GUE}).Serialize()...)
	}
	return m
}

// rawMessage is a netlink message's body.
type rawMessage []byte

// Len is the body's length in bytes.
func (m rawMessage) Len() int { return len(m) }

// Serialize gives the body as it is sent.
func (m rawMessage) Serialize() []byte { return m }
