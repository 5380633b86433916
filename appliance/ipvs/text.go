package ipvs

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// String returns the ipvsadm command that does what o does.
func (o Op) String() string {
	switch o.Kind {
	case AddService:
		return "ipvsadm -A " + o.Service.options()
	case EditService:
		return "ipvsadm -E " + o.Service.options()
	case DeleteService:
		return "ipvsadm -D " + o.Service.Key.String()
	case AddRealServer:
		return "ipvsadm -a " + o.Service.Key.String() + " " + o.RealServer.options()
	case EditRealServer:
		return "ipvsadm -e " + o.Service.Key.String() + " " + o.RealServer.options()
	case DeleteRealServer:
		return "ipvsadm -d " + o.Service.Key.String() + " -r " + o.RealServer.Target().String()
	}
	panic(fmt.Sprintf("BUG: ipvs: operation of kind %d", o.Kind))
}

// String returns t as "ipvsadm -Sn" prints a table, in t's order, and with the
// thresholds that ipvsadm leaves out.
func (t Table) String() string {
	var b strings.Builder
	for _, s := range t.Services {
		fmt.Fprintf(&b, "-A %s\n", s.options())
		for _, r := range s.RealServers {
			fmt.Fprintf(&b, "-a %s %s\n", s.Key, r.options())
		}
	}
	return b.String()
}

// String returns k as ipvsadm's option for it: "-t 192.168.4.15:80", "-f 7 -6".
func (k Key) String() string {
	if k.FWMark != 0 {
		option := "-f " + strconv.FormatUint(uint64(k.FWMark), 10)
		if k.Address.Is6() {
			option += " -6"
		}
		return option
	}
	return k.Protocol.option() + " " + netip.AddrPortFrom(k.Address, k.Port).String()
}

// option is ipvsadm's name for a service of this protocol.
func (p Protocol) option() string {
	switch p {
	case TCP:
		return "-t"
	case UDP:
		return "-u"
	case SCTP:
		return "--sctp-service"
	}
	// ipvsadm has no option for others; the kernel may hold one all the same.
	return fmt.Sprintf("--protocol-%d", p)
}

// String returns t as ipvsadm takes it after -r: "192.168.4.100:80".
func (t Target) String() string {
	return net.JoinHostPort(t.Address.String(), strconv.Itoa(int(t.Port)))
}

func (s Service) options() string {
	words := []string{s.Key.String(), "-s", s.Scheduler}
	if s.Flags&Persistent != 0 {
		words = append(words, "-p", strconv.FormatUint(uint64(s.Timeout), 10))
		if mask := s.mask(); mask != "" {
			words = append(words, "-M", mask)
		}
	}
	if s.Engine != "" {
		words = append(words, "--pe", s.Engine)
	}
	if s.Flags&OnePacket != 0 {
		words = append(words, "-o")
	}
	if names := s.SchedulerFlags(); len(names) > 0 {
		words = append(words, "-b", strings.Join(names, ","))
	}
	return strings.Join(words, " ")
}

// mask is the granularity of persistence, "" for that of single addresses.
func (s Service) mask() string {
	if s.Address.Is6() {
		if s.Netmask == 128 {
			return ""
		}
		return strconv.FormatUint(uint64(s.Netmask), 10)
	}
	if s.Netmask == 0xffffffff {
		return ""
	}
	m := s.Netmask
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

// schedulerFlags are the flags that a scheduler decides the meaning of, by
// ipvsadm's names for all schedulers; those of sh and mh have a second name.
var schedulerFlags = [...]struct {
	flag   Flags
	name   string
	suffix string
}{{SchedulerFlag1, "flag-1", "-fallback"}, {SchedulerFlag2, "flag-2", "-port"}, {SchedulerFlag3, "flag-3", ""}}

// SchedulerFlags returns the names of s's scheduler flags: "sh-port", or
// "flag-2" where the scheduler has no name for it.
func (s Service) SchedulerFlags() []string {
	var names []string
	for _, known := range schedulerFlags {
		switch {
		case s.Flags&known.flag == 0:
		case known.suffix != "" && (s.Scheduler == "sh" || s.Scheduler == "mh"):
			names = append(names, s.Scheduler+known.suffix)
		default:
			names = append(names, known.name)
		}
	}
	return names
}

func (r RealServer) options() string {
	words := []string{"-r", r.Target().String(), r.Forward.option(), "-w", strconv.FormatUint(uint64(r.Weight), 10)}
	words = append(words, r.Tunnel.options()...)
	if r.UpperThreshold != 0 {
		words = append(words, "-x", strconv.FormatUint(uint64(r.UpperThreshold), 10))
	}
	if r.LowerThreshold != 0 {
		words = append(words, "-y", strconv.FormatUint(uint64(r.LowerThreshold), 10))
	}
	return strings.Join(words, " ")
}

// option is ipvsadm's option for a forwarding method. ipvsadm cannot ask for
// Local, which the kernel found out by itself: it was asked for as DR.
func (f Forward) option() string {
	switch f {
	case NAT:
		return "-m"
	case TUN:
		return "-i"
	default:
		return "-g"
	}
}

// options are ipvsadm's, none for plain IPIP.
func (t Tunnel) options() []string {
	var words []string
	switch t.Type {
	case IPIP:
		return nil
	case GUE:
		words = []string{"--tun-type", "gue", "--tun-port", strconv.Itoa(int(t.Port))}
	case GRE:
		words = []string{"--tun-type", "gre"}
	default:
		words = []string{"--tun-type", strconv.Itoa(int(t.Type))}
	}
	switch {
	case t.RemoteChecksum:
		words = append(words, "--tun-remcsum")
	case t.Checksum:
		words = append(words, "--tun-csum")
	default:
		words = append(words, "--tun-nocsum")
	}
	return words
}

// String returns p's name: "tcp".
func (p Protocol) String() string {
	for _, known := range protocolNames {
		if known.protocol == p {
			return known.name
		}
	}
	return strconv.Itoa(int(p))
}

// ProtocolByName returns the protocol of a name, "tcp", and 0 for an unknown.
func ProtocolByName(name string) Protocol {
	for _, known := range protocolNames {
		if known.name == name {
			return known.protocol
		}
	}
	return 0
}

var protocolNames = [...]struct {
	protocol Protocol
	name     string
}{{TCP, "tcp"}, {UDP, "udp"}, {SCTP, "sctp"}, {ESP, "esp"}, {AH, "ah"}}

// String returns f's name: "nat", "dr", "tun".
func (f Forward) String() string {
	switch f {
	case NAT:
		return "nat"
	case Local:
		return "local"
	case TUN:
		return "tun"
	case DR:
		return "dr"
	}
	return strconv.Itoa(int(f))
}
