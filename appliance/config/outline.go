package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// outline is a configuration as the tree that its user sees, of which YAML
// and the changes between two configurations are views. It says every value,
// defaults included.
type outline struct {
	name     string // the key; for an item of a list, what tells it from the others
	form     form
	value    string    // leaf: as it is written in YAML
	identity bool      // leaf: part of its item's name
	hidden   bool      // leaf, also of a list: a secret; changes have a word in its place
	children []outline // others
}

// form is how a part of the tree is written.
type form int

const (
	leaf    form = iota // key: value
	mapping             // keys on lines of their own
	inline              // {keys} on one line
	items               // list of inline mappings
	list                // [list of values]
)

// outlineOf gives a configuration's tree.
func outlineOf(c *Config) outline {
	root := outline{form: mapping}
	if c == nil {
		return root
	}
	root.text("role", string(c.Role))
	root.text("hostname", c.Hostname)
	root.add(c.Network.outline())
	services := outline{name: "services", form: mapping}
	for _, s := range c.Services {
		services.add(s.outline())
	}
	root.add(services)
	if c.Role == RoleDirector {
		root.add(c.IPVS.outline())
	}
	root.add(listOf("virtual-addresses", c.VirtualAddresses, VirtualAddress.outline))
	root.add(listOf("serve", c.Serve, Responder.outline))
	root.add(c.Management.outline())
	return root
}

func (n Network) outline() outline {
	o := outline{name: "network", form: mapping}
	interfaces := outline{name: "interfaces", form: mapping}
	for _, i := range n.Interfaces {
		// An interface without settings is still there to be brought up.
		interfaces.children = append(interfaces.children, i.outline())
	}
	o.add(interfaces)
	o.add(listOf("routes", n.Routes, Route.outline))
	o.values("name-servers", texts(n.NameServers)...)
	return o
}

func (i Interface) outline() outline {
	o := outline{name: i.Name, form: inline}
	o.values("addresses", texts(i.Addresses)...)
	o.flag("dhcp", i.DHCP)
	o.flag("accept-ra", i.AcceptRA)
	o.number("mtu", i.MTU)
	match := outline{name: "match", form: inline}
	match.text("mac", i.Match.MAC)
	match.text("driver", i.Match.Driver)
	o.add(match)
	if i.VLAN != nil {
		vlan := outline{name: "vlan", form: inline}
		vlan.text("parent", i.VLAN.Parent)
		vlan.number("id", i.VLAN.ID)
		o.add(vlan)
	}
	if i.Bond != nil {
		bond := outline{name: "bond", form: inline}
		bond.text("mode", i.Bond.Mode)
		bond.values("members", i.Bond.Members...)
		bond.text("miimon", i.Bond.MIIMon.String())
		o.add(bond)
	}
	return o
}

func (r Route) outline() outline {
	o := outline{name: r.To.String(), form: inline}
	if r.Metric != 0 {
		o.name += " metric " + strconv.Itoa(r.Metric)
	}
	if r.To.Bits() == 0 && r.Via.IsValid() {
		o.identify("to", "default")
	} else {
		o.identify("to", r.To.String())
	}
	if r.Via.IsValid() {
		o.text("via", r.Via.String())
	}
	o.text("interface", r.Interface)
	if r.Metric != 0 {
		o.children = append(o.children, outline{name: "metric", value: strconv.Itoa(r.Metric), identity: true})
	}
	return o
}

func (s Service) outline() outline {
	o := outline{name: s.Name, form: mapping}
	o.oneOrMore("listen", texts(s.Listen)...)
	if s.FWMark != 0 && !s.MarkAssigned {
		o.children = append(o.children, outline{name: "fwmark", value: strconv.FormatUint(uint64(s.FWMark), 10)})
	}
	if len(s.Listen) == 0 {
		o.text("family", string(s.Family))
	}
	o.oneOrMore("protocol", words(s.Protocols)...)
	o.text("scheduler", s.Scheduler)
	if hashes(s.Scheduler) || len(s.SchedulerFlags) > 0 {
		flags := outline{name: "scheduler-flags", form: list}
		flags.append(s.SchedulerFlags...)
		o.children = append(o.children, flags) // an empty list means something
	}
	o.add(s.persistence())
	o.flag("one-packet", s.OnePacket)
	o.unless("on-down", string(s.OnDown), string(UsualOnDown(s)))
	o.unless("assign", strconv.FormatBool(s.Assign), "true")
	o.text("forward", string(s.Forward))
	o.add(s.Tunnel.outline())
	o.add(listOf("real-servers", s.RealServers, func(r RealServer) outline { return r.outline(s) }))
	return o
}

func (s Service) persistence() outline {
	o := outline{name: "persistence", form: inline}
	if p := s.Persistence; p != nil {
		o.text("timeout", durationText(p.Timeout))
		switch {
		case s.Family == IPv6 && p.PrefixLength != 128:
			o.number("prefix-length", p.PrefixLength)
		case s.Family == IPv4 && p.PrefixLength != 32:
			o.text("netmask", maskOf(p.PrefixLength).String())
		}
		o.text("engine", p.Engine)
	}
	return o
}

func (t Tunnel) outline() outline {
	o := outline{name: "tunnel", form: inline}
	o.text("type", string(t.Type))
	o.number("port", int(t.Port))
	o.flag("checksum", t.Checksum)
	o.flag("remote-checksum", t.RemoteChecksum)
	return o
}

