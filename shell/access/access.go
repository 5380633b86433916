// Package access decides who may come in to the management shell, and what
// they bring along: keys, certificates and passwords against the users of the
// configuration, and how many connections and guesses an address may make.
//
// It is pure: no sockets, and the time is an argument. What it does not know
// it refuses. It must know nothing of SSH's protocol, of consoles or of what
// people do once they are in.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"dipper/appliance/api"
)

// ErrDenied is why somebody is not let in. What is said beside it is for the
// log, not for who asks.
var ErrDenied = errors.New("permission denied")

// Rules are who may log in and by what. A nil Rules lets nobody in.
type Rules struct {
	users       map[string]*user
	authorities map[string]bool // by the key's wire form
	revoked     revoked
	oneTime     [sha256.Size]byte
	hasOneTime  bool
	decoy       *passwordHash // what an unknown user's password costs
}

type user struct {
	name       string
	role       api.Role
	keys       map[string]authorizedKey // by the key's wire form
	password   *passwordHash
	principals []string
}

// Grant is what somebody who was let in may do.
type Grant struct {
	User        string
	Role        api.Role
	Fingerprint string // of the key, or of the key that a certificate is for; "" without one
	Means       string // for the log: "key SHA256:…", "password"
	// ForceCommand is the only command that may run; "": any.
	ForceCommand string
	NoTerminal   bool

	still func(*Rules) bool // whether other rules would let him in as well
}

// Compile reads the rules. What is malformed is left out and told: one bad key
// shuts out nobody but its owner.
func Compile(a api.Access) (*Rules, []error) {
	r := &Rules{users: map[string]*user{}, authorities: map[string]bool{}, revoked: compileRevoked(a.Revoked)}
	var problems []error
	for _, u := range a.Users {
		compiled, errs := compileUser(u)
		problems = append(problems, errs...)
		if compiled == nil {
			continue
		}
		if r.users[u.Name] != nil {
			problems = append(problems, fmt.Errorf("user %q: a second one of this name is ignored", u.Name))
			continue
		}
		r.users[u.Name] = compiled
		r.decoy = costlier(r.decoy, compiled.password)
	}
	for i, line := range a.CAs {
		key, err := parseAuthority(line)
		if err != nil {
			problems = append(problems, fmt.Errorf("certificate authority %d is ignored: %w", i+1, err))
			continue
		}
		r.authorities[string(key.Marshal())] = true
	}
	if a.OneTimePassword != "" {
		r.oneTime, r.hasOneTime = sha256.Sum256([]byte(a.OneTimePassword)), true
	}
	return r, problems
}

// compileUser answers nil for somebody who cannot be let in at all.
func compileUser(u api.User) (*user, []error) {
	if u.Name == "" || !slices.Contains([]api.Role{api.Viewer, api.Operate, api.Admin}, u.Role) {
		return nil, []error{fmt.Errorf("user %q is ignored: role %q is none of viewer, operator, admin", u.Name, u.Role)}
	}
	out := &user{name: u.Name, role: u.Role, keys: map[string]authorizedKey{}, principals: u.Principals}
	if len(out.principals) == 0 {
		out.principals = []string{u.Name}
	}
	var problems []error
	for i, line := range u.Keys {
		key, err := parseAuthorizedKey(line)
		if err != nil {
			problems = append(problems, fmt.Errorf("user %q: key %d is ignored: %w", u.Name, i+1, err))
			continue
		}
		wire := string(key.public.Marshal())
		if _, twice := out.keys[wire]; twice {
			problems = append(problems, fmt.Errorf("user %q: key %d is ignored: it is there already, and the first one counts", u.Name, i+1))
			continue
		}
		out.keys[wire] = key
	}
	if u.PasswordHash != "" {
		var err error
		if out.password, err = parsePasswordHash(u.PasswordHash); err != nil {
			problems = append(problems, fmt.Errorf("user %q: password-hash is ignored: %w", u.Name, err))
		}
	}
	return out, problems
}

