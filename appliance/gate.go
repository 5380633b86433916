package appliance

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base32"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/network"
)

// sshPort is where SSH listens unless the configuration says otherwise.
const sshPort = 22

// Limits of SSH on a machine that has no configuration to say them.
const (
	maintenanceConnections = 20
	maintenancePerAddress  = 5
)

// gate knows who may come in.
type gate struct {
	mu       sync.Mutex
	access   api.Access
	changed  chan struct{} // closed and replaced with every change
	password string        // one-time, of a machine in maintenance
	identity identity
}

// identity is what the gate knows of the machine's host key.
type identity struct {
	text, print string // of the configured one, and its fingerprint
	moves       int    // how often revisions and host key found another place
	spare       []byte // for when the one that is kept is of no use
}

// update makes the rules anew.
func (g *gate) update(next api.Access) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next.Generation = g.access.Generation
	if next.Generation > 0 && sameAccess(g.access, next) {
		return
	}
	next.Generation++
	g.access = next
	close(g.changed)
	g.changed = make(chan struct{})
}

func sameAccess(a, b api.Access) bool {
	return slices.Equal(a.Listen, b.Listen) && slices.Equal(a.CAs, b.CAs) && a.HostKey == b.HostKey &&
		a.OneTimePassword == b.OneTimePassword && a.MaxConnections == b.MaxConnections &&
		a.MaxPerAddress == b.MaxPerAddress && a.MaxPerMinute == b.MaxPerMinute &&
		a.IdleTimeout == b.IdleTimeout && a.HandshakeTimeout == b.HandshakeTimeout &&
		slices.EqualFunc(a.Users, b.Users, func(x, y api.User) bool {
			return x.Name == y.Name && x.Role == y.Role && x.PasswordHash == y.PasswordHash &&
				slices.Equal(x.Keys, y.Keys) && slices.Equal(x.Principals, y.Principals)
		})
}

// Access answers the rules as soon as they are newer than a generation.
func (b *backend) Access(ctx context.Context, newerThan int) (api.Access, error) {
	if err := shellAlone(ctx); err != nil {
		return api.Access{}, err
	}
	g := b.gate
	for {
		g.mu.Lock()
		access, changed := g.access, g.changed
		g.mu.Unlock()
		if access.Generation > newerThan {
			return access, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return access, nil
		}
	}
}

// admit makes the rules of what is configured, for own addresses that are not
// VIPs.
func (g *gate) admit(cfg *config.Config, state network.State) {
	own := ownAddresses(state)
	if cfg == nil {
		g.update(api.Access{
			HostKey:         g.hostKey(""),
			Listen:          listenAll(own),
			OneTimePassword: g.oneTimePassword(),
			MaxConnections:  maintenanceConnections,
			MaxPerAddress:   maintenancePerAddress,
		})
		return
	}
	ssh := cfg.Management.SSH
	next := api.Access{
		Listen:         listenOn(ssh.Listen, state),
		CAs:            ssh.CertificateAuthorities,
		HostKey:        g.hostKey(string(ssh.HostKey)),
		MaxConnections: ssh.MaxConnections,
		MaxPerAddress:  ssh.MaxPerAddress,
		MaxPerMinute:   ssh.MaxPerMinute,
		IdleTimeout:    api.Duration(ssh.IdleTimeout),

		HandshakeTimeout: api.Duration(ssh.HandshakeTimeout),
	}
	if len(ssh.Listen) == 0 {
		next.Listen = listenAll(own)
	}
	for _, u := range ssh.Users {
		next.Users = append(next.Users, api.User{
			Name: u.Name, Role: api.Role(u.Role), Keys: u.Keys, PasswordHash: string(u.PasswordHash), Principals: u.Principals,
		})
	}
	g.update(next)
}

// oneTimePassword is made once for each start of the control plane.
func (g *gate) oneTimePassword() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.password == "" {
		random := make([]byte, 10) // 80 bits
		_, _ = rand.Read(random)   // never fails (crypto/rand)
		text := base32.StdEncoding.EncodeToString(random)
		g.password = strings.ToLower(text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:])
	}
	return g.password
}

// ownAddresses are those that belong to this machine alone.
func ownAddresses(state network.State) []network.Address {
	return slices.DeleteFunc(slices.Clone(state.Addresses), func(a network.Address) bool { return a.VIP })
}

func listenAll(own []network.Address) []string {
	var all []string
	for _, a := range own {
		if a.Link != "lo" {
			all = append(all, netip.AddrPortFrom(a.Prefix.Addr(), sshPort).String())
		}
	}
	return all
}

