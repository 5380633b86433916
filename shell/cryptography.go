package shell

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	"dipper/appliance/api"
	"dipper/shell/access"
)

// hostKeys are the keys by which the machine is known: the first is used, all
// are announced.
type hostKeys struct {
	signers   []gossh.Signer
	ephemeral bool
}

// present is the key in use. The others are not offered for key exchange: the
// library holds one of each type, and a client that knows the present one must
// not be shown another.
func (k *hostKeys) present() []ssh.Signer {
	if len(k.signers) == 0 {
		return nil
	}
	return []ssh.Signer{k.signers[0]}
}

// next is the fingerprint of the key that takes the place of the present one;
// "": there is none.
func (k *hostKeys) next() string {
	if len(k.signers) < 2 {
		return ""
	}
	return gossh.FingerprintSHA256(k.signers[1].PublicKey())
}

// loadHostKey asks for the host keys. What is there already will do when the
// control plane does not answer, and none is needed to listen nowhere.
func (s *SSH) loadHostKey(ctx context.Context, needed bool) error {
	if !needed {
		return nil
	}
	answer, err := s.Gate.HostKey(ctx)
	var signers []gossh.Signer
	if err == nil {
		signers, err = parseHostKeys(append([][]byte{answer.PEM}, answer.Announced...))
	}
	if err != nil {
		if s.hostKeys.Load() != nil {
			s.Log.Warn("ssh: host key: going on with the one before", "error", err)
			return nil
		}
		return err
	}
	s.hostKeys.Store(&hostKeys{signers: signers, ephemeral: answer.Ephemeral})
	return nil
}

// The host key algorithms; RSA only with SHA-2.
var hostKeyAlgorithms = map[string][]string{
	gossh.KeyAlgoED25519:  {gossh.KeyAlgoED25519},
	gossh.KeyAlgoECDSA256: {gossh.KeyAlgoECDSA256},
	gossh.KeyAlgoECDSA384: {gossh.KeyAlgoECDSA384},
	gossh.KeyAlgoECDSA521: {gossh.KeyAlgoECDSA521},
	gossh.KeyAlgoRSA:      {gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256},
}

func parseHostKeys(all [][]byte) ([]gossh.Signer, error) {
	var signers []gossh.Signer
	for _, pem := range all {
		signer, err := parseHostKey(pem)
		if err != nil {
			return nil, err
		}
		signers = append(signers, signer)
	}
	return signers, nil
}

func parseHostKey(pem []byte) (gossh.Signer, error) {
	signer, err := gossh.ParsePrivateKey(pem)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	algorithms, ok := hostKeyAlgorithms[signer.PublicKey().Type()]
	with, can := signer.(gossh.AlgorithmSigner)
	if !ok || !can {
		return nil, fmt.Errorf("host key: type %s is not supported: expected ssh-ed25519", signer.PublicKey().Type())
	}
	return gossh.NewSignerWithAlgorithms(with, algorithms)
}

// cryptography is what is offered: nothing with SHA-1, CBC or curves of doubt.
func cryptography() gossh.Config {
	return gossh.Config{
		KeyExchanges: []string{gossh.KeyExchangeMLKEM768X25519, gossh.KeyExchangeCurve25519, gossh.KeyExchangeECDHP256, gossh.KeyExchangeDH16SHA512},
		Ciphers:      []string{gossh.CipherChaCha20Poly1305, gossh.CipherAES256GCM, gossh.CipherAES128GCM, gossh.CipherAES256CTR, gossh.CipherAES128CTR},
		MACs:         []string{gossh.HMACSHA256ETM, gossh.HMACSHA512ETM, gossh.HMACSHA256},
	}
}

// userKeyAlgorithms are the signatures by which users prove their keys.
func userKeyAlgorithms() []string {
	return []string{
		gossh.KeyAlgoED25519, gossh.KeyAlgoSKED25519, gossh.KeyAlgoSKECDSA256,
		gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521,
		gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256,
	}
}

