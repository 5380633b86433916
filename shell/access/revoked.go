package access

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"dipper/appliance/api"
)

// ErrRevoked is why somebody is not let in by what would let him in otherwise.
var ErrRevoked = errors.New("revoked")

// revoked is what counts no more.
type revoked struct {
	fingerprints map[string]bool
	keyIDs       map[string]bool
	serials      []api.Revocation // those with serial numbers
}

func compileRevoked(all []api.Revocation) revoked {
	r := revoked{fingerprints: map[string]bool{}, keyIDs: map[string]bool{}}
	for _, one := range all {
		switch {
		case one.Fingerprint != "":
			r.fingerprints[one.Fingerprint] = true
		case one.KeyID != "":
			r.keyIDs[one.KeyID] = true
		case one.Last != 0:
			r.serials = append(r.serials, one)
		}
	}
	return r
}

// covers says why a key or certificate counts no more. A serial number is
// revoked whichever authority gave it.
func (r revoked) covers(key ssh.PublicKey) error {
	certificate, ok := key.(*ssh.Certificate)
	if !ok {
		return r.coversKey("the key", key)
	}
	if r.keyIDs[certificate.KeyId] {
		return fmt.Errorf("the key id %q is %w", certificate.KeyId, ErrRevoked)
	}
	for _, s := range r.serials {
		if s.First <= certificate.Serial && certificate.Serial <= s.Last {
			return fmt.Errorf("the serial number %d is %w", certificate.Serial, ErrRevoked)
		}
	}
	if err := r.coversKey("the authority", certificate.SignatureKey); err != nil {
		return err
	}
	return r.coversKey("the key", certificate.Key)
}

func (r revoked) coversKey(what string, key ssh.PublicKey) error {
	if fingerprint := ssh.FingerprintSHA256(key); r.fingerprints[fingerprint] {
		return fmt.Errorf("%s %s is %w", what, fingerprint, ErrRevoked)
	}
	return nil
}
