package access

import (
	"errors"
	"strings"
	"testing"

	"dipper/appliance/api"
)

// Hashes that other programs made: `printf secret | argon2 saltsalt -id -e
// -t 2 -m 10 -p 2`, and "allmine" by crypt(3).
const (
	bcryptAllmine = "$2b$04$Yh8D6rGoxBo2ogx3tLWBAueIafewdo4M/KJnulgxvIQPL6jPZZP1i"
	argon2Secret  = "$argon2id$v=19$m=1024,t=2,p=2$c2FsdHNhbHQ$sL6wu3ggX6bmsdUhrhrHku85/CHUlt5blUZ3sqNvCd0"
)

func TestPassword(t *testing.T) {
	r := compile(t, api.Access{
		Users: []api.User{
			{Name: "joe", Role: api.Operate, PasswordHash: bcryptAllmine},
			{Name: "ann", Role: api.Admin, PasswordHash: argon2Secret},
			{Name: "keys", Role: api.Admin},
		},
		OneTimePassword: "quick-brown-fox",
	})
	tests := []struct {
		user, password string
		want           api.Role // "": denied
	}{
		{"joe", "allmine", api.Operate},
		{"joe", "allmin", ""},
		{"joe", "allminee", ""},
		{"joe", "", ""},
		{"ann", "secret", api.Admin},
		{"ann", "allmine", ""},
		{"keys", "", ""},
		{"keys", "allmine", ""},
		{"nobody", "allmine", ""},
		{"admin", "quick-brown-fox", api.Admin},
		{"admin", "quick-brown-fo", ""},
		{"admin", "", ""},
		{"joe", "quick-brown-fox", ""},
		{"joe", strings.Repeat("x", 1<<20), ""},
	}
	for _, tt := range tests {
		g, err := r.Password(tt.user, tt.password)
		if (err == nil) != (tt.want != "") || g.Role != tt.want || err != nil && !errors.Is(err, ErrDenied) {
			t.Errorf("%s, %.20q: got %q, %v; want %q", tt.user, tt.password, g.Role, err, tt.want)
		}
		if err == nil && (g.Fingerprint != "" || g.User != tt.user) {
			t.Errorf("%s: got %+v", tt.user, g)
		}
	}
}

// TestOneTimeIsOver ends the password, but not who came in by it.
func TestOneTimeIsOver(t *testing.T) {
	g, err := compile(t, api.Access{OneTimePassword: "quick-brown-fox"}).Password("admin", "quick-brown-fox")
	if err != nil {
		t.Fatal(err)
	}
	after := compile(t, api.Access{})
	if !after.Holds(g) {
		t.Error("who configures the machine is thrown out by it")
	}
	if after.TakesPasswords() {
		t.Error("passwords are asked for although there are none")
	}
}

func TestParsePasswordHash(t *testing.T) {
	tests := map[string]string{ // "": good
		bcryptAllmine: "",
		argon2Secret:  "",
		"secret":      "expected a hash",
		"$1$abc$def":  "expected a hash",
		"$2a$15$Yh8D6rGoxBo2ogx3tLWBAubIDcvWWbMWlvYEvdbGqOcZdHiOTKzmS":              "at most 14",
		"$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAA":          "expected $argon2id$v=19",
		"$argon2id$v=19$m=1048576,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAA":     "at most m=65536",
		"$argon2id$v=19$m=64,t=4294967295,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAA": "at most m=65536",
		"$argon2id$v=19$m=64,t=1,p=0$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAA":          "at most m=65536",
		"$argon2id$v=19$m=64,t=1,p=1,x=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAA":      "expected m=KIB",
		"$argon2id$v=19$m=64,t=1,p=1$c2Fs$AAAAAAAAAAAAAAAAAAAAAAAA":                 "salt",
		"$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAA":                              "hash: expected 16",
	}
	for text, want := range tests {
		_, err := parsePasswordHash(text)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// TestDecoyCostsTheSame makes the password of nobody cost as much as that of
// the user with the costliest hash.
func TestDecoyCostsTheSame(t *testing.T) {
	r := compile(t, api.Access{Users: []api.User{
		{Name: "joe", Role: api.Operate, PasswordHash: bcryptAllmine},
		{Name: "ann", Role: api.Admin, PasswordHash: argon2Secret},
	}})
	if r.decoy != r.users["ann"].password {
		t.Errorf("the decoy is %q", r.decoy.text)
	}
}

func FuzzPasswordHash(f *testing.F) {
	for _, seed := range []string{bcryptAllmine, argon2Secret, "$argon2id$$$$", "$2b$", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parsePasswordHash(text)
		if err != nil {
			return
		}
		if a := h.argon2; a != nil && (a.memory > maxArgon2Memory || a.passes > maxArgon2Passes || a.lanes == 0 || a.passes == 0) {
			t.Errorf("%q costs too much: %+v", text, a)
		}
	})
}
