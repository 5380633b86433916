package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

func (r *resolver) resolveInterfaces(raw field[[]named[fileInterface]]) []Interface {
	r.net.uncertain = r.net.uncertain || raw.given && !raw.valid
	var interfaces []Interface
	for _, i := range raw.value {
		interfaces = append(interfaces, r.resolveInterface(i))
	}
	r.checkMatches(raw.value)
	r.checkStacking(raw.value)
	slices.SortFunc(interfaces, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	return interfaces
}

func (r *resolver) resolveInterface(raw named[fileInterface]) Interface {
	i := raw.value
	resolved := Interface{
		Name:      raw.name,
		Match:     Match{MAC: i.match.value.mac.value, Driver: i.match.value.driver.value},
		Addresses: r.resolveAddresses(raw),
		DHCP:      i.dhcp.value,
		AcceptRA:  i.acceptRA.value,
		MTU:       i.mtu.value,
	}
	r.net.unknown4 = r.net.unknown4 || r.unsure(raw) || i.dhcp.value || i.dhcp.given && !i.dhcp.valid
	r.net.unknown6 = r.net.unknown6 || r.unsure(raw) || i.acceptRA.value || i.acceptRA.given && !i.acceptRA.valid
	if i.mtu.valid {
		r.net.mtu[raw.name] = i.mtu.value
		r.checkIPv6MTU(i)
	}
	if i.match.valid && !i.match.value.mac.given && !i.match.value.driver.given {
		r.report(i.match.at, fault{problem: "is empty", expected: "mac or driver"})
	}
	if i.vlan.given {
		resolved.VLAN = &VLAN{Parent: i.vlan.value.parent.value, ID: i.vlan.value.id.value}
	}
	if i.bond.given {
		resolved.Bond = r.resolveBond(i.bond)
	}
	r.checkKind(raw)
	return resolved
}

// unsure says that an interface may have addresses that could not be read.
func (r *resolver) unsure(raw named[fileInterface]) bool {
	if !raw.valid || slices.ContainsFunc(r.misspelled[raw.at.path], addressing) || raw.value.addresses.given && !raw.value.addresses.valid {
		return true
	}
	return slices.ContainsFunc(raw.value.addresses.value, func(a field[netip.Prefix]) bool { return !a.valid })
}

// addressing holds for the keys that give an interface addresses.
func addressing(key string) bool {
	return key == "addresses" || key == "dhcp" || key == "accept-ra"
}

func (r *resolver) resolveAddresses(raw named[fileInterface]) []netip.Prefix {
	for _, address := range raw.value.addresses.value {
		if !address.valid {
			continue
		}
		if earlier, taken := r.net.owner(address.value.Addr()); taken {
			r.report(address.at, fault{
				problem: fmt.Sprintf("%s is an address of %s already, on line %d", address.value.Addr(), earlier.link, earlier.at.line),
				hint:    "an address belongs to one interface, once"})
			continue
		}
		r.net.addOwn(ownAddress{raw.name, address.value, address.at})
	}
	return values(raw.value.addresses)
}

// checkIPv6MTU holds interfaces to RFC 8200 section 5: no IPv6 below 1280.
func (r *resolver) checkIPv6MTU(i fileInterface) {
	const minIPv6MTU = 1280
	ipv6 := i.acceptRA.value || slices.ContainsFunc(values(i.addresses), func(p netip.Prefix) bool { return p.Addr().Is6() })
	if ipv6 && i.mtu.value < minIPv6MTU {
		r.report(i.mtu.at, fault{problem: fmt.Sprintf("%d is too small for IPv6, which this interface has", i.mtu.value),
			expected: fmt.Sprintf("at least %d", minIPv6MTU)})
	}
}

// checkKind reports settings that exclude each other on one interface.
func (r *resolver) checkKind(raw named[fileInterface]) {
	i := raw.value
	switch {
	case i.vlan.given && i.bond.given:
		r.report(i.bond.at, fault{problem: "an interface is a VLAN or a bond, not both",
			hint: "give the bond a name of its own and make it the VLAN's parent"})
	case i.match.given && (i.vlan.given || i.bond.given):
		r.report(i.match.at, fault{problem: "match finds a network card, but this interface is made, not found", hint: "remove match"})
	}
	if i.vlan.valid {
		demand(r.decoder, i.vlan, "parent", i.vlan.value.parent, "the interface that carries the VLAN")
		demand(r.decoder, i.vlan, "id", i.vlan.value.id, "a VLAN id from 1 to 4094")
	}
}

func (r *resolver) resolveBond(raw field[fileBond]) *Bond {
	b := raw.value
	if raw.valid && demand(r.decoder, raw, "members", b.members, "the interfaces that make the bond") && len(b.members.value) == 0 {
		r.report(b.members.at, fault{problem: "is empty", expected: "the names of the interfaces that make the bond"})
	}
	return &Bond{
		Mode:    or(b.mode, defaultBondMode),
		Members: values(b.members),
		MIIMon:  or(b.miimon, defaultMIIMon),
	}
}

// checkMatches reports interfaces that claim the same card.
func (r *resolver) checkMatches(interfaces []named[fileInterface]) {
	byMAC := make(map[string]string)
	byDriver := make(map[string]string)
	for _, i := range interfaces {
		mac, driver := i.value.match.value.mac, i.value.match.value.driver
		if other, taken := byMAC[mac.value]; mac.valid && taken {
			r.report(mac.at, fault{problem: fmt.Sprintf("%s is the MAC address of %s already", mac.value, other),
				hint: "one card is one interface; several networks on it are VLANs"})
		}
		if other, taken := byDriver[driver.value]; driver.valid && !mac.given && taken {
			r.report(driver.at, fault{problem: fmt.Sprintf("driver %s finds %s already", driver.value, other),
				hint: "a driver can find one card only: use mac where there are several"})
		}
		if mac.valid {
			byMAC[mac.value] = i.name
		} else if driver.valid {
			byDriver[driver.value] = i.name
		}
	}
}
