package ipvsadm

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"dipper/appliance/ipvs"
)

func (p *parser) takeState(v value) *Error {
	switch v.text {
	case "master":
		p.command.Daemon.State = ipvs.Master
	case "backup":
		p.command.Daemon.State = ipvs.Backup
	default:
		message := "illegal start-daemon parameter specified"
		if p.command.Kind == StopDaemon {
			message = "illegal start_daemon specified"
		}
		return usage(message, "%q; it is master or backup", v.text)
	}
	return nil
}

func (p *parser) takeTCP(v value) *Error  { return p.takeService(v, ipvs.TCP) }
func (p *parser) takeUDP(v value) *Error  { return p.takeService(v, ipvs.UDP) }
func (p *parser) takeSCTP(v value) *Error { return p.takeService(v, ipvs.SCTP) }

func (p *parser) takeService(v value, protocol ipvs.Protocol) *Error {
	p.protocol = protocol
	endpoint, problem := p.endpoint(v.text)
	if problem != "" {
		return usage("illegal virtual server address[:port] specified", "%q %s", v.text, problem)
	}
	p.service = endpoint.AddrPort
	if endpoint.Addr().Is6() {
		p.six = true
		p.netmask = 128
	}
	return nil
}

func (p *parser) takeFWMark(v value) *Error {
	mark, ok := parseNumber(v.text, 1, math.MaxUint32)
	if !ok {
		return usage(fmt.Sprintf("invalid fwmark value `%s' specified", v.text), "a mark is a number from 1 to %d", uint32(math.MaxUint32))
	}
	p.mark = uint32(mark)
	p.protocol = ipvs.TCP // for the names of real servers' ports
	return nil
}

func (p *parser) takeIPv6(value) *Error {
	if p.mark == 0 {
		return usage("-6 used before -f", "it says that the firewall mark before it is of IPv6")
	}
	p.six = true
	p.netmask = 128
	return nil
}

func (p *parser) takeScheduler(v value) *Error {
	p.command.Service.Scheduler = cut(v.text, maxName)
	return nil
}

func (p *parser) takePersistent(v value) *Error {
	p.command.Service.Flags |= ipvs.Persistent
	p.command.Service.Timeout = defaultPersistence
	if !v.given {
		return nil
	}
	return p.takeTimeout(v.text, 1, &p.command.Service.Timeout)
}

func (p *parser) takeTimeout(text string, lowest int64, to *uint32) *Error {
	n, ok := parseNumber(text, lowest, maxTimeout)
	if !ok {
		return usage(fmt.Sprintf("invalid timeout value `%s' specified", text),
			"it is a number of seconds from %d to %d, which is 31 days", lowest, maxTimeout)
	}
	*to = uint32(n)
	return nil
}

func (p *parser) takeNetmask(v value) *Error {
	if p.six {
		n, ok := parseNumber(v.text, 1, 128)
		if !ok {
			return usage("illegal ipv6 netmask specified", "%q; it is a prefix length from 1 to 128", v.text)
		}
		p.netmask = uint32(n)
		return nil
	}
	const message = "illegal virtual server persistent mask specified"
	mask, ok := parseIPv4(v.text)
	if !ok {
		return usage(message, "%q; it is written as 255.255.255.0", v.text)
	}
	b := mask.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	if ^n&(^n+1) != 0 {
		return usage(message, "%s is no netmask; it is written as 255.255.255.0, and a prefix length for IPv6 stands after the service", mask)
	}
	p.netmask = n
	return nil
}

func (p *parser) takeRealServer(v value) *Error {
	endpoint, problem := p.endpoint(v.text)
	if problem != "" {
		return usage("illegal real server address[:port] specified", "%q %s", v.text, problem)
	}
	port := endpoint.Port()
	if !endpoint.hasPort {
		port = p.service.Port()
	}
	p.target = netip.AddrPortFrom(endpoint.Addr(), port)
	return nil
}

