package access

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"dipper/appliance/api"
)

var (
	noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	home = netip.MustParseAddr("192.168.4.10")
	away = netip.MustParseAddr("10.9.8.7")
)

func newKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func line(s ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey())))
}

func compile(t testing.TB, a api.Access) *Rules {
	t.Helper()
	r, problems := Compile(a)
	for _, p := range problems {
		t.Error(p)
	}
	return r
}

func TestKey(t *testing.T) {
	key := newKey(t)
	tests := map[string]struct {
		line string
		user string
		from netip.Addr
		want Grant
		err  string // "": let in
	}{
		"plain":           {line: "KEY", want: Grant{}},
		"unknown user":    {line: "KEY", user: "root", err: `there is no user "root"`},
		"another's key":   {line: line(newKey(t)), err: "is no key of user"},
		"restrict":        {line: "restrict KEY", want: Grant{NoTerminal: true}},
		"restrict,pty":    {line: "restrict,pty KEY"},
		"command":         {line: `command="show services | match \"web\"",no-pty KEY`, want: Grant{ForceCommand: `show services | match "web"`, NoTerminal: true}},
		"from":            {line: `from="10.0.0.0/8,192.168.4.10" KEY`},
		"from elsewhere":  {line: `from="10.0.0.0/8" KEY`, err: "does not count from 192.168.4.10"},
		"from excluded":   {line: `from="!10.9.8.7,10.0.0.0/8" KEY`, from: away, err: "does not count from 10.9.8.7"},
		"IPv4 in IPv6":    {line: `from="192.168.4.0/24" KEY`, from: netip.MustParseAddr("::ffff:192.168.4.10")},
		"no address":      {line: `from="0.0.0.0/0,::/0" KEY`, from: netip.Addr{}, user: "nowhere", err: "does not count from"},
		"expires later":   {line: `expiry-time="20261122" KEY`},
		"expired":         {line: `expiry-time="202611211159" KEY`, err: "expired on 2026-11-21 11:59:00"},
		"forwarding noop": {line: "no-port-forwarding,no-agent-forwarding,no-X11-forwarding KEY"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := compile(t, api.Access{Users: []api.User{
				{Name: "admin", Role: api.Admin, Keys: []string{strings.Replace(tt.line, "KEY", line(key), 1)}},
				{Name: "nowhere", Role: api.Admin, Keys: []string{strings.Replace(tt.line, "KEY", line(key), 1)}},
			}})
			user, from := "admin", home
			if tt.user != "" {
				user = tt.user
			}
			if tt.from.IsValid() || user == "nowhere" {
				from = tt.from
			}
			got, err := r.Key(user, key.PublicKey(), from, noon)
			if tt.err != "" {
				if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got error %v, want ErrDenied with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			want.User, want.Role, want.Fingerprint = "admin", api.Admin, ssh.FingerprintSHA256(key.PublicKey())
			want.Means = "key " + want.Fingerprint
			if got.still = nil; !equal(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func equal(a, b Grant) bool {
	return a.User == b.User && a.Role == b.Role && a.Fingerprint == b.Fingerprint && a.Means == b.Means &&
		a.ForceCommand == b.ForceCommand && a.NoTerminal == b.NoTerminal
}

// TestBadLines leaves out what is malformed, says which it is, and lets all
// others in.
func TestBadLines(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skipf("this Go makes no short RSA keys: %v", err)
	}
	weak, err := ssh.NewPublicKey(&small.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	good, other := newKey(t), newKey(t)
	bad := map[string]string{
		"":                                                         "no public key",
		"ssh-ed25519 AAAA":                                         "no public key",
		"\x00\xff\xfe":                                             "no public key",
		strings.Repeat("x", 1<<20):                                 "no public key",
		"# a comment":                                              "no public key",
		line(good) + "\n" + line(newKey(t)):                        "more than one line",
		"environment=\"A=b\" " + line(other):                       "option",
		`from="host.example" ` + line(other):                       "is no address",
		`from="!10.0.0.1" ` + line(other):                          "without allowing any",
		`expiry-time="soon" ` + line(other):                        "expected a time",
		"verify-required " + line(other):                           "not supported",
		`command="" ` + line(other):                                "expected a command",
		`command=" " ` + line(other):                               "expected a command",
		"command " + line(other):                                   "expected a command",
		"from " + line(other):                                      "is no address",
		"expiry-time " + line(other):                               "expected a time",
		`principals="admin" ` + line(other):                        "not supported",
		`from="::ffff:10.0.0.0/104" ` + line(other):                "is no address",
		`command="show version",command="show log" ` + line(other): "given twice",
		`from="10.0.0.1",FROM="0.0.0.0/0" ` + line(other):          "given twice",
		"cert-authority " + line(other):                            "certificate authorities",
		string(ssh.MarshalAuthorizedKey(weak)):                     "less than 2048 bits",
	}
	for text, want := range bad {
		r, problems := Compile(api.Access{
			Users: []api.User{{Name: "admin", Role: api.Admin, Keys: []string{text, line(good)}}},
			CAs:   []string{text},
		})
		if text != "cert-authority "+line(other) && len(problems) != 2 || len(problems) == 0 || !strings.Contains(problems[0].Error(), want) {
			t.Errorf("%.40q: got problems %v, want %q for the user and the authority", text, problems, want)
		}
		if _, err := r.Key("admin", good.PublicKey(), home, noon); err != nil {
			t.Errorf("%.40q shuts out the good key: %v", text, err)
		}
		if _, err := r.Key("admin", other.PublicKey(), home, noon); err == nil {
			t.Errorf("%.40q lets somebody in", text)
		}
	}
}

// TestKeyTwice keeps the first of two lines with one key: a second one must not
// take its restrictions off.
func TestKeyTwice(t *testing.T) {
	key := newKey(t)
	r, problems := Compile(api.Access{Users: []api.User{{Name: "admin", Role: api.Admin, Keys: []string{
		`restrict,command="show version" ` + line(key), line(key),
	}}}})
	g, err := r.Key("admin", key.PublicKey(), home, noon)
	if err != nil || g.ForceCommand != "show version" || len(problems) != 1 || !strings.Contains(problems[0].Error(), "key 2 is ignored") {
		t.Errorf("got %+v, %v; problems %v", g, err, problems)
	}
}

func TestNobody(t *testing.T) {
	key := newKey(t)
	for name, r := range map[string]*Rules{
		"no rules":    nil,
		"empty rules": {},
		"no users":    compile(t, api.Access{}),
	} {
		if _, err := r.Key("admin", key.PublicKey(), home, noon); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: key: got %v", name, err)
		}
		for _, user := range []string{"", "admin", "root"} {
			if _, err := r.Password(user, ""); !errors.Is(err, ErrDenied) {
				t.Errorf("%s: user %q without a password: got %v", name, user, err)
			}
		}
		if r.Holds(Grant{User: "admin"}) {
			t.Errorf("%s: a Grant that nobody gave holds", name)
		}
	}
}

func TestUsersWithoutRole(t *testing.T) {
	key := newKey(t)
	r, problems := Compile(api.Access{Users: []api.User{
		{Name: "admin", Role: "root", Keys: []string{line(key)}},
		{Name: "", Role: api.Admin, Keys: []string{line(key)}},
		{Name: "twice", Role: api.Viewer, Keys: []string{line(key)}},
		{Name: "twice", Role: api.Admin, Keys: []string{line(key)}},
	}})
	if len(problems) != 3 {
		t.Errorf("got problems %v, want 3", problems)
	}
	for _, name := range []string{"admin", ""} {
		if _, err := r.Key(name, key.PublicKey(), home, noon); err == nil {
			t.Errorf("user %q is let in", name)
		}
	}
	if g, err := r.Key("twice", key.PublicKey(), home, noon); err != nil || g.Role != api.Viewer {
		t.Errorf("got %v, %v: want the first of two users of a name", g.Role, err)
	}
}

func TestCertificate(t *testing.T) {
	authority, stranger, key := newKey(t), newKey(t), newKey(t)
	at := func(h int) uint64 { return uint64(noon.Add(time.Duration(h) * time.Hour).Unix()) }
	tests := map[string]struct {
		edit func(*ssh.Certificate)
		by   ssh.Signer
		from netip.Addr
		want Grant
		err  string
	}{
		"plain":               {},
		"pty":                 {edit: func(c *ssh.Certificate) { c.Extensions = map[string]string{"permit-pty": ""} }},
		"unknown authority":   {by: stranger, err: "authority is not in the configuration"},
		"host certificate":    {edit: func(c *ssh.Certificate) { c.CertType = ssh.HostCert }, err: "is not for users"},
		"no principals":       {edit: func(c *ssh.Certificate) { c.ValidPrincipals = nil }, err: `wants one of ["ops" "night"]`},
		"empty principal":     {edit: func(c *ssh.Certificate) { c.ValidPrincipals = []string{""} }, err: "wants one of"},
		"the user's name":     {edit: func(c *ssh.Certificate) { c.ValidPrincipals = []string{"admin"} }, err: "wants one of"},
		"second principal":    {edit: func(c *ssh.Certificate) { c.ValidPrincipals = []string{"x", "night"} }},
		"not yet valid":       {edit: func(c *ssh.Certificate) { c.ValidAfter = at(1) }, err: "not yet valid"},
		"expired":             {edit: func(c *ssh.Certificate) { c.ValidBefore = at(0) }, err: "expired"},
		"for ever":            {edit: func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = 0, ssh.CertTimeInfinity }},
		"source address":      {edit: critical("source-address", "192.168.4.0/24,10.1.1.1")},
		"other address":       {edit: critical("source-address", "192.168.4.0/24"), from: away, err: "does not count from 10.9.8.7"},
		"broken address":      {edit: critical("source-address", "everywhere"), err: "is no address"},
		"force-command":       {edit: critical("force-command", "show services"), want: Grant{ForceCommand: "show services"}},
		"forced to nothing":   {edit: critical("force-command", " "), err: "names no command"},
		"forced to no value":  {edit: critical("force-command", ""), err: "names no command"},
		"unknown restriction": {edit: critical("verify-required", ""), err: "unsupported critical option"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := compile(t, api.Access{
				Users: []api.User{{Name: "admin", Role: api.Operate, Principals: []string{"ops", "night"}}},
				CAs:   []string{line(authority)},
			})
			cert := &ssh.Certificate{
				Key: key.PublicKey(), KeyId: "id", Serial: 7, CertType: ssh.UserCert, ValidPrincipals: []string{"ops"},
				ValidAfter: at(-1), ValidBefore: at(1),
			}
			if tt.edit != nil {
				tt.edit(cert)
			}
			by, from := authority, home
			if tt.by != nil {
				by = tt.by
			}
			if tt.from.IsValid() {
				from = tt.from
			}
			if err := cert.SignCert(rand.Reader, by); err != nil {
				t.Fatal(err)
			}
			got, err := r.Key("admin", cert, from, noon)
			if tt.err != "" {
				if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got error %v, want ErrDenied with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, pty := cert.Extensions["permit-pty"]
			if got.Role != api.Operate || got.Fingerprint != ssh.FingerprintSHA256(key.PublicKey()) || got.ForceCommand != tt.want.ForceCommand || got.NoTerminal == pty {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func critical(name, value string) func(*ssh.Certificate) {
	return func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{name: value} }
}

// TestTamperedCertificate changes what is signed.
func TestTamperedCertificate(t *testing.T) {
	authority, key := newKey(t), newKey(t)
	r := compile(t, api.Access{
		Users: []api.User{{Name: "admin", Role: api.Admin}},
		CAs:   []string{line(authority)},
	})
	cert := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"joe"}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	cert.ValidPrincipals = []string{"admin"}
	if _, err := r.Key("admin", cert, home, noon); err == nil || !strings.Contains(err.Error(), "signature does not verify") {
		t.Errorf("got %v", err)
	}
	cert.Signature = nil
	if _, err := r.Key("admin", cert, home, noon); err == nil {
		t.Error("a certificate without a signature counts")
	}
}

// TestHolds changes the rules under somebody who is in.
func TestHolds(t *testing.T) {
	key, second, authority := newKey(t), newKey(t), newKey(t)
	const hash = bcryptAllmine
	cert := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"joe"}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	before := func() api.Access {
		return api.Access{
			Users: []api.User{
				{Name: "joe", Role: api.Admin, Keys: []string{line(key), line(second)}, PasswordHash: hash},
				{Name: "ann", Role: api.Viewer, Keys: []string{line(second)}},
			},
			CAs: []string{line(authority)},
		}
	}
	r := compile(t, before())
	byKey, err := r.Key("joe", key.PublicKey(), home, noon)
	if err != nil {
		t.Fatal(err)
	}
	byCert, err := r.Key("joe", cert, home, noon)
	if err != nil {
		t.Fatal(err)
	}
	byPassword, err := r.Password("joe", "allmine")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*api.Access)
		want   string // which of key, certificate, password hold
	}{
		"nothing":           {func(*api.Access) {}, "key certificate password"},
		"another user":      {func(a *api.Access) { a.Users = a.Users[:1] }, "key certificate password"},
		"user removed":      {func(a *api.Access) { a.Users = a.Users[1:] }, ""},
		"role changed":      {func(a *api.Access) { a.Users[0].Role = api.Viewer }, ""},
		"key removed":       {func(a *api.Access) { a.Users[0].Keys = a.Users[0].Keys[1:] }, "certificate password"},
		"key restricted":    {func(a *api.Access) { a.Users[0].Keys[0] = `command="x" ` + line(key) }, "certificate password"},
		"key moved":         {func(a *api.Access) { slices.Reverse(a.Users[0].Keys) }, "key certificate password"},
		"authority removed": {func(a *api.Access) { a.CAs = nil }, "key password"},
		"principals":        {func(a *api.Access) { a.Users[0].Principals = []string{"boss"} }, "key password"},
		"password removed":  {func(a *api.Access) { a.Users[0].PasswordHash = "" }, "key certificate"},
	}
	for name, tt := range tests {
		a := before()
		tt.change(&a)
		later := compile(t, a)
		var got []string
		for _, g := range []struct {
			name string
			g    Grant
		}{{"key", byKey}, {"certificate", byCert}, {"password", byPassword}} {
			if later.Holds(g.g) {
				got = append(got, g.name)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func FuzzAuthorizedKey(f *testing.F) {
	key := line(newKey(f))
	for _, seed := range []string{key, `command="a\"b",from="10.0.0.0/8" ` + key, "restrict " + key, "", "ssh-rsa \xff", `from=",,!" ` + key} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := parseAuthorizedKey(text)
		if err == nil && (k.public == nil || strong(k.public) != nil) {
			t.Errorf("%q: no error and no key", text)
		}
		if err == nil && !k.equal(k) {
			t.Errorf("%q is not equal to itself", text)
		}
	})
}
