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
// be: its connection to the networks, the role's sysctls and the VIPs, and the
// IPVS table in canonical order.
func Desired(cfg *config.Config, leases []network.Lease) (network.State, ipvs.Table) {
	state := uplink.State(cfg.Network, leases)
	state.Addresses = append(state.Addresses, vips(cfg, state.Addresses)...)
	state.Sysctls = append(state.Sysctls, sysctls(cfg)...)
	return state, table(cfg.Services)
}
