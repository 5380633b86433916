package setup

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// hashPassword hashes a password for the configuration.
func hashPassword(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	return string(hash), nil
}

// Config is the configuration that the answers make, as YAML.
func (f *Flow) Config() string {
	a := f.answers
	var b strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&b, format+"\n", values...) }
	line("role: %s", a.role)
	line("hostname: %s", a.hostname)
	line("network:")
	line("  interfaces:")
	if a.address == "dhcp" {
		line("    %s: {dhcp: true}", a.link)
	} else {
		line("    %s: {addresses: [%q]}", a.link, a.address)
	}
	if a.gateway != "" {
		line("  routes:")
		line("    - {to: default, via: %q}", a.gateway)
	}
	a.writeService(line)
	a.writeVIPs(line)
	a.writeUser(line)
	return b.String()
}

// Shown is Config for the screen: a serial line's other end may keep what it
// sees, and the password's hash is nobody's business.
func (f *Flow) Shown() string {
	text := f.Config()
	if f.answers.passwordHash == "" {
		return text
	}
	return strings.ReplaceAll(text, f.answers.passwordHash, "(as given)")
}

func (a answers) writeService(line func(string, ...any)) {
	if !a.vip.IsValid() {
		return
	}
	line("services:")
	line("  service1:")
	line("    listen: %q", a.vip)
	line("    protocol: tcp")
	line("    scheduler: wrr")
	line("    forward: %s", a.forward)
	line("    real-servers:")
	for _, s := range a.servers {
		line("      - %s", s)
	}
}

func (a answers) writeVIPs(line func(string, ...any)) {
	if len(a.vips) == 0 {
		return
	}
	line("virtual-addresses:")
	for _, v := range a.vips {
		line("  - {address: %q, forward: dr}", v)
	}
}

func (a answers) writeUser(line func(string, ...any)) {
	line("management:")
	line("  ssh:")
	line("    users:")
	line("      admin:")
	line("        role: admin")
	if len(a.keys) > 0 {
		line("        keys:")
		for _, k := range a.keys {
			line("          - %q", k)
		}
	}
	if a.passwordHash != "" {
		line("        password-hash: %q", a.passwordHash)
	}
}
