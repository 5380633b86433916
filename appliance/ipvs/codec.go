package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The names and numbers of this file are those of uapi/linux/ip_vs.h. How the
// kernel packs and reads them is in net/netfilter/ipvs/ip_vs_ctl.c:
// ip_vs_genl_parse_service, ip_vs_genl_parse_dest, ip_vs_genl_fill_service and
// ip_vs_genl_fill_dest. Integers are in the host's order, except ports and
// IPv4 netmasks, which are in the network's.

const (
	familyName    = "IPVS"
	familyVersion = 1
)

// Commands, IPVS_CMD_*.
const (
	cmdNewService = 1
	cmdSetService = 2
	cmdDelService = 3
	cmdGetService = 4
	cmdNewDest    = 5
	cmdSetDest    = 6
	cmdDelDest    = 7
	cmdGetDest    = 8
)

// Attributes of a command, IPVS_CMD_ATTR_*.
const (
	attrService = 1
	attrDest    = 2
)

// Attributes of a service, IPVS_SVC_ATTR_*.
const (
	svcFamily    = 1
	svcProtocol  = 2
	svcAddress   = 3
	svcPort      = 4
	svcFWMark    = 5
	svcScheduler = 6
	svcFlags     = 7
	svcTimeout   = 8
	svcNetmask   = 9
	svcEngine    = 11
	svcStats64   = 12
)

// Attributes of a real server, IPVS_DEST_ATTR_*.
const (
	destAddress        = 1
	destPort           = 2
	destForward        = 3
	destWeight         = 4
	destUpperThreshold = 5
	destLowerThreshold = 6
	destActive         = 7
	destInactive       = 8
	destPersistent     = 9
	destFamily         = 11
	destStats64        = 12
	destTunnelType     = 13
	destTunnelPort     = 14
	destTunnelFlags    = 15
)

// Attributes of statistics, IPVS_STATS_ATTR_*.
const (
	statsConnections     = 1
	statsInPackets       = 2
	statsOutPackets      = 3
	statsInBytes         = 4
	statsOutBytes        = 5
	statsConnectionRate  = 6
	statsInPacketRate    = 7
	statsOutPacketRate   = 8
	statsInByteRate      = 9
	statsOutByteRate     = 10
	forwardMask          = 0x7 // IP_VS_CONN_F_FWD_MASK
	tunnelChecksum       = 1 << 0
	tunnelRemoteChecksum = 1 << 1
)

// command is the kernel's number for what an operation of this kind does.
func (k Kind) command() uint8 {
	switch k {
	case AddService:
		return cmdNewService
	case EditService:
		return cmdSetService
	case DeleteService:
		return cmdDelService
	case AddRealServer:
		return cmdNewDest
	case EditRealServer:
		return cmdSetDest
	case DeleteRealServer:
		return cmdDelDest
	}
	panic(fmt.Sprintf("BUG: ipvs: operation of kind %d", k))
}

// append appends the attributes of an operation's message to b. An error
// leaves b as it was.
func (o *Op) append(b []byte) ([]byte, error) {
	if err := o.check(); err != nil {
		return b, err
	}
	switch o.Kind {
	case AddService, EditService:
		return o.Service.append(b), nil
	case DeleteService:
		return o.Service.Key.append(b), nil
	case DeleteRealServer:
		return o.RealServer.Target().append(o.Service.Key.append(b)), nil
	default:
		return o.RealServer.append(o.Service.Key.append(b)), nil
	}
}

// check looks for addresses that the wire cannot hold.
func (o *Op) check() error {
	if familyOf(o.Service.Address) == 0 {
		return fmt.Errorf("virtual service: %q %w", o.Service.Address, errAddress)
	}
	switch o.Kind {
	case AddRealServer, EditRealServer, DeleteRealServer:
		if familyOf(o.RealServer.Address) == 0 {
			return fmt.Errorf("real server: %q %w", o.RealServer.Address, errAddress)
		}
	}
	return nil
}

var errAddress = errors.New("is no address of a single family without a zone")

// request returns the attributes of a request about one service.
func (k Key) request() ([]byte, error) {
	if familyOf(k.Address) == 0 {
		return nil, fmt.Errorf("%q %w", k.Address, errAddress)
	}
	return k.append(nil), nil
}

// append appends what identifies a service to the kernel.
func (k Key) append(b []byte) []byte {
	start := len(b)
	b = k.appendFields(beginNested(b, attrService))
	endNested(b, start)
	return b
}

func (k Key) appendFields(b []byte) []byte {
	b = appendUint16(b, svcFamily, familyOf(k.Address))
	if k.FWMark != 0 {
		return appendUint32(b, svcFWMark, k.FWMark)
	}
	b = appendUint16(b, svcProtocol, uint16(k.Protocol))
	b = appendAddress(b, svcAddress, k.Address)
	return appendPort(b, svcPort, k.Port)
}

