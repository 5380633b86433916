package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Management is who may log in, where and how.
type Management struct {
	SSH SSH
}

// SSH is the configuration of the SSH server.
type SSH struct {
	Listen                 []SSHListen // none: port 22 of every own address that is no VIP
	HostKeys               []Secret    // the first is used, the others are announced; none: made at the first boot
	CertificateAuthorities []string    // lines of authorized_keys; Warnings names malformed ones
	Revoked                []Revocation
	Users                  []User // sorted by name
	IdleTimeout            time.Duration
	HandshakeTimeout       time.Duration
	MaxConnections         int
	MaxPerAddress          int // open connections of one client address
	MaxPerMinute           int // new connections of one client address in a minute
}

// SSHListen is where the SSH server listens: the own addresses inside of a
// prefix, or those of an interface.
type SSHListen struct {
	Prefix    netip.Prefix // one address: its whole length
	Interface string       // instead of Prefix
	Port      uint16
}

// User is somebody who may log in.
type User struct {
	Name         string
	Role         UserRole
	Keys         []string // lines of authorized_keys; Warnings names malformed ones
	PasswordHash Secret
	Principals   []string // of certificates; none: the name
}

// UserRole is what a user may do; each may do all that those before it may.
type UserRole string

// The roles of users.
const (
	Viewer   UserRole = "viewer"
	Operator UserRole = "operator"
	Admin    UserRole = "admin"
)

// Secret is a text that does not print.
type Secret string

// redacted stands for a secret.
const redacted = "(secret)"

// String gives a word that stands for every secret, "" for none.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString keeps %#v from showing it.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

const (
	sshPort = 22
	maxIdle = 24 * time.Hour
)

func defaultSSH() SSH {
	return SSH{
		IdleTimeout: 30 * time.Minute, HandshakeTimeout: 30 * time.Second,
		MaxConnections: 64, MaxPerAddress: 16, MaxPerMinute: 60,
	}
}

