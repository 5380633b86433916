package access

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// The critical options of a certificate that are honoured. One with any other
// does not count (PROTOCOL.certkeys of OpenSSH).
const (
	optionForceCommand  = "force-command"
	optionSourceAddress = "source-address"
)

// extensionPTY permits a terminal.
const extensionPTY = "permit-pty"

// parseAuthority reads the key of a certificate authority.
func parseAuthority(line string) (ssh.PublicKey, error) {
	key, options, err := parseLine(line)
	if err != nil {
		return nil, err
	}
	for _, o := range options {
		if o != "cert-authority" {
			return nil, fmt.Errorf("option %q is not supported here", o)
		}
	}
	return key, nil
}

// certificate lets the owner of a certificate in as u.
func (r *Rules) certificate(u *user, cert *ssh.Certificate, from netip.Addr, now time.Time) (Grant, error) {
	what := fmt.Sprintf("certificate %q number %d by %s", cert.KeyId, cert.Serial, ssh.FingerprintSHA256(cert.SignatureKey))
	deny := func(err error) (Grant, error) {
		return Grant{}, fmt.Errorf("%w: %s: %w", ErrDenied, what, err)
	}
	if err := r.genuine(u, cert, now); err != nil {
		return deny(err)
	}
	if err := r.revoked.covers(cert); err != nil {
		return deny(err)
	}
	command, forced := cert.CriticalOptions[optionForceCommand]
	if forced && strings.TrimSpace(command) == "" {
		return deny(fmt.Errorf("%s: names no command", optionForceCommand))
	}
	if list, ok := cert.CriticalOptions[optionSourceAddress]; ok {
		allowed, err := parseSources(list)
		if err != nil {
			return deny(fmt.Errorf("%s: %w", optionSourceAddress, err))
		}
		if err := allowed.permit(from); err != nil {
			return deny(err)
		}
	}
	_, terminal := cert.Extensions[extensionPTY]
	return Grant{
		User: u.name, Role: u.role,
		Fingerprint:  ssh.FingerprintSHA256(cert.Key),
		Means:        what,
		ForceCommand: command,
		NoTerminal:   !terminal,
		still: func(later *Rules) bool {
			same := later.same(u)
			return same != nil && later.authorities[string(cert.SignatureKey.Marshal())] && same.principal(cert) != "" && later.revoked.covers(cert) == nil
		},
	}, nil
}

// genuine checks what makes a certificate count for u at a time: type, key,
// authority, principal, validity, critical options and signature.
func (r *Rules) genuine(u *user, cert *ssh.Certificate, now time.Time) error {
	switch {
	case cert.CertType != ssh.UserCert:
		return errors.New("is not for users")
	case !r.authorities[string(cert.SignatureKey.Marshal())]:
		return errors.New("its authority is not in the configuration")
	case cert.Signature == nil || cert.Signature.Format == ssh.KeyAlgoRSA:
		return errors.New("is signed with SHA-1")
	}
	if err := strong(cert.Key); err != nil {
		return err
	}
	// The library takes a certificate without principals as one for everybody.
	principal := u.principal(cert)
	if principal == "" {
		return fmt.Errorf("is for %q, user %q wants one of %q", cert.ValidPrincipals, u.name, u.principals)
	}
	checker := ssh.CertChecker{
		SupportedCriticalOptions: []string{optionForceCommand, optionSourceAddress},
		Clock:                    func() time.Time { return now },
	}
	return checker.CheckCert(principal, cert)
}

// principal is the first principal of cert that stands for u, or "".
func (u *user) principal(cert *ssh.Certificate) string {
	for _, p := range cert.ValidPrincipals {
		if p != "" && slices.Contains(u.principals, p) {
			return p
		}
	}
	return ""
}
