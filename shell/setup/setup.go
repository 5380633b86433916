// Package setup leads through the first configuration of a machine in a few
// questions, and makes the YAML of the answers.
//
// It is pure: it neither reads nor writes nor fetches. Whoever shows the
// questions brings the answers; what a URL answers, too. Whether the YAML
// makes sense as a whole is for the control plane to say.
package setup

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Interface is a link that the machine has.
type Interface struct {
	Name      string
	Carrier   bool
	Addresses []string // that it has at present, by DHCP
}

// Question is what to ask next.
type Question struct {
	Text    string
	Default string // taken for an empty answer; "": none
	Hint    string // one line, shown before the question
	Secret  bool   // do not echo
}

// Flow is a conversation that ends with a configuration.
type Flow struct {
	interfaces []Interface
	step       step
	answers    answers
}

// answers are what was said so far.
type answers struct {
	role, hostname string
	link           string
	address        string // "dhcp" or with a prefix length
	gateway        string // "": none
	vip            netip.AddrPort
	forward        string
	servers        []string
	vips           []string // of a real server
	keys           []string
	passwordHash   string
}

// step is where the conversation is: what it asks, and what comes of an answer.
type step struct {
	question func(*Flow) Question
	take     func(f *Flow, text string) (next func() step, err error)
}

// FetchError tells that an answer is a URL: what it holds is the answer.
type FetchError struct{ URL string }

// Error names the URL.
func (e *FetchError) Error() string { return "to be fetched: " + e.URL }

// errMore asks the same question again, for the next item of a list.
var errMore = errors.New("one more")

// New begins a conversation about a machine with these links.
func New(interfaces []Interface) *Flow {
	return &Flow{interfaces: interfaces, step: askRole()}
}

// Next is the question to ask; ok is false when there are no more.
func (f *Flow) Next() (q Question, ok bool) {
	if f.step.question == nil {
		return Question{}, false
	}
	return f.step.question(f), true
}

// Answer takes the answer to Next. After an error, the same question is there
// again; after a *FetchError, the answer is what the URL holds.
func (f *Flow) Answer(text string) error {
	text = strings.TrimSpace(text)
	if text == "" {
		text = f.step.question(f).Default
	}
	next, err := f.step.take(f, text)
	if errors.Is(err, errMore) {
		return nil
	}
	if err != nil {
		return err
	}
	f.step = next()
	return nil
}

func askRole() step {
	return step{
		question: func(*Flow) Question {
			return Question{
				Text: "Role", Default: "director",
				Hint: "A director spreads connections over real servers; a real-server serves them.",
			}
		},
		take: func(f *Flow, text string) (func() step, error) {
			for _, role := range []string{"director", "real-server"} {
				if strings.HasPrefix(role, text) && text != "" {
					f.answers.role = role
					return askHostname, nil
				}
			}
			return nil, fmt.Errorf("%q: expected director or real-server", text)
		},
	}
}

// isHostname reports whether a text is a label of RFC 1123, in lower case.
func isHostname(text string) bool {
	const letters, most = "abcdefghijklmnopqrstuvwxyz0123456789", 63
	return text != "" && len(text) <= most && strings.Trim(text, letters+"-") == "" &&
		!strings.HasPrefix(text, "-") && !strings.HasSuffix(text, "-")
}

func askHostname() step {
	return step{
		question: func(f *Flow) Question {
			return Question{Text: "Name of this machine", Default: map[string]string{"director": "lb1", "real-server": "web1"}[f.answers.role]}
		},
		take: func(f *Flow, text string) (func() step, error) {
			if !isHostname(text) {
				return nil, fmt.Errorf("%q: expected letters, digits and hyphens, as lb1", text)
			}
			f.answers.hostname = text
			return askLink, nil
		},
	}
}

