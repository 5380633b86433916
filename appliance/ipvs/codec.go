package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/mdlayher/netlink"
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

// request returns the command of an operation and its attributes, in bytes.
func (o Op) request() (command uint8, data []byte, err error) {
	encoder := netlink.NewAttributeEncoder()
	switch o.Kind {
	case AddService, EditService:
		command = cmdNewService
		if o.Kind == EditService {
			command = cmdSetService
		}
		encoder.Nested(attrService, o.Service.encode)
	case DeleteService:
		command = cmdDelService
		encoder.Nested(attrService, o.Service.Key.encode)
	case AddRealServer, EditRealServer:
		command = cmdNewDest
		if o.Kind == EditRealServer {
			command = cmdSetDest
		}
		encoder.Nested(attrService, o.Service.Key.encode)
		encoder.Nested(attrDest, o.RealServer.encode)
	case DeleteRealServer:
		command = cmdDelDest
		encoder.Nested(attrService, o.Service.Key.encode)
		encoder.Nested(attrDest, o.RealServer.Target().encode)
	default:
		panic(fmt.Sprintf("BUG: ipvs: operation of kind %d", o.Kind))
	}
	data, err = encoder.Encode()
	return command, data, err
}

// encodeKey returns the attributes of a request about one service.
func encodeKey(k Key) ([]byte, error) {
	encoder := netlink.NewAttributeEncoder()
	encoder.Nested(attrService, k.encode)
	return encoder.Encode()
}

func (k Key) encode(e *netlink.AttributeEncoder) error {
	family, err := familyOf(k.Address)
	if err != nil {
		return fmt.Errorf("virtual service: %w", err)
	}
	e.Uint16(svcFamily, family)
	if k.FWMark != 0 {
		e.Uint32(svcFWMark, k.FWMark)
		return nil
	}
	e.Uint16(svcProtocol, uint16(k.Protocol))
	e.Bytes(svcAddress, k.Address.AsSlice())
	e.Bytes(svcPort, binary.BigEndian.AppendUint16(nil, k.Port))
	return nil
}

// encode writes everything the kernel wants of a service that is added or
// edited. It wants a netmask of those that are not persistent too, and
// refuses an IPv6 service with prefix length 0.
func (s Service) encode(e *netlink.AttributeEncoder) error {
	if err := s.Key.encode(e); err != nil {
		return err
	}
	e.String(svcScheduler, s.Scheduler)
	if s.Engine != "" {
		e.String(svcEngine, s.Engine)
	}
	flags := binary.NativeEndian.AppendUint32(nil, uint32(s.Flags&^flagHashed))
	e.Bytes(svcFlags, binary.NativeEndian.AppendUint32(flags, math.MaxUint32)) // the mask: all of them
	e.Uint32(svcTimeout, s.Timeout)
	netmask := s.Netmask
	if s.Flags&Persistent == 0 {
		netmask = wholeAddress(s.Address)
	}
	if s.Address.Is6() {
		e.Uint32(svcNetmask, netmask)
	} else {
		e.Bytes(svcNetmask, binary.BigEndian.AppendUint32(nil, netmask))
	}
	return nil
}

// wholeAddress is the Netmask by which all of a client's address counts.
func wholeAddress(service netip.Addr) uint32 {
	if service.Is6() {
		return 128
	}
	return math.MaxUint32
}

func (t Target) encode(e *netlink.AttributeEncoder) error {
	family, err := familyOf(t.Address)
	if err != nil {
		return fmt.Errorf("real server: %w", err)
	}
	e.Bytes(destAddress, t.Address.AsSlice())
	e.Bytes(destPort, binary.BigEndian.AppendUint16(nil, t.Port))
	// Without its family the kernel takes the service's, and cuts an address
	// of the other family to size.
	e.Uint16(destFamily, family)
	return nil
}

// encode writes all of a real server. An edit replaces all of it in the
// kernel: what a message leaves out falls back to plain IPIP.
func (r RealServer) encode(e *netlink.AttributeEncoder) error {
	if err := r.Target().encode(e); err != nil {
		return err
	}
	e.Uint32(destForward, uint32(r.Forward)&forwardMask)
	e.Uint32(destWeight, r.Weight)
	e.Uint32(destUpperThreshold, r.UpperThreshold)
	e.Uint32(destLowerThreshold, r.LowerThreshold)
	e.Uint8(destTunnelType, uint8(r.Tunnel.Type))
	e.Bytes(destTunnelPort, binary.BigEndian.AppendUint16(nil, r.Tunnel.Port))
	var flags uint16
	if r.Tunnel.Checksum {
		flags |= tunnelChecksum
	}
	if r.Tunnel.RemoteChecksum {
		flags |= tunnelRemoteChecksum
	}
	e.Uint16(destTunnelFlags, flags)
	return nil
}

// decodeService reads the answer to cmdGetService: a service without its real
// servers.
func decodeService(data []byte) (ServiceStatistics, error) {
	var s ServiceStatistics
	err := decodeNested(data, attrService, func(d *netlink.AttributeDecoder) error {
		return s.decode(d)
	})
	if err != nil {
		return ServiceStatistics{}, fmt.Errorf("ipvs: read virtual service: %w", err)
	}
	return s, nil
}

