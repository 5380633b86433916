// Package appliance is the control plane's composition root: it wires
// configuration, network, IPVS table, responder and control socket into a
// running director or real server.
//
// One goroutine, the reconciler, owns every edit of the kernel. Everything
// else (control socket, DHCP leases, foreign changes) asks it. It reads the
// kernel, plans the difference to what the configuration wants, and applies
// only that, so that a restart with an unchanged configuration edits nothing
// and disturbs no connection.
//
// # How the kernel becomes what is wanted
//
//	appliance.go       the parts of a control plane; its start, adoption and end
//	reconcile.go       the reconciler: its work, what it changes and takes back
//	desired.go         from what was asked for to what the kernel should be
//	plan.go            the edits that lead there, and applying them
//	drift.go           what others edited, and what is done about it
//	control.go         the kernel's IPVS beside its table: settings, sync daemons
//	table.go           the kernel's table, opened when it is first needed
//	leases.go          a DHCP client for each link that wants one
//	verbs.go           what operators said of real servers
//	memory.go          what fits into the machine
//
// # What is kept
//
//	running.go         in /run/dipper, for the next control plane
//	written.go         the running configuration as it was written
//	rules.go           what was typed in ipvsadm's language since
//	documents.go       the same, to be shown and edited
//	revisions.go       on the state volume: what the machine boots with, and was
//	candidatefile.go   the candidates
//	bootlog.go         the steps of the boot
//	board.go           the status, for those who wait for news
//	report.go          how reconciling went, for the status
//
// # The calls of the control socket
//
//	backend.go         what answers them
//	roles.go           who may ask for what
//	candidates.go      editing
//	company.go         who is in a candidate
//	configurations.go  showing, completing and comparing
//	commit.go          committing, confirming, taking back
//	unconfirmed.go     until when a commit may be confirmed, and who is there to
//	save.go            what the machine boots with, and on which volume
//	services.go        the table: services
//	servers.go         verbs, clearing
//	ending.go          whose connections clearing ends
//	connections.go     connections
//	ipvsadm.go         ipvsadm's language
//	refusals.go        what it says when the kernel refuses something
//	show.go            the network, the machine
//	names.go           names, for completion
//	logs.go            the machine's log
//	program.go         programs of the image
//	traceroute.go      one that the image does not have
//	gate.go            who may log in where, the audit log
//	hostkeys.go        by which SSH host keys the machine is known
//	shells.go          a shell that is gone, with what its sessions had open
package appliance