func askLink() step {
	return step{
		question: func(f *Flow) Question {
			q := Question{Text: "Interface"}
			var all []string
			for _, i := range f.interfaces {
				state := "no cable"
				if i.Carrier {
					state = "connected"
					if q.Default == "" {
						q.Default = i.Name
					}
				}
				all = append(all, i.Name+" ("+state+")")
			}
			if q.Default == "" && len(f.interfaces) > 0 {
				q.Default = f.interfaces[0].Name
			}
			if len(all) > 0 {
				q.Hint = "There are: " + strings.Join(all, ", ")
			}
			return q
		},
		take: func(f *Flow, text string) (func() step, error) {
			if len(f.interfaces) > 0 && !slices.ContainsFunc(f.interfaces, func(i Interface) bool { return i.Name == text }) {
				return nil, fmt.Errorf("%q: there is no such interface", text)
			}
			if text == "" {
				return nil, errors.New("expected the name of an interface, as eth0")
			}
			f.answers.link = text
			return askAddress, nil
		},
	}
}

func askAddress() step {
	return step{
		question: func(*Flow) Question {
			return Question{Text: "Its address, with the length of its network's prefix, or dhcp", Hint: "As 192.168.4.5/24 or 2001:db8::5/64."}
		},
		take: func(f *Flow, text string) (func() step, error) {
			if text == "dhcp" {
				f.answers.address = text
				return f.afterNetwork(), nil
			}
			prefix, err := netip.ParsePrefix(text)
			switch {
			case err != nil:
				return nil, fmt.Errorf("%q: expected an address with a prefix length, as 192.168.4.5/24, or dhcp", text)
			case prefix.Addr() == prefix.Masked().Addr() && prefix.Bits() < prefix.Addr().BitLen()-1:
				return nil, fmt.Errorf("%q is a network: expected the machine's own address in it", text)
			}
			f.answers.address = prefix.String()
			return askGateway, nil
		},
	}
}

func askGateway() step {
	return step{
		question: func(*Flow) Question {
			return Question{Text: "Default gateway", Default: "none"}
		},
		take: func(f *Flow, text string) (func() step, error) {
			if text == "none" {
				return f.afterNetwork(), nil
			}
			gateway, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%q: expected an address, or none", text)
			}
			own := netip.MustParsePrefix(f.answers.address) // askAddress made it
			if !own.Contains(gateway) || gateway == own.Addr() {
				return nil, fmt.Errorf("%v cannot be reached: expected another address in %v", gateway, own.Masked())
			}
			f.answers.gateway = gateway.String()
			return f.afterNetwork(), nil
		},
	}
}

func (f *Flow) afterNetwork() func() step {
	if f.answers.role == "director" {
		return askVIP
	}
	return askVIPs
}

// servicePort is where the first service listens unless told otherwise.
const servicePort = 80

func askVIP() step {
	return step{
		question: func(*Flow) Question {
			return Question{
				Text: "VIP, with the port of the service",
				Hint: "The address that clients use, as 192.168.4.15:80. More services are added later.",
			}
		},
		take: func(f *Flow, text string) (func() step, error) {
			vip, err := netip.ParseAddrPort(text)
			if err != nil {
				var addr netip.Addr
				if addr, err = netip.ParseAddr(text); err == nil {
					vip = netip.AddrPortFrom(addr, servicePort)
				}
			}
			if err != nil || vip.Port() == 0 {
				return nil, fmt.Errorf("%q: expected an address with a port, as 192.168.4.15:80", text)
			}
			f.answers.vip = vip
			return askForward, nil
		},
	}
}

func askForward() step {
	return step{
		question: func(*Flow) Question {
			return Question{
				Text: "How to reach the real servers: dr, nat or tun", Default: "dr",
				Hint: "dr: same network, they answer clients themselves. nat: they answer through here. tun: anywhere, through a tunnel.",
			}
		},
		take: func(f *Flow, text string) (func() step, error) {
			if !slices.Contains([]string{"dr", "nat", "tun"}, text) {
				return nil, fmt.Errorf("%q: expected dr, nat or tun", text)
			}
			f.answers.forward = text
			return askServers, nil
		},
	}
}

