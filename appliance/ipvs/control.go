package ipvs

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Commands beside the table's (uapi/linux/ip_vs.h, IPVS_CMD_*).
const (
	cmdNewDaemon   = 9
	cmdDelDaemon   = 10
	cmdGetDaemon   = 11
	cmdSetTimeouts = 12 // SET_CONFIG
	cmdGetTimeouts = 13 // GET_CONFIG
	cmdGetInfo     = 15
	cmdZero        = 16
	cmdFlush       = 17 // never sent: Plan deletes what it names
)

// Their attributes: IPVS_CMD_ATTR_*, IPVS_INFO_ATTR_*, IPVS_DAEMON_ATTR_*.
const (
	attrDaemon        = 3
	attrTimeoutTCP    = 4
	attrTimeoutTCPFin = 5
	attrTimeoutUDP    = 6

	infoVersion             = 1
	infoConnectionTableSize = 2

	daemonState     = 1
	daemonInterface = 2
	daemonSyncID    = 3
	daemonMaxLength = 4
	daemonGroup     = 5
	daemonGroup6    = 6
	daemonPort      = 7 // in the host's order, unlike every other port
	daemonTTL       = 8
)

// Info is what the kernel says of its IPVS.
type Info struct {
	Version             Version
	ConnectionTableSize uint32 // hash buckets, fixed at boot; not a limit
}

// Version is IPVS's own version as the kernel packs it: 0x010201 is 1.2.1.
type Version uint32

// String returns "1.2.1".
func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v>>16&0xff, v>>8&0xff, v&0xff)
}

// Timeouts are those that the kernel lets one set, of 12 in all, in seconds:
// how long an idle connection is kept. Setting 0 keeps what is set.
type Timeouts struct {
	TCP    uint32 // established
	TCPFin uint32 // after a FIN of either side
	UDP    uint32
}

// DaemonState is which side of the connection synchronisation a daemon is
// (uapi/linux/ip_vs.h, IP_VS_STATE_*).
type DaemonState uint32

// The states of a daemon. A network namespace may run one of each.
const (
	Master DaemonState = 1
	Backup DaemonState = 2
)

// String returns "master" or "backup".
func (s DaemonState) String() string {
	switch s {
	case Master:
		return "master"
	case Backup:
		return "backup"
	}
	return fmt.Sprintf("state-%d", uint32(s))
}

// Daemon is a connection synchronisation daemon. What is zero the kernel
// fills in (ip_vs_sync.c, start_sync_thread), and Daemons reads back.
type Daemon struct {
	State     DaemonState
	Interface string
	SyncID    uint32     // 0 to 255; a backup with 0 takes the messages of every master
	MaxLength uint16     // bytes of a message; 0: what fits an Ethernet frame
	Group     netip.Addr // multicast, IPv4 or IPv6; zero: 224.0.0.81
	Port      uint16     // UDP; 0: 8848
	TTL       uint8      // 0: 1
}

// Bounds of a daemon's messages (ip_vs_sync.c, start_sync_thread): a packet of
// 65,535 bytes less its headers, and what a backup always takes.
const (
	longestPacket   = 65535
	headers4        = 20 + 8 // IPv4 (RFC 791) and UDP (RFC 768)
	headers6        = 40 + 8 // IPv6 (RFC 8200) and UDP
	leastBackupSize = 1024
)

// What the kernel fills in (uapi/linux/ip_vs.h and net/ip_vs.h, IP_VS_SYNC_*).
const (
	defaultSyncPort = 8848
	defaultSyncTTL  = 1
)

// AsKept returns the daemon as the kernel keeps it: what is zero is filled in,
// and the length is brought within its bounds. A length of 0 stays: what the
// kernel makes of it depends on the interface.
func (d Daemon) AsKept() Daemon {
	if !d.Group.IsValid() {
		d.Group = netip.AddrFrom4([4]byte{224, 0, 0, 81})
	}
	d.Port = cmp.Or(d.Port, defaultSyncPort)
	d.TTL = cmp.Or(d.TTL, defaultSyncTTL)
	if d.MaxLength == 0 {
		return d
	}
	if d.State == Backup {
		d.MaxLength = max(d.MaxLength, leastBackupSize)
	}
	d.MaxLength = min(d.MaxLength, longestPacket-d.headers())
	return d
}

