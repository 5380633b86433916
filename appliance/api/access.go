package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Gate is what the shell needs to let people in.
type Gate interface {
	// Access answers at once when the rules are newer than generation, and
	// waits for a change otherwise.
	Access(ctx context.Context, newerThan int) (Access, error)
	// HostKey answers the machine's private key for SSH.
	HostKey(ctx context.Context) (HostKey, error)
	// HostKeyOffered notes that the actor's client was told of the next host
	// key.
	HostKeyOffered(ctx context.Context, o HostKeyOffer) error
	// Audit records a command or a login in the log and among the events.
	Audit(ctx context.Context, e AuditEntry) error
	// SessionBegan tells that the Actor has just logged in, and may give any
	// command of his role in his session. Another session on a connection that
	// was there before is no login.
	SessionBegan(ctx context.Context) error
	// SessionEnded tells that an Actor.Session is over; lost when it ended
	// without its user's will.
	SessionEnded(ctx context.Context, session string, lost bool) error
}

// Access says who may log in, where and how.
type Access struct {
	Generation int      `json:"generation"`
	Listen     []string `json:"listen"` // "192.168.4.5:22"
	Users      []User   `json:"users,omitempty"`
	// CAs are the public keys, in authorized_keys form, whose certificates
	// count.
	CAs []string `json:"cas,omitempty"`
	// Revoked counts no more, whatever else would let it in.
	Revoked []Revocation `json:"revoked,omitempty"`
	// HostKey changes when HostKey of Gate answers another key. It is no key,
	// and nothing else is to be read from it.
	HostKey string `json:"host-key,omitempty"`
	// OneTimePassword lets "admin" in on a machine in maintenance; "" not.
	OneTimePassword string `json:"one-time-password,omitempty"`

	MaxConnections   int      `json:"max-connections"`
	MaxPerAddress    int      `json:"max-per-address"`
	MaxPerMinute     int      `json:"max-per-minute"` // new ones of an address
	IdleTimeout      Duration `json:"idle-timeout"`
	HandshakeTimeout Duration `json:"handshake-timeout"`
}

// Role is what a user may do; each may do all that those before it may.
type Role string

// The roles.
const (
	Viewer  Role = "viewer"
	Operate Role = "operator"
	Admin   Role = "admin"
)

// User is somebody who may log in.
type User struct {
	Name         string   `json:"name"`
	Role         Role     `json:"role"`
	Keys         []string `json:"keys,omitempty"`          // authorized_keys lines
	PasswordHash string   `json:"password-hash,omitempty"` // bcrypt or argon2id
	Principals   []string `json:"principals,omitempty"`    // of certificates; the name if none
}

// Revocation takes away what a key or certificate would be let in by. One of
// its parts is given.
type Revocation struct {
	// Fingerprint is that of a key: by itself, in a certificate, or as an
	// authority.
	Fingerprint string `json:"fingerprint,omitempty"`
	KeyID       string `json:"key-id,omitempty"` // of certificates
	First       uint64 `json:"first,omitempty"`  // serial numbers of certificates
	Last        uint64 `json:"last,omitempty"`
}

// HostKey is the machine's SSH identity.
type HostKey struct {
	PEM       []byte `json:"pem"`       // OpenSSH's private key format
	Ephemeral bool   `json:"ephemeral"` // gone with the next boot
	// Announced are further keys, as PEM: clients are told of them, so that
	// they know the machine when one of them takes the place of the first.
	Announced [][]byte `json:"announced,omitempty"`
}

// HostKeyOffer tells that a client was told of the next host key.
type HostKeyOffer struct {
	Fingerprint string `json:"fingerprint"` // of the next key
	// Learned: the client asked for the proof that the machine has the key, as
	// it does before it notes one that it does not know.
	Learned bool `json:"learned,omitempty"`
}

// HostKeys are the keys by which the machine is known, for everybody's eyes.
type HostKeys struct {
	Keys       []ShownHostKey  `json:"keys"`                 // the first one is in use
	Clients    []HostKeyClient `json:"clients,omitempty"`    // who came since the next key is announced
	Configured bool            `json:"configured,omitempty"` // given by the configuration
	Ephemeral  bool            `json:"ephemeral,omitempty"`  // gone with the next boot
}

// ShownHostKey is one of them.
type ShownHostKey struct {
	Type        string    `json:"type"`
	Fingerprint string    `json:"fingerprint"`
	Announced   bool      `json:"announced,omitempty"` // and not in use yet
	Since       time.Time `json:"since,omitzero"`      // made, announced or put into use
}

// HostKeyClient is somebody who logged in while a key was announced.
type HostKeyClient struct {
	User    string    `json:"user"`
	From    string    `json:"from"`
	Learned bool      `json:"learned"`
	Last    time.Time `json:"last"`
}

// HostKeyStep is a step of a host key's rotation.
type HostKeyStep string

// The steps.
const (
	HostKeyAnnounce HostKeyStep = "announce" // make the next key and tell clients of it
	HostKeyReplace  HostKeyStep = "replace"  // put the next key in the place of the present one
	HostKeyWithdraw HostKeyStep = "withdraw" // forget the next key
)

// AuditEntry is one command or login.
type AuditEntry struct {
	Kind   string   `json:"kind"` // "command" or "session"
	Text   string   `json:"text"` // without secrets
	Result string   `json:"result"`
	Took   Duration `json:"took,omitempty"`
}

// Actor is on whose behalf something is asked. The zero Actor is root on the
// machine itself.
type Actor struct {
	User        string `json:"user,omitempty"`
	Role        Role   `json:"role,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"` // of the key
	From        string `json:"from,omitempty"`        // address, or "console"
	Session     string `json:"session,omitempty"`     // unique while the shell runs
}

// actorHeader carries an Actor as JSON.
const actorHeader = "Dipper-Actor"

type actorKey struct{}

// WithActor makes everything that is asked with the context asked by a.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf answers on whose behalf ctx is.
func ActorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}

// parseActor reads an Actor from its header.
func parseActor(header string) (Actor, error) {
	var a Actor
	if header == "" {
		return a, nil
	}
	if err := json.Unmarshal([]byte(header), &a); err != nil {
		return a, err
	}
	if !slices.Contains([]Role{"", Viewer, Operate, Admin}, a.Role) {
		return a, fmt.Errorf("role %q: expected %s, %s or %s, or none for root", a.Role, Viewer, Operate, Admin)
	}
	return a, nil
}