// append appends everything that the kernel wants of a service that is added
// or edited. It wants a netmask of those that are not persistent too, and
// refuses an IPv6 service with prefix length 0.
func (s *Service) append(b []byte) []byte {
	start := len(b)
	b = s.Key.appendFields(beginNested(b, attrService))
	b = appendString(b, svcScheduler, s.Scheduler)
	if s.Engine != "" {
		b = appendString(b, svcEngine, s.Engine)
	}
	b = appendHeader(b, svcFlags, 8)
	b = binary.NativeEndian.AppendUint32(b, uint32(s.Flags&^flagHashed))
	b = binary.NativeEndian.AppendUint32(b, math.MaxUint32) // the mask: all of them
	b = appendUint32(b, svcTimeout, s.Timeout)
	netmask := s.Netmask
	if s.Flags&Persistent == 0 {
		netmask = wholeAddress(s.Address)
	}
	if s.Address.Is6() {
		b = appendUint32(b, svcNetmask, netmask)
	} else {
		b = binary.BigEndian.AppendUint32(appendHeader(b, svcNetmask, 4), netmask)
	}
	endNested(b, start)
	return b
}

// wholeAddress is the Netmask by which all of a client's address counts.
func wholeAddress(service netip.Addr) uint32 {
	if service.Is6() {
		return 128
	}
	return math.MaxUint32
}

// append appends what identifies a real server within its service.
func (t Target) append(b []byte) []byte {
	start := len(b)
	b = t.appendFields(beginNested(b, attrDest))
	endNested(b, start)
	return b
}

func (t Target) appendFields(b []byte) []byte {
	b = appendAddress(b, destAddress, t.Address)
	b = appendPort(b, destPort, t.Port)
	// Without its family the kernel takes the service's, and cuts an address
	// of the other family to size.
	return appendUint16(b, destFamily, familyOf(t.Address))
}

// append appends all of a real server. An edit replaces all of it in the
// kernel: what a message leaves out falls back to plain IPIP.
func (r *RealServer) append(b []byte) []byte {
	start := len(b)
	b = r.Target().appendFields(beginNested(b, attrDest))
	b = appendUint32(b, destForward, uint32(r.Forward)&forwardMask)
	b = appendUint32(b, destWeight, r.Weight)
	b = appendUint32(b, destUpperThreshold, r.UpperThreshold)
	b = appendUint32(b, destLowerThreshold, r.LowerThreshold)
	b = appendUint8(b, destTunnelType, uint8(r.Tunnel.Type))
	b = appendPort(b, destTunnelPort, r.Tunnel.Port)
	var flags uint16
	if r.Tunnel.Checksum {
		flags |= tunnelChecksum
	}
	if r.Tunnel.RemoteChecksum {
		flags |= tunnelRemoteChecksum
	}
	b = appendUint16(b, destTunnelFlags, flags)
	endNested(b, start)
	return b
}

func appendAddress(b []byte, attribute uint16, a netip.Addr) []byte {
	if a.Is4() {
		bytes := a.As4()
		return append(appendHeader(b, attribute, len(bytes)), bytes[:]...)
	}
	bytes := a.As16()
	return append(appendHeader(b, attribute, len(bytes)), bytes[:]...)
}

// decode reads the answer to cmdGetService: a service without its real
// servers.
func (s *ServiceStatistics) decode(data []byte) error {
	found := false
	err := eachAttribute(data, func(attribute uint16, value []byte) error {
		if attribute != attrService {
			return nil
		}
		found = true
		return s.decodeFields(value)
	})
	if err == nil && !found {
		err = fmt.Errorf("attribute %d is missing", attrService)
	}
	if err != nil {
		return fmt.Errorf("read virtual service: %w", err)
	}
	return nil
}