// headers is what a message has in front of it, in bytes.
func (d Daemon) headers() uint16 {
	if d.Group.Is6() {
		return headers6
	}
	return headers4
}

// Info reads the version of IPVS and the size of its connection table.
func (k *Kernel) Info(ctx context.Context) (Info, error) {
	var info Info
	err := k.ask(ctx, cmdGetInfo, func(attribute uint16, value []byte) error {
		switch attribute {
		case infoVersion:
			return readUint32(value, (*uint32)(&info.Version))
		case infoConnectionTableSize:
			return readUint32(value, &info.ConnectionTableSize)
		}
		return nil
	})
	if err != nil {
		return Info{}, fmt.Errorf("ipvs: read version: %w", err)
	}
	return info, nil
}

// Timeouts reads the timeouts of connections.
func (k *Kernel) Timeouts(ctx context.Context) (Timeouts, error) {
	var timeouts Timeouts
	err := k.ask(ctx, cmdGetTimeouts, func(attribute uint16, value []byte) error {
		switch attribute {
		case attrTimeoutTCP:
			return readUint32(value, &timeouts.TCP)
		case attrTimeoutTCPFin:
			return readUint32(value, &timeouts.TCPFin)
		case attrTimeoutUDP:
			return readUint32(value, &timeouts.UDP)
		}
		return nil
	})
	if err != nil {
		return Timeouts{}, fmt.Errorf("ipvs: read timeouts: %w", err)
	}
	return timeouts, nil
}

// SetTimeouts sets the timeouts of connections that are not 0. Connections
// that exist take the new one with their next packet.
func (k *Kernel) SetTimeouts(ctx context.Context, t Timeouts) error {
	var data []byte
	data = appendUint32(data, attrTimeoutTCP, t.TCP)
	data = appendUint32(data, attrTimeoutTCPFin, t.TCPFin)
	data = appendUint32(data, attrTimeoutUDP, t.UDP)
	if err := k.tell(ctx, cmdSetTimeouts, data); err != nil {
		return fmt.Errorf("ipvs: set timeouts to %d, %d and %d seconds: %w", t.TCP, t.TCPFin, t.UDP, err)
	}
	return nil
}

// Zero sets the counters of one virtual service and of its real servers to
// zero, or, without a key, those of all of them and of the whole.
func (k *Kernel) Zero(ctx context.Context, service *Key) error {
	var data []byte
	of := "all counters"
	if service != nil {
		of = "the counters of " + service.String()
		var err error
		if data, err = service.request(); err != nil {
			return fmt.Errorf("ipvs: zero %s: %w", of, err)
		}
	}
	if err := k.tell(ctx, cmdZero, data); err != nil {
		return fmt.Errorf("ipvs: zero %s: %w", of, err)
	}
	return nil
}

