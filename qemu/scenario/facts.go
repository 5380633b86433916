package scenario

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/gopacket/gopacket"
)

// facts reads from the wire what is claimed of the scenario.
func (s Scenario) facts(r Report, packets []Packet) []Fact {
	facts := []Fact{s.balanced(r), s.way(packets)}
	switch s.Forward {
	case NAT:
		facts = append(facts, s.hidden(packets), s.clientSeen(packets))
	case DR:
		facts = append(facts, s.alone(packets), s.onlyMACs(packets))
	case TUN:
		facts = append(facts, s.alone(packets), s.wrapped(packets))
	}
	return facts
}

func (s Scenario) balanced(r Report) Fact {
	want := make(map[string]int)
	var shares []string
	for _, server := range s.Servers {
		want[server.Name] = rounds * server.Weight
		shares = append(shares, fmt.Sprintf("%s %d", server.Name, want[server.Name]))
	}
	f := Fact{Claim: fmt.Sprintf("of %d requests answer %s, as the weights say", r.Requests, strings.Join(shares, ", "))}
	if !maps.Equal(r.Answers, want) {
		f.Denial = fmt.Errorf("answered: %v", r.Answers)
	}
	return f
}

// way compares the hops of the client's packets with those that the way of
// forwarding has.
func (s Scenario) way(packets []Packet) Fact {
	want := s.hops()
	f := Fact{Claim: "packets go " + strings.Join(want, ", ")}
	got := make(map[string]bool)
	for _, p := range packets {
		if p.tcp() != nil && p.concerns(s.Client) {
			got[p.From+" > "+p.To] = true
		}
	}
	slices.Sort(want)
	if hops := slices.Sorted(maps.Keys(got)); !slices.Equal(hops, want) {
		f.Denial = fmt.Errorf("they went %s", strings.Join(hops, ", "))
	}
	return f
}

func (p Packet) concerns(a netip.Addr) bool {
	return slices.ContainsFunc(p.headers(), func(h header) bool { return h.source == a || h.destination == a })
}

// hops of requests, then of replies.
func (s Scenario) hops() []string {
	hops := []string{"client > director"}
	via := "director"
	if s.Router != "" {
		hops = append(hops, "director > "+s.Router)
		via = s.Router
	}
	for _, server := range s.Servers {
		hops = append(hops, via+" > "+server.Name)
	}
	back := "client"
	if s.Forward == NAT {
		back = "director"
	} else if s.Router != "" {
		back = s.Router
	}
	for _, server := range s.Servers {
		hops = append(hops, server.Name+" > "+back)
	}
	if back != "client" {
		hops = append(hops, back+" > client")
	}
	return hops
}

// hidden: behind NAT the client never sees a real server's address.
func (s Scenario) hidden(packets []Packet) Fact {
	f := Fact{Claim: "the client never sees a real server's address"}
	for _, p := range packets {
		for _, server := range s.Servers {
			if p.To == "client" && p.concerns(server.RIP) {
				f.Denial = fmt.Errorf("a packet from %s shows it %s", p.From, server.RIP)
			}
		}
	}
	return f
}

// clientSeen: NAT changes the destination only, so that real servers' logs
// have the client's address.
func (s Scenario) clientSeen(packets []Packet) Fact {
	f := Fact{Claim: fmt.Sprintf("real servers see the client's own address %s, and their own instead of the VIP", s.Client)}
	for _, server := range s.Servers {
		seen := 0
		for _, p := range packets {
			if p.To != server.Name || p.tcp() == nil {
				continue
			}
			seen++
			if h := p.headers()[0]; h.source != s.Client || h.destination != server.RIP {
				f.Denial = fmt.Errorf("%s got a packet from %s to %s", server.Name, h.source, h.destination)
			}
		}
		if seen == 0 {
			f.Denial = fmt.Errorf("%s got no packet", server.Name)
		}
	}
	return f
}

