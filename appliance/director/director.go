// Package director owns what a director is: from its configuration and leases,
// the network state and the IPVS table that the kernel should have. It is
// pure; it reads nothing, applies nothing, and knows nothing of real servers'
// own side.
package director

import (
	"dipper/appliance/config"
	"dipper/appliance/ipvs"
	"dipper/appliance/network"
	"dipper/appliance/uplink"
)

// Desired returns what the kernel of the director that cfg describes should
// be: its connection to the networks, the sysctls of the role and of IPVS, the
// VIPs and firewall marks, and the IPVS table in canonical order.
func Desired(cfg *config.Config, leases []network.Lease) (network.State, ipvs.Table) {
	return Network(cfg, leases), new(Sequence).Table(cfg)
}

// Network returns the network state of Desired.
func Network(cfg *config.Config, leases []network.Lease) network.State {
	state := uplink.State(cfg.Network, leases)
	state.Addresses = append(state.Addresses, vips(cfg, state.Addresses)...)
	state.Routes = append(state.Routes, localRoutes(cfg.Services)...)
	state.Marks = marks(cfg.Services)
	state.Sysctls = append(state.Sysctls, sysctls(cfg)...)
	return state
}
