package shell

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	"dipper/shell/access"
)

// maxAuthTries is how many keys and passwords a connection may offer: a full
// agent offers as many keys before the right one.
const maxAuthTries = 6

// grantKey is where the connection's permissions hold its access.Grant. Only
// who proved a key or a password has one, and nothing is done for a connection
// without one.
type grantKey struct{}

var errNotNow = errors.New("too many wrong passwords: not looked at")

// softwareVersion begins like OpenSSH's own. Its client tells that nobody reads
// the output any more (eow@openssh.com) to nobody else (OpenSSH, compat.c), and
// a capture whose Wireshark was closed would go on for ever.
const softwareVersion = "OpenSSH_compatible_Dipper"

// library is the SSH server of one connection. It is made anew for each, so
// that a connection is let in by the rules at its time, whole.
func (c *connection) library(ctx context.Context) *ssh.Server {
	rules := c.server.rules.Load()
	keys := c.server.hostKeys.Load()
	if keys == nil {
		keys = &hostKeys{} // the library refuses to go on without
	}
	srv := &ssh.Server{
		Version:     softwareVersion,
		HostSigners: keys.present(),
		// A handler must be set: without any, the library lets everybody in.
		PublicKeyHandler: func(_ ssh.Context, _ ssh.PublicKey) bool { return false },
		ServerConfigCallback: func(lib ssh.Context) *gossh.ServerConfig {
			return &gossh.ServerConfig{
				Config:                  cryptography(),
				PublicKeyAuthAlgorithms: userKeyAlgorithms(),
				MaxAuthTries:            maxAuthTries,
				// In case the library ever wants to let everybody in.
				NoClientAuthCallback:      func(gossh.ConnMetadata) (*gossh.Permissions, error) { return nil, access.ErrDenied },
				VerifiedPublicKeyCallback: c.keyProven,
			}
		},
		ConnectionFailedCallback: func(_ net.Conn, err error) { c.loginFailed(err) },
		ChannelHandlers: map[string]ssh.ChannelHandler{
			"session": func(_ *ssh.Server, conn *gossh.ServerConn, nc gossh.NewChannel, _ ssh.Context) {
				defer c.server.survive("session from " + c.from.String())
				c.session(ctx, conn, nc)
			},
			"default": func(_ *ssh.Server, _ *gossh.ServerConn, nc gossh.NewChannel, _ ssh.Context) {
				// The connection is gone when this fails.
				_ = nc.Reject(gossh.Prohibited, "this machine forwards nothing")
			},
		},
		RequestHandlers: map[string]ssh.RequestHandler{
			"keepalive@openssh.com":         func(ssh.Context, *ssh.Server, *gossh.Request) (bool, []byte) { return true, nil },
			"hostkeys-prove-00@openssh.com": c.proveHostKeys,
		},
	}
	srv.PublicKeyHandler = func(lib ssh.Context, key ssh.PublicKey) bool { return c.keyOffered(rules, lib.User(), key) }
	if rules.TakesPasswords() {
		srv.PasswordHandler = c.password
	}
	if keys.ephemeral {
		srv.BannerHandler = func(ssh.Context) string {
			return fmt.Sprintf("This machine's SSH key lasts until it reboots. Compare with its console:\n%s\n",
				gossh.FingerprintSHA256(keys.signers[0].PublicKey()))
		}
	}
	return srv
}

// keyOffered answers whether a key would do. That its owner has it is not
// proven yet: nothing may follow from the answer.
func (c *connection) keyOffered(rules *access.Rules, user string, key gossh.PublicKey) bool {
	_, err := rules.Key(user, key, c.from, time.Now())
	c.denied(user, err)
	return err == nil
}

// keyProven lets the owner of a key in, by the rules of now.
func (c *connection) keyProven(conn gossh.ConnMetadata, key gossh.PublicKey, _ *gossh.Permissions, _ string) (*gossh.Permissions, error) {
	g, err := c.server.rules.Load().Key(conn.User(), key, c.from, time.Now())
	if err != nil {
		c.denied(conn.User(), err)
		return nil, err
	}
	return c.admit(g)
}

// password checks a password. The answer to a wrong one takes the same time
// whether the user exists or not. The library keeps the name of the first
// attempt: who changes it in between is checked as the first one, and is that
// one when he comes in.
func (c *connection) password(lib ssh.Context, password string) bool {
	began := time.Now()
	perms, err := c.checkPassword(lib, lib.User(), password)
	if err != nil {
		c.denied(lib.User(), err)
		c.wait(lib, c.server.Times.Denial-time.Since(began))
		return false
	}
	lib.Permissions().Permissions = perms
	return true
}

func (c *connection) checkPassword(ctx context.Context, user, password string) (*gossh.Permissions, error) {
	s := c.server
	if !s.guesses.Allow(c.from, time.Now()) {
		return nil, errNotNow
	}
	// One at a time: a hash may take 64 MiB.
	select {
	case s.checking <- struct{}{}:
		defer func() { <-s.checking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
		return nil, net.ErrClosed
	}
	g, err := lookAt(s.rules.Load(), s.free, user, password)
	if errors.Is(err, access.ErrDenied) {
		s.refusals.looked()
	}
	if err != nil {
		return nil, err
	}
	s.guesses.Right(c.from, time.Now())
	return c.admit(g)
}

// wait waits for d or the end of the connection.
func (c *connection) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-c.done:
	}
}

// admit makes somebody known who proved who he is.
func (c *connection) admit(g access.Grant) (*gossh.Permissions, error) {
	if err := c.visitor.Known(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.grant = &g
	c.mu.Unlock()
	// The rules may have changed while he was not known to be in.
	if !c.server.rules.Load().Holds(g) {
		return nil, access.ErrDenied
	}
	c.alarm.Reset(time.Duration(c.server.handshake.Load())) // to ask for a session
	return &gossh.Permissions{ExtraData: map[any]any{grantKey{}: g}}, nil
}

// denied keeps why somebody was not let in, for the log: the last reason, but
// rather that something revoked was tried. A client goes on with what else it
// has.
func (c *connection) denied(user string, err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.reason, access.ErrRevoked) && !errors.Is(err, access.ErrRevoked) {
		return
	}
	c.claimed, c.reason = user, err
}

// loginFailed tells the log about a connection without a login.
func (c *connection) loginFailed(err error) {
	c.mu.Lock()
	user, reason, why := c.claimed, c.reason, c.why
	c.mu.Unlock()
	switch {
	case reason != nil:
		err = reason
	case why != "":
		err = errors.New(why)
	}
	c.server.refused(c.from, user, err)
}