func askServers() step {
	return step{
		question: func(f *Flow) Question {
			return Question{
				Text: fmt.Sprintf("Real server %d, Enter when there are no more", len(f.answers.servers)+1),
				Hint: "Its address, with a weight if it is not 1: 192.168.4.100 2",
			}
		},
		take: func(f *Flow, text string) (func() step, error) {
			if text == "" && len(f.answers.servers) > 0 {
				return askKey, nil
			}
			server, err := parseServer(text, f.answers.vip.Addr().Is4())
			if err != nil {
				return nil, err
			}
			f.answers.servers = append(f.answers.servers, server)
			return nil, errMore
		},
	}
}

// parseServer reads "ADDRESS [WEIGHT]" and answers it as YAML.
func parseServer(text string, v4 bool) (string, error) {
	words := strings.Fields(text)
	weight := 1
	var addr netip.Addr
	var err error
	switch len(words) {
	case 2:
		if weight, err = strconv.Atoi(words[1]); err != nil || weight < 0 || weight > 65535 {
			return "", fmt.Errorf("%q: expected a weight from 0 to 65535", words[1])
		}
		fallthrough
	case 1:
		addr, err = netip.ParseAddr(words[0])
	default:
		err = errors.New("words")
	}
	if err != nil {
		return "", fmt.Errorf("%q: expected an address and perhaps a weight, as 192.168.4.100 2", text)
	}
	if addr.Is4() != v4 {
		return "", fmt.Errorf("%v is not of the VIP's family", addr)
	}
	return fmt.Sprintf(`{address: "%v", weight: %d}`, addr, weight), nil
}

func askVIPs() step {
	return step{
		question: func(f *Flow) Question {
			return Question{
				Text: fmt.Sprintf("VIP %d, Enter when there are no more", len(f.answers.vips)+1),
				Hint: "The addresses that the director sends here by dr; none for nat.",
			}
		},
		take: func(f *Flow, text string) (func() step, error) {
			if text == "" {
				return askKey, nil
			}
			vip, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%q: expected an address, as 192.168.4.15", text)
			}
			f.answers.vips = append(f.answers.vips, vip.String())
			return nil, errMore
		},
	}
}

func askKey() step {
	return step{
		question: func(f *Flow) Question {
			q := Question{
				Text: "Public key of the user admin, or a URL that has it",
				Hint: "Paste a line as in id_ed25519.pub. Enter for none.",
			}
			if len(f.answers.keys) > 0 {
				q.Text, q.Hint = "One more key, Enter when there are no more", ""
			}
			return q
		},
		take: func(f *Flow, text string) (func() step, error) {
			switch {
			case text == "":
				return askPassword, nil
			case strings.HasPrefix(text, "http://"), strings.HasPrefix(text, "https://"):
				return nil, &FetchError{text}
			}
			keys, err := parseKeys(text)
			if err != nil {
				return nil, err
			}
			f.answers.keys = append(f.answers.keys, keys...)
			return nil, errMore
		},
	}
}

// parseKeys reads lines of authorized_keys; comments and empty lines are
// skipped.
func parseKeys(text string) ([]string, error) {
	var keys []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err != nil {
			return nil, fmt.Errorf("%.40q is no public key: expected a line as in id_ed25519.pub", line)
		}
		keys = append(keys, line)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no public key in it")
	}
	return keys, nil
}

// minPassword is the shortest password, in bytes.
const minPassword = 8

func askPassword() step {
	return step{
		question: func(f *Flow) Question {
			q := Question{Text: "Password of the user admin", Secret: true}
			if len(f.answers.keys) > 0 {
				q.Hint = "For the console, and for SSH too. Enter for none: then only SSH with the key."
			}
			return q
		},
		take: func(f *Flow, text string) (func() step, error) {
			if text == "" && len(f.answers.keys) > 0 {
				return func() step { return step{} }, nil
			}
			if len(text) < minPassword {
				return nil, fmt.Errorf("too short: expected at least %d characters", minPassword)
			}
			hash, err := hashPassword(text)
			if err != nil {
				return nil, err
			}
			f.answers.passwordHash = hash
			return func() step { return step{} }, nil
		},
	}
}
