package ipvsadm

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dipper/appliance/ipvs"
)

// State is what the edits of ipvsadm change.
type State struct {
	Table    ipvs.Table
	Timeouts ipvs.Timeouts // 0: the kernel's own
	Daemons  []ipvs.Daemon
}

// Editor edits a state in memory. It refuses what the kernel would refuse, in
// the kernel's order, and costs as much for one edit of a table of a hundred
// thousand entries as of a table of ten.
type Editor struct {
	// Zeroed are the services whose counters are to be zeroed when the edits
	// are done; nil in it stands for all.
	Zeroed []*ipvs.Key
	// Notes are remarks on edits that did more than was typed.
	Notes []string

	services []editedService
	index    map[ipvs.Key]int
	servers  map[serverKey]int
	timeouts ipvs.Timeouts
	daemons  []ipvs.Daemon
}

// editedService is a service, which may be deleted.
type editedService struct {
	service ipvs.Service // without its real servers
	servers []editedServer
	deleted bool
}

// editedServer is a real server, which may be deleted.
type editedServer struct {
	server  ipvs.RealServer
	deleted bool
}

type serverKey struct {
	service int
	target  ipvs.Target
}

// NewEditor returns an editor of s, which it leaves as it is.
func NewEditor(s State) *Editor {
	e := &Editor{timeouts: s.Timeouts, daemons: slices.Clone(s.Daemons)}
	e.clear()
	for _, service := range s.Table.Services {
		at := e.insert(service)
		for _, r := range service.RealServers {
			e.insertServer(at, r)
		}
	}
	return e
}

// State returns what the edits made of it. Services and real servers are in
// the order in which they were added.
func (e *Editor) State() State {
	s := State{Timeouts: e.timeouts, Daemons: slices.Clone(e.daemons)}
	for _, edited := range e.services {
		if edited.deleted {
			continue
		}
		service := edited.service
		service.RealServers = make([]ipvs.RealServer, 0, len(edited.servers))
		for _, r := range edited.servers {
			if !r.deleted {
				service.RealServers = append(service.RealServers, r.server)
			}
		}
		s.Table.Services = append(s.Table.Services, service)
	}
	return s
}

// Do carries out one of the edits. The error is an *Error, and then nothing is
// changed.
func (e *Editor) Do(c Command) error {
	if err := e.do(&c); err != nil {
		return err
	}
	return nil
}

func (e *Editor) do(c *Command) *Error {
	switch c.Kind {
	case AddService:
		return e.addService(c)
	case EditService:
		return e.editService(c)
	case DeleteService:
		return e.deleteService(c)
	case Clear:
		e.clear()
		return nil
	case AddRealServer:
		return e.addServer(c)
	case EditRealServer:
		return e.editServer(c)
	case DeleteRealServer:
		return e.deleteServer(c)
	case SetTimeouts:
		e.setTimeouts(c.Timeouts)
		return nil
	case StartDaemon:
		return e.startDaemon(c.Daemon)
	case StopDaemon:
		return e.stopDaemon(c.Daemon)
	case Zero:
		return e.zero(c)
	}
	panic(fmt.Sprintf("BUG: ipvsadm: command %d is no edit", c.Kind))
}

func (e *Editor) clear() {
	e.services, e.index, e.servers = nil, map[ipvs.Key]int{}, map[serverKey]int{}
}

func (e *Editor) insert(s ipvs.Service) int {
	s.RealServers = nil
	at := len(e.services)
	e.services = append(e.services, editedService{service: s})
	e.index[s.Key] = at
	return at
}

func (e *Editor) insertServer(service int, r ipvs.RealServer) {
	s := &e.services[service]
	e.servers[serverKey{service, r.Target()}] = len(s.servers)
	s.servers = append(s.servers, editedServer{server: r})
}

func (e *Editor) addService(c *Command) *Error {
	if _, exists := e.index[c.Service.Key]; exists {
		return refused("Service already exists", "%s; -E edits it", c.Service.Key)
	}
	if err := checkModules(c.Service); err != nil {
		return err
	}
	e.insert(c.Service)
	return nil
}

func (e *Editor) editService(c *Command) *Error {
	at, exists := e.index[c.Service.Key]
	if !exists {
		return e.noService("No such service", c.Service.Key)
	}
	if err := checkModules(c.Service); err != nil {
		return err
	}
	if lost := lostOptions(e.services[at].service, c.Service); len(lost) > 0 {
		e.note("%s has lost %s: -E replaces all options", c.Service.Key, strings.Join(lost, ", "))
	}
	e.services[at].service = c.Service
	return nil
}

