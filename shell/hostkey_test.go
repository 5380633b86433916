package shell

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
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

// TestHostKeyRotation takes all the steps to another host key with OpenSSH's
// client, which is asked to believe nothing that it does not know: it learns
// the announced key, finds it in use the next time, and forgets the old one.
func TestHostKeyRotation(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	first := s.knownAs(t)
	joe.learns(t, s, first)
	next, fingerprint := anotherKey(t)
	rotate := func(present []byte, announced ...[]byte) {
		s.gate.change(func(a *api.Access) { s.gate.hostKey, s.gate.announced, a.HostKey = present, announced, a.HostKey+"x" })
	}
	rotate(s.gate.hostKey, next)
	eventually(t, "the key to be announced", func() bool { return s.hostKeys.Load().next() == fingerprint })
	if got := s.knownAs(t); got != first {
		t.Errorf("the announced key is in use already: %s", got)
	}
	joe.learns(t, s, first, fingerprint)
	s.gate.await(t, "the client to be noted", func() bool {
		return slices.Contains(s.gate.offers, "joe "+fingerprint+" learned: false") && slices.Contains(s.gate.offers, "joe "+fingerprint+" learned: true")
	})
	rotate(next)
	s.awaitKey(t, fingerprint)
	joe.learns(t, s, fingerprint)
}

// knownAs is the key that the machine shows.
func (s *server) knownAs(t *testing.T) string {
	t.Helper()
	return gossh.FingerprintSHA256(s.hostKeys.Load().signers[0].PublicKey())
}

// learns has OpenSSH's client log in, and waits until it knows the machine by
// some keys and no others. Without a first key in its file it takes what it
// sees; with one it takes nothing that it does not know.
func (p *person) learns(t *testing.T, s *server, want ...string) {
	t.Helper()
	strict := "yes"
	if _, err := os.Stat(p.file("known_hosts")); err != nil {
		strict = "accept-new"
	}
	// The first value of an option counts (ssh_config(5)).
	client := exec.Command("ssh", append([]string{"-o", "StrictHostKeyChecking=" + strict, "-o", "UpdateHostKeys=yes"}, append(p.options(s), "host", "cat")...)...)
	in, err := client.StdinPipe() // keeps the session until the client has its proofs
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	client.Stderr = &said
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, fmt.Sprintf("known_hosts with %s", want), func() bool { return slices.Equal(p.knows(t), slices.Sorted(slices.Values(want))) })
	in.Close()
	if err := client.Wait(); err != nil || said.Len() > 0 {
		t.Errorf("%v: %s", err, said.String())
	}
}

// knows are the fingerprints in the client's known_hosts, in order.
func (p *person) knows(t *testing.T) []string {
	t.Helper()
	text, _ := os.ReadFile(p.file("known_hosts")) // not there before the first login
	var prints []string
	for len(text) > 0 {
		_, _, key, _, rest, err := gossh.ParseKnownHosts(text)
		if err != nil {
			break
		}
		prints, text = append(prints, gossh.FingerprintSHA256(key)), rest
	}
	slices.Sort(prints)
	return prints
}

// TestProofOfRSA proves an RSA key by SHA-2: clients of today take no SHA-1.
func TestProofOfRSA(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := parseHostKey(pem.EncodeToMemory(block))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := prove(signer, []byte("text"))
	if err != nil || signature.Format != gossh.KeyAlgoRSASHA512 {
		t.Errorf("signed by %v, %v", signature, err)
	}
}
