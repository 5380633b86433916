package config

import (
	"fmt"
	"net/netip"
	"time"
)

// The bounds and defaults of the whole table.
const (
	// maxTimeout is the longest timeout, 31 days as for ipvsadm: the kernel counts in
	// jiffies of 32 bits.
	maxTimeout = 31 * 24 * time.Hour
	// A message of a synchronisation daemon fits into a packet of 65,535 bytes
	// less the headers of IP and UDP, and a backup takes at least so much
	// (ip_vs_sync.c, start_sync_thread): the kernel would make these of others.
	maxSyncLength   = 65535 - 20 - 8
	maxSyncLength6  = 65535 - 40 - 8
	leastBackupSize = 1024
)

// defaultTimeouts are the kernel's (ip_vs_proto_tcp.c, ip_vs_proto_udp.c).
func defaultTimeouts() Timeouts {
	return Timeouts{TCP: 15 * time.Minute, TCPFin: 2 * time.Minute, UDP: 5 * time.Minute}
}

// defaultSyncDaemon holds what a synchronisation daemon has unless it is
// written, as in the kernel (ip_vs_sync.c, start_sync_thread).
func defaultSyncDaemon() SyncDaemon {
	return SyncDaemon{Group: netip.AddrFrom4([4]byte{224, 0, 0, 81}), Port: 8848, TTL: 1}
}

// resolveIPVS checks the settings of the whole table.
func (r *resolver) resolveIPVS(raw field[fileIPVS], services []Service, interfaces field[[]named[fileInterface]]) IPVS {
	if r.role != RoleDirector {
		if raw.given && r.role == RoleRealServer {
			r.report(raw.at, fault{problem: "a real server has no IPVS table", hint: "remove it, or write role: director"})
		}
		return IPVS{}
	}
	i, usual := raw.value, defaultTimeouts()
	t := i.timeouts.value
	return IPVS{
		Timeouts: Timeouts{or(t.tcp, usual.TCP), or(t.tcpFin, usual.TCPFin), or(t.udp, usual.UDP)},
		Drift:    or(i.drift, Repair),
		Sync:     r.resolveSync(i.sync, services, interfaces),
		Settings: r.resolveSettings(i.settings),
	}
}

func (r *resolver) resolveSync(raw field[fileSync], services []Service, interfaces field[[]named[fileInterface]]) Sync {
	sync := Sync{
		Master: r.resolveSyncDaemon(raw.value.master, interfaces),
		Backup: r.resolveSyncDaemon(raw.value.backup, interfaces),
	}
	r.checkSyncLength(raw.value.master, 1)
	r.checkSyncLength(raw.value.backup, leastBackupSize)
	if sync.Master == nil && sync.Backup == nil {
		return sync
	}
	for _, s := range services {
		for _, server := range s.RealServers {
			if s.Family != "" && s.Family != familyOf(server.Address) {
				r.report(raw.at, fault{problem: fmt.Sprintf("service %s has a real server of another family, %s", s.Name, server.Address),
					hint: "the kernel's synchronisation cannot carry such connections and refuses both together: remove one of the two"})
				return sync
			}
		}
	}
	return sync
}

func (r *resolver) resolveSyncDaemon(raw field[fileSyncDaemon], interfaces field[[]named[fileInterface]]) *SyncDaemon {
	if !raw.given {
		return nil
	}
	d, usual := raw.value, defaultSyncDaemon()
	if demand(r.decoder, raw, "interface", d.link, "the interface that the multicasts pass") {
		r.checkInterface(d.link, interfaces)
	}
	return &SyncDaemon{
		Interface: d.link.value, ID: d.id.value, Group: or(d.group, usual.Group), Port: uint16(or(d.port, int(usual.Port))),
		TTL: or(d.ttl, usual.TTL), MaxLength: d.maxLength.value,
	}
}

// checkSyncLength holds a message to what the kernel takes, which would make it
// longer or shorter without a word.
func (r *resolver) checkSyncLength(raw field[fileSyncDaemon], least int) {
	length, most, group := raw.value.maxLength, maxSyncLength, raw.value.group
	if group.value.Is6() {
		most = maxSyncLength6
	}
	problem := ""
	switch {
	case !length.valid || group.given != group.valid:
		return
	case length.value < least:
		problem = fmt.Sprintf("%d is too short for a backup", length.value)
	case length.value > most:
		problem = fmt.Sprintf("%d is too long for a packet to %s", length.value, group.value)
	default:
		return
	}
	r.report(length.at, fault{problem: problem, expected: fmt.Sprintf("a length in bytes from %d to %d", least, most)})
}

// checkInterface reports a name that no interface of the file has.
func (r *resolver) checkInterface(name field[string], interfaces field[[]named[fileInterface]]) {
	if r.net.uncertain {
		return
	}
	for _, i := range interfaces.value {
		if i.name == name.value {
			return
		}
	}
	r.unknownInterface(name.at, name.value, interfaces.value)
}

// multicastGroup reads the group of the sync daemons.
func multicastGroup(n *node) (netip.Addr, *fault) {
	const expected = "a multicast address such as 224.0.0.81 or ff02::81"
	address, bad := parseAddress(n, expected)
	if bad != nil {
		return netip.Addr{}, bad
	}
	if !address.IsMulticast() {
		return netip.Addr{}, &fault{problem: fmt.Sprintf("%s is no multicast address", address), expected: expected}
	}
	return address, nil
}

// outline gives what is not as it is by default.
func (i IPVS) outline() outline {
	o := outline{name: "ipvs", form: mapping}
	usual := defaultTimeouts()
	timeouts := outline{name: "timeouts", form: inline}
	timeouts.unless("tcp", durationText(i.Timeouts.TCP), durationText(usual.TCP))
	timeouts.unless("tcp-fin", durationText(i.Timeouts.TCPFin), durationText(usual.TCPFin))
	timeouts.unless("udp", durationText(i.Timeouts.UDP), durationText(usual.UDP))
	o.add(timeouts)
	o.unless("drift", string(i.Drift), string(Repair))
	sync := outline{name: "sync", form: mapping}
	sync.add(i.Sync.Master.outline("master"))
	sync.add(i.Sync.Backup.outline("backup"))
	o.add(sync)
	o.add(i.Settings.outline())
	return o
}

func (d *SyncDaemon) outline(name string) outline {
	o := outline{name: name, form: inline}
	if d == nil {
		return o
	}
	usual := defaultSyncDaemon()
	o.text("interface", d.Interface)
	o.number("id", d.ID)
	o.unless("group", d.Group.String(), usual.Group.String())
	o.unless("port", itoa(int(d.Port)), itoa(int(usual.Port)))
	o.unless("ttl", itoa(d.TTL), itoa(usual.TTL))
	o.number("max-length", d.MaxLength)
	return o
}