// checkModules refuses schedulers and persistence engines that the kernel does
// not have.
func checkModules(s ipvs.Service) *Error {
	const message = "Scheduler or persistence engine not found"
	if !knownScheduler(s.Scheduler) {
		return refused(message, "no scheduler %q; there are %s", s.Scheduler, strings.Join(schedulers[:], ", "))
	}
	if !knownEngine(s.Engine) {
		return refused(message, "no persistence engine %q; there is sip", s.Engine)
	}
	return nil
}

// lostOptions are the options of a service that an edit did not repeat.
func lostOptions(before, after ipvs.Service) []string {
	var lost []string
	gone := before.Flags &^ after.Flags
	if gone&ipvs.Persistent != 0 {
		lost = append(lost, "its persistence")
	}
	if gone&ipvs.OnePacket != 0 {
		lost = append(lost, "one-packet scheduling")
	}
	if before.Engine != "" && after.Engine == "" {
		lost = append(lost, "its persistence engine "+before.Engine)
	}
	if before.Scheduler == after.Scheduler && gone&(ipvs.SchedulerFlag1|ipvs.SchedulerFlag2|ipvs.SchedulerFlag3) != 0 {
		lost = append(lost, "scheduler flags")
	}
	return lost
}

func (e *Editor) deleteService(c *Command) *Error {
	at, exists := e.index[c.Service.Key]
	if !exists {
		return e.noService("No such service", c.Service.Key)
	}
	delete(e.index, c.Service.Key)
	for _, r := range e.services[at].servers {
		delete(e.servers, serverKey{at, r.server.Target()})
	}
	e.services[at] = editedService{deleted: true}
	return nil
}

// noService says that a service is missing, and what there is instead.
func (e *Editor) noService(message string, k ipvs.Key) *Error {
	other := k
	for _, protocol := range [...]ipvs.Protocol{ipvs.TCP, ipvs.UDP, ipvs.SCTP} {
		other.Protocol = protocol
		if _, exists := e.index[other]; exists && k.FWMark == 0 {
			return refused(message, "%s; there is %s", k, other)
		}
	}
	if k.FWMark == 0 && k.Port == 0 {
		return refused(message, "%s; it was given without a port", k)
	}
	return refused(message, "%s; -Ln lists those there are", k)
}

func (e *Editor) addServer(c *Command) *Error {
	at, found, err := e.server(c)
	if err != nil {
		return err
	}
	r := c.RealServer
	if err := e.checkServer(c); err != nil {
		return err
	}
	if found >= 0 {
		return refused("Destination already exists", "%s in %s; -e edits it", r.Target(), c.Service.Key)
	}
	if !unicast(r.Address) {
		return refused(invalidOperation, "%s is not a unicast address of one server", r.Address)
	}
	e.insertServer(at, r)
	return nil
}

// server finds the service and the real server of a command; found is -1 if
// there is no such real server.
func (e *Editor) server(c *Command) (service, found int, err *Error) {
	at, exists := e.index[c.Service.Key]
	if !exists {
		return 0, 0, e.noService("Service not defined", c.Service.Key)
	}
	if i, exists := e.servers[serverKey{at, c.RealServer.Target()}]; exists {
		return at, i, nil
	}
	return at, -1, nil
}

// invalidOperation is what ipvsadm says to the kernel's EINVAL.
const invalidOperation = "Invalid operation.  Possibly wrong module version, address not unicast, ..."

// outOfRange is what it says to ERANGE.
const outOfRange = "Numerical result out of range"

// checkServer refuses what the kernel refuses of a real server wherever it is.
func (e *Editor) checkServer(c *Command) *Error {
	r := c.RealServer
	switch {
	case r.Address.Is6() != c.Service.Address.Is6() && len(e.daemons) > 0:
		return refused(invalidOperation, "%s is not of the family of %s, which connection synchronisation does not know: --stop-daemon first", r.Address, c.Service.Key)
	case r.LowerThreshold > r.UpperThreshold:
		return refused(outOfRange, "the lower threshold %d is above the upper threshold %d", r.LowerThreshold, r.UpperThreshold)
	}
	return nil
}

