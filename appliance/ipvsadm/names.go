package ipvsadm

import (
	_ "embed"
	"net/netip"
	"strconv"
	"strings"

	"dipper/appliance/ipvs"
)

// Names resolves the names of hosts. Those of ports need nobody: the package
// knows the registered ones. A nil Names knows no host.
type Names interface {
	// Address returns the IPv4 address of a host: ipvsadm takes no other by
	// name.
	Address(host string) (netip.Addr, error)
	// Host returns the name of an address, "" if it has none.
	Host(netip.Addr) string
}

// registeredPorts are names of ports as IANA assigned them, and as Debian's
// /etc/services has them: a line each, "http 80/tcp www".
//
//go:embed ports.txt
var registeredPorts string

// portNames knows the registered ports, once asked.
type portNames struct {
	byName map[portName]uint16
	byPort map[portNumber]string
}

type portName struct {
	name     string
	protocol ipvs.Protocol
}

type portNumber struct {
	port     uint16
	protocol ipvs.Protocol
}

func (p *portNames) read() {
	if p.byName != nil {
		return
	}
	p.byName, p.byPort = map[portName]uint16{}, map[portNumber]string{}
	for line := range strings.Lines(registeredPorts) {
		words := strings.Fields(line)
		number, name, _ := strings.Cut(words[1], "/")
		port, _ := strconv.ParseUint(number, 10, 16) // a test reads every line
		protocol := ipvs.ProtocolByName(name)
		if at := (portNumber{uint16(port), protocol}); p.byPort[at] == "" {
			p.byPort[at] = words[0] // the first one wins, as in getservbyport(3)
		}
		for _, word := range append(words[:1:1], words[2:]...) {
			if at := (portName{word, protocol}); p.byName[at] == 0 {
				p.byName[at] = uint16(port)
			}
		}
	}
}

// port returns the number of a port by name.
func (p *portNames) port(name string, protocol ipvs.Protocol) (uint16, bool) {
	p.read()
	port, ok := p.byName[portName{name, protocol}]
	return port, ok
}

// name returns the name of a port, "" if it has none.
func (p *portNames) name(port uint16, protocol ipvs.Protocol) string {
	p.read()
	return p.byPort[portNumber{port, protocol}]
}