func (r RealServer) outline(s Service) outline {
	o := outline{name: netip.AddrPortFrom(r.Address, r.Port).String(), form: inline}
	o.identify("address", r.Address.String())
	if r.Port != s.port() {
		o.children = append(o.children, outline{name: "port", value: strconv.Itoa(int(r.Port)), identity: true})
	}
	o.children = append(o.children, outline{name: "weight", value: strconv.Itoa(r.Weight)}) // 0 means something
	o.unless("forward", string(r.Forward), string(s.Forward))
	if r.Forward != s.Forward || r.Tunnel != s.Tunnel {
		o.add(r.Tunnel.outline())
	}
	o.number("upper-threshold", r.UpperThreshold)
	o.number("lower-threshold", r.LowerThreshold)
	o.unless("verify", strconv.FormatBool(r.Verify), "true")
	return o
}

func (v VirtualAddress) outline() outline {
	o := outline{name: v.Address.String(), form: inline}
	o.identify("address", v.Address.String())
	o.text("forward", string(v.Forward))
	o.add(v.Tunnel.outline())
	if v.Forward == TUN {
		o.unless("through", string(v.Through), string(familyOf(v.Address)))
	}
	return o
}

func (r Responder) outline() outline {
	o := outline{name: fmt.Sprintf("%s/%d", r.Protocol, r.Port), form: inline}
	o.identify("protocol", string(r.Protocol))
	o.children = append(o.children, outline{name: "port", value: strconv.Itoa(int(r.Port)), identity: true})
	if r.Address.IsValid() {
		o.name = fmt.Sprintf("%s/%s", r.Protocol, netip.AddrPortFrom(r.Address, r.Port))
		o.identify("address", r.Address.String())
	}
	o.text("body", r.Body)
	o.text("file", r.File)
	o.number("size", int(r.Size))
	o.number("status", r.Status)
	return o
}

// add appends a child unless it is empty.
func (o *outline) add(child outline) {
	if len(child.children) > 0 {
		o.children = append(o.children, child)
	}
}

func (o *outline) text(name, value string) {
	if value != "" {
		o.children = append(o.children, outline{name: name, value: quote(value)})
	}
}

func (o *outline) identify(name, value string) {
	o.children = append(o.children, outline{name: name, value: quote(value), identity: true})
}

func (o *outline) number(name string, value int) {
	if value != 0 {
		o.children = append(o.children, outline{name: name, value: strconv.Itoa(value)})
	}
}

func (o *outline) flag(name string, value bool) {
	if value {
		o.children = append(o.children, outline{name: name, value: "true"})
	}
}

func (o *outline) values(name string, values ...string) {
	all := outline{name: name, form: list}
	all.append(values...)
	o.add(all)
}

func (o *outline) append(values ...string) {
	for _, value := range values {
		o.children = append(o.children, outline{name: value})
	}
}

// oneOrMore writes a single value without brackets.
func (o *outline) oneOrMore(name string, values ...string) {
	if len(values) == 1 {
		o.text(name, values[0])
		return
	}
	o.values(name, values...)
}

// unless appends a value that is not the usual one.
func (o *outline) unless(name, value, usual string) {
	if value != usual {
		o.children = append(o.children, outline{name: name, value: quoteUnlessNumber(value)})
	}
}

// secret appends what no change shows.
func (o *outline) secret(name string, value Secret) {
	if value != "" {
		o.children = append(o.children, outline{name: name, value: quote(string(value)), hidden: true})
	}
}

// secrets writes a single one without brackets. Several go by their place in
// the list: their text is no name that a change may be told by.
func (o *outline) secrets(name string, values []Secret) {
	if len(values) == 1 {
		o.secret(name, values[0])
		return
	}
	all := outline{name: name, form: list}
	for i, value := range values {
		all.children = append(all.children, outline{name: "[" + itoa(i) + "]", value: quote(string(value)), hidden: true})
	}
	o.add(all)
}

func listOf[T any](name string, values []T, item func(T) outline) outline {
	all := outline{name: name, form: items}
	for _, value := range values {
		all.children = append(all.children, item(value))
	}
	return all
}

func texts[T fmt.Stringer](values []T) []string {
	var all []string
	for _, value := range values {
		all = append(all, value.String())
	}
	return all
}

func words[T ~string](values []T) []string {
	var all []string
	for _, value := range values {
		all = append(all, string(value))
	}
	return all
}

// quoteUnlessNumber writes numbers and truth values as they are.
func quoteUnlessNumber(text string) string {
	if decimal(text) || text == "true" || text == "false" {
		return text
	}
	return quote(text)
}

// quote writes a text in YAML, in quotes where it could be taken for
// something else.
func quote(text string) string {
	if plainWord(text) || plainAddress(text) || plainTime(text) {
		return text
	}
	return strconv.Quote(text)
}

// plainWord holds for what every YAML parser takes for text.
func plainWord(text string) bool {
	if text == "" || !isLetterOrDigit(rune(text[0])) || text[0] <= '9' || reservedWord(text) {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool { return !isLetterOrDigit(r) && !strings.ContainsRune("_.-", r) })
}

// plainAddress holds for addresses without signs at their ends that mean
// something in YAML.
func plainAddress(text string) bool {
	return isAddress(text) && !strings.ContainsAny(text, "[%") && text[0] != ':' && text[len(text)-1] != ':'
}

// plainTime holds for times such as 100ms, 15m and 1h30m.
func plainTime(text string) bool {
	wait, err := time.ParseDuration(text)
	return err == nil && text[0] >= '0' && text[0] <= '9' && durationText(wait) == text
}

// isAddress keeps numbers such as 1.5 and times of day such as 12:30:00 apart
// from addresses.
func isAddress(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	if _, err := netip.ParsePrefix(text); err == nil {
		return true
	}
	_, err := netip.ParseAddrPort(text)
	return err == nil
}

// reservedWord holds for words that some version of YAML takes for a value of
// another type (YAML 1.1: bool, null; 1.2: core schema).
func reservedWord(text string) bool {
	return slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "y", "n", "null"}, strings.ToLower(text))
}