// unicast tells whether the kernel takes an address for one machine's. It
// knows more than that: a broadcast address of one of its networks is none.
func unicast(a netip.Addr) bool {
	if a.Is4() {
		return a.As4()[0] != 0 && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}

func (e *Editor) editServer(c *Command) *Error {
	at, found, err := e.server(c)
	if err != nil {
		return err
	}
	if err := e.checkServer(c); err != nil {
		return err
	}
	if found < 0 {
		return e.noServer(c)
	}
	edited := &e.services[at].servers[found].server
	e.noteFallbacks(*edited, c)
	*edited = c.RealServer
	return nil
}

// noteFallbacks remarks on what an edit set back to its default unasked.
func (e *Editor) noteFallbacks(before ipvs.RealServer, c *Command) {
	after := c.RealServer
	var lost []string
	if before.Tunnel != after.Tunnel && after.Forward == ipvs.TUN && !c.given.has(tunnelType) {
		lost = append(lost, "its tunnel "+tunnelColumn(before)+" (it is ipip now)")
	}
	if before.Weight != after.Weight && !c.given.has(weight) {
		lost = append(lost, fmt.Sprintf("its weight %d (it is %d now)", before.Weight, after.Weight))
	}
	if before.UpperThreshold != 0 && !c.given.has(upperThreshold) || before.LowerThreshold != 0 && !c.given.has(lowerThreshold) {
		lost = append(lost, "a threshold")
	}
	if len(lost) > 0 {
		e.note("%s has lost %s: -e replaces all options", after.Target(), strings.Join(lost, ", "))
	}
}

// noServer says that a real server is missing. Of DR and tunnels, people
// forget that the port is the service's.
func (e *Editor) noServer(c *Command) *Error {
	for _, r := range e.services[e.index[c.Service.Key]].servers {
		if !r.deleted && r.server.Address == c.RealServer.Address {
			return refused("No such destination", "%s in %s; there is %s", c.RealServer.Target(), c.Service.Key, r.server.Target())
		}
	}
	return refused("No such destination", "%s in %s", c.RealServer.Target(), c.Service.Key)
}

func (e *Editor) deleteServer(c *Command) *Error {
	at, found, err := e.server(c)
	if err != nil {
		return err
	}
	if found < 0 {
		return e.noServer(c)
	}
	delete(e.servers, serverKey{at, c.RealServer.Target()})
	e.services[at].servers[found].deleted = true
	return nil
}

func (e *Editor) setTimeouts(t ipvs.Timeouts) {
	for _, one := range [...]struct {
		to   *uint32
		from uint32
	}{{&e.timeouts.TCP, t.TCP}, {&e.timeouts.TCPFin, t.TCPFin}, {&e.timeouts.UDP, t.UDP}} {
		if one.from != 0 {
			*one.to = one.from
		}
	}
}

func (e *Editor) startDaemon(d ipvs.Daemon) *Error {
	if service, server := e.mixed(); server.IsValid() {
		return refused(invalidOperation, "connection synchronisation does not know real servers of another family than their service's, such as %s in %s", server, service)
	}
	for _, running := range e.daemons {
		if running.State == d.State {
			return refused("Daemon has already run", "a %s daemon runs on %s; --stop-daemon %s first", d.State, running.Interface, d.State)
		}
	}
	e.daemons = append(e.daemons, d)
	return nil
}

// mixed returns a real server that is not of its service's family.
func (e *Editor) mixed() (ipvs.Key, netip.Addr) {
	for _, s := range e.services {
		for _, r := range s.servers {
			if !r.deleted && r.server.Address.Is6() != s.service.Address.Is6() {
				return s.service.Key, r.server.Address
			}
		}
	}
	return ipvs.Key{}, netip.Addr{}
}

func (e *Editor) stopDaemon(d ipvs.Daemon) *Error {
	at := slices.IndexFunc(e.daemons, func(running ipvs.Daemon) bool { return running.State == d.State })
	if at < 0 {
		return refused("No daemon is running", "none that is %s", d.State)
	}
	e.daemons = slices.Delete(e.daemons, at, at+1)
	return nil
}

func (e *Editor) zero(c *Command) *Error {
	if !c.ServiceGiven {
		e.Zeroed = append(e.Zeroed, nil)
		return nil
	}
	if _, exists := e.index[c.Service.Key]; !exists {
		return e.noService("No such service", c.Service.Key)
	}
	key := c.Service.Key
	e.Zeroed = append(e.Zeroed, &key)
	return nil
}

func (e *Editor) note(format string, arguments ...any) {
	e.Notes = append(e.Notes, fmt.Sprintf(format, arguments...))
}
