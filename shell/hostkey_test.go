package shell

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"dipper/appliance/api"
)

// anotherKey is a host key, and how it is shown.
func anotherKey(t *testing.T) (pemText []byte, fingerprint string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := gossh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), gossh.FingerprintSHA256(key)
}

// fleeting is a gate whose host key does not last.
type fleeting struct{ *gate }

func (g fleeting) HostKey(ctx context.Context) (api.HostKey, error) {
	key, err := g.gate.HostKey(ctx)
	key.Ephemeral = true
	return key, err
}

// TestEphemeralHostKey has the banner tell the fingerprint of a key that nobody
// can know, and no other.
func TestEphemeralHostKey(t *testing.T) {
	joe := newPerson(t, "joe")
	for name, ephemeral := range map[string]bool{"lasting": false, "ephemeral": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t, one(joe), func(s *SSH) {
				if ephemeral {
					s.Gate = fleeting{s.Gate.(*gate)}
				}
			})
			var seen, banner string
			c, err := gossh.Dial("tcp", s.address, &gossh.ClientConfig{
				User: "joe", Auth: []gossh.AuthMethod{gossh.PublicKeys(joe.signer())},
				HostKeyCallback: func(_ string, _ net.Addr, key gossh.PublicKey) error {
					seen = gossh.FingerprintSHA256(key)
					return nil
				},
				BannerCallback: func(text string) error {
					banner += text
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if told := strings.Contains(banner, seen); told != ephemeral {
				t.Errorf("the banner of a key %s: %q", seen, banner)
			}
		})
	}
}

// TestHostKeyIsReplaced uses a key that a commit brought for the next connection,
// and goes on with the one before when the new one cannot be read.
func TestHostKeyIsReplaced(t *testing.T) {
	joe := newPerson(t, "joe")
	a := one(joe)
	a.MaxPerMinute = 10_000
	s := start(t, a)
	next, want := anotherKey(t)
	use := func(key []byte, which string) {
		s.gate.change(func(a *api.Access) { s.gate.hostKey, a.HostKey = key, which })
	}
	use(next, "next")
	s.awaitKey(t, want)
	use([]byte("-----BEGIN OPENSSH PRIVATE KEY-----"), "broken")
	last, wantLast := anotherKey(t)
	use(last, "last")
	s.awaitKey(t, wantLast)
}

// awaitKey connects until the machine shows a key.
func (s *server) awaitKey(t *testing.T, want string) {
	t.Helper()
	for t.Context().Err() == nil {
		seen := ""
		raw, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		// The key is all that is wanted: nobody logs in.
		_, _, _, err = gossh.NewClientConn(raw, s.address, &gossh.ClientConfig{
			HostKeyCallback: func(_ string, _ net.Addr, key gossh.PublicKey) error {
				seen = gossh.FingerprintSHA256(key)
				return gossh.ErrNoAuth
			},
		})
		raw.Close()
		if err == nil {
			t.Fatal("somebody is let in without anything")
		}
		if seen == want {
			return
		}
	}
}
