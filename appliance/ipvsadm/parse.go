package ipvsadm

import (
	"fmt"
	"math"
	"net/netip"
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
