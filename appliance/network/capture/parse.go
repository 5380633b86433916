package capture

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Error says what is wrong with a filter, and where.
type Error struct {
	Word    int // index of the word at fault, or their number when one is missing
	Problem string
}

// Error gives the problem on one line.
func (e *Error) Error() string { return "filter: " + e.Problem }

// maxWords bounds a filter, and with it the depth of its parentheses.
const maxWords = 256

// parser reads a filter as pcap-filter(7) writes it: as much of that language
// as an administrator of a director types.
type parser struct {
	words []string
	at    int
	build builder
}

// split takes a filter apart; parentheses and exclamation marks need no spaces.
func split(text string) []string {
	spaced := strings.NewReplacer("(", " ( ", ")", " ) ", "!", " ! ", "&&", " && ", "||", " || ").Replace(text)
	return strings.Fields(spaced)
}

func (p *parser) peek() string {
	if p.at < len(p.words) {
		return p.words[p.at]
	}
	return ""
}

// take moves on if the next word is one of the words.
func (p *parser) take(words ...string) bool {
	for _, w := range words {
		if p.peek() == w {
			p.at++
			return true
		}
	}
	return false
}

func (p *parser) fail(format string, values ...any) error {
	return &Error{Word: p.at, Problem: fmt.Sprintf(format, values...)}
}

// expression reads terms joined by and and or, which bind alike, from left to
// right (pcap-filter(7)).
func (p *parser) expression() (node, error) {
	left, err := p.term()
	for err == nil {
		isAnd := p.take("and", "&&")
		if !isAnd && !p.take("or", "||") {
			break
		}
		var right node
		if right, err = p.term(); isAnd {
			left = both{left, right}
		} else {
			left = either{left, right}
		}
	}
	return left, err
}

func (p *parser) term() (node, error) {
	switch {
	case p.take("not", "!"):
		inner, err := p.term()
		return not{inner}, err
	case p.take("("):
		inner, err := p.expression()
		if err == nil && !p.take(")") {
			err = p.fail("a parenthesis is not closed")
		}
		return inner, err
	}
	return p.primitive()
}

// protocolOf is the number of a protocol that has a word (IANA protocol
// numbers); 0: none.
func protocolOf(word string) uint32 {
	switch word {
	case "icmp":
		return 1
	case "igmp":
		return 2
	case "ipip":
		return 4
	case "tcp":
		return 6
	case "udp":
		return 17
	case "gre":
		return 47
	case "esp":
		return 50
	case "ah":
		return 51
	case "icmp6":
		return 58
	case "ospf":
		return 89
	case "vrrp":
		return 112
	case "sctp":
		return 132
	}
	return 0
}

// primitive reads [PROTOCOL] [src|dst] [host|net|port|portrange] VALUE, or a
// protocol alone.
func (p *parser) primitive() (node, error) {
	qualifier, direction := "", anyDirection
	if w := p.peek(); w == "ip" || w == "ip6" || w == "arp" || protocolOf(w) != 0 {
		qualifier = w
		p.at++
	}
	switch {
	case p.take("src"):
		direction = source
	case p.take("dst"):
		direction = destination
	}
	about, err := p.about(direction)
	switch {
	case err != nil:
		return nil, err
	case qualifier == "":
		if about == nil {
			return nil, p.unknown()
		}
		return about, nil
	case about == nil:
		return p.build.qualified(qualifier), nil
	}
	return both{p.build.qualified(qualifier), about}, nil
}

// about reads what behind a qualifier says more; nil: nothing does.
func (p *parser) about(d direction) (node, error) {
	switch {
	case p.take("host"):
		return p.address(d, false)
	case p.take("net"):
		return p.address(d, true)
	case p.take("port"):
		first, last, err := p.ports(false)
		return p.build.port(d, first, last), err
	case p.take("portrange"):
		first, last, err := p.ports(true)
		return p.build.port(d, first, last), err
	case p.take("proto"):
		n, err := p.number(255)
		return p.build.protocol(n), err
	case d != anyDirection:
		return p.address(d, true)
	}
	if _, err := netip.ParseAddr(p.peek()); err == nil {
		return p.address(d, false) // an address by itself
	}
	return nil, nil
}

func (p *parser) address(d direction, network bool) (node, error) {
	word := p.peek()
	if a, err := netip.ParseAddr(word); err == nil && a.Zone() == "" {
		p.at++
		return p.build.address(d, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())), nil
	}
	if n, err := netip.ParsePrefix(word); err == nil && network {
		p.at++
		return p.build.address(d, n.Masked()), nil
	}
	if network {
		return nil, p.fail("%q: expected a network such as 192.168.4.0/24, or an address", word)
	}
	return nil, p.fail("%q: expected an address: names are not looked up", word)
}

func (p *parser) ports(isRange bool) (first, last uint32, err error) {
	word := p.peek()
	low, high, found := strings.Cut(word, "-")
	if !isRange || !found {
		first, err = p.number(65535)
		return first, first, err
	}
	from, err := strconv.ParseUint(low, 10, 16)
	to, bad := strconv.ParseUint(high, 10, 16)
	if err != nil || bad != nil || to < from {
		return 0, 0, p.fail("%q: expected two ports such as 8000-8080", word)
	}
	p.at++
	return uint32(from), uint32(to), nil
}

func (p *parser) number(highest uint32) (uint32, error) {
	n, err := strconv.ParseUint(p.peek(), 10, 32)
	if err != nil || uint32(n) > highest {
		return 0, p.fail("%q: expected a number up to %d", p.peek(), highest)
	}
	p.at++
	return uint32(n), nil
}

func (p *parser) unknown() error {
	const known = "expected host, net, port, portrange, src, dst, proto, ip, ip6, arp or a protocol such as tcp; joined by and, or, not"
	if p.at == len(p.words) {
		return p.fail("something is missing at the end: %s", known)
	}
	return p.fail("%q: %s", p.peek(), known)
}
