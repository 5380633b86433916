package ipvsadm

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"dipper/appliance/ipvs"
)

// The defaults of ipvsadm 1.31.
const (
	defaultScheduler   = "wlc"
	defaultPersistence = 360 // seconds
	defaultWeight      = 1
	defaultInterface   = "eth0"
)

// Limits of ipvsadm 1.31. Only the weight's is the kernel's, which is wider.
const (
	maxTimeout    = 31 * 24 * 60 * 60 // seconds
	maxWeight     = math.MaxInt32
	maxThreshold  = math.MaxInt32
	maxSyncLength = math.MaxUint16 - 20 - 8
	maxName       = 15 // of schedulers and interfaces; longer ones are cut
	maxEngineName = 16
)

// parser understands one command line, from left to right: what an option
// means may depend on those before it.
type parser struct {
	names Names
	ports *portNames

	command Command
	given   set

	protocol ipvs.Protocol
	service  netip.AddrPort // no address: none given yet
	mark     uint32
	six      bool
	netmask  uint32 // as ipvs.Service has it

	target         netip.AddrPort
	schedulerFlags string
}

// Parse understands a command line, without the program's name. The error is
// an *Error.
func Parse(argv []string, names Names) (Command, error) {
	p := parser{names: names, ports: new(portNames)}
	if err := p.parse(argv); err != nil {
		return Command{}, err
	}
	return p.command, nil
}

// parse understands a command line, whatever p held of another one before.
func (p *parser) parse(argv []string) *Error {
	*p = parser{names: p.names, ports: p.ports, netmask: math.MaxUint32}
	if len(argv) == 0 {
		p.command.Kind = List
		return nil
	}
	p.command.RealServer.Weight = defaultWeight
	p.command.RealServer.Forward = ipvs.DR
	s := scanner{words: argv}
	if err := p.begin(&s); err != nil {
		return err
	}
	if p.command.Kind == Help || p.command.Kind == Version {
		return nil
	}
	if err := p.options(&s); err != nil {
		return err
	}
	if err := p.operands(s.operands); err != nil {
		return err
	}
	p.command.given = p.given
	return p.finish()
}

// begin reads the command: it stands first, whatever popt would allow.
func (p *parser) begin(s *scanner) *Error {
	o, argument, err := s.option()
	switch {
	case err != nil:
		return tryHelp("%s", err.Message)
	case o == nil:
		return tryHelp("a command is missing, such as -L or -A")
	case o.command == 0:
		return tryHelp("a command, such as -L or -A, stands before every other option")
	}
	p.command.Kind = o.command
	if o.command == StartDaemon || o.command == StopDaemon {
		return p.takeState(argument)
	}
	return nil
}

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

// options reads what stands after the command.
func (p *parser) options(s *scanner) *Error {
	for {
		o, argument, err := s.option()
		if o == nil || err != nil {
			return err
		}
		if o.command != 0 {
			return usage(fmt.Sprintf("invalid option `%s'", s.word()), "one command at a time")
		}
		if err := p.take(o, argument); err != nil {
			return err
		}
	}
}

