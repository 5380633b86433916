package director

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dipper/appliance/config"
	"dipper/appliance/ipvs"
)

// Adopt returns the configuration closest to cfg of which Desired makes
// exactly this table. Services of the table that cfg has keep their names and
// everything that the table does not hold; new ones get readable names, and
// assign and verify as Parse will demand them. What no configuration can say
// is an error, and cfg is never changed.
//
// Its work grows with the size of the two, not with their product. What the
// table leaves as it is, it shares with cfg.
func Adopt(cfg *config.Config, table ipvs.Table) (*config.Config, error) {
	a := adoption{names: make(map[string]bool, len(cfg.Services))}
	known := make(map[ipvs.Key]config.Service, len(cfg.Services))
	for _, s := range cfg.Services {
		known[KeyOf(s)] = s
		a.names[s.Name] = true
	}
	adopted := *cfg
	adopted.Services = slices.Grow([]config.Service(nil), len(table.Services))
	settled := make(map[string]bool) // services that are not as they were
	added := len(table.Services) != len(cfg.Services)
	var errs []error
	for _, want := range table.ByKey().Services { // names are given in this order
		s, exists := known[want.Key]
		added = added || !exists
		if !exists {
			s = a.name(want)
		}
		if !exists || !says(s, want) {
			var err error
			if s, err = settle(s, want, exists); err != nil {
				errs = append(errs, notAdopted(want.Key, err))
				continue
			}
			settled[s.Name] = true
		}
		adopted.Services = append(adopted.Services, s)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	slices.SortFunc(adopted.Services, func(a, b config.Service) int { return cmp.Compare(a.Name, b.Name) })
	// A service that came or went may be in the way of any other.
	place(&adopted, func(s config.Service) bool { return added || settled[s.Name] })
	return readable(&adopted, func(s config.Service) bool { return settled[s.Name] })
}

func notAdopted(k ipvs.Key, err error) error { return fmt.Errorf("director: adopt %s: %w", k, err) }

// says tells that the configuration of a service says what the table holds,
// with its real servers in the same order.
func says(s config.Service, want ipvs.Service) bool {
	if len(s.RealServers) != len(want.RealServers) {
		return false
	}
	for i, r := range s.RealServers {
		if realServer(r) != want.RealServers[i] {
			return false
		}
	}
	is := service(s)
	return sameOptions(&is, &want)
}

// sameOptions tells that two services differ in their real servers at most.
func sameOptions(a, b *ipvs.Service) bool {
	return a.Scheduler == b.Scheduler && a.Flags == b.Flags && a.Engine == b.Engine &&
		a.Timeout == b.Timeout && a.Netmask == b.Netmask
}

// adoption keeps the names that are taken.
type adoption struct {
	names map[string]bool
}

// name makes the service that has want's key: "tcp-192.168.4.15-80", "fwmark-7".
func (a *adoption) name(want ipvs.Service) config.Service {
	s := config.Service{Family: config.IPv4, Assign: true}
	if want.Address.Is6() {
		s.Family = config.IPv6
	}
	var words []string
	if want.FWMark != 0 {
		s.FWMark = want.FWMark
		words = []string{"fwmark", fmt.Sprint(want.FWMark)}
		if s.Family == config.IPv6 {
			words = append(words, string(s.Family))
		}
	} else {
		s.Protocols = []config.Protocol{config.Protocol(want.Protocol.String())}
		s.Listen = []config.Listen{config.ListenOn(want.Address, want.Port)}
		words = []string{want.Protocol.String(), strings.ReplaceAll(want.Address.String(), ":", "-")}
		if want.Port != 0 {
			words = append(words, fmt.Sprint(want.Port))
		}
	}
	s.Forward = usualForward(want.RealServers)
	s.Name = a.free(strings.Join(words, "-"))
	return s
}

// free gives the name, or with a number behind it the first one that is free.
func (a *adoption) free(name string) string {
	unique := name
	for n := 2; a.names[unique]; n++ {
		unique = fmt.Sprintf("%s-%d", name, n)
	}
	a.names[unique] = true
	return unique
}

// usualForward is the forwarding method of most real servers: the fewer have
// to say their own. Of as many, ipvsadm's default comes first.
func usualForward(servers []ipvs.RealServer) config.Forward {
	counts := make(map[config.Forward]int)
	for _, r := range servers {
		counts[configForward(r.Forward)]++
	}
	usual := config.DR
	for _, f := range []config.Forward{config.NAT, config.TUN} {
		if counts[f] > counts[usual] {
			usual = f
		}
	}
	return usual
}

// settle gives s everything that the table holds of it.
func settle(s config.Service, want ipvs.Service, exists bool) (config.Service, error) {
	if !slices.Contains(config.Schedulers(), want.Scheduler) {
		return s, fmt.Errorf("scheduler %q: no configuration can have it", want.Scheduler)
	}
	if want.Protocol != 0 && !slices.Contains(config.Protocols(), config.Protocol(want.Protocol.String())) {
		return s, fmt.Errorf("protocol %d: no configuration can have it", want.Protocol)
	}
	s.Scheduler = want.Scheduler
	s.SchedulerFlags = flagNames(want.Scheduler, want.Flags)
	s.OnePacket = want.Flags&ipvs.OnePacket != 0
	persistence, err := persistenceOf(want)
	if err != nil {
		return s, err
	}
	s.Persistence = persistence
	s.RealServers, err = settleRealServers(s, want.RealServers)
	if !exists {
		s.OnDown = config.UsualOnDown(s)
	}
	if s.Forward == config.TUN && s.Tunnel.Type == "" {
		s.Tunnel.Type = config.IPIP
	}
	return s, err
}

// flagNames gives the scheduler's flags by their names.
func flagNames(scheduler string, flags ipvs.Flags) []string {
	names := config.FlagNames(scheduler)
	var set []string
	for i, bit := range [3]ipvs.Flags{ipvs.SchedulerFlag1, ipvs.SchedulerFlag2, ipvs.SchedulerFlag3} {
		if flags&bit != 0 {
			set = append(set, names[i])
		}
	}
	return set
}

func persistenceOf(want ipvs.Service) (*config.Persistence, error) {
	if want.Flags&ipvs.Persistent == 0 {
		if want.Engine != "" {
			return nil, fmt.Errorf("persistence engine %q without persistence: no configuration can have it", want.Engine)
		}
		return nil, nil
	}
	p := &config.Persistence{Timeout: time.Duration(want.Timeout) * time.Second, Engine: want.Engine, PrefixLength: int(want.Netmask)}
	if want.Address.Is4() {
		p.PrefixLength = bits.OnesCount32(want.Netmask)
		if granularity(config.IPv4, p.PrefixLength) != want.Netmask {
			return nil, fmt.Errorf("persistence mask 0x%08x has gaps: no configuration can have it", want.Netmask)
		}
	}
	switch {
	case p.PrefixLength < 1 || p.PrefixLength > want.Address.BitLen():
		return nil, fmt.Errorf("persistence of %d bits of a client's address: expected 1 to %d", p.PrefixLength, want.Address.BitLen())
	case p.Timeout < time.Second || p.Timeout > config.MaxPersistence:
		return nil, fmt.Errorf("persistence timeout %v: expected 1s to %v", p.Timeout, config.MaxPersistence)
	case p.Engine != "" && p.Engine != "sip":
		return nil, fmt.Errorf("persistence engine %q: no configuration can have it", p.Engine)
	}
	return p, nil
}

// settleRealServers gives the real servers that want says: those that are
// there already in their places, new ones behind them.
func settleRealServers(s config.Service, want []ipvs.RealServer) ([]config.RealServer, error) {
	wanted := make(map[ipvs.Target]ipvs.RealServer, len(want))
	for _, r := range want {
		wanted[r.Target()] = r
	}
	servers := make([]config.RealServer, 0, len(want))
	var errs []error
	settled := func(server config.RealServer, r ipvs.RealServer) {
		delete(wanted, r.Target())
		server, err := settleRealServer(server, r)
		servers, errs = append(servers, server), append(errs, err)
	}
	for _, server := range s.RealServers {
		if r, kept := wanted[ipvs.Target{Address: server.Address, Port: server.Port}]; kept {
			settled(server, r)
		}
	}
	var added []ipvs.RealServer
	for _, r := range want {
		if _, missing := wanted[r.Target()]; missing {
			added = append(added, r)
		}
	}
	ipvs.SortRealServers(added) // in whatever order they were typed
	for _, r := range added {
		settled(config.RealServer{Verify: true}, r)
	}
	if len(servers) == 0 {
		return nil, errors.Join(errs...)
	}
	return servers, errors.Join(errs...)
}

func settleRealServer(server config.RealServer, r ipvs.RealServer) (config.RealServer, error) {
	if r.Weight > math.MaxInt32 || r.UpperThreshold > math.MaxInt32 || r.LowerThreshold > r.UpperThreshold {
		return server, fmt.Errorf("real server %s: weight %d, thresholds %d and %d: out of range", r.Target(), r.Weight, r.UpperThreshold, r.LowerThreshold)
	}
	server.Address, server.Port = r.Address, r.Port
	server.Weight = int(r.Weight)
	server.UpperThreshold, server.LowerThreshold = int(r.UpperThreshold), int(r.LowerThreshold)
	server.Forward, server.Tunnel = configForward(r.Forward), config.Tunnel{}
	if server.Forward == config.TUN {
		t := r.Tunnel
		server.Tunnel = config.Tunnel{Type: configEncapsulation(t.Type), Port: t.Port, Checksum: t.Checksum, RemoteChecksum: t.RemoteChecksum}
	}
	return server, nil
}

func configForward(f ipvs.Forward) config.Forward {
	switch f {
	case ipvs.NAT:
		return config.NAT
	case ipvs.TUN:
		return config.TUN
	}
	return config.DR // Local too: the kernel found out by itself that it is
}

func configEncapsulation(t ipvs.TunnelType) config.Encapsulation {
	switch t {
	case ipvs.GUE:
		return config.GUE
	case ipvs.GRE:
		return config.GRE
	}
	return config.IPIP
}

// place takes back assign and verify where Parse would refuse them: the table
// may hold what the configuration's networks do not explain. It looks at some
// of the services.
func place(cfg *config.Config, looksAt func(config.Service) bool) {
	around := config.NewSurroundings(cfg.Network, cfg.Services)
	for i := range cfg.Services {
		s := &cfg.Services[i]
		if !looksAt(*s) {
			continue
		}
		s.Assign = s.Assign && !slices.ContainsFunc(s.Listen, func(l config.Listen) bool {
			return l.Prefix.IsSingleIP() && !around.CanAssign(l.Prefix.Addr())
		})
		s.RealServers = placed(s.RealServers, func(r config.RealServer) bool { return around.CanVerify(r, s.Family) })
	}
}

// placed are real servers, a copy of them if any may not be verified any more.
func placed(servers []config.RealServer, can func(config.RealServer) bool) []config.RealServer {
	refused := func(r config.RealServer) bool { return r.Verify && !can(r) }
	first := slices.IndexFunc(servers, refused)
	if first < 0 {
		return servers
	}
	servers = slices.Clone(servers)
	for i := first; i < len(servers); i++ {
		servers[i].Verify = servers[i].Verify && !refused(servers[i])
	}
	return servers
}

// Places names what edits of the table are about in the words of a
// configuration.
type Places struct {
	names map[ipvs.Key]string
}

// PlacesIn returns the places of a configuration's services.
func PlacesIn(cfg *config.Config) Places {
	p := Places{make(map[ipvs.Key]string, len(cfg.Services))}
	for _, s := range cfg.Services {
		p.names[KeyOf(s)] = s.Name
	}
	return p
}

// Service names a service: `service "web"`, or by its key when the
// configuration has none such.
func (p Places) Service(key ipvs.Key) string {
	if name, known := p.names[key]; known {
		return fmt.Sprintf("service %q", name)
	}
	return "service " + key.String()
}

// Of names what an operation is about: `service "web": real server 192.168.4.100`.
func (p Places) Of(op ipvs.Op) string {
	where := p.Service(op.Service.Key)
	switch op.Kind {
	case ipvs.AddRealServer, ipvs.EditRealServer, ipvs.DeleteRealServer:
		return where + ": real server " + shortTarget(op.RealServer.Target(), op.Service.Port)
	}
	return where
}

// shortTarget leaves out the port that is the service's.
func shortTarget(t ipvs.Target, port uint16) string {
	if t.Port == port {
		return t.Address.String()
	}
	return netip.AddrPortFrom(t.Address, t.Port).String()
}
