package config

import (
	"errors"
	"strings"
	"testing"
)

// TestMistakesTellNoSecrets writes secrets where they are mistakes: what is
// said about them is shown on the console and kept in the log.
func TestMistakesTellNoSecrets(t *testing.T) {
	const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\nQyNTUxOQAAACBhunter2hunter2hunter2hunter2hunter2\n-----END OPENSSH PRIVATE KEY-----"
	in := func(indent string) string { return indent + strings.ReplaceAll(key, "\n", "\n"+indent) + "\n" }
	const ssh = "role: director\nmanagement:\n  ssh:\n"
	const joe = ssh + "    users:\n      joe:\n        role: admin\n"
	for name, yaml := range map[string]string{
		"a broken key":              ssh + "    host-key: |\n" + in("      "),
		"a key not indented":        ssh + "    host-key: |\n" + in("    "),
		"a key less indented":       ssh + "    host-key: |\n" + in("  "),
		"a key at the margin":       ssh + "    host-key: |\n" + in(""),
		"a key without a bar":       ssh + "    host-key:\n" + in("      "),
		"a key in quotes":           ssh + "    host-key: \"" + key + "\"\n",
		"a key partly indented":     ssh + "    host-key: |\n" + strings.Replace(in("      "), "      b3", "    b3", 1),
		"a key behind a tab":        ssh + "    host-key: |\n" + strings.Replace(in("      "), "      b3", "\tb3", 1),
		"a key as a list":           ssh + "    host-key: [" + strings.ReplaceAll(key, "\n", ", ") + "]\n",
		"a key under another name":  ssh + "    hostkey: |\n" + in("      "),
		"a key at the top":          "host-key: |\n" + in("  "),
		"a key for a public one":    joe + "        keys:\n        - |\n" + in("          "),
		"a key for several":         joe + "        keys:\n" + in("        - "),
		"a password":                ssh + "    users:\n      joe: {role: admin, password: hunter2}\n",
		"a password for a hash":     ssh + "    users:\n      joe: {role: admin, password-hash: hunter2}\n",
		"a password in capitals":    joe + "        PASSWORD: hunter2\n",
		"a password in a list":      joe + "        password-hash: [hunter2]\n",
		"a password as a key":       joe + "        password-hash:\n          hunter2: 1\n",
		"a password below":          joe + "        password-hash:\n          hunter2\n        x: 1\n",
		"a password without an end": joe + "        password-hash: \"hunter2\n        x: 1\n",
		"a password behind":         joe + "        password-hash: 'a' hunter2\n",
		"a password escaped":        joe + "        password-hash: \"\\hunter2\"\n",
		"a password after a blank":  joe + "        password-hash : hunter2\n",
		"a password without one":    joe + "        password-hash:hunter2\n",
		"a password with an anchor": joe + "        password-hash: &x hunter2\n",
		"a password with a sharp":   ssh + "    users:\n      joe: {role: admin, password-hash: a#hunter2}\n",
		"a password with a brace":   ssh + "    users:\n      joe: {role: admin, password-hash: a}hunter2}\n",
		"names in quotes":           ssh + "    users:\n      joe: {\"role\": admin, \"password-hash\": \"hunter2\"}\n",
		"a hash with commas":        ssh + "    users:\n      joe: {role: admin, password-hash: $argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$hunter2hunter2}\n",
	} {
		_, err := Parse("dipper.yaml", []byte(yaml))
		var mistakes Errors
		if !errors.As(err, &mistakes) {
			t.Errorf("%s: is taken: %v", name, err)
			continue
		}
		for _, said := range []string{mistakes.Error(), mistakes.Excerpt([]byte(yaml))} {
			for _, secret := range []string{"hunter2", "b3Blbn", "QyNTUx"} {
				if strings.Contains(said, secret) {
					t.Errorf("%s: tells %s:\n%s", name, secret, said)
				}
			}
		}
	}
}

// TestWhatIsNoSecretIsShown keeps the lines around one readable.
func TestWhatIsNoSecretIsShown(t *testing.T) {
	src := "management:\n  ssh:\n    host-key: |\n      -----BEGIN A PRIVATE KEY-----\n      AAAA\n      -----END A PRIVATE KEY-----\n    idle-timeout: 0s\n    users:\n      joe: {rule: admin, password-hash: $2b$, keys: []}\n      ann: {rule: admin}\n"
	for n, want := range []string{
		"management:", "  ssh:", "    host-key: *", "      ***************** ******* ********", "      ****", "      *************** ******* ********",
		"    idle-timeout: 0s", "    users:", "      joe: {rule: admin, password-hash: ***** ***** ***", "      ann: {rule: admin}",
	} {
		got := hidden([]byte(src), n+1)
		if strings.HasPrefix(strings.TrimLeft(want, " "), "****") {
			got, want = strings.Trim(got, "* "), ""
		}
		if got != want {
			t.Errorf("line %d: got %q, want %q", n+1, got, want)
		}
	}
}