// Key lets the owner of a key or certificate in. The caller must have seen
// that he holds the private key.
func (r *Rules) Key(name string, key ssh.PublicKey, from netip.Addr, now time.Time) (Grant, error) {
	if r == nil {
		return Grant{}, fmt.Errorf("%w: nobody is let in yet", ErrDenied)
	}
	u := r.users[name]
	if u == nil {
		return Grant{}, fmt.Errorf("%w: there is no user %q", ErrDenied, name)
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		return r.certificate(u, cert, from, now)
	}
	wire := string(key.Marshal())
	own, ok := u.keys[wire]
	if !ok {
		return Grant{}, fmt.Errorf("%w: %s is no key of user %q", ErrDenied, ssh.FingerprintSHA256(key), name)
	}
	if err := errors.Join(r.revoked.covers(key), own.permits(from, now)); err != nil {
		return Grant{}, fmt.Errorf("%w: key %s of user %q: %w", ErrDenied, ssh.FingerprintSHA256(key), name, err)
	}
	return Grant{
		User: u.name, Role: u.role,
		Fingerprint:  ssh.FingerprintSHA256(key),
		Means:        "key " + ssh.FingerprintSHA256(key),
		ForceCommand: own.command,
		NoTerminal:   own.noTerminal,
		still: func(later *Rules) bool {
			same := later.same(u)
			return same != nil && same.keys[wire].equal(own) && later.revoked.covers(key) == nil
		},
	}, nil
}

// TakesPasswords reports whether anybody can come in with a password, so that
// nobody is asked for one in vain.
func (r *Rules) TakesPasswords() bool {
	return r != nil && (r.decoy != nil || r.hasOneTime)
}

// Password lets the owner of a password in. It costs a hash on purpose, also
// for a user that does not exist: see Guesses, which bounds how often.
func (r *Rules) Password(name, password string) (Grant, error) {
	if !r.TakesPasswords() || len(password) > maxPassword {
		return Grant{}, ErrDenied
	}
	u := r.users[name]
	var hash *passwordHash
	if u != nil {
		hash = u.password
	}
	if hash == nil && name == oneTimeUser && r.hasOneTime {
		return r.once(password)
	}
	if hash == nil {
		r.decoy.matches(password) // for the time it takes
		return Grant{}, fmt.Errorf("%w: user %q has no password", ErrDenied, name)
	}
	if !hash.matches(password) {
		return Grant{}, fmt.Errorf("%w: wrong password for user %q", ErrDenied, name)
	}
	return Grant{
		User: u.name, Role: u.role, Means: "password",
		still: func(later *Rules) bool {
			same := later.same(u)
			return same != nil && same.password != nil && same.password.text == hash.text
		},
	}, nil
}

// PasswordMemory is how many bytes it takes to look at a user's password.
func (r *Rules) PasswordMemory(name string) uint64 {
	if r == nil {
		return 0
	}
	hash := r.decoy
	if u := r.users[name]; u != nil && u.password != nil {
		hash = u.password
	}
	if hash == nil || hash.argon2 == nil {
		return 0 // bcrypt takes 4 KiB
	}
	return uint64(hash.argon2.memory) << 10
}

// oneTimeUser is who logs in with the one-time password of a machine in
// maintenance.
const oneTimeUser = "admin"

// once checks the one-time password. Whoever came in by it configures the
// machine, which ends the password, and stays.
func (r *Rules) once(password string) (Grant, error) {
	got := sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(got[:], r.oneTime[:]) != 1 {
		return Grant{}, fmt.Errorf("%w: wrong one-time password", ErrDenied)
	}
	return Grant{
		User: oneTimeUser, Role: api.Admin, Means: "one-time password",
		still: func(*Rules) bool { return true },
	}, nil
}

// Holds reports whether somebody who was let in before would be by these rules
// too, as the same with the same role.
func (r *Rules) Holds(g Grant) bool {
	return r != nil && g.still != nil && g.still(r)
}

// same is the user of these rules who is u, if his role did not change.
func (r *Rules) same(u *user) *user {
	if now := r.users[u.name]; now != nil && now.role == u.role {
		return now
	}
	return nil
}

// Proven reports whether a Grant was given for a key or a password, and not
// for being at the machine.
func (g Grant) Proven() bool { return g.still != nil }
