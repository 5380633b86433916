package candidate

import (
	"net"
	"net/netip"
	"strings"

	"dipper/appliance/config"
)

// Items of lists go by what tells them apart: a real server by its address and
// port ("192.168.4.100:8080"), others by their first identifying key and the
// others behind it as pairs ("default metric 5", "http port 80").

// hasEndpoint holds for items whose address and port are written as one word.
func hasEndpoint(shape *config.Schema) bool {
	return len(shape.Identity) == 2 && shape.Identity[0] == "address" && shape.Identity[1] == "port"
}

// itemName gives an item's name by its identifying keys.
func itemName(shape *config.Schema, values map[string]string) string {
	first := values[shape.Identity[0]]
	if hasEndpoint(shape) {
		if port := values["port"]; port != "" {
			return net.JoinHostPort(first, port)
		}
		return first
	}
	var name strings.Builder
	name.WriteString(first)
	for _, key := range shape.Identity[1:] {
		if values[key] != "" {
			name.WriteString(" " + key + " " + values[key])
		}
	}
	return name.String()
}

// canonicalIdentity writes identifying values in the one way in which they are
// kept, so that one thing has one name.
func canonicalIdentity(shape *config.Schema, values map[string]string, via string) {
	if hasEndpoint(shape) {
		if host, port, err := net.SplitHostPort(values["address"]); err == nil && values["port"] == "" {
			values["address"], values["port"] = host, port
		}
	}
	if shape.Identity[0] == "to" {
		values["to"] = canonicalDestination(values["to"], via)
	}
	for _, key := range shape.Identity {
		known, _ := shape.Find(key)
		values[key] = canonicalValue(&known, values[key])
	}
}

// canonicalDestination keeps the two default routes apart, which are both
// called default beside a gateway: the IPv4 one keeps that name.
func canonicalDestination(to, via string) string {
	gateway, err := netip.ParseAddr(via)
	switch {
	case err != nil:
		return to
	case to == "default" && gateway.Is6():
		return "::/0"
	case to == "0.0.0.0/0" && gateway.Is4():
		return "default"
	}
	return to
}

// canonicalValue writes addresses as netip does: IPv6 in lower case and short.
func canonicalValue(shape *config.Schema, text string) string {
	switch shape.Type {
	case config.TypeAddress, config.TypePrefix, config.TypeEndpoint:
	default:
		return text
	}
	if address, err := netip.ParseAddr(text); err == nil {
		return address.String()
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.String()
	}
	if both, err := netip.ParseAddrPort(text); err == nil {
		return both.String()
	}
	return text
}

// find gives the item or entry of a name, or nil. An item is also found by
// the name that it has with the defaults of its identifying keys said or left
// out; owner is the section that holds the list.
func find(list, owner *node, name string) *node {
	if child := list.child(name); child != nil || list.shape.Kind != config.KindSections {
		return child
	}
	for _, other := range otherNames(list.shape, owner, name) {
		if child := list.child(other); child != nil {
			return child
		}
	}
	return nil
}

// otherNames gives the names that mean the same item as name does.
func otherNames(shape *config.Schema, owner *node, name string) []string {
	switch shape.Identity[0] {
	case "address":
		if !hasEndpoint(shape) {
			return nil
		}
		port := servicePort(owner)
		if host, given, err := net.SplitHostPort(name); err == nil && given == port {
			return []string{host}
		} else if err != nil && port != "" {
			return []string{net.JoinHostPort(name, port)}
		}
	case "to":
		return otherDestinations(name)
	case "protocol":
		return otherListeners(name)
	}
	return nil
}

// servicePort gives the port that a service's real servers have by default,
// "" when it has none or several.
func servicePort(service *node) string {
	listen := service.child("listen")
	if listen == nil {
		return ""
	}
	ports := make(map[string]bool)
	port := ""
	for _, value := range listen.children {
		_, given, err := net.SplitHostPort(value.name)
		if err != nil || strings.Trim(given, "0123456789") != "" {
			return ""
		}
		port = given
		ports[port] = true
	}
	if len(ports) != 1 {
		return ""
	}
	return port
}

func otherDestinations(name string) []string {
	to, rest, _ := strings.Cut(name, " metric ")
	if rest != "" {
		rest = " metric " + rest
	}
	same := []string{to}
	switch to {
	case "default":
		same = append(same, "0.0.0.0/0") // never ::/0, see canonicalDestination
	case "0.0.0.0/0":
		same = append(same, "default")
	}
	var names []string
	for _, to := range same {
		switch rest {
		case "", " metric 0":
			names = append(names, to, to+" metric 0")
		default:
			names = append(names, to+rest)
		}
	}
	return names
}

func otherListeners(name string) []string {
	port := " port 7"
	if name == "http" || strings.HasPrefix(name, "http ") {
		port = " port 80"
	}
	protocol, rest, _ := strings.Cut(name, " ")
	switch {
	case strings.Contains(name, port+" ") || strings.HasSuffix(name, port):
		return []string{strings.Replace(name, port, "", 1)}
	case strings.HasPrefix(rest, "port "):
		return nil
	case rest == "":
		return []string{protocol + port}
	}
	return []string{protocol + port + " " + rest}
}
