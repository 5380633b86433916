package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// listener is what two responders cannot share.
type listener struct {
	transport string
	port      int
}

// resolveServe checks the built-in responder's listeners.
func (r *resolver) resolveServe(raw field[[]field[fileResponder]], vips []VirtualAddress) []Responder {
	if raw.given && r.role == RoleDirector {
		r.report(raw.at, fault{problem: "a director serves nothing itself", hint: "the built-in responder runs on real servers: write serve in theirs"})
		return nil
	}
	taken := make(map[listener][]field[fileResponder])
	for _, vip := range vips {
		if vip.Tunnel.Type == GUE {
			taken[listener{"udp", int(vip.Tunnel.Port)}] = nil
		}
	}
	var responders []Responder
	for _, item := range raw.value {
		responder, ok := r.resolveResponder(item)
		if !ok {
			continue
		}
		r.checkListenerAddress(item.value.address, vips)
		r.checkListener(item, responder, taken)
		responders = append(responders, responder)
	}
	return responders
}

func (r *resolver) resolveResponder(item field[fileResponder]) (Responder, bool) {
	raw := item.value
	if !item.valid || !demand(r.decoder, item, "protocol", raw.protocol, "http, tcp-echo or udp-echo") {
		return Responder{}, false
	}
	responder := Responder{Protocol: raw.protocol.value, Address: raw.address.value,
		Body: raw.body.value, File: raw.file.value, Size: int64(raw.size.value)}
	if raw.protocol.value == ServeHTTP {
		responder.Port, responder.Status = uint16(or(raw.port, 80)), or(raw.status, 200)
		r.checkHTTP(raw)
	} else {
		responder.Port = uint16(or(raw.port, 7))
		r.checkNoHTTP(raw)
	}
	return responder, !raw.port.given || raw.port.valid
}

func (r *resolver) checkHTTP(raw fileResponder) {
	contents := given(raw.contents())
	if len(contents) > 1 {
		r.report(contents[1].at, fault{problem: fmt.Sprintf("%s and %s are both given", contents[0].name, contents[1].name),
			hint: "a responder answers with one of them"})
	}
	if bodyless := raw.status.value == 204 || raw.status.value == 304; bodyless && len(contents) > 0 {
		r.report(raw.status.at, fault{problem: fmt.Sprintf("status %d has no body", raw.status.value),
			hint: fmt.Sprintf("remove %s, or choose another status", contents[0].name)})
	}
}

func (r *resolver) checkNoHTTP(raw fileResponder) {
	for _, f := range given(append(raw.contents(), presence{"status", raw.status.given, raw.status.at})) {
		r.report(f.at, fault{problem: fmt.Sprintf("%s has no %s", raw.protocol.value, f.name),
			hint: "an echo sends back what it gets; only http has it"})
	}
}

// presence is a key that may be there.
type presence struct {
	name  string
	given bool
	at    place
}

// contents are the keys that say what an HTTP responder answers with.
func (r fileResponder) contents() []presence {
	return []presence{
		{"body", r.body.given, r.body.at},
		{"file", r.file.given, r.file.at},
		{"size", r.size.given, r.size.at},
	}
}

func given(keys []presence) []presence {
	return slices.DeleteFunc(keys, func(p presence) bool { return !p.given })
}

// checkListenerAddress reports responders on an address that the machine does
// not have.
func (r *resolver) checkListenerAddress(address field[netip.Addr], vips []VirtualAddress) {
	if !address.valid || r.net.unknown(address.value) {
		return
	}
	_, own := r.net.owner(address.value)
	if !own && !slices.ContainsFunc(vips, func(v VirtualAddress) bool { return v.Address == address.value }) {
		r.report(address.at, fault{problem: fmt.Sprintf("%s is no address of this machine", address.value),
			expected: "an interface's or a virtual address", hint: "leave it out to serve on all"})
	}
}

// checkListener reports two listeners that the kernel would refuse to bind.
func (r *resolver) checkListener(item field[fileResponder], responder Responder, taken map[listener][]field[fileResponder]) {
	transport, _, _ := strings.Cut(string(responder.Protocol), "-")
	if responder.Protocol == ServeHTTP {
		transport = "tcp"
	}
	key := listener{transport, int(responder.Port)}
	others, used := taken[key]
	if used && others == nil {
		r.report(item.at, fault{problem: fmt.Sprintf("UDP port %d is the tunnel's, of virtual-addresses", key.port), expected: "another port"})
	}
	for _, other := range others {
		address := other.value.address.value
		if !address.IsValid() || !responder.Address.IsValid() || address == responder.Address {
			r.report(item.at, fault{problem: fmt.Sprintf("%s port %d is served already, on line %d", strings.ToUpper(transport), key.port, other.at.line),
				expected: "another port or another address"})
			break
		}
	}
	taken[key] = append(others, item)
}