// Daemons reads the connection synchronisation daemons that run, the master
// first.
func (k *Kernel) Daemons(ctx context.Context) ([]Daemon, error) {
	var daemons []Daemon
	err := k.converse(ctx, func(c *conversation) error {
		return c.ask(ctx, cmdGetDaemon, unix.NLM_F_DUMP, nil, func(attributes []byte) error {
			d, err := decodeDaemon(attributes)
			daemons = append(daemons, d)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("ipvs: list synchronisation daemons: %w", err)
	}
	return daemons, nil
}

// StartDaemon starts a connection synchronisation daemon. The kernel refuses a
// second one of the same state (EEXIST), an interface that does not exist
// (ENODEV), and one while a service has real servers of the other address
// family (EINVAL).
func (k *Kernel) StartDaemon(ctx context.Context, d Daemon) error {
	data, err := d.encode(nil)
	if err == nil {
		err = k.tell(ctx, cmdNewDaemon, data)
	}
	if err != nil {
		return fmt.Errorf("ipvs: start %s synchronisation daemon on %s: %w", d.State, d.Interface, err)
	}
	return nil
}

// StopDaemon stops the daemon of a state. The kernel answers ESRCH if none runs.
func (k *Kernel) StopDaemon(ctx context.Context, state DaemonState) error {
	data := appendUint32(beginNested(nil, attrDaemon), daemonState, uint32(state))
	endNested(data, 0)
	if err := k.tell(ctx, cmdDelDaemon, data); err != nil {
		return fmt.Errorf("ipvs: stop %s synchronisation daemon: %w", state, err)
	}
	return nil
}

// tell sends a command that is answered with nothing but its acknowledgement.
func (k *Kernel) tell(ctx context.Context, command uint8, data []byte) error {
	return k.converse(ctx, func(c *conversation) error {
		c.out = c.out[:0]
		start := c.begin(command, 0)
		c.out = append(c.out, data...)
		c.end(start)
		var refused error
		if err := c.carryOut(ctx, 1, func(_ int, why *refusal) { refused = why }); err != nil {
			return err
		}
		return refused
	})
}

// ask sends a command that is answered with one message, and reads that.
func (k *Kernel) ask(ctx context.Context, command uint8, read func(attribute uint16, value []byte) error) error {
	return k.converse(ctx, func(c *conversation) error {
		return c.ask(ctx, command, 0, nil, func(attributes []byte) error {
			return eachAttribute(attributes, read)
		})
	})
}

func (d Daemon) encode(b []byte) ([]byte, error) {
	start := len(b)
	b = beginNested(b, attrDaemon)
	b = appendUint32(b, daemonState, uint32(d.State))
	b = appendString(b, daemonInterface, d.Interface)
	b = appendUint32(b, daemonSyncID, d.SyncID)
	if d.MaxLength != 0 {
		b = appendUint16(b, daemonMaxLength, d.MaxLength)
	}
	switch {
	case d.Group.Is4():
		b = appendBytes(b, daemonGroup, d.Group.AsSlice())
	case d.Group.Is6() && d.Group.Zone() == "":
		b = appendBytes(b, daemonGroup6, d.Group.AsSlice())
	case d.Group.IsValid():
		return nil, fmt.Errorf("group %q has a zone: the interface says where it is", d.Group)
	}
	if d.Port != 0 {
		b = appendUint16(b, daemonPort, d.Port)
	}
	if d.TTL != 0 {
		b = appendUint8(b, daemonTTL, d.TTL)
	}
	endNested(b, start)
	return b, nil
}

func decodeDaemon(data []byte) (Daemon, error) {
	var d Daemon
	found := false
	err := eachAttribute(data, func(attribute uint16, value []byte) error {
		if attribute != attrDaemon {
			return nil
		}
		found = true
		return eachAttribute(value, d.read)
	})
	if err == nil && !found {
		err = fmt.Errorf("attribute %d is missing", attrDaemon)
	}
	return d, err
}

func (d *Daemon) read(attribute uint16, value []byte) error {
	switch attribute {
	case daemonState:
		return readUint32(value, (*uint32)(&d.State))
	case daemonInterface:
		d.Interface = text(value)
	case daemonSyncID:
		return readUint32(value, &d.SyncID)
	case daemonMaxLength:
		return readUint16(value, &d.MaxLength)
	case daemonGroup, daemonGroup6:
		group, ok := netip.AddrFromSlice(value)
		if !ok || group.Is4() != (attribute == daemonGroup) {
			return fmt.Errorf("group of %d bytes", len(value))
		}
		d.Group = group
	case daemonPort:
		return readUint16(value, &d.Port)
	case daemonTTL:
		return readUint8(value, &d.TTL)
	}
	return nil
}
