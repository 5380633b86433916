package director

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dipper/appliance/config"
)

// readable returns a configuration that was adopted, if Parse will read it: it
// is asked about the services that came or were edited and are out of the
// ordinary. To ask about all of a large table takes many times what the edit does.
func readable(adopted *config.Config, edited func(config.Service) bool) (*config.Config, error) {
	claims := claimsOf(adopted)
	odd := make(map[string]bool)
	for _, s := range adopted.Services {
		if edited(s) && !claims.ordinary(s) {
			odd[s.Name] = true
			if len(odd) == readAtOnce {
				if err := read(excerpt(adopted, odd)); err != nil {
					return nil, err
				}
				clear(odd)
			}
		}
	}
	if len(odd) > 0 {
		if err := read(excerpt(adopted, odd)); err != nil {
			return nil, err
		}
	}
	return adopted, nil
}

// readAtOnce is of how many services the text is made at once.
const readAtOnce = 500

// excerpt is a configuration with some of its services, and what others by a
// mark claim: a service must not listen where they do.
func excerpt(cfg *config.Config, names map[string]bool) *config.Config {
	part := *cfg
	part.Services = nil
	for _, s := range cfg.Services {
		if !names[s.Name] {
			if s.FWMark == 0 || len(s.Listen) == 0 {
				continue
			}
			s.RealServers = nil
		}
		part.Services = append(part.Services, s)
	}
	return &part
}

// CheckSync returns why Parse would not read what a configuration says of the
// synchronisation daemons and timeouts, which Adopt does not look at.
func CheckSync(cfg *config.Config) error {
	part := *cfg
	part.Services = nil
	for _, s := range cfg.Services { // of which the daemons forbid those of two families
		s.RealServers = slices.DeleteFunc(slices.Clone(s.RealServers), func(r config.RealServer) bool {
			return r.Address.Is4() == (s.Family == config.IPv4)
		})
		if len(s.RealServers) > 0 {
			part.Services = append(part.Services, s)
		}
	}
	return read(&part)
}

// read returns why Parse would not read a configuration as it is. The places of its
// mistakes are in a text that nobody sees.
func read(cfg *config.Config) error {
	const name = "adopted"
	again, err := config.Parse(name, config.Render(cfg))
	if err == nil {
		if changes := config.Diff(cfg, again); len(changes) > 0 { // a default, where the kernel has nothing
			return fmt.Errorf("would be read back with: %s", changes[0])
		}
		return nil
	}
	faults, ok := errors.AsType[config.Errors](err)
	if !ok {
		return err
	}
	reasons := make([]error, len(faults))
	for i, fault := range faults {
		reasons[i] = errors.New(strings.TrimPrefix(fault.Error(), fmt.Sprintf("%s:%d:%d: ", name, fault.Line, fault.Column)))
	}
	return errors.Join(reasons...)
}

// claims is what of a configuration is in the way of a new service.
type claims struct {
	marked   []netip.Prefix // where services by a mark listen
	gateways []netip.Addr
}

func claimsOf(cfg *config.Config) claims {
	var c claims
	for _, s := range cfg.Services {
		if s.FWMark == 0 {
			continue
		}
		for _, listen := range s.Listen {
			c.marked = append(c.marked, listen.Prefix)
		}
	}
	for _, route := range cfg.Network.Routes {
		c.gateways = append(c.gateways, route.Via)
	}
	return c
}

// ordinary tells of a service as Adopt makes them that Parse has nothing
// against it. TestAdoptReadable holds the two to each other.
func (c claims) ordinary(s config.Service) bool {
	plain := s.FWMark == 0
	if plain && !c.ordinaryVIP(s) {
		return false
	}
	if s.OnePacket && plain && s.Protocols[0] != config.UDP {
		return false
	}
	for _, r := range s.RealServers {
		translates := r.Forward == config.NAT || !plain
		if !ordinary(r.Address) || r.Address.Is4() != (s.Family == config.IPv4) || !translates && r.Port != s.Listen[0].First || !ordinaryTunnel(r.Tunnel) {
			return false
		}
	}
	return true
}

// ordinaryVIP is ordinary for the address that a service without a mark has.
func (c claims) ordinaryVIP(s config.Service) bool {
	listen := s.Listen[0]
	vip := listen.Prefix.Addr()
	located := listen.First != 0 || s.Persistence != nil
	switch s.Protocols[0] {
	case config.TCP, config.UDP, config.SCTP:
	default:
		return false
	}
	return located && ordinary(vip) && !slices.Contains(c.gateways, vip) &&
		!slices.ContainsFunc(c.marked, func(p netip.Prefix) bool { return p.Contains(vip) })
}

// ordinary tells that an address can be one machine's, anywhere.
func ordinary(a netip.Addr) bool {
	if a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240) {
		return false
	}
	return a.IsGlobalUnicast() && !a.Is4In6() && a.Zone() == ""
}

func ordinaryTunnel(t config.Tunnel) bool {
	switch t.Type {
	case config.GUE:
		return t.Port != 0
	case config.GRE:
		return t.Port == 0 && !t.RemoteChecksum
	}
	return t == config.Tunnel{Type: t.Type}
}
