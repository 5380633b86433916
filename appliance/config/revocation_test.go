package config

import (
	"slices"
	"strings"
	"testing"
)

const (
	joesKey   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea joe@desk"
	joesPrint = "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8"
)

// TestRevoked reads what is revoked, writes it as it was meant, and takes
// nothing that it does not understand.
func TestRevoked(t *testing.T) {
	parse := func(entry string) (*Config, error) {
		return Parse("dipper.yaml", []byte("role: director\nmanagement:\n  ssh:\n    revoked: ["+entry+"]\n"))
	}
	for entry, want := range map[string]Revocation{
		`"` + joesPrint + `"`:           {Fingerprint: joesPrint},
		`"` + joesKey + `"`:             {Fingerprint: joesPrint},
		"serial:42":                     {First: 42, Last: 42},
		"serial:42-50":                  {First: 42, Last: 50},
		`"serial:18446744073709551615"`: {First: 1<<64 - 1, Last: 1<<64 - 1},
		`"id:joe at work, #7"`:          {KeyID: "joe at work, #7"},
	} {
		c, err := parse(entry)
		if err != nil {
			t.Errorf("%s: %v", entry, err)
			continue
		}
		if got := c.Management.SSH.Revoked; !slices.Equal(got, []Revocation{want}) {
			t.Errorf("%s: got %+v, want %+v", entry, got, want)
		}
		if again, err := Parse("rendered", Render(c)); err != nil || !slices.Equal(again.Management.SSH.Revoked, c.Management.SSH.Revoked) {
			t.Errorf("%s: rendered and read: %v, %s", entry, err, Render(c))
		}
	}
	for entry, want := range map[string]string{
		`""`:                          "is empty",
		"42":                          "says not what is revoked",
		"joe":                         "says not what is revoked",
		"serial:":                     "is no serial number",
		"serial:-1":                   "is no serial number",
		"serial:1-":                   "is no serial number",
		"serial:50-42":                "42 is less than 50",
		"serial:0":                    "that were given none",
		"serial:0-7":                  "that were given none",
		"serial:99999999999999999999": "is no serial number",
		`"id:"`:                       "names no key id",
		"SHA256:abc":                  "is no whole fingerprint",
		"MD5:ab:cd":                   "says not what is revoked",
		`"ssh-ed25519 A"`:             "says not what is revoked",
		`"` + joesPrint + ` "`:        "",
	} {
		_, err := parse(entry)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "management.ssh.revoked[0]")) {
			t.Errorf("%s: %v, want %q", entry, err, want)
		}
	}
}

// TestRevokedKeysAreWarnedOf names the keys that are in the configuration and
// let nobody in.
func TestRevokedKeysAreWarnedOf(t *testing.T) {
	c, err := Parse("dipper.yaml", []byte(`role: director
management:
  ssh:
    revoked: ["`+joesPrint+`"]
    users:
      joe: {role: admin, keys: ["`+joesKey+`"]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if w := strings.Join(Warnings(c), "\n"); !strings.Contains(w, "management.ssh.users.joe.keys[0]: "+joesPrint+" is revoked: it is ignored") {
		t.Errorf("warnings: %s", w)
	}
}
