package access

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// minRSABits is the shortest RSA key that counts.
const minRSABits = 2048

// authorizedKey is one line of authorized_keys.
type authorizedKey struct {
	public     ssh.PublicKey
	command    string
	noTerminal bool
	from       sources
	expires    time.Time // zero: never
}

// equal reports whether a key grants what another does.
func (k authorizedKey) equal(o authorizedKey) bool {
	return k.public != nil && o.public != nil && k.command == o.command && k.noTerminal == o.noTerminal &&
		slices.Equal(k.from.allowed, o.from.allowed) && slices.Equal(k.from.denied, o.from.denied) && k.expires.Equal(o.expires)
}

// permits says why the key does not count from an address at a time.
func (k authorizedKey) permits(from netip.Addr, now time.Time) error {
	if !k.expires.IsZero() && !now.Before(k.expires) {
		return fmt.Errorf("expired on %s", k.expires.Format(time.DateTime))
	}
	return k.from.permit(from)
}

// parseAuthorizedKey reads a line. Its options are honoured, or the key does
// not count: a restriction that is not understood must not be dropped.
func parseAuthorizedKey(line string) (authorizedKey, error) {
	public, options, err := parseLine(line)
	if err != nil {
		return authorizedKey{}, err
	}
	key := authorizedKey{public: public}
	given := map[string]bool{}
	for _, o := range options {
		name, _, _ := strings.Cut(strings.ToLower(o), "=")
		if once := slices.Contains([]string{"command", "from", "expiry-time"}, name); once && given[name] {
			return authorizedKey{}, fmt.Errorf("option %q is given twice", name)
		}
		given[name] = true
		if err := key.option(o); err != nil {
			return authorizedKey{}, fmt.Errorf("option %q: %w", o, err)
		}
	}
	return key, nil
}

// parseLine reads a key with its options (sshd(8), AUTHORIZED_KEYS FILE
// FORMAT).
func parseLine(line string) (ssh.PublicKey, []string, error) {
	if strings.ContainsAny(strings.TrimSpace(line), "\r\n") {
		return nil, nil, errors.New("more than one line: expected one key")
	}
	public, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, nil, errors.New(`no public key: expected "ssh-ed25519 AAAA… name", as in id_ed25519.pub`)
	}
	return public, options, strong(public)
}

// strong refuses keys that can be broken.
func strong(key ssh.PublicKey) error {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		if public, ok := key.(ssh.CryptoPublicKey); ok {
			if k, ok := public.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() >= minRSABits {
				return nil
			}
		}
		return fmt.Errorf("RSA key of less than %d bits", minRSABits)
	}
	return fmt.Errorf("keys of type %s do not count: expected ssh-ed25519, ecdsa-sha2-… or ssh-rsa", key.Type())
}

// option sets one option of authorized_keys.
func (k *authorizedKey) option(option string) error {
	name, value, _ := strings.Cut(option, "=")
	value = unquote(value)
	switch strings.ToLower(name) {
	case "restrict", "no-pty":
		k.noTerminal = true
	case "pty":
		k.noTerminal = false
	case "no-port-forwarding", "no-agent-forwarding", "no-x11-forwarding", "no-user-rc",
		"permitopen", "permitlisten", "port-forwarding", "agent-forwarding", "x11-forwarding", "user-rc":
		// There is no forwarding and no rc file, whatever a key says.
	case "command":
		if k.command = value; strings.TrimSpace(value) == "" {
			return errors.New(`expected a command, as in command="show services"`)
		}
	case "from":
		var err error
		k.from, err = parseSources(value)
		return err
	case "expiry-time":
		var err error
		k.expires, err = parseExpiry(value)
		return err
	case "cert-authority":
		return errors.New("certificate authorities have a list of their own in the configuration")
	default:
		return errors.New("not supported here: remove it, or the key does not count")
	}
	return nil
}

// unquote takes the quotation marks off an option's value.
func unquote(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return strings.ReplaceAll(value, `\"`, `"`)
}

// parseExpiry reads YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, in UTC with a Z
// or without: the machine knows no other zone.
func parseExpiry(value string) (time.Time, error) {
	value = strings.TrimSuffix(value, "Z")
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if t, err := time.Parse(layout, value); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("expected a time as 20271231 or 202712312359")
}

// sources are the addresses from which a key or certificate counts.
type sources struct {
	allowed, denied []netip.Prefix // none of both: anywhere
}

// parseSources reads a list of addresses and prefixes, "!" before those that
// are excluded. Host names and wildcards are refused: who answers for a name
// is no proof.
func parseSources(list string) (sources, error) {
	var s sources
	for item := range strings.SplitSeq(list, ",") {
		text, denied := strings.CutPrefix(strings.TrimSpace(item), "!")
		prefix, err := parsePrefix(text)
		if err != nil {
			return sources{}, fmt.Errorf("%q is no address or prefix", text)
		}
		if denied {
			s.denied = append(s.denied, prefix)
		} else {
			s.allowed = append(s.allowed, prefix)
		}
	}
	if len(s.allowed) == 0 {
		return sources{}, errors.New("it excludes addresses without allowing any")
	}
	return s, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err == nil && prefix.Addr().Is4In6() {
		err = errors.New("an IPv4 network in the clothes of IPv6")
	}
	return prefix.Masked(), err
}

// permit says why an address is not among the sources.
func (s sources) permit(from netip.Addr) error {
	if len(s.allowed) == 0 && len(s.denied) == 0 {
		return nil
	}
	in := func(p netip.Prefix) bool { return p.Contains(from.Unmap().WithZone("")) }
	if !from.IsValid() || slices.ContainsFunc(s.denied, in) || !slices.ContainsFunc(s.allowed, in) {
		return fmt.Errorf("does not count from %v", from)
	}
	return nil
}