func (r *resolver) resolveManagement(raw field[fileManagement], interfaces field[[]named[fileInterface]]) Management {
	s, usual := raw.value.ssh.value, defaultSSH()
	ssh := SSH{
		Listen: values(s.listen), HostKeys: values(s.hostKeys), CertificateAuthorities: values(s.authorities), Revoked: values(s.revoked),
		IdleTimeout: or(s.idle, usual.IdleTimeout), HandshakeTimeout: or(s.handshake, usual.HandshakeTimeout),
		MaxConnections: or(s.connections, usual.MaxConnections), MaxPerAddress: or(s.perAddress, usual.MaxPerAddress),
		MaxPerMinute: or(s.perMinute, usual.MaxPerMinute),
	}
	for i, listen := range s.listen.value {
		if !listen.valid {
			continue
		}
		if slices.ContainsFunc(s.listen.value[:i], func(other field[SSHListen]) bool { return other.valid && other.value == listen.value }) {
			r.report(listen.at, fault{problem: fmt.Sprintf("%s is given twice", listen.value)})
		}
		r.checkSSHListen(listen, interfaces)
	}
	for _, u := range s.users.value {
		demand(r.decoder, u.field, "role", u.value.role, "viewer, operator or admin")
		ssh.Users = append(ssh.Users, User{Name: u.name, Role: u.value.role.value, Keys: values(u.value.keyLines),
			PasswordHash: u.value.password.value, Principals: values(u.value.principals)})
	}
	slices.SortFunc(ssh.Users, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return Management{SSH: ssh}
}

// checkSSHListen reports interfaces and addresses that the machine has not.
func (r *resolver) checkSSHListen(listen field[SSHListen], interfaces field[[]named[fileInterface]]) {
	if name := listen.value.Interface; name != "" {
		if !r.net.uncertain && !slices.ContainsFunc(interfaces.value, func(i named[fileInterface]) bool { return i.name == name }) {
			r.unknownInterface(listen.at, name, interfaces.value)
		}
		return
	}
	inside := slices.ContainsFunc(r.net.own, func(own ownAddress) bool { return listen.value.Prefix.Contains(own.prefix.Addr()) })
	if !inside && !r.net.unknown(listen.value.Prefix.Addr()) {
		r.report(listen.at, fault{problem: fmt.Sprintf("no own address is %s", listen.value.where()),
			expected: "an own address, a network that holds one, or an interface", hint: "a VIP is no place for the shell: it moves"})
	}
}

func (l SSHListen) where() string {
	switch {
	case l.Interface != "":
		return l.Interface
	case l.Prefix.IsSingleIP():
		return l.Prefix.Addr().String()
	}
	return "in " + l.Prefix.String()
}

// String gives it as it is written, without a port where that is 22.
func (l SSHListen) String() string {
	name := l.Interface
	switch {
	case name != "":
	case l.Prefix.IsSingleIP():
		name = l.Prefix.Addr().String()
	default:
		name = l.Prefix.String()
	}
	if l.Port == sshPort {
		return name
	}
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	return name + ":" + strconv.Itoa(int(l.Port))
}

// sshListen reads an address, a network or an interface, with a port or
// without.
func sshListen(n *node) (SSHListen, *fault) {
	const expected = "an own address, a network or an interface such as 192.168.4.5, 192.168.4.0/24 or eth1, with :port behind it if it is not 22"
	if n.class == nullScalar || n.text == "" {
		return SSHListen{}, &fault{problem: "is empty", expected: expected}
	}
	host, behind := splitPort(n.text)
	listen := SSHListen{Port: sshPort}
	if behind != "" {
		number, bad := port(&node{kind: scalarNode, class: integerScalar, text: behind})
		if bad != nil {
			return SSHListen{}, bad
		}
		listen.Port = uint16(number)
	}
	if address, err := netip.ParseAddr(host); err == nil {
		if _, bad := parseAddress(&node{kind: scalarNode, text: host}, expected); bad != nil {
			return SSHListen{}, bad
		}
		listen.Prefix = netip.PrefixFrom(address, address.BitLen())
		return listen, nil
	}
	if prefix, err := netip.ParsePrefix(host); err == nil {
		if prefix != prefix.Masked() || prefix.Addr().Is4In6() {
			return SSHListen{}, &fault{fmt.Sprintf("%q is no network", clip(n.text)), expected, fmt.Sprintf("did you mean %s?", prefix.Masked())}
		}
		listen.Prefix = prefix
		return listen, nil
	}
	if bad := interfaceName(host); bad != nil || strings.Contains(host, "/") {
		return SSHListen{}, &fault{problem: fmt.Sprintf("%q is no address, network or interface", clip(n.text)), expected: expected}
	}
	listen.Interface = host
	return listen, nil
}

// userName holds to what SSH clients and file names can carry.
func userName(name string) *fault {
	const expected = "a name of letters, digits, ., - and _ such as admin"
	if name == "" || len(name) > 32 {
		return &fault{problem: fmt.Sprintf("a name of %d characters", len(name)), expected: expected, hint: "at most 32"}
	}
	for i, r := range name {
		if !isLetterOrDigit(r) && (i == 0 || !strings.ContainsRune(".-_", r)) {
			return &fault{problem: fmt.Sprintf("the name %q has the character %q", clip(name), r), expected: expected}
		}
	}
	return nil
}

// keyLine reads a line of authorized_keys. Whether it is a key, Warnings says:
// one bad line must not lock everybody out.
func keyLine(n *node) (string, *fault) {
	const expected = "a public key such as \"ssh-ed25519 AAAA... comment\""
	switch {
	case n.class == nullScalar || strings.TrimSpace(n.text) == "":
		return "", &fault{problem: "is empty", expected: expected}
	case strings.Contains(n.text, "PRIVATE KEY"):
		return "", &fault{problem: "is a private key", expected: expected, hint: "the .pub file beside it holds the public key"}
	case strings.ContainsAny(strings.TrimSpace(n.text), "\n\r"):
		return "", &fault{problem: "has several lines", expected: expected, hint: "one key is one item of the list"}
	}
	return strings.TrimSpace(n.text), nil
}

// principal reads a name inside of a certificate.
func principal(n *node) (string, *fault) {
	if n.class == nullScalar || n.text == "" || !printable(n.text) || strings.Contains(n.text, ",") {
		return "", &fault{problem: fmt.Sprintf("%q is no principal", clip(n.text)), expected: "a name in a certificate such as admin"}
	}
	return n.text, nil
}

// passwordHash checks the shape of a hash. What it is never appears in an
// error.
func passwordHash(n *node) (Secret, *fault) {
	const expected = "an argon2id or bcrypt hash that begins with $argon2id$ or $2"
	switch {
	case n.class == nullScalar || n.text == "":
		return "", &fault{problem: "is empty", expected: expected}
	case strings.HasPrefix(n.text, "$argon2id$") && strings.Count(n.text, "$") == 5:
		return Secret(n.text), nil
	case isBcrypt(n.text):
		return Secret(n.text), nil
	case strings.HasPrefix(n.text, "$"):
		return "", &fault{problem: "is a hash of another or a broken kind", expected: expected}
	}
	return "", &fault{problem: "is no hash", expected: expected, hint: "a password itself never stands in a configuration"}
}

// isBcrypt holds for $2b$ and its like with a cost and 53 characters.
func isBcrypt(text string) bool {
	parts := strings.Split(text, "$")
	if len(parts) != 4 || parts[0] != "" || !slices.Contains([]string{"2", "2a", "2b", "2y"}, parts[1]) {
		return false
	}
	cost, err := strconv.Atoi(parts[2])
	return err == nil && len(parts[2]) == 2 && cost >= 4 && cost <= 31 && len(parts[3]) == 53
}

// hostKey checks that a private key can be read and has no passphrase.
func hostKey(n *node) (Secret, *fault) {
	const expected = "a private key in OpenSSH's format without a passphrase, as a | block"
	if n.class == nullScalar || n.text == "" {
		return "", &fault{problem: "is empty", expected: expected}
	}
	if _, err := ssh.ParsePrivateKey([]byte(n.text)); err != nil {
		return "", &fault{problem: "is no private key that can be read", expected: expected, hint: "ssh-keygen -t ed25519 -N '' makes one"}
	}
	return Secret(n.text), nil
}

// badKeys gives a warning for each key that is ignored because it cannot be read.
func (m Management) badKeys() []string {
	var bad []string
	check := func(path string, lines []string) {
		for i, line := range lines {
			key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
			if err != nil {
				bad = append(bad, fmt.Sprintf("%s[%d]: no public key that can be read: it is ignored", path, i))
			} else if print := ssh.FingerprintSHA256(key); slices.Contains(m.SSH.Revoked, Revocation{Fingerprint: print}) {
				bad = append(bad, fmt.Sprintf("%s[%d]: %s is revoked: it is ignored", path, i, print))
			}
		}
	}
	check("management.ssh.certificate-authorities", m.SSH.CertificateAuthorities)
	for _, u := range m.SSH.Users {
		check(join("management.ssh.users", u.Name)+".keys", u.Keys)
		if why := u.PasswordHash.tooCostly(); why != "" {
			bad = append(bad, join("management.ssh.users", u.Name)+".password-hash: "+why+": it is ignored")
		}
	}
	return bad
}

// The costliest hashes that count, as package access has them: a machine that
// is asked for passwords must not be busy with them.
const (
	maxBcryptCost   = 14
	maxArgon2Memory = 64 << 10 // KiB
	maxArgon2Passes = 10
	maxArgon2Lanes  = 16
)

// tooCostly says why a password's hash would take too long to check; "": it
// would not.
func (s Secret) tooCostly() string {
	parts := strings.Split(string(s), "$")
	switch {
	case isBcrypt(string(s)):
		if cost, err := strconv.Atoi(parts[2]); err == nil && cost > maxBcryptCost {
			return fmt.Sprintf("bcrypt with cost %d: at most %d counts", cost, maxBcryptCost)
		}
	case len(parts) == 6:
		memory, passes, lanes, ok := s.argon2Cost()
		if !ok {
			return "argon2id without m=KIB,t=PASSES,p=LANES"
		}
		if memory > maxArgon2Memory || passes > maxArgon2Passes || lanes > maxArgon2Lanes {
			return fmt.Sprintf("argon2id with m=%d,t=%d,p=%d: at most m=%d,t=%d,p=%d counts",
				memory, passes, lanes, maxArgon2Memory, maxArgon2Passes, maxArgon2Lanes)
		}
	}
	return ""
}

// argon2Cost reads what an argon2id hash takes: memory in KiB, passes and lanes.
func (s Secret) argon2Cost() (memory, passes, lanes uint32, ok bool) {
	parts := strings.Split(string(s), "$")
	if len(parts) != 6 {
		return 0, 0, 0, false
	}
	n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes)
	return memory, passes, lanes, err == nil && n == 3
}