func (p *parser) take(o *option, argument value) *Error {
	if o.property != none {
		if p.given.has(o.property) {
			return usage(fmt.Sprintf("multiple '%s' options specified", propertyNames[o.property]), "one is enough")
		}
		p.given |= of(o.property)
	}
	if o.take == nil {
		return nil
	}
	return o.take(p, argument)
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

// operands reads what is neither option nor argument: the values of --set.
func (p *parser) operands(words []string) *Error {
	if p.command.Kind == SetTimeouts {
		if len(words) < 3 {
			return usage("--set option requires 3 timeout values", "tcp, tcpfin and udp in seconds, where 0 keeps what is set")
		}
		t := &p.command.Timeouts
		for i, to := range [...]*uint32{&t.TCP, &t.TCPFin, &t.UDP} {
			if err := p.takeTimeout(words[i], 0, to); err != nil {
				return err
			}
		}
		words = words[3:]
	}
	if len(words) > 0 {
		return usage("unexpected argument "+words[0], "it belongs to no option")
	}
	return nil
}

// finish checks the command line as a whole, and completes the command.
func (p *parser) finish() *Error {
	if err := p.finishFlags(); err != nil {
		return err
	}
	if err := checkOptions(p.command.Kind, p.given); err != nil {
		return err
	}
	p.finishKey()
	switch p.command.Kind {
	case AddService, EditService:
		return p.finishService()
	case AddRealServer, EditRealServer:
		return p.finishRealServer()
	case DeleteRealServer:
		p.command.RealServer = ipvs.RealServer{Address: p.target.Addr(), Port: p.target.Port()}
	case StartDaemon:
		if p.command.Daemon.Interface == "" {
			p.command.Daemon.Interface = defaultInterface
		}
	case Zero:
		// The unspecified address and no port are no service, but every one.
		if p.mark == 0 && p.service.Addr().IsUnspecified() && p.service.Port() == 0 {
			p.command.ServiceGiven = false
		}
	case List, Save:
		return p.finishListing()
	}
	return nil
}

// finishFlags reads the scheduler's flags, now that the scheduler is known.
func (p *parser) finishFlags() *Error {
	if p.schedulerFlags == "" {
		return nil
	}
	s := &p.command.Service
	of := s.Scheduler
	if of == "" {
		of = defaultScheduler
	}
	for name := range strings.SplitSeq(p.schedulerFlags, ",") {
		if name == "" {
			continue
		}
		flag, ok := schedulerFlag(name)
		if !ok {
			return usage(fmt.Sprintf("invalid scheduler flag `%s'", name),
				"there are flag-1, flag-2 and flag-3, sh-fallback and sh-port, mh-fallback and mh-port")
		}
		if owner, _, owned := strings.Cut(name, "-"); owned && owner != "flag" && owner != of {
			return usage(fmt.Sprintf("incompatible scheduler flag `%s'", name), "the scheduler is %s", of)
		}
		s.Flags |= flag
	}
	return nil
}

func (p *parser) finishKey() {
	p.command.ServiceGiven = p.given.has(serviceAddress)
	key := ipvs.Key{FWMark: p.mark, Address: netip.IPv4Unspecified()}
	switch {
	case p.mark == 0:
		key = ipvs.Key{Protocol: p.protocol, Address: p.service.Addr(), Port: p.service.Port()}
	case p.six:
		key.Address = netip.IPv6Unspecified()
	}
	p.command.Service.Key = key
}

func (p *parser) finishService() *Error {
	s := &p.command.Service
	if p.given.has(onePacket) {
		s.Flags |= ipvs.OnePacket
	}
	if s.FWMark == 0 && s.Port == 0 && s.Flags&ipvs.Persistent == 0 {
		return usage("Zero port specified for non-persistent service",
			"port 0 is every port, and takes -p, so that a client stays with one real server")
	}
	if s.Flags&ipvs.OnePacket != 0 && s.FWMark == 0 && s.Protocol != ipvs.UDP {
		return usage("One-Packet Scheduling is only for UDP virtual services", "%s is not one", s.Key)
	}
	if s.Scheduler == "" {
		s.Scheduler = defaultScheduler
	}
	if s.Flags&ipvs.Persistent != 0 {
		s.Netmask = p.netmask
	}
	return nil
}

func (p *parser) finishRealServer() *Error {
	s, r := &p.command.Service, &p.command.RealServer
	r.Address, r.Port = p.target.Addr(), p.target.Port()
	if s.FWMark == 0 && r.Forward != ipvs.NAT {
		r.Port = s.Port // neither DR nor a tunnel rewrites the port
	}
	if r.Forward != ipvs.TUN {
		if r.Address.Is6() != s.Address.Is6() {
			return usage("Different address family is allowed only for tunneling servers", "%s is %s, %s is %s: add -i, or take a real server of the service's family",
				s.Key, family(s.Address), r.Address, family(r.Address))
		}
		if p.given&of(tunnelType, tunnelPort, tunnelNoChecksum, tunnelChecksum, tunnelRemoteChecksum) != 0 {
			return usage("Tunnel options conflict with forward method", "they belong to -i")
		}
	}
	return checkTunnel(r.Tunnel.Type, p.given)
}

func family(a netip.Addr) string {
	if a.Is6() {
		return "IPv6"
	}
	return "IPv4"
}

func (p *parser) finishListing() *Error {
	l := Listing{
		Numeric:               p.given.has(numeric),
		Statistics:            p.given.has(stats),
		Rate:                  p.given.has(rate),
		Thresholds:            p.given.has(thresholds),
		PersistentConnections: p.given.has(persistentConn),
		TunnelInfo:            p.given.has(tunnelInfo),
		Exact:                 p.given.has(exact),
		NoSort:                p.given.has(noSort),
		JSON:                  p.given.has(asJSON),
		Complete:              p.given.has(complete),
	}
	other := of(connection, timeout, daemon)
	if p.given&other != 0 && p.given&of(stats, rate, thresholds) != 0 ||
		p.given&of(timeout, daemon) != 0 && p.given.has(persistentConn) {
		return usage("options conflicts in the list command", "%s cannot be shown with %s",
			p.firstGiven(other), p.firstGiven(of(stats, rate, thresholds, persistentConn)))
	}
	switch {
	case p.given.has(connection):
		l.Subject = ListConnections
	case p.given.has(timeout):
		l.Subject = ListTimeouts
	case p.given.has(daemon):
		l.Subject = ListDaemons
	case p.given.has(serviceAddress):
		key := p.command.Service.Key
		l.Service = &key
	}
	p.command.Listing = l
	return nil
}

func (p *parser) firstGiven(among set) string {
	for i := range properties {
		if among.has(i) && p.given.has(i) {
			return "--" + propertyNames[i]
		}
	}
	return ""
}

// cut keeps what the kernel's field has room for.
func cut(s string, length int) string { return s[:min(len(s), length)] }