// decodeRealServer reads the answer to cmdGetDest.
func decodeRealServer(data []byte) (RealServerStatistics, error) {
	var r RealServerStatistics
	err := decodeNested(data, attrDest, func(d *netlink.AttributeDecoder) error {
		return r.decode(d)
	})
	if err != nil {
		return RealServerStatistics{}, fmt.Errorf("ipvs: read real server: %w", err)
	}
	return r, nil
}

// decodeNested runs decode on the one attribute of the given type that an
// answer holds.
func decodeNested(data []byte, attribute uint16, decode func(*netlink.AttributeDecoder) error) error {
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return err
	}
	found := false
	for d.Next() {
		if d.Type() == attribute {
			found = true
			d.Nested(decode)
		}
	}
	if err := d.Err(); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("attribute %d is missing", attribute)
	}
	return nil
}

func (s *ServiceStatistics) decode(d *netlink.AttributeDecoder) error {
	var family uint16
	var address, netmask []byte
	for d.Next() {
		switch d.Type() {
		case svcFamily:
			family = d.Uint16()
		case svcProtocol:
			s.Protocol = Protocol(d.Uint16())
		case svcAddress:
			address = d.Bytes()
		case svcPort:
			d.Do(decodePort(&s.Port))
		case svcFWMark:
			s.FWMark = d.Uint32()
		case svcScheduler:
			s.Scheduler = d.String()
		case svcFlags:
			d.Do(decodeFlags(&s.Flags))
		case svcTimeout:
			s.Timeout = d.Uint32()
		case svcNetmask:
			netmask = d.Bytes()
		case svcEngine:
			s.Engine = d.String()
		case svcStats64:
			d.Nested(s.Counters.decode)
		}
	}
	if err := d.Err(); err != nil {
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
		return fmt.Errorf("netmask of %d bytes, expected 4", len(netmask))
	}
	if s.Address.Is6() {
		s.Netmask = binary.NativeEndian.Uint32(netmask)
	} else {
		s.Netmask = binary.BigEndian.Uint32(netmask)
	}
	return nil
}

func (r *RealServerStatistics) decode(d *netlink.AttributeDecoder) error {
	var family uint16
	var address []byte
	for d.Next() {
		switch d.Type() {
		case destFamily:
			family = d.Uint16()
		case destAddress:
			address = d.Bytes()
		case destPort:
			d.Do(decodePort(&r.Port))
		case destForward:
			r.Forward = Forward(d.Uint32() & forwardMask)
		case destWeight:
			r.Weight = d.Uint32()
		case destUpperThreshold:
			r.UpperThreshold = d.Uint32()
		case destLowerThreshold:
			r.LowerThreshold = d.Uint32()
		case destActive:
			r.ActiveConnections = d.Uint32()
		case destInactive:
			r.InactiveConnections = d.Uint32()
		case destPersistent:
			r.PersistentConnections = d.Uint32()
		case destStats64:
			d.Nested(r.Counters.decode)
		case destTunnelType:
			r.Tunnel.Type = TunnelType(d.Uint8())
		case destTunnelPort:
			d.Do(decodePort(&r.Tunnel.Port))
		case destTunnelFlags:
			flags := d.Uint16()
			r.Tunnel.Checksum = flags&tunnelChecksum != 0
			r.Tunnel.RemoteChecksum = flags&tunnelRemoteChecksum != 0
		}
	}
	if err := d.Err(); err != nil {
		return err
	}
	var err error
	r.Address, err = addressOf(family, address)
	return err
}

func (c *Counters) decode(d *netlink.AttributeDecoder) error {
	fields := map[uint16]*uint64{
		statsConnections:    &c.Connections,
		statsInPackets:      &c.InPackets,
		statsOutPackets:     &c.OutPackets,
		statsInBytes:        &c.InBytes,
		statsOutBytes:       &c.OutBytes,
		statsConnectionRate: &c.ConnectionRate,
		statsInPacketRate:   &c.InPacketRate,
		statsOutPacketRate:  &c.OutPacketRate,
		statsInByteRate:     &c.InByteRate,
		statsOutByteRate:    &c.OutByteRate,
	}
	for d.Next() {
		if field, ok := fields[d.Type()]; ok {
			*field = d.Uint64()
		}
	}
	return nil // the caller reads d.Err
}

func decodePort(port *uint16) func([]byte) error {
	return func(b []byte) error {
		if len(b) != 2 {
			return fmt.Errorf("port of %d bytes, expected 2", len(b))
		}
		*port = binary.BigEndian.Uint16(b)
		return nil
	}
}

// decodeFlags reads struct ip_vs_flags: the flags, then a mask that says all.
func decodeFlags(flags *Flags) func([]byte) error {
	return func(b []byte) error {
		if len(b) != 8 {
			return fmt.Errorf("flags of %d bytes, expected 8", len(b))
		}
		*flags = Flags(binary.NativeEndian.Uint32(b)) &^ flagHashed
		return nil
	}
}

func familyOf(a netip.Addr) (uint16, error) {
	switch {
	case a.Is4():
		return unix.AF_INET, nil
	case a.Is6() && !a.Is4In6() && a.Zone() == "":
		return unix.AF_INET6, nil
	}
	return 0, fmt.Errorf("%q is no address of a single family without a zone", a)
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
