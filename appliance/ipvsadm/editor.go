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
// the kernel's order. An edit costs the same in a table of a hundred thousand
// real servers as in one of ten: the editor holds what was edited, and looks up
// the rest in the state that it was made of.
type Editor struct {
	// Zeroed are the services whose counters are to be zeroed when the edits
	// are done; nil in it stands for all.
	Zeroed []*ipvs.Key
	// Notes are remarks on edits that did more than was typed.
	Notes []string

	before   ipvs.Table // services in canonical order; never changed
	base     ipvs.Table // the same, until they are cleared
	cleared  bool
	edited   []*editedService            // looked into, edited, deleted or added, in this order
	present  map[ipvs.Key]*editedService // those of them that count for their key
	timeouts ipvs.Timeouts
	daemons  []ipvs.Daemon
}

// NewEditor returns an editor of s, which it leaves as it is.
func NewEditor(s State) *Editor {
	table := s.Table.ByKey()
	return &Editor{
		before:   table,
		base:     table,
		present:  make(map[ipvs.Key]*editedService),
		timeouts: s.Timeouts,
		daemons:  slices.Clone(s.Daemons),
	}
}

// State returns what the edits made of it, sharing with the state of before
// the real servers of services that were not edited. Services that were added
// are behind the others, and real servers behind those of their service, in the
// order in which they were added.
func (e *Editor) State() State {
	s := State{Table: e.base, Timeouts: e.timeouts, Daemons: slices.Clone(e.daemons)}
	if len(e.edited) == 0 {
		return s
	}
	services := slices.Grow(slices.Clone(e.base.Services), len(e.edited))
	deleted := false
	for _, edited := range e.edited {
		switch {
		case edited.deleted && edited.place >= 0:
			services[edited.place] = ipvs.Service{} // no service is without an address
			deleted = true
		case edited.deleted:
		case edited.place >= 0:
			services[edited.place] = edited.result()
		default:
			services = append(services, edited.result())
		}
	}
	if deleted {
		services = slices.DeleteFunc(services, func(s ipvs.Service) bool { return !s.Address.IsValid() })
	}
	s.Table.Services = services
	return s
}

// Ops returns what leads from the state before the edits to the one after: what
// ipvs.Plan says of the two tables, of which it looks at nothing but the
// services that were edited.
func (e *Editor) Ops() []ipvs.Op {
	if e.cleared {
		return ipvs.Plan(e.before, e.State().Table)
	}
	var before, after ipvs.Table
	for _, edited := range e.edited {
		if edited.place >= 0 {
			before.Services = append(before.Services, e.base.Services[edited.place])
		}
		if !edited.deleted {
			after.Services = append(after.Services, edited.result())
		}
	}
	return ipvs.Plan(before, after)
}

// find returns a service to look into or to edit; nil if there is none.
func (e *Editor) find(k ipvs.Key) *editedService {
	if s, known := e.present[k]; known {
		if s.deleted {
			return nil
		}
		return s
	}
	place, found := e.base.Find(k)
	if !found {
		return nil
	}
	s := &editedService{service: e.base.Services[place], place: place}
	e.hold(s)
	return s
}

func (e *Editor) hold(s *editedService) {
	e.edited = append(e.edited, s)
	e.present[s.service.Key] = s
}

// added is the place of a service that the state did not have.
const added = -1

// editedService is a service. The places of its real servers stay as they are
// when one is deleted.
type editedService struct {
	service ipvs.Service // real servers without an address are deleted ones
	place   int          // in the state that is edited, or added
	deleted bool
	own     bool                // its real servers are shared with nobody
	places  map[ipvs.Target]int // of its real servers, if they are many, once one was looked for
}

// fewServers are looked through one by one.
const fewServers = 16

// find returns the place of a real server, -1 if there is none.
func (s *editedService) find(t ipvs.Target) int {
	if len(s.service.RealServers) <= fewServers {
		return slices.IndexFunc(s.service.RealServers, func(r ipvs.RealServer) bool { return r.Target() == t })
	}
	if s.places == nil {
		s.places = make(map[ipvs.Target]int, len(s.service.RealServers))
		for i, r := range s.service.RealServers {
			s.places[r.Target()] = i
		}
	}
	if at, exists := s.places[t]; exists {
		return at
	}
	return -1
}

func (s *editedService) add(r ipvs.RealServer) {
	s.edit()
	if s.places != nil {
		s.places[r.Target()] = len(s.service.RealServers)
	}
	s.service.RealServers = append(s.service.RealServers, r)
}

func (s *editedService) replace(at int, r ipvs.RealServer) {
	s.edit()
	s.service.RealServers[at] = r
}

func (s *editedService) remove(at int) {
	s.edit()
	delete(s.places, s.service.RealServers[at].Target())
	s.service.RealServers[at] = ipvs.RealServer{}
}

// edit makes the real servers this editor's own.
func (s *editedService) edit() {
	if !s.own {
		s.service.RealServers = slices.Clone(s.service.RealServers)
		s.own = true
	}
}

// result is the service without what was deleted.
func (s *editedService) result() ipvs.Service {
	service := s.service
	if s.own {
		service.RealServers = slices.DeleteFunc(slices.Clone(service.RealServers), func(r ipvs.RealServer) bool { return !r.Address.IsValid() })
	}
	return service
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
	e.base, e.edited, e.cleared = ipvs.Table{}, nil, true
	clear(e.present)
}