// announceHostKeys tells the client all keys of the machine, so that it knows
// the next one already (OpenSSH's PROTOCOL, section 2.5). A connection hears of
// them once: OpenSSH's client ends at a second announcement (clientloop.c,
// client_input_hostkeys).
func (c *connection) announceHostKeys(conn *gossh.ServerConn, g access.Grant) {
	keys := c.server.hostKeys.Load()
	var payload []byte
	for _, s := range keys.signers {
		payload = append(payload, gossh.Marshal(struct{ Key []byte }{s.PublicKey().Marshal()})...)
	}
	c.toldOfNextKey(g, api.HostKeyOffer{Fingerprint: keys.next()})
	// A client that is gone needs no keys.
	_, _, _ = conn.SendRequest("hostkeys-00@openssh.com", false, payload)
}

// toldOfNextKey has noted what the client knows of the next host key: who is
// asked to put it into use wants to know whom it would surprise.
func (c *connection) toldOfNextKey(g access.Grant, o api.HostKeyOffer) {
	if o.Fingerprint == "" {
		return
	}
	c.goes(func() {
		ctx, cancel := context.WithTimeout(api.WithActor(context.Background(), c.actor(g, "")), auditPatience)
		defer cancel()
		if err := c.server.Gate.HostKeyOffered(ctx, o); err != nil {
			c.server.Log.Warn("ssh: not noted who was told of the next host key", "user", g.User, "error", err)
		}
	})
}

// proveHostKeys signs for each of the keys that the client asks about.
func (c *connection) proveHostKeys(lib ssh.Context, _ *ssh.Server, req *gossh.Request) (bool, []byte) {
	conn, ok := lib.Value(ssh.ContextKeyConn).(*gossh.ServerConn)
	if !ok {
		return false, nil
	}
	keys := c.server.hostKeys.Load()
	proof, err := proveKeys(keys.signers, conn.SessionID(), req.Payload)
	if g, in := c.granted(); err == nil && in && len(keys.signers) > 1 && bytes.Contains(req.Payload, keys.signers[1].PublicKey().Marshal()) {
		c.toldOfNextKey(g, api.HostKeyOffer{Fingerprint: keys.next(), Learned: true})
	}
	return err == nil, proof
}

// proveKeys answers a request to prove keys: a signature for each.
func proveKeys(signers []gossh.Signer, session, asked []byte) ([]byte, error) {
	var proof []byte
	for range signers { // each once
		if len(asked) == 0 {
			return proof, nil
		}
		var next struct {
			Key  []byte
			Rest []byte `ssh:"rest"`
		}
		if err := gossh.Unmarshal(asked, &next); err != nil {
			return nil, err
		}
		asked = next.Rest
		i := slices.IndexFunc(signers, func(s gossh.Signer) bool { return string(s.PublicKey().Marshal()) == string(next.Key) })
		if i < 0 {
			return nil, errors.New("a key that is not the machine's")
		}
		signed, err := prove(signers[i], gossh.Marshal(struct {
			Purpose string
			Session []byte
			Key     []byte
		}{"hostkeys-prove-00@openssh.com", session, next.Key}))
		if err != nil {
			return nil, err
		}
		proof = append(proof, gossh.Marshal(struct{ Signature []byte }{gossh.Marshal(signed)})...)
	}
	if len(asked) > 0 {
		return nil, errors.New("more keys than the machine has")
	}
	return proof, nil
}

// prove signs by the best algorithm of a key: what the library does by itself
// is SHA-1 where the key is an RSA one.
func prove(signer gossh.Signer, text []byte) (*gossh.Signature, error) {
	if with, can := signer.(gossh.MultiAlgorithmSigner); can {
		return with.SignWithAlgorithm(rand.Reader, text, with.Algorithms()[0])
	}
	return signer.Sign(rand.Reader, text)
}
