package access

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// maxPassword is the longest password that is looked at, in bytes.
const maxPassword = 1024

// The costliest hashes that count: a director has other things to do, and not
// much memory.
const (
	maxBcryptCost   = 14
	maxArgon2Memory = 64 << 10 // KiB
	maxArgon2Passes = 10
	maxArgon2Lanes  = 16
)

// passwordHash is a password as the configuration has it.
type passwordHash struct {
	text   string
	argon2 *argon2id // nil: bcrypt
	cost   int       // to compare hashes by: about bytes times rounds
}

// argon2id are the parts of "$argon2id$v=19$m=65536,t=3,p=4$SALT$HASH".
type argon2id struct {
	memory, passes uint32 // KiB, rounds
	lanes          uint8
	salt, hash     []byte
}

// parsePasswordHash reads a hash as htpasswd -B, mkpasswd and argon2 print it.
func parsePasswordHash(text string) (*passwordHash, error) {
	if strings.HasPrefix(text, "$argon2id$") {
		a, err := parseArgon2id(text)
		if err != nil {
			return nil, err
		}
		return &passwordHash{text: text, argon2: a, cost: int(a.memory) << 10 * int(a.passes)}, nil
	}
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil {
		return nil, errors.New("expected a hash that begins with $2b$ (bcrypt) or $argon2id$")
	}
	if cost > maxBcryptCost {
		return nil, fmt.Errorf("bcrypt cost %d: expected at most %d", cost, maxBcryptCost)
	}
	return &passwordHash{text: text, cost: 4096 << cost}, nil
}

func parseArgon2id(text string) (*argon2id, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[2] != "v=19" {
		return nil, errors.New("expected $argon2id$v=19$m=…,t=…,p=…$SALT$HASH")
	}
	a := &argon2id{}
	if err := a.parseCost(parts[3]); err != nil {
		return nil, err
	}
	var err error
	if a.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(a.salt) < 8 || len(a.salt) > 64 {
		return nil, errors.New("salt: expected 8 to 64 bytes in base64 without padding")
	}
	if a.hash, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(a.hash) < 16 || len(a.hash) > 64 {
		return nil, errors.New("hash: expected 16 to 64 bytes in base64 without padding")
	}
	return a, nil
}

func (a *argon2id) parseCost(text string) error {
	var lanes uint32
	n, err := fmt.Sscanf(text, "m=%d,t=%d,p=%d", &a.memory, &a.passes, &lanes)
	if err != nil || n != 3 || text != fmt.Sprintf("m=%d,t=%d,p=%d", a.memory, a.passes, lanes) {
		return fmt.Errorf("%q: expected m=KIB,t=PASSES,p=LANES", text)
	}
	if a.memory < 8 || a.memory > maxArgon2Memory || a.passes < 1 || a.passes > maxArgon2Passes || lanes < 1 || lanes > maxArgon2Lanes {
		return fmt.Errorf("%q: expected at most m=%d,t=%d,p=%d", text, maxArgon2Memory, maxArgon2Passes, maxArgon2Lanes)
	}
	a.lanes = uint8(lanes)
	return nil
}

// matches costs the same for every password.
func (h *passwordHash) matches(password string) bool {
	if h == nil {
		return false
	}
	if a := h.argon2; a != nil {
		got := argon2.IDKey([]byte(password), a.salt, a.passes, a.memory, a.lanes, uint32(len(a.hash)))
		return subtle.ConstantTimeCompare(got, a.hash) == 1
	}
	return bcrypt.CompareHashAndPassword([]byte(h.text), []byte(password)) == nil
}

// costlier is the hash that takes longer to check.
func costlier(a, b *passwordHash) *passwordHash {
	if a == nil || b != nil && b.cost > a.cost {
		return b
	}
	return a
}
