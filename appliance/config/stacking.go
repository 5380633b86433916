package config

import (
	"fmt"
	"strings"
)

// checkStacking checks VLANs and bonds against the interfaces below them.
func (r *resolver) checkStacking(interfaces []named[fileInterface]) {
	s := stacking{r, interfaces, make(map[string]*named[fileInterface]), make(map[string]string)}
	for i := range interfaces {
		s.byName[interfaces[i].name] = &interfaces[i]
	}
	for _, i := range interfaces {
		s.checkMembers(i)
	}
	vlans := make(map[string]string)
	for _, i := range interfaces {
		if vlan := i.value.vlan.value; vlan.parent.valid && vlan.id.valid {
			s.checkVLAN(i, vlan)
			key := fmt.Sprintf("%s.%d", vlan.parent.value, vlan.id.value)
			if other, taken := vlans[key]; taken {
				r.report(vlan.id.at, fault{problem: fmt.Sprintf("VLAN %d of %s is %s already", vlan.id.value, vlan.parent.value, other)})
			}
			vlans[key] = i.name
		}
	}
}

// stacking is what interfaces lie on what others.
type stacking struct {
	*resolver
	interfaces []named[fileInterface]
	byName     map[string]*named[fileInterface]
	bondOf     map[string]string // by member
}

func (r *resolver) unknownInterface(at place, name string, interfaces []named[fileInterface]) {
	names := make([]string, len(interfaces))
	for i := range interfaces {
		names[i] = interfaces[i].name
	}
	r.report(at, fault{problem: fmt.Sprintf("there is no interface %q", clip(name)),
		expected: "one of " + strings.Join(names, ", "), hint: suggest(name, names)})
}

func (s *stacking) checkMembers(bond named[fileInterface]) {
	for _, member := range bond.value.bond.value.members.value {
		if !member.valid {
			continue
		}
		other, bondedBy := s.byName[member.value], s.bondOf[member.value]
		switch {
		case other == nil:
			s.unknownInterface(member.at, member.value, s.interfaces)
			continue
		case bondedBy != "":
			s.report(member.at, fault{problem: fmt.Sprintf("%s is a member of %s already", member.value, bondedBy)})
		case other.value.bond.given || other.value.vlan.given:
			s.report(member.at, fault{problem: fmt.Sprintf("%s is a VLAN or a bond itself", member.value), expected: "network cards",
				hint: "a VLAN lies on the bond, not below it"})
		case len(other.value.addresses.value) > 0 || other.value.dhcp.value || other.value.acceptRA.value:
			s.report(member.at, fault{problem: fmt.Sprintf("%s has addresses of its own", member.value),
				hint: fmt.Sprintf("move addresses, dhcp and accept-ra to %s: a member carries only the bond's packets", bond.name)})
		}
		s.bondOf[member.value] = bond.name
	}
}

func (s *stacking) checkVLAN(i named[fileInterface], vlan fileVLAN) {
	parent := s.byName[vlan.parent.value]
	switch {
	case parent == nil:
		s.unknownInterface(vlan.parent.at, vlan.parent.value, s.interfaces)
	case s.cyclic(i.name):
		s.report(vlan.parent.at, fault{problem: fmt.Sprintf("%s lies on itself", i.name), hint: "a VLAN's lowest parent is a network card or a bond"})
	case s.bondOf[parent.name] != "":
		s.report(vlan.parent.at, fault{problem: fmt.Sprintf("%s is a member of bond %s", parent.name, s.bondOf[parent.name]),
			hint: "make the bond the parent"})
	case i.value.mtu.valid && parent.value.mtu.valid && i.value.mtu.value > parent.value.mtu.value:
		s.report(i.value.mtu.at, fault{problem: fmt.Sprintf("%d is more than the %d of %s, which carries this VLAN", i.value.mtu.value, parent.value.mtu.value, parent.name)})
	}
}

// cyclic follows the parents of a VLAN until one is none or comes twice.
func (s *stacking) cyclic(name string) bool {
	for range s.interfaces {
		i := s.byName[name]
		if i == nil || !i.value.vlan.value.parent.valid {
			return false
		}
		name = i.value.vlan.value.parent.value
	}
	return true
}