// PasswordMemory is how many bytes it takes to look at a user's password; 0:
// none to speak of, as with bcrypt, or none at all because the hash does not
// count.
func (u User) PasswordMemory() uint64 {
	memory, _, _, ok := u.PasswordHash.argon2Cost()
	if !ok || u.PasswordHash.tooCostly() != "" {
		return 0
	}
	return uint64(memory) << 10
}

func (m Management) outline() outline {
	o := outline{name: "management", form: mapping}
	o.add(m.SSH.outline())
	return o
}

// outline gives what is not as it is by default.
func (s SSH) outline() outline {
	usual := defaultSSH()
	o := outline{name: "ssh", form: mapping}
	o.values("listen", texts(s.Listen)...)
	o.secrets("host-key", s.HostKeys)
	o.values("certificate-authorities", s.CertificateAuthorities...)
	o.values("revoked", texts(s.Revoked)...)
	users := outline{name: "users", form: mapping}
	for _, u := range s.Users {
		users.add(u.outline())
	}
	o.add(users)
	o.unless("idle-timeout", durationText(s.IdleTimeout), durationText(usual.IdleTimeout))
	o.unless("handshake-timeout", durationText(s.HandshakeTimeout), durationText(usual.HandshakeTimeout))
	o.unless("max-connections", itoa(s.MaxConnections), itoa(usual.MaxConnections))
	o.unless("max-per-address", itoa(s.MaxPerAddress), itoa(usual.MaxPerAddress))
	o.unless("max-per-minute", itoa(s.MaxPerMinute), itoa(usual.MaxPerMinute))
	return o
}

func (u User) outline() outline {
	o := outline{name: u.Name, form: mapping}
	o.text("role", string(u.Role))
	o.values("keys", u.Keys...)
	o.secret("password-hash", u.PasswordHash)
	o.values("principals", u.Principals...)
	return o
}
