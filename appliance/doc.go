// Package appliance is the control plane's composition root: it wires
// configuration, network, IPVS table, responder and control socket into a
// running director or real server.
//
// One goroutine, the reconciler, owns every edit of the kernel. Everything
// else (control socket, DHCP leases, foreign changes) asks it. It reads the
// kernel, plans the difference to what the configuration wants, and applies
// only that, so that a restart with an unchanged configuration edits nothing
// and disturbs no connection.
package appliance
