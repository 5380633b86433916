package appliance

import (
	"cmp"
	"net/netip"
	"slices"

	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/ipvs"
	"dipper/appliance/network"
	"dipper/appliance/realserver"
	"dipper/appliance/uplink"
)

// intent is all that the desired state is made of.
type intent struct {
	config     *config.Config // as configured, verbs being apart; nil: none yet, or maintenance
	source     string         // where config came from
	text       *written       // config as text; nil without one
	generation int            // grows with every new config
	verbs      verbs          // never edited in place

	seeking bool // without a configuration: ask for addresses
	leases  map[string]network.Lease
	links   []string // physical links, for seeking
}

// desired is what the kernel and the responder should be.
type desired struct {
	network     network.State
	table       *ipvs.Table // nil: the role has none; see planTable
	control     control     // of a role with a table
	responders  []config.Responder
	nameServers []netip.Addr
}

// desire computes the desired state; it is pure.
func desire(in intent, made *director.Sequence) desired {
	leases := in.leaseList()
	want := desired{nameServers: in.nameServers()}
	in.config = in.verbs.of(in.config)
	switch {
	case in.config == nil:
		want.network = uplink.State(maintenanceNetwork(in.links), leases)
	case in.config.Role == config.RoleDirector:
		table := made.Table(in.config)
		want.network, want.table = made.Network(in.config, leases), &table
		want.control = controlOf(in.config.IPVS)
	default:
		want.network = realserver.Desired(in.config, leases)
		want.responders = in.config.Serve
	}
	return want
}

// nameServers are the configuration's, or else those of the leases.
func (in intent) nameServers() []netip.Addr {
	if in.config != nil && len(in.config.Network.NameServers) > 0 {
		return in.config.Network.NameServers
	}
	var all []netip.Addr
	for _, l := range in.leaseList() {
		all = append(all, l.NameServers...)
	}
	return all
}

// maintenanceNetwork asks for an address on every physical link.
func maintenanceNetwork(links []string) config.Network {
	var n config.Network
	for _, name := range links {
		n.Interfaces = append(n.Interfaces, config.Interface{Name: name, DHCP: true})
	}
	return n
}

// dhcpLinks names the links that want a lease.
func (in intent) dhcpLinks() []string {
	n := maintenanceNetwork(in.links)
	if in.config != nil {
		n = in.config.Network
	}
	var names []string
	for _, i := range n.Interfaces {
		if i.DHCP {
			names = append(names, i.Name)
		}
	}
	return names
}

// leaseList gives the leases of the links that still want one, by link name.
func (in intent) leaseList() []network.Lease {
	var list []network.Lease
	for _, link := range in.dhcpLinks() {
		if l, ok := in.leases[link]; ok {
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b network.Lease) int { return cmp.Compare(a.Link, b.Link) })
	return list
}