// listenOn resolves what the configuration names: addresses, networks and
// interfaces.
func listenOn(wanted []config.SSHListen, state network.State) []string {
	var all []string
	for _, w := range wanted {
		for _, a := range ownAddresses(state) {
			ip := a.Prefix.Addr()
			if w.Interface != "" && w.Interface != a.Link || w.Prefix.IsValid() && !w.Prefix.Contains(ip) {
				continue
			}
			text := netip.AddrPortFrom(ip, w.Port).String()
			if !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	return all
}

// hostKey says which host key HostKey answers, without telling it: the
// fingerprint of the configured one, else which of those that the machine kept.
func (g *gate) hostKey(configured string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if configured == "" {
		return fmt.Sprintf("kept, %d", g.identity.moves)
	}
	if configured != g.identity.text {
		g.identity.text, g.identity.print = configured, "unreadable"
		if signer, err := ssh.ParsePrivateKey([]byte(configured)); err == nil {
			g.identity.print = ssh.FingerprintSHA256(signer.PublicKey())
		}
	}
	return g.identity.print
}

// moved tells that what the machine keeps is elsewhere from now on: the host
// key may be another one, and lasts longer.
func (g *gate) moved() {
	g.mu.Lock()
	g.identity.moves++
	next, moves := g.access, g.identity.moves
	g.mu.Unlock()
	if next.Generation == 0 || !strings.HasPrefix(next.HostKey, "kept") {
		return
	}
	next.HostKey = fmt.Sprintf("kept, %d", moves)
	g.update(next)
}

// HostKey answers the machine's SSH identity: the configured one, else the one
// that is kept, else one that is made now, and kept if there is a volume. A
// volume that is full or broken keeps nobody out: then the key is one that
// lasts as long as the control plane.
func (b *backend) HostKey(ctx context.Context) (api.HostKey, error) {
	if err := shellAlone(ctx); err != nil {
		return api.HostKey{}, err
	}
	if in, err := b.reconciler.configured(); err == nil {
		if key := in.config.Management.SSH.HostKey; key != "" {
			return b.shown(api.HostKey{PEM: []byte(key)})
		}
	}
	b.gate.mu.Lock()
	defer b.gate.mu.Unlock()
	key, err := b.keptHostKey()
	if err == nil {
		return b.shown(api.HostKey{PEM: key, Ephemeral: !b.shelf.lasting()})
	}
	if b.gate.identity.spare == nil {
		made, makeErr := makeHostKey()
		if makeErr != nil {
			return api.HostKey{}, errors.Join(err, makeErr)
		}
		b.gate.identity.spare = made
		b.events.add(ctx, eventSession, "the SSH host key could not be kept, another is in use that ends with the control plane: %v", err)
	}
	return b.shown(api.HostKey{PEM: b.gate.identity.spare, Ephemeral: true})
}

// keptHostKey is the host key that is kept, made if there is none.
func (b *backend) keptHostKey() ([]byte, error) {
	kept, err := b.shelf.hostKey()
	if err != nil {
		return nil, err
	}
	if kept != nil {
		if _, err := ssh.ParsePrivateKey(kept); err != nil {
			return nil, fmt.Errorf("host key: %w", err)
		}
		return kept, nil
	}
	made, err := makeHostKey()
	if err != nil {
		return nil, err
	}
	return made, b.shelf.keepHostKey(made)
}

// shown puts the key's fingerprint into the status.
func (b *backend) shown(key api.HostKey) (api.HostKey, error) {
	signer, err := ssh.ParsePrivateKey(key.PEM)
	if err != nil {
		return api.HostKey{}, fmt.Errorf("host key: %w", err)
	}
	fingerprint := ssh.FingerprintSHA256(signer.PublicKey())
	b.board.update(func(s *api.Status) { s.HostKey = fingerprint })
	return key, nil
}

func makeHostKey() ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// Audit records what somebody did.
func (b *backend) Audit(ctx context.Context, e api.AuditEntry) error {
	kind := eventCommand
	if e.Kind == eventSession {
		kind = eventSession
	}
	text := e.Text
	if e.Result != "" {
		text += ": " + e.Result
	}
	b.events.add(ctx, kind, "%s", text)
	return nil
}

// SessionEnded forgets the session's private candidates, and undoes its
// unconfirmed commit soon when it was lost and nobody comes.
func (b *backend) SessionEnded(ctx context.Context, session string, lost bool) error {
	if actor := api.ActorOf(ctx); actor.Role != "" && actor.Session != session {
		return &api.Error{Message: fmt.Sprintf("session %q is another's", session)}
	}
	b.shells.forget(session)
	var errs []error
	b.candidates.mu.Lock()
	for id, e := range b.candidates.open {
		if !e.Shared && session != "" && e.Owner.Session == session {
			delete(b.candidates.open, id)
			errs = append(errs, b.files.remove(id))
		}
	}
	b.candidates.mu.Unlock()
	if !lost && b.board.await(ctx, -1).ConfirmBy.IsZero() {
		return errors.Join(errs...) // nobody who leaves waits for the reconciler
	}
	_, err := submit(ctx, b.reconciler, func(ctx context.Context) (struct{}, error) {
		b.reconciler.sessionEnded(ctx, session, lost)
		return struct{}{}, nil
	})
	return errors.Join(append(errs, err)...)
}