func (s *ServiceStatistics) decodeFields(data []byte) error {
	var family uint16
	var address, netmask []byte
	err := eachAttribute(data, func(attribute uint16, value []byte) error {
		switch attribute {
		case svcFamily:
			return readUint16(value, &family)
		case svcProtocol:
			return readProtocol(value, &s.Protocol)
		case svcAddress:
			address = value
		case svcPort:
			return readPort(value, &s.Port)
		case svcFWMark:
			return readUint32(value, &s.FWMark)
		case svcScheduler:
			s.Scheduler = schedulerName(value)
		case svcFlags:
			return readFlags(value, &s.Flags)
		case svcTimeout:
			return readUint32(value, &s.Timeout)
		case svcNetmask:
			netmask = value
		case svcEngine:
			s.Engine = text(value)
		case svcStats64:
			return s.Counters.decode(value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.complete(family, address, netmask)
}

// complete sets what only several attributes together tell.
func (s *ServiceStatistics) complete(family uint16, address, netmask []byte) (err error) {
	if s.FWMark != 0 {
		address = make([]byte, 16) // the kernel sends none with a mark
		s.Protocol, s.Port = 0, 0
	}
	if s.Address, err = addressOf(family, address); err != nil {
		return err
	}
	if s.Flags&Persistent == 0 {
		s.Timeout = 0 // whatever was written with the service means nothing
		return nil
	}
	if len(netmask) != 4 {
		return fmt.Errorf("netmask: %w", errLength(netmask, 4))
	}
	if s.Address.Is6() {
		s.Netmask = binary.NativeEndian.Uint32(netmask)
	} else {
		s.Netmask = binary.BigEndian.Uint32(netmask)
	}
	return nil
}

// decode reads the answer to cmdGetDest.
func (r *RealServerStatistics) decode(data []byte) error {
	found := false
	err := eachAttribute(data, func(attribute uint16, value []byte) error {
		if attribute != attrDest {
			return nil
		}
		found = true
		return r.decodeFields(value)
	})
	if err == nil && !found {
		err = fmt.Errorf("attribute %d is missing", attrDest)
	}
	if err != nil {
		return fmt.Errorf("read real server: %w", err)
	}
	return nil
}

func (r *RealServerStatistics) decodeFields(data []byte) error {
	var family uint16
	var address []byte
	err := eachAttribute(data, func(attribute uint16, value []byte) error {
		switch attribute {
		case destFamily:
			return readUint16(value, &family)
		case destAddress:
			address = value
		case destPort:
			return readPort(value, &r.Port)
		case destForward:
			err := readUint32(value, (*uint32)(&r.Forward))
			r.Forward &= forwardMask
			return err
		case destWeight:
			return readUint32(value, &r.Weight)
		case destUpperThreshold:
			return readUint32(value, &r.UpperThreshold)
		case destLowerThreshold:
			return readUint32(value, &r.LowerThreshold)
		case destActive:
			return readUint32(value, &r.ActiveConnections)
		case destInactive:
			return readUint32(value, &r.InactiveConnections)
		case destPersistent:
			return readUint32(value, &r.PersistentConnections)
		case destStats64:
			return r.Counters.decode(value)
		case destTunnelType:
			return readUint8(value, (*uint8)(&r.Tunnel.Type))
		case destTunnelPort:
			return readPort(value, &r.Tunnel.Port)
		case destTunnelFlags:
			return r.Tunnel.decodeFlags(value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.Address, err = addressOf(family, address)
	return err
}

func (t *Tunnel) decodeFlags(value []byte) error {
	var flags uint16
	err := readUint16(value, &flags)
	t.Checksum = flags&tunnelChecksum != 0
	t.RemoteChecksum = flags&tunnelRemoteChecksum != 0
	return err
}

func (c *Counters) decode(data []byte) error {
	return eachAttribute(data, func(attribute uint16, value []byte) error {
		if field := c.field(attribute); field != nil {
			return readUint64(value, field)
		}
		return nil
	})
}

// field returns where the value of an attribute belongs, nil for padding.
func (c *Counters) field(attribute uint16) *uint64 {
	switch attribute {
	case statsConnections:
		return &c.Connections
	case statsInPackets:
		return &c.InPackets
	case statsOutPackets:
		return &c.OutPackets
	case statsInBytes:
		return &c.InBytes
	case statsOutBytes:
		return &c.OutBytes
	case statsConnectionRate:
		return &c.ConnectionRate
	case statsInPacketRate:
		return &c.InPacketRate
	case statsOutPacketRate:
		return &c.OutPacketRate
	case statsInByteRate:
		return &c.InByteRate
	case statsOutByteRate:
		return &c.OutByteRate
	}
	return nil
}

// readProtocol reads a protocol number, which the kernel keeps in 16 bits.
func readProtocol(value []byte, into *Protocol) error {
	var n uint16
	err := readUint16(value, &n)
	*into = Protocol(n)
	return err
}

// readFlags reads struct ip_vs_flags: the flags, then a mask that says all.
func readFlags(value []byte, into *Flags) error {
	if len(value) != 8 {
		return errLength(value, 8)
	}
	*into = Flags(binary.NativeEndian.Uint32(value)) &^ flagHashed
	return nil
}

// schedulerName returns the name without a new string for a known one.
func schedulerName(value []byte) string {
	for _, known := range schedulers {
		if len(value) == len(known)+1 && string(value[:len(known)]) == known {
			return known
		}
	}
	return text(value)
}

// familyOf returns 0 for what the wire cannot hold.
func familyOf(a netip.Addr) uint16 {
	switch {
	case a.Is4():
		return unix.AF_INET
	case a.Is6() && !a.Is4In6() && a.Zone() == "":
		return unix.AF_INET6
	}
	return 0
}

// addressOf reads union nf_inet_addr: 16 bytes, of which IPv4 uses the first 4.
func addressOf(family uint16, b []byte) (netip.Addr, error) {
	switch {
	case family == unix.AF_INET && len(b) >= 4:
		return netip.AddrFrom4([4]byte(b)), nil
	case family == unix.AF_INET6 && len(b) >= 16:
		return netip.AddrFrom16([16]byte(b)), nil
	case b == nil:
		return netip.Addr{}, errors.New("address is missing")
	}
	return netip.Addr{}, fmt.Errorf("address of %d bytes in family %d", len(b), family)
}