func (e *Editor) addService(c *Command) *Error {
	if e.find(c.Service.Key) != nil {
		return refused("Service already exists", "%s; -E edits it", c.Service.Key)
	}
	if err := checkModules(c.Service); err != nil {
		return err
	}
	e.noteUnread(c.Service)
	e.hold(&editedService{service: c.Service, place: added})
	return nil
}

func (e *Editor) editService(c *Command) *Error {
	edited := e.find(c.Service.Key)
	if edited == nil {
		return e.noService("No such service", c.Service.Key)
	}
	if err := checkModules(c.Service); err != nil {
		return err
	}
	if lost := lostOptions(edited.service, c.Service); len(lost) > 0 {
		e.note("%s has lost %s: -E replaces all options", c.Service.Key, strings.Join(lost, ", "))
	}
	e.noteUnread(c.Service)
	servers := edited.service.RealServers
	edited.service = c.Service
	edited.service.RealServers = servers
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

// noteUnread remarks on a service that the kernel takes and of which it drops
// every connection: the persistence engine reads UDP, and what it cannot read is
// dropped (ip_vs_core.c, ip_vs_sched_persist).
func (e *Editor) noteUnread(s ipvs.Service) {
	if s.Engine != "" && s.Flags&ipvs.Persistent != 0 && s.FWMark == 0 && s.Protocol != ipvs.UDP {
		e.note("%s lets nothing through: the persistence engine %s reads UDP only, and the kernel drops the rest", s.Key, s.Engine)
	}
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
	edited := e.find(c.Service.Key)
	if edited == nil {
		return e.noService("No such service", c.Service.Key)
	}
	edited.deleted = true
	return nil
}

// noService says that a service is missing, and what there is instead.
func (e *Editor) noService(message string, k ipvs.Key) *Error {
	other := k
	for _, protocol := range [...]ipvs.Protocol{ipvs.TCP, ipvs.UDP, ipvs.SCTP} {
		other.Protocol = protocol
		if k.FWMark == 0 && e.find(other) != nil {
			return refused(message, "%s; there is %s", k, other)
		}
	}
	if k.FWMark == 0 && k.Port == 0 {
		return refused(message, "%s; it was given without a port", k)
	}
	return refused(message, "%s; -Ln lists those there are", k)
}

func (e *Editor) addServer(c *Command) *Error {
	service, found, err := e.server(c)
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
		return refused(InvalidOperation, "%s is not a unicast address of one server", r.Address)
	}
	service.add(r)
	return nil
}

// server finds the service and the place of the real server of a command,
// which is -1 if there is no such real server.
func (e *Editor) server(c *Command) (*editedService, int, *Error) {
	service := e.find(c.Service.Key)
	if service == nil {
		return nil, 0, e.noService("Service not defined", c.Service.Key)
	}
	return service, service.find(c.RealServer.Target()), nil
}

// InvalidOperation is what ipvsadm says to the kernel's EINVAL.
const InvalidOperation = "Invalid operation.  Possibly wrong module version, address not unicast, ..."

// outOfRange is what it says to ERANGE.
const outOfRange = "Numerical result out of range"

// checkServer refuses what the kernel refuses of a real server wherever it is.
func (e *Editor) checkServer(c *Command) *Error {
	r := c.RealServer
	switch {
	case r.Address.Is6() != c.Service.Address.Is6() && len(e.daemons) > 0:
		return refused(InvalidOperation, "%s is not of the family of %s, which connection synchronisation does not know: --stop-daemon first", r.Address, c.Service.Key)
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
	service, found, err := e.server(c)
	if err != nil {
		return err
	}
	if err := e.checkServer(c); err != nil {
		return err
	}
	if found < 0 {
		return noServer(service, c)
	}
	e.noteFallbacks(service.service.RealServers[found], c)
	service.replace(found, c.RealServer)
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
func noServer(service *editedService, c *Command) *Error {
	for _, r := range service.service.RealServers {
		if r.Address == c.RealServer.Address {
			return refused("No such destination", "%s in %s; there is %s", c.RealServer.Target(), c.Service.Key, r.Target())
		}
	}
	return refused("No such destination", "%s in %s", c.RealServer.Target(), c.Service.Key)
}

func (e *Editor) deleteServer(c *Command) *Error {
	service, found, err := e.server(c)
	if err != nil {
		return err
	}
	if found < 0 {
		return noServer(service, c)
	}
	service.remove(found)
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
		return refused(InvalidOperation, "connection synchronisation does not know real servers of another family than their service's, such as %s in %s", server, service)
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
	for _, s := range e.State().Table.Services {
		for _, r := range s.RealServers {
			if r.Address.Is6() != s.Address.Is6() {
				return s.Key, r.Address
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
	if e.find(c.Service.Key) == nil {
		return e.noService("No such service", c.Service.Key)
	}
	key := c.Service.Key
	e.Zeroed = append(e.Zeroed, &key)
	return nil
}

func (e *Editor) note(format string, arguments ...any) {
	e.Notes = append(e.Notes, fmt.Sprintf(format, arguments...))
}
