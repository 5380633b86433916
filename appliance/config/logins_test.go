package config

import (
	"slices"
	"strings"
	"testing"
)

// TestEndedLogins: a configuration after which nobody can log in as admin, where
// somebody could before.
func TestEndedLogins(t *testing.T) {
	const (
		annsKey    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBVPRn7m7GLlBsJHsl7ihWqAGh7N3vJTpOY2jvXrgSDl ann@desk"
		none       = "management.ssh.users: nobody can log in over SSH any more"
		notAsAdmin = "management.ssh.users: nobody can log in over SSH as admin any more"
		hash       = "$2b$14$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
	)
	admin := "{users: {joe: {role: admin, keys: ['" + joesKey + "']}}}"
	for name, tt := range map[string]struct {
		before, after string // of management.ssh; "maintenance": no configuration
		want          []string
		own           bool // joe's session ends
	}{
		"nothing changes":        {admin, admin, nil, false},
		"all of it":              {admin, "", []string{none}, true},
		"nobody could before":    {"{users: {joe: {role: viewer}}}", "", nil, true},
		"out of maintenance":     {"maintenance", "", []string{none}, false},
		"into service":           {"maintenance", admin, nil, false},
		"no key":                 {admin, "{users: {joe: {role: admin}}}", []string{none}, true},
		"another key":            {admin, "{users: {joe: {role: admin, keys: ['" + annsKey + "']}}}", nil, true},
		"a key that is none":     {admin, "{users: {joe: {role: admin, keys: [ssh-ed25519 AAAAbroken]}}}", []string{none}, true},
		"a key for one command":  {admin, "{users: {joe: {role: admin, keys: ['command=\"show status\" " + joesKey + "']}}}", []string{none}, true},
		"a key from somewhere":   {admin, "{users: {joe: {role: admin, keys: ['from=\"10.0.0.0/8\" " + joesKey + "']}}}", nil, false},
		"a revoked key":          {admin, "{revoked: ['" + joesPrint + "'], users: {joe: {role: admin, keys: ['" + joesKey + "']}}}", []string{none}, true},
		"no admin":               {admin, "{users: {joe: {role: operator, keys: ['" + joesKey + "']}}}", []string{notAsAdmin}, true},
		"a password instead":     {admin, "{users: {joe: {role: admin, password-hash: '" + hash + "'}}}", nil, true},
		"one that is not looked": {admin, "{users: {joe: {role: admin, password-hash: '" + strings.Replace(hash, "14", "31", 1) + "'}}}", []string{none}, true},
		"certificates":           {admin, "{certificate-authorities: ['" + annsKey + "'], users: {joe: {role: admin}}}", nil, true},
		"another admin":          {admin, "{users: {ann: {role: admin, keys: ['" + annsKey + "']}}}", nil, true},
	} {
		read := func(ssh string) *Config {
			switch ssh {
			case "maintenance":
				return nil
			case "":
				return parsed(t, "role: director\n")
			}
			return parsed(t, "role: director\nmanagement: {ssh: "+ssh+"}\n")
		}
		before, after := read(tt.before), read(tt.after)
		if got := EndedLogins(before, after); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		fingerprint := joesPrint
		if strings.Contains(tt.before, "viewer") {
			fingerprint = "" // a password, which he had no more
		}
		if got := EndsSession(before, after, "joe", fingerprint); got != tt.own {
			t.Errorf("%s: joe's session ends: %t, want %t", name, got, tt.own)
		}
	}
	password := func(hash string) *Config {
		return parsed(t, "role: director\nmanagement: {ssh: {users: {joe: {role: admin, password-hash: '"+hash+"'}}}}\n")
	}
	other := strings.Replace(hash, "14", "12", 1)
	if EndsSession(password(hash), password(hash), "joe", "") || !EndsSession(password(hash), password(other), "joe", "") || EndsSession(password(hash), password(other), "ann", "") {
		t.Error("a session ends with its password, and with no other")
	}
}
