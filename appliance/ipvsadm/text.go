package ipvsadm

import (
	"net/netip"
	"strconv"

	"dipper/appliance/ipvs"
)

// endpointRoom is what ipvsadm has room for: longer names are cut.
const endpointRoom = 59

// printer prints addresses and ports, as numbers or by name.
type printer struct {
	numeric bool
	names   Names
	ports   portNames
	hosts   map[netip.Addr]string // asked once each
}

// endpoint appends "192.0.2.1:80" or "[2001:db8::1]:80", or the names of both.
func (p *printer) endpoint(b []byte, address netip.Addr, port uint16, protocol ipvs.Protocol) []byte {
	start := len(b)
	six := address.Is6()
	if six {
		b = append(b, '[')
	}
	b = p.host(b, address)
	if six {
		b = append(b, ']')
	}
	b = append(b, ':')
	b = p.port(b, port, protocol)
	return b[:min(len(b), start+endpointRoom)]
}

func (p *printer) host(b []byte, address netip.Addr) []byte {
	if !p.numeric && p.names != nil {
		name, asked := p.hosts[address]
		if !asked {
			name = p.names.Host(address)
			if p.hosts == nil {
				p.hosts = map[netip.Addr]string{}
			}
			p.hosts[address] = name
		}
		if name != "" {
			return append(b, name...)
		}
	}
	return appendAddress(b, address)
}

func (p *printer) port(b []byte, port uint16, protocol ipvs.Protocol) []byte {
	if !p.numeric {
		if name := p.ports.name(port, protocol); name != "" {
			return append(b, name...)
		}
	}
	return strconv.AppendUint(b, uint64(port), 10)
}

// appendAddress appends an address as inet_ntop(3) writes it: as netip does,
// but for ::192.0.2.1, which netip writes in hexadecimal.
func appendAddress(b []byte, a netip.Addr) []byte {
	if a.Is6() {
		full := a.As16()
		if [12]byte(full[:12]) == [12]byte{} && (full[12] != 0 || full[13] != 0) {
			b = append(b, "::"...)
			a = netip.AddrFrom4([4]byte(full[12:]))
		}
	}
	return a.AppendTo(b)
}

// padTo fills b with spaces until what began at start is width wide.
func padTo(b []byte, start, width int) []byte {
	for len(b)-start < width {
		b = append(b, ' ')
	}
	return b
}

// appendLeft appends a number and spaces up to a width.
func appendLeft(b []byte, n uint64, width int) []byte {
	start := len(b)
	return padTo(strconv.AppendUint(b, n, 10), start, width)
}

// appendRight appends spaces and a number, of a width together.
func appendRight(b []byte, n uint64, width int) []byte {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], n, 10)
	for i := len(text); i < width; i++ {
		b = append(b, ' ')
	}
	return append(b, text...)
}

// appendLarge appends a counter in nine columns: whole below 10^8, then cut to
// thousands (K), below 10^11 to 10^6 (M), below 10^14 to 10^9 (G), and above
// that to 10^12 (T). An exact one takes as many columns as it needs.
func appendLarge(b []byte, n uint64, exact bool) []byte {
	const width = 9
	switch {
	case exact:
		b = append(b, ' ')
		return appendRight(b, n, width-1)
	case n < 1e8:
		return appendRight(b, n, width)
	case n < 1e9:
		return append(appendRight(b, n/1e3, width-1), 'K')
	case n < 1e11:
		return append(appendRight(b, n/1e6, width-1), 'M')
	case n < 1e14:
		return append(appendRight(b, n/1e9, width-1), 'G')
	default:
		return append(appendRight(b, n/1e12, width-1), 'T')
	}
}

// protocolTitle is how listings of the table name a protocol.
func protocolTitle(p ipvs.Protocol) string {
	switch p {
	case ipvs.TCP:
		return "TCP"
	case ipvs.UDP:
		return "UDP"
	case ipvs.SCTP:
		return "SCTP"
	default:
		return "?"
	}
}

// noProtocol is what saved rules have for protocols that ipvsadm has no option
// for; it does not read them itself.
const noProtocol = "--xxx-service"

// protocolOption is the option of a service of a protocol. Saved rules can
// name no other protocols.
func protocolOption(p ipvs.Protocol) string {
	switch p {
	case ipvs.TCP:
		return "-t"
	case ipvs.UDP:
		return "-u"
	case ipvs.SCTP:
		return "--sctp-service"
	default:
		return noProtocol
	}
}

// forwardTitle is how listings name a forwarding method.
func forwardTitle(f ipvs.Forward) string {
	switch f {
	case ipvs.NAT:
		return "Masq"
	case ipvs.Local:
		return "Local"
	case ipvs.TUN:
		return "Tunnel"
	case ipvs.DR:
		return "Route"
	default:
		return "(null)"
	}
}

// forwardOption is the option of a forwarding method. Local was asked for as
// DR.
func forwardOption(f ipvs.Forward) string {
	switch f {
	case ipvs.NAT:
		return "-m"
	case ipvs.TUN:
		return "-i"
	default:
		return "-g"
	}
}

// tunnelColumn is the column TunnelInfo: "gue:6080:+c".
func tunnelColumn(r ipvs.RealServer) string {
	if r.Forward != ipvs.TUN {
		return "n/a"
	}
	checksum := "-c"
	switch {
	case r.Tunnel.RemoteChecksum:
		checksum = "r+c"
	case r.Tunnel.Checksum:
		checksum = "+c"
	}
	switch r.Tunnel.Type {
	case ipvs.IPIP:
		return "ipip"
	case ipvs.GUE:
		// ipvsadm has room for 15 letters, which is all that this can have.
		return "gue:" + strconv.Itoa(int(r.Tunnel.Port)) + ":" + checksum
	case ipvs.GRE:
		return "gre:" + checksum
	default:
		return "n/a"
	}
}

// flagNames appends the names of a service's scheduler flags, with commas.
// Of sh and mh, ipvsadm names no third flag; whole names it, for rules that
// are to be read again.
func flagNames(b []byte, s ipvs.Service, whole bool) []byte {
	names := [3]string{"flag-1", "flag-2", "flag-3"}
	switch {
	case s.Scheduler == "sh":
		names[0], names[1] = "sh-fallback", "sh-port"
	case s.Scheduler == "mh":
		names[0], names[1] = "mh-fallback", "mh-port"
	default:
		whole = true
	}
	if !whole {
		names[2] = ""
	}
	first := true
	for i, flag := range [3]ipvs.Flags{ipvs.SchedulerFlag1, ipvs.SchedulerFlag2, ipvs.SchedulerFlag3} {
		if s.Flags&flag == 0 || names[i] == "" {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, names[i]...)
	}
	return b
}

const anySchedulerFlag = ipvs.SchedulerFlag1 | ipvs.SchedulerFlag2 | ipvs.SchedulerFlag3

// appendGranularity appends the mask of a persistent service after a word, or
// nothing if every client counts for itself.
func appendGranularity(b []byte, s ipvs.Service, word string) []byte {
	switch {
	case s.Address.Is6() && s.Netmask != 128:
		return strconv.AppendUint(append(b, word...), uint64(s.Netmask), 10)
	case s.Address.Is4() && s.Netmask != 0xffffffff:
		return addr4(s.Netmask).AppendTo(append(b, word...))
	}
	return b
}
