package appliance

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/events"
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
	return slices.Equal(a.Listen, b.Listen) && slices.Equal(a.CAs, b.CAs) && slices.Equal(a.Revoked, b.Revoked) && a.HostKey == b.HostKey &&
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
			HostKey:         g.hostKey(nil),
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
		HostKey:        g.hostKey(ssh.HostKeys),
		MaxConnections: ssh.MaxConnections,
		MaxPerAddress:  ssh.MaxPerAddress,
		MaxPerMinute:   ssh.MaxPerMinute,
		IdleTimeout:    api.Duration(ssh.IdleTimeout),

		HandshakeTimeout: api.Duration(ssh.HandshakeTimeout),
	}
	if len(ssh.Listen) == 0 {
		next.Listen = listenAll(own)
	}
	for _, r := range ssh.Revoked {
		next.Revoked = append(next.Revoked, api.Revocation{Fingerprint: r.Fingerprint, KeyID: r.KeyID, First: r.First, Last: r.Last})
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

// Audit records what somebody did.
func (b *backend) Audit(ctx context.Context, e api.AuditEntry) error {
	kind := events.Command
	if e.Kind == events.Session {
		kind = events.Session
	}
	text := e.Text
	if e.Result != "" {
		text += ": " + e.Result
	}
	b.events.Add(ctx, kind, "%s", text)
	return nil
}

// SessionEnded takes the session out of its candidates, and undoes its
// unconfirmed commit soon when it was lost and nobody comes.
func (b *backend) SessionEnded(ctx context.Context, session string, lost bool) error {
	if actor := api.ActorOf(ctx); actor.Role != "" && actor.Session != session {
		return &api.Error{Message: fmt.Sprintf("session %q is another's", session)}
	}
	b.shells.forget(session)
	var errs []error
	for _, e := range b.candidatesOf(session) {
		errs = append(errs, b.leave(e, session))
	}
	if !lost && b.board.await(ctx, -1).ConfirmBy.IsZero() {
		return errors.Join(errs...) // nobody who leaves waits for the reconciler
	}
	_, err := submit(ctx, b.reconciler, func(ctx context.Context) (struct{}, error) {
		b.reconciler.sessionEnded(ctx, session, lost)
		return struct{}{}, nil
	})
	return errors.Join(append(errs, err)...)
}
