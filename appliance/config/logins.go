package config

import (
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// EndedLogins names who can log in over SSH with one configuration and not with
// another that takes its place; before is nil on a machine in maintenance, which
// lets an administrator in.
func EndedLogins(before, after *Config) []string {
	if before != nil && !before.Management.SSH.admits(Admin) || after.Management.SSH.admits(Admin) {
		return nil
	}
	for _, role := range []UserRole{Operator, Viewer} {
		if after.Management.SSH.admits(role) {
			return []string{"management.ssh.users: nobody can log in over SSH as admin any more"}
		}
	}
	return []string{"management.ssh.users: nobody can log in over SSH any more"}
}

// admits tells whether somebody has a role and anything to come in by that
// counts.
func (s SSH) admits(role UserRole) bool {
	certified := slices.ContainsFunc(s.CertificateAuthorities, func(line string) bool { return s.counts(line, "") })
	return slices.ContainsFunc(s.Users, func(u User) bool {
		byKey := slices.ContainsFunc(u.Keys, func(line string) bool { return s.counts(line, "") })
		return u.Role == role && (certified || byKey || u.hasPassword())
	})
}

// hasPassword tells whether the user's password is looked at.
func (u User) hasPassword() bool { return u.PasswordHash != "" && u.PasswordHash.tooCostly() == "" }

// counts tells whether a line is a key by which one comes to the prompt: that of
// a fingerprint or, without one, any.
func (s SSH) counts(line, fingerprint string) bool {
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(strings.ToLower(o), "command=") }) {
		return false
	}
	print := ssh.FingerprintSHA256(key)
	return (fingerprint == "" || print == fingerprint) && !slices.Contains(s.Revoked, Revocation{Fingerprint: print})
}

// EndsSession tells whether a configuration that takes the place of another ends
// the session of a user who came by a key, whose fingerprint it is, or without
// one by his password. What cannot be known ends none: a certificate names no
// key of the configuration's.
func EndsSession(before, after *Config, name, fingerprint string) bool {
	if before == nil {
		return false // he came by the password of the maintenance
	}
	was, known := before.Management.SSH.user(name)
	is, there := after.Management.SSH.user(name)
	switch {
	case !known:
		return false
	case !there || was.Role != is.Role:
		return true
	case fingerprint == "":
		return was.PasswordHash != is.PasswordHash
	}
	byKey := func(s SSH, u User) bool {
		return slices.ContainsFunc(u.Keys, func(line string) bool { return s.counts(line, fingerprint) })
	}
	return byKey(before.Management.SSH, was) && !byKey(after.Management.SSH, is)
}

func (s SSH) user(name string) (User, bool) {
	i := slices.IndexFunc(s.Users, func(u User) bool { return u.Name == name })
	if i < 0 {
		return User{}, false
	}
	return s.Users[i], true
}