func (p *parser) takeNAT(value) *Error { p.command.RealServer.Forward = ipvs.NAT; return nil }
func (p *parser) takeTUN(value) *Error { p.command.RealServer.Forward = ipvs.TUN; return nil }
func (p *parser) takeDR(value) *Error  { p.command.RealServer.Forward = ipvs.DR; return nil }

// takeNumber reads a number, and says of which setting an illegal one is.
func takeNumber[T uint8 | uint16 | uint32](v value, lowest, highest int64, to *T, illegal string) *Error {
	n, ok := parseNumber(v.text, lowest, highest)
	if !ok {
		return usage("illegal "+illegal+" specified", "%q; it is a number from %d to %d", v.text, lowest, highest)
	}
	*to = T(n)
	return nil
}

func (p *parser) takeWeight(v value) *Error {
	return takeNumber(v, 0, maxWeight, &p.command.RealServer.Weight, "weight")
}

func (p *parser) takeUpperThreshold(v value) *Error {
	return takeNumber(v, 0, maxThreshold, &p.command.RealServer.UpperThreshold, "u_threshold")
}

func (p *parser) takeLowerThreshold(v value) *Error {
	return takeNumber(v, 0, maxThreshold, &p.command.RealServer.LowerThreshold, "l_threshold")
}

func (p *parser) takeInterface(v value) *Error {
	p.command.Daemon.Interface = cut(v.text, maxName)
	return nil
}

func (p *parser) takeSyncID(v value) *Error {
	return takeNumber(v, 0, math.MaxUint8, &p.command.Daemon.SyncID, "syncid")
}

func (p *parser) takeEngine(v value) *Error {
	p.command.Service.Engine = cut(v.text, maxEngineName)
	return nil
}

func (p *parser) takeSchedulerFlags(v value) *Error {
	p.schedulerFlags = v.text // what it means depends on -s, which may follow
	return nil
}

func (p *parser) takeGroup(v value) *Error {
	group, err := netip.ParseAddr(v.text)
	if strings.Contains(v.text, ":") {
		if err != nil || group.Zone() != "" || !group.IsMulticast() || group.Is4In6() {
			return usage(fmt.Sprintf("invalid IPv6 mcast-group `%s'", v.text), "a multicast address begins with ff")
		}
	} else if err != nil || !group.IsMulticast() {
		return usage(fmt.Sprintf("invalid IPv4 mcast-group `%s'", v.text), "a multicast address is from 224.0.0.0 to 239.255.255.255")
	}
	p.command.Daemon.Group = group
	return nil
}

func (p *parser) takeMcastPort(v value) *Error {
	return takeNumber(v, 1, math.MaxUint16, &p.command.Daemon.Port, "mcast-port")
}

func (p *parser) takeTTL(v value) *Error {
	return takeNumber(v, 1, math.MaxUint8, &p.command.Daemon.TTL, "mcast-ttl")
}

func (p *parser) takeMaxLength(v value) *Error {
	return takeNumber(v, 1, maxSyncLength, &p.command.Daemon.MaxLength, "sync-maxlen")
}

func (p *parser) takeTunnelType(v value) *Error {
	at := slices.Index(tunnelTypes[:], v.text)
	if at < 0 {
		return usage("illegal tunnel type specified", "%q; it is one of %s", v.text, strings.Join(tunnelTypes[:], ", "))
	}
	p.command.RealServer.Tunnel.Type = ipvs.TunnelType(at)
	return nil
}

func (p *parser) takeTunnelPort(v value) *Error {
	return takeNumber(v, 1, math.MaxUint16, &p.command.RealServer.Tunnel.Port, "tunnel port")
}

func (p *parser) takeChecksum(value) *Error {
	p.command.RealServer.Tunnel.Checksum = true
	return nil
}

func (p *parser) takeRemoteChecksum(value) *Error {
	p.command.RealServer.Tunnel.RemoteChecksum = true
	return nil
}