// alone: everybody was asked for the VIP, and the director alone answered.
func (s Scenario) alone(packets []Packet) Fact {
	f := Fact{Claim: fmt.Sprintf("asked for %s, again after caches are flushed, only the director answers", s.VIP)}
	asked, answered := 0, 0
	for _, p := range packets {
		if a, ok := p.asked(); ok && a == s.VIP && p.From == "client" {
			asked++
		}
		if a, ok := p.announced(); ok && a == s.VIP {
			answered++
			if p.From != "director" {
				f.Denial = fmt.Errorf("%s says that the VIP is its own", p.From)
			}
		}
	}
	if f.Denial == nil && (asked < 2 || answered < 2) {
		f.Denial = fmt.Errorf("asked %d times, answered %d times", asked, answered)
	}
	return f
}

// onlyMACs: what the client sent to the VIP reaches a real server as it was.
func (s Scenario) onlyMACs(packets []Packet) Fact {
	f := Fact{Claim: "on the way to a real server nothing but MAC addresses (and the hop count) changes"}
	sent, forwarded := s.requests(packets, "client", "director"), s.requests(packets, "director", "")
	if len(sent) == 0 || len(sent) != len(forwarded) {
		f.Denial = fmt.Errorf("the client sent %d packets, the director %d", len(sent), len(forwarded))
		return f
	}
	for _, p := range forwarded {
		got := p.headers()[0]
		if !slices.ContainsFunc(sent, func(q Packet) bool { return sameOnTheWay(q.headers()[0], got) }) {
			f.Denial = fmt.Errorf("the director sent what the client did not: %v", p)
		}
	}
	return f
}

// wrapped: each packet that the client sent to the VIP reaches a real server
// whole, in another one from DIP to RIP.
func (s Scenario) wrapped(packets []Packet) Fact {
	f := Fact{Claim: fmt.Sprintf("requests travel whole inside %s from %s to a real server", s.wrapping(), s.DIP)}
	sent, forwarded := s.requests(packets, "client", "director"), s.requests(packets, "director", "")
	if len(sent) == 0 || len(sent) != len(forwarded) {
		f.Denial = fmt.Errorf("the client sent %d packets, the director %d", len(sent), len(forwarded))
		return f
	}
	for _, p := range forwarded {
		if err := s.checkWrapping(p, sent); err != nil {
			f.Denial = fmt.Errorf("%w: %v", err, p)
		}
	}
	return f
}

func (s Scenario) wrapping() string {
	if s.Outer == ipLayer(s.VIP) {
		return "a second IP header"
	}
	return s.Outer.String()
}

func (s Scenario) checkWrapping(p Packet, sent []Packet) error {
	h := p.headers()
	if len(h) != 2 {
		return fmt.Errorf("%d IP headers", len(h))
	}
	if h[0].source != s.DIP || !slices.ContainsFunc(s.Servers, func(r Server) bool { return r.RIP == h[0].destination }) {
		return fmt.Errorf("outside from %s to %s", h[0].source, h[0].destination)
	}
	if !s.outerIsRight(p) {
		return fmt.Errorf("not inside %s", s.wrapping())
	}
	if !slices.ContainsFunc(sent, func(q Packet) bool { return sameOnTheWay(q.headers()[0], h[1]) }) {
		return errors.New("the client did not send what is inside")
	}
	return nil
}

// outerIsRight looks at the layer directly around the inner IP header.
func (s Scenario) outerIsRight(p Packet) bool {
	inner := ipLayer(s.VIP)
	all := p.innerLayers()
	types := make([]gopacket.LayerType, len(all))
	last := -1
	for i, layer := range all {
		types[i] = layer.LayerType()
		if types[i] == inner {
			last = i
		}
	}
	return last > 0 && types[last-1] == s.Outer
}

// requests are the TCP packets to the VIP that one machine sent to another, or
// to any if to is "".
func (s Scenario) requests(packets []Packet, from, to string) []Packet {
	var found []Packet
	for _, p := range packets {
		if p.From != from || to != "" && p.To != to || p.tcp() == nil {
			continue
		}
		if h := p.headers(); h[len(h)-1].destination == s.VIP {
			found = append(found, p)
		}
	}
	return found
}
