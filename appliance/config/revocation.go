package config

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Revocation takes away what a key or certificate would be let in by. One of
// its parts is given.
type Revocation struct {
	// Fingerprint is that of a key: by itself, in a certificate, or as an
	// authority.
	Fingerprint string
	KeyID       string // of certificates
	First, Last uint64 // serial numbers of certificates; 0: none
}

// The words that a revocation begins with, as in the specifications that
// ssh-keygen makes revocation lists of (ssh-keygen(1), KEY REVOCATION LISTS).
const (
	fingerprintMark = "SHA256:"
	keyIDMark       = "id:"
	serialMark      = "serial:"
)

// String gives it as it is written.
func (r Revocation) String() string {
	switch {
	case r.Fingerprint != "":
		return r.Fingerprint
	case r.KeyID != "":
		return keyIDMark + r.KeyID
	case r.First == r.Last:
		return serialMark + strconv.FormatUint(r.First, 10)
	}
	return fmt.Sprintf("%s%d-%d", serialMark, r.First, r.Last)
}

// revocation reads what is revoked: a fingerprint, a key, a key id, a serial
// number or a range of them. What cannot be read is a mistake and no warning:
// who revokes relies on it.
func revocation(n *node) (Revocation, *fault) {
	const expected = "SHA256:FINGERPRINT, a public key, serial:42, serial:42-50 or id:KEY-ID"
	text := strings.TrimSpace(n.text)
	wrong := func(problem, hint string) (Revocation, *fault) {
		return Revocation{}, &fault{problem: problem, expected: expected, hint: hint}
	}
	switch {
	case n.class == nullScalar || text == "":
		return wrong("is empty", "")
	case strings.Contains(text, "PRIVATE KEY"):
		return wrong("is a private key", "the .pub file beside it holds the public key")
	case strings.HasPrefix(text, fingerprintMark):
		sum, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(text, fingerprintMark))
		if err != nil || len(sum) != sha256.Size {
			return wrong(fmt.Sprintf("%q is no whole fingerprint", clip(text)), "ssh-keygen -l prints it, and so do the events of logins")
		}
		return Revocation{Fingerprint: text}, nil
	case strings.HasPrefix(text, keyIDMark):
		id := strings.TrimPrefix(text, keyIDMark)
		if id == "" || !printable(id) {
			return wrong("names no key id", "ssh-keygen -L prints it")
		}
		return Revocation{KeyID: id}, nil
	case strings.HasPrefix(text, serialMark):
		return serials(strings.TrimPrefix(text, serialMark), wrong)
	}
	key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(rest) > 0 {
		return wrong(fmt.Sprintf("%q says not what is revoked", clip(text)), "")
	}
	if certificate, ok := key.(*ssh.Certificate); ok {
		key = certificate.Key
	}
	return Revocation{Fingerprint: ssh.FingerprintSHA256(key)}, nil
}

// serials reads a serial number or two with a dash between them.
func serials(text string, wrong func(problem, hint string) (Revocation, *fault)) (Revocation, *fault) {
	low, high, span := strings.Cut(text, "-")
	if !span {
		high = low
	}
	first, err := strconv.ParseUint(low, 10, 64)
	last, err2 := strconv.ParseUint(high, 10, 64)
	switch {
	case err != nil || err2 != nil:
		return wrong(fmt.Sprintf("%q is no serial number", clip(text)), "")
	case first == 0:
		return wrong("the serial number 0 is that of all certificates that were given none", "revoke them by key or by id")
	case last < first:
		return wrong(fmt.Sprintf("%d is less than %d", last, first), "")
	}
	return Revocation{First: first, Last: last}, nil
}
