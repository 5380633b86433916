package ipvsadm

import (
	"fmt"
	"slices"

	"dipper/appliance/ipvs"
)

// rule says which options a command takes: those that it needs, those that it
// may have, and those of which it may have one.
type rule struct {
	name              string
	needs, may, oneOf set
	what              string // "command" or "tunnel type"
	considered        set    // of which options the rule speaks
}

// ruleOf returns the rule of a command.
func ruleOf(k Kind) rule {
	r := rule{what: "command", considered: 1<<properties - 1}
	aService := of(scheduler, persistent, netmask, onePacket, persistenceEngine, schedulerFlags)
	aServer := of(forwardingMethod, weight, upperThreshold, lowerThreshold,
		tunnelType, tunnelPort, tunnelNoChecksum, tunnelChecksum, tunnelRemoteChecksum)
	switch k {
	case AddService:
		r.name, r.needs, r.may = "add-service", of(serviceAddress), aService
	case EditService:
		r.name, r.needs, r.may = "edit-service", of(serviceAddress), aService
	case DeleteService:
		r.name, r.needs = "delete-service", of(serviceAddress)
	case Clear:
		r.name = "flush"
	case List:
		r.name = "list"
		r.oneOf = of(connection, serviceAddress, timeout, daemon)
		r.may = of(numeric, stats, rate, thresholds, persistentConn, noSort, syncID, exact, tunnelInfo, asJSON)
	case AddRealServer:
		r.name, r.needs, r.may = "add-server", of(serviceAddress, realServer), aServer
	case EditRealServer:
		r.name, r.needs, r.may = "edit-server", of(serviceAddress, realServer), aServer
	case DeleteRealServer:
		r.name, r.needs = "delete-server", of(serviceAddress, realServer)
	case SetTimeouts:
		r.name = "set"
	case StartDaemon:
		r.name, r.may = "start-daemon", of(mcastInterface, syncID, mcastGroup, mcastPort, mcastTTL, syncMaxLength)
	case StopDaemon:
		r.name, r.may = "stop-daemon", of(syncID)
	case Restore:
		r.name = "restore"
	case Save:
		r.name, r.may = "save", of(numeric, complete)
	case Zero:
		r.name, r.may = "zero", of(serviceAddress)
	default:
		panic(fmt.Sprintf("BUG: ipvsadm: no rule for command %d", k))
	}
	return r
}

// checkOptions checks the options of a command line against its command.
func checkOptions(k Kind, given set) *Error { return ruleOf(k).check(given) }

// tunnelTypes are the names of ipvs's tunnel types, by their numbers.
var tunnelTypes = [...]string{ipvs.IPIP: "ipip", ipvs.GUE: "gue", ipvs.GRE: "gre"}

// checkTunnel checks the options of a tunnel against its type.
func checkTunnel(t ipvs.TunnelType, given set) *Error {
	r := rule{
		name: tunnelTypes[t], what: "tunnel type",
		considered: of(tunnelPort, tunnelNoChecksum, tunnelChecksum, tunnelRemoteChecksum),
	}
	switch t {
	case ipvs.GUE:
		r.needs, r.oneOf = of(tunnelPort), of(tunnelNoChecksum, tunnelChecksum, tunnelRemoteChecksum)
	case ipvs.GRE:
		r.oneOf = of(tunnelNoChecksum, tunnelChecksum)
	}
	return r.check(given)
}

// check goes through the options in ipvsadm's order, whose first complaint is
// the one that is heard.
func (r rule) check(given set) *Error {
	last := none
	for p := range properties {
		switch {
		case !r.considered.has(p):
		case !given.has(p):
			if r.needs.has(p) {
				return usage(fmt.Sprintf("You need to supply the '%s' option for the '%s' %s", propertyNames[p], r.name, r.what), "%s", example(p))
			}
		case r.oneOf.has(p):
			if last != none {
				return usage(fmt.Sprintf("The option '%s' conflicts with the '%s' option in the '%s' %s", propertyNames[p], propertyNames[last], r.name, r.what), "choose one")
			}
			last = p
		case !r.needs.has(p) && !r.may.has(p):
			return usage(fmt.Sprintf("Illegal '%s' option with the '%s' %s", propertyNames[p], r.name, r.what), "leave it out")
		}
	}
	return nil
}

// example shows an option that is missing.
func example(p property) string {
	switch p {
	case serviceAddress:
		return "such as -t 192.0.2.1:80, or -f 1"
	case realServer:
		return "such as -r 10.0.0.1:80"
	default:
		return "such as --tun-port 6080"
	}
}

// schedulers are the kernel's (net/netfilter/ipvs/ip_vs_<name>.c), and "none",
// which schedules nothing (ip_vs_ctl.c, ip_vs_add_service).
var schedulers = [...]string{
	"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos", "none",
}

func knownScheduler(name string) bool { return slices.Contains(schedulers[:], name) }

// knownEngine tells whether the kernel has a persistence engine; "" is none.
func knownEngine(name string) bool { return name == "" || name == "sip" }

// schedulerFlag returns the flag of a name. sh and mh have names of their own
// for the first two.
func schedulerFlag(name string) (ipvs.Flags, bool) {
	switch name {
	case "flag-1", "sh-fallback", "mh-fallback":
		return ipvs.SchedulerFlag1, true
	case "flag-2", "sh-port", "mh-port":
		return ipvs.SchedulerFlag2, true
	case "flag-3":
		return ipvs.SchedulerFlag3, true
	}
	return 0, false
}
