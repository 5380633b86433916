package access

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"dipper/appliance/api"
)

// TestRevoked takes away what would let somebody in, from who comes and from
// who is in.
func TestRevoked(t *testing.T) {
	key, other, authority, second := newKey(t), newKey(t), newKey(t), newKey(t)
	sign := func(by ssh.Signer, serial uint64, id string) *ssh.Certificate {
		t.Helper()
		cert := &ssh.Certificate{
			Key: key.PublicKey(), KeyId: id, Serial: serial, CertType: ssh.UserCert, ValidPrincipals: []string{"joe"}, ValidBefore: ssh.CertTimeInfinity,
		}
		if err := cert.SignCert(rand.Reader, by); err != nil {
			t.Fatal(err)
		}
		return cert
	}
	print := func(s ssh.Signer) api.Revocation {
		return api.Revocation{Fingerprint: ssh.FingerprintSHA256(s.PublicKey())}
	}
	offered := []struct {
		name string
		key  ssh.PublicKey
	}{
		{"key", key.PublicKey()},
		{"other", other.PublicKey()},
		{"joe42", sign(authority, 42, "joe")},
		{"joe43", sign(authority, 43, "joe")},
		{"desk0", sign(authority, 0, "joe@desk")},
		{"second42", sign(second, 42, "joe at night")},
	}
	access := func(revoked ...api.Revocation) *Rules {
		return compile(t, api.Access{
			Users:   []api.User{{Name: "joe", Role: api.Admin, Keys: []string{line(key), line(other)}}},
			CAs:     []string{line(authority), line(second)},
			Revoked: revoked,
		})
	}
	tests := map[string]struct {
		revoked []api.Revocation
		want    string // who is still let in
	}{
		"nothing":      {nil, "key other joe42 joe43 desk0 second42"},
		"a serial":     {[]api.Revocation{{First: 42, Last: 42}}, "key other joe43 desk0"},
		"serials":      {[]api.Revocation{{First: 40, Last: 50}}, "key other desk0"},
		"other serial": {[]api.Revocation{{First: 44, Last: 1<<64 - 1}}, "key other joe42 joe43 desk0 second42"},
		"an id":        {[]api.Revocation{{KeyID: "joe"}}, "key other desk0 second42"},
		"a key":        {[]api.Revocation{print(key)}, "other"},
		"an authority": {[]api.Revocation{print(second)}, "key other joe42 joe43 desk0"},
		"several":      {[]api.Revocation{print(other), {First: 43, Last: 43}, {KeyID: "joe@desk"}}, "key joe42 second42"},
	}
	before := access()
	for name, tt := range tests {
		r := access(tt.revoked...)
		var in, stay []string
		for _, o := range offered {
			g, err := before.Key("joe", o.key, home, noon)
			if err != nil {
				t.Fatal(err)
			}
			if r.Holds(g) {
				stay = append(stay, o.name)
			}
			_, err = r.Key("joe", o.key, home, noon)
			if err == nil {
				in = append(in, o.name)
			} else if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "is revoked") {
				t.Errorf("%s: %s: %v", name, o.name, err)
			}
		}
		if got := strings.Join(in, " "); got != tt.want {
			t.Errorf("%s: let in are %q, want %q", name, got, tt.want)
		}
		if got := strings.Join(stay, " "); got != tt.want {
			t.Errorf("%s: who stay are %q, want %q", name, got, tt.want)
		}
	}
}
