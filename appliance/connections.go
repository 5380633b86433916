package appliance

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/ipvs"
)

// Connections reads the kernel's connection table, as a stream.
func (b *backend) Connections(ctx context.Context, q api.ConnectionQuery) iter.Seq2[api.Connection, error] {
	return func(yield func(api.Connection, error) bool) {
		table, err := tableEditor{b.reconciler}.kernel()
		if err != nil {
			yield(api.Connection{}, err)
			return
		}
		cfg := b.reconciler.now.Load().config
		filter, err := connectionFilter(cfg, q)
		if err != nil {
			yield(api.Connection{}, err)
			return
		}
		names := connectionNames(cfg)
		left := q.Limit
		for c, err := range table.Connections(ctx, filter) {
			if err != nil {
				yield(api.Connection{}, err)
				return
			}
			name := names.of(c)
			if q.Service != "" && isName(q.Service) && name != q.Service {
				continue
			}
			if !yield(describeConnection(c, name), nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// isName tells a service's name from a VIP with its port.
func isName(service string) bool {
	_, err := netip.ParseAddrPort(service)
	return err != nil
}

// connectionFilter is a query in the kernel's words. Services with a firewall
// mark are found by their names alone: the kernel does not say the mark.
func connectionFilter(cfg *config.Config, q api.ConnectionQuery) (ipvs.ConnectionFilter, error) {
	filter := ipvs.ConnectionFilter{State: strings.ToUpper(q.State)}
	var err error
	if q.Protocol != "" {
		if filter.Protocol = ipvs.ProtocolByName(strings.ToLower(q.Protocol)); filter.Protocol == 0 {
			return filter, &api.Error{Message: fmt.Sprintf("protocol %q: expected tcp, udp, sctp, ah or esp", q.Protocol)}
		}
	}
	if q.Client != "" {
		if filter.Client, err = parsePrefix(q.Client); err != nil {
			return filter, err
		}
	}
	if q.Server != "" {
		address, port, err := parseServer(q.Server)
		if err != nil {
			return filter, err
		}
		filter.Destination = netip.AddrPortFrom(address, port)
	}
	if q.Service == "" {
		return filter, nil
	}
	if vip, err := netip.ParseAddrPort(q.Service); err == nil {
		filter.Virtual = vip
		return filter, nil
	}
	i := serviceIndex(cfg, q.Service)
	if i < 0 {
		_, err := selection{service: q.Service}.find(cfg)
		return filter, err
	}
	if s := cfg.Services[i]; s.FWMark == 0 {
		key := director.KeyOf(s)
		filter.Protocol, filter.Virtual = key.Protocol, netip.AddrPortFrom(key.Address, key.Port)
	}
	return filter, nil
}

// parsePrefix reads an address or a network.
func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, &api.Error{Message: fmt.Sprintf("client %q: expected an address, or a network such as 192.0.2.0/24", text)}
	}
	return p.Masked(), nil
}

// servicesByListen finds the service of a connection.
type servicesByListen struct {
	exact  map[ipvs.Key]string
	ranges []config.Service // with a firewall mark
}

func connectionNames(cfg *config.Config) servicesByListen {
	n := servicesByListen{exact: make(map[ipvs.Key]string, len(cfg.Services))}
	for _, s := range cfg.Services {
		if s.FWMark != 0 {
			n.ranges = append(n.ranges, s)
			continue
		}
		n.exact[director.KeyOf(s)] = s.Name
	}
	return n
}

// of names the service of a connection; "" when none explains it.
func (n servicesByListen) of(c ipvs.Connection) string {
	for _, port := range []uint16{c.Virtual.Port(), 0} {
		if name, ok := n.exact[ipvs.Key{Protocol: c.Protocol, Address: c.Virtual.Addr(), Port: port}]; ok {
			return name
		}
	}
	for _, s := range n.ranges {
		for _, l := range s.Listen {
			if l.Prefix.Contains(c.Virtual.Addr()) && (l.Last == 0 || l.First <= c.Virtual.Port() && c.Virtual.Port() <= l.Last) {
				return s.Name
			}
		}
	}
	return ""
}

func describeConnection(c ipvs.Connection, service string) api.Connection {
	return api.Connection{
		Protocol: c.Protocol.String(),
		Client:   c.Client.String(),
		Virtual:  c.Virtual.String(),
		Server:   c.Destination.String(),
		State:    c.State,
		Expires:  api.Duration(time.Duration(c.Expires) * time.Second),
		Template: c.Client.Port() == 0,
		Service:  service,
	}
}
