package shell

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"dipper/appliance/api"
	"dipper/shell/access"
)

// signer is the key of a person, for clients other than OpenSSH's.
func (p *person) signer() gossh.Signer {
	p.t.Helper()
	s, err := gossh.ParsePrivateKey([]byte(p.read("key") + "\n"))
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// dial logs in with Go's client.
func (s *server) dial(user string, auth ...gossh.AuthMethod) (*gossh.Client, error) {
	return gossh.Dial("tcp", s.address, &gossh.ClientConfig{
		User: user, Auth: auth, HostKeyCallback: gossh.InsecureIgnoreHostKey(), Timeout: patience,
	})
}

// mustDial logs in until the test is over.
func (s *server) mustDial(t testing.TB, p *person) *gossh.Client {
	t.Helper()
	c, err := s.dial(p.user, gossh.PublicKeys(p.signer()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestKeysOnly is what a machine does whose users have no passwords: the
// client is not even asked for one.
func TestKeysOnly(t *testing.T) {
	joe, eve := newPerson(t, "joe"), newPerson(t, "eve")
	a := one(joe)
	a.Users[0].Keys = append([]string{"ssh-ed25519 AAAAbroken", ""}, a.Users[0].Keys...)
	s := start(t, a)
	tests := map[string]struct {
		p         *person
		as        string
		arguments []string
		status    int
		err       string
	}{
		"right key, beside broken ones": {p: joe, as: "joe"},
		"wrong key":                     {p: eve, as: "joe", status: 255, err: "Permission denied (publickey)"},
		"unknown user":                  {p: joe, as: "root", status: 255, err: "Permission denied (publickey)"},
		"no key":                        {p: joe, as: "joe", arguments: []string{"-o", "PubkeyAuthentication=no"}, status: 255, err: "Permission denied (publickey)"},
	}
	for name, tt := range tests {
		p := *tt.p
		p.user = tt.as
		_, errOut, status := p.ssh(s, "", append(tt.arguments, "host", "who")...)
		if status != tt.status || !strings.Contains(errOut, tt.err) {
			t.Errorf("%s: got status %d, %q; want %d, %q", name, status, errOut, tt.status, tt.err)
		}
	}
	s.gate.await(t, "who wonders about the broken key", s.gate.noted("access:", "joe", "key 1 is ignored"))
	s.gate.await(t, "the refusal in the log", s.gate.noted("login refused to user", "joe", "is no key of user", "denied"))
}

func TestNoRulesNobody(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, api.Access{})
	if _, err := s.dial("joe", gossh.PublicKeys(joe.signer())); err == nil {
		t.Error("a stranger is let in")
	}
	if _, err := s.dial("admin", gossh.Password("")); err == nil {
		t.Error("an empty password lets in")
	}
	if _, err := s.dial(""); err == nil {
		t.Error("no proof at all lets in")
	}
}

// TestCertificates are made by ssh-keygen, with its restrictions.
func TestCertificates(t *testing.T) {
	ca, joe := newPerson(t, "ca"), newPerson(t, "joe")
	a := api.Access{
		Users: []api.User{{Name: "joe", Role: api.Operate, Principals: []string{"ops"}}},
		CAs:   []string{ca.read("key.pub")},
	}
	s := start(t, a)
	tests := map[string]struct {
		sign   []string // ssh-keygen's arguments
		ca     *person
		out    string
		status int
	}{
		"good":            {sign: []string{"-n", "ops"}, out: "joe operator SHA256:"},
		"other principal": {sign: []string{"-n", "joe"}, status: 255},
		"no principal":    {sign: nil, status: 255},
		"expired":         {sign: []string{"-n", "ops", "-V", "20200101:20200102"}, status: 255},
		"not yet":         {sign: []string{"-n", "ops", "-V", "20990101:20990102"}, status: 255},
		"from here":       {sign: []string{"-n", "ops", "-O", "source-address=127.0.0.0/8"}, out: "joe operator"},
		"from elsewhere":  {sign: []string{"-n", "ops", "-O", "source-address=10.0.0.0/8"}, status: 255},
		"one command":     {sign: []string{"-n", "ops", "-O", "force-command=say forced"}, out: "forced\n"},
		"unknown option":  {sign: []string{"-n", "ops", "-O", "critical:verify-magic=1"}, status: 255},
		"other authority": {sign: []string{"-n", "ops"}, ca: newPerson(t, "other"), status: 255},
	}
	for name, tt := range tests {
		by := ca
		if tt.ca != nil {
			by = tt.ca
		}
		joe.run(append(append([]string{"ssh-keygen", "-q", "-s", by.file("key"), "-I", "joe at work"}, tt.sign...), joe.file("key.pub"))...)
		out, errOut, status := joe.ssh(s, "", "-o", "CertificateFile="+joe.file("key-cert.pub"), "host", "who")
		if status != tt.status || !strings.Contains(out, tt.out) {
			t.Errorf("%s: got status %d, %q, %q; want %d, %q", name, status, out, errOut, tt.status, tt.out)
		}
	}
	joe.run("ssh-keygen", "-q", "-s", ca.file("key"), "-I", "joe", "-n", "ops", "-O", "no-pty", joe.file("key.pub"))
	if _, errOut, _ := joe.ssh(s, "exit\n", "-tt", "-o", "CertificateFile="+joe.file("key-cert.pub"), "host"); !strings.Contains(errOut, "PTY allocation request failed") {
		t.Errorf("a certificate with no-pty has a terminal: %q", errOut)
	}
}

// TestLoginAndLogoutGoTogether: a connection that ends before its first session,
// as one does that is revoked at that moment, has both or neither.
func TestLoginAndLogoutGoTogether(t *testing.T) {
	g := access.Grant{User: "joe", Role: api.Admin, Means: "key"}
	for name, tt := range map[string]struct {
		steps []func(*connection)
		want  []string
	}{
		"in, out":      {[]func(*connection){func(c *connection) { c.noteLogin(g) }, revoke}, []string{"login by key", "logout: access was taken back"}},
		"out, then in": {[]func(*connection){revoke, func(c *connection) { c.noteLogin(g) }}, nil},
		"never in":     {[]func(*connection){revoke}, nil},
	} {
		s := &SSH{Log: slog.New(slog.DiscardHandler)}
		s.prepare()
		c := &connection{server: s, raw: newLine().server(), done: make(chan struct{}), grant: &g}
		for _, step := range tt.steps {
			step(c)
		}
		c.noteLogout()
		close(s.audits)
		var noted []string
		for a := range s.audits {
			noted = append(noted, a.entry.Text)
		}
		if !slices.Equal(noted, tt.want) {
			t.Errorf("%s: noted %q, want %q", name, noted, tt.want)
		}
	}
}

func revoke(c *connection) { c.end("access was taken back") }

// TestRevokedCertificate ends the session of a certificate of ssh-keygen's at
// once when it is revoked, lets it in no more, and leaves the user's other one
// alone.
func TestRevokedCertificate(t *testing.T) {
	ca, joe := newPerson(t, "ca"), newPerson(t, "joe")
	s := start(t, api.Access{Users: []api.User{{Name: "joe", Role: api.Operate}}, CAs: []string{ca.read("key.pub")}})
	certify := func(serial string) []string {
		joe.run("ssh-keygen", "-q", "-s", ca.file("key"), "-I", "joe at work", "-n", "joe", "-z", serial, joe.file("key.pub"))
		kept := joe.file("key-" + serial + "-cert.pub")
		if err := os.Rename(joe.file("key-cert.pub"), kept); err != nil {
			t.Fatal(err)
		}
		return []string{"-o", "CertificateFile=" + kept, "host"}
	}
	lost, kept := certify("42"), certify("43")
	sits := exec.Command("ssh", append(joe.options(s), append(lost, "cat")...)...)
	in, err := sits.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := sits.Start(); err != nil {
		t.Fatal(err)
	}
	s.gate.await(t, "the login", s.gate.noted(`joe login by certificate "joe at work" number 42`))
	s.gate.change(func(a *api.Access) { a.Revoked = []api.Revocation{{First: 42, Last: 42}} })
	if err := sits.Wait(); sits.ProcessState.ExitCode() != 255 {
		t.Errorf("the session ends with %v, want a connection that is closed", err)
	}
	s.gate.await(t, "the logout", s.gate.noted("joe logout: access was taken back"))
	if _, errOut, status := joe.ssh(s, "", append(lost, "who")...); status != 255 || !strings.Contains(errOut, "Permission denied") {
		t.Errorf("the revoked one: status %d, %s", status, errOut)
	}
	s.gate.await(t, "the reason", s.gate.noted("the serial number 42 is revoked"))
	if out, errOut, status := joe.ssh(s, "", append(kept, "who")...); status != 0 || !strings.Contains(out, "joe operator") {
		t.Errorf("the other one: status %d, %s", status, errOut)
	}
}

func TestPasswords(t *testing.T) {
	s := start(t, api.Access{
		Users: []api.User{{Name: "joe", Role: api.Viewer, PasswordHash: "$2b$04$Yh8D6rGoxBo2ogx3tLWBAueIafewdo4M/KJnulgxvIQPL6jPZZP1i"}},
	})
	if c, err := s.dial("joe", gossh.Password("allmine")); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	for _, wrong := range []struct{ user, password string }{{"joe", ""}, {"joe", "allminf"}, {"eve", "allmine"}, {"", "allmine"}} {
		if _, err := s.dial(wrong.user, gossh.Password(wrong.password)); err == nil {
			t.Errorf("%v lets in", wrong)
		}
	}
	s.gate.await(t, "the refusal in the log", s.gate.noted("login refused to user", "eve", "has no password"))
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	for _, note := range s.gate.notes {
		if strings.Contains(note, "allmin") {
			t.Errorf("a password is in the log: %s", note)
		}
	}
}

// TestNameChangesBetweenAttempts proves a key as one user after asking as
// another.
func TestNameChangesBetweenAttempts(t *testing.T) {
	joe, ann := newPerson(t, "joe"), newPerson(t, "ann")
	s := start(t, api.Access{Users: []api.User{
		{Name: "joe", Role: api.Viewer, Keys: []string{joe.read("key.pub")}},
		{Name: "ann", Role: api.Admin, Keys: []string{ann.read("key.pub")}},
	}})
	c, err := s.dial("joe", gossh.PublicKeys(ann.signer(), joe.signer()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out, err := openSession(t, c).Output("who")
	if want := fmt.Sprintf("joe viewer %s\n", gossh.FingerprintSHA256(joe.signer().PublicKey())); err != nil || string(out) != want {
		t.Errorf("got %q, %v; want %q: the key that was proven counts, and not the one that was offered", out, err, want)
	}
}

// openSession opens a session of Go's client.
func openSession(t testing.TB, c *gossh.Client) *gossh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAccessIsTakenBack throws out who is not let in any more, and no other.
func TestAccessIsTakenBack(t *testing.T) {
	joe, ann := newPerson(t, "joe"), newPerson(t, "ann")
	a := one(joe)
	a.Users = append(a.Users, one(ann).Users...)
	s := start(t, a)
	joes, anns := s.mustDial(t, joe), s.mustDial(t, ann)
	work := openSession(t, joes)
	if err := work.Start("sleep"); err != nil {
		t.Fatal(err)
	}
	s.gate.await(t, "its beginning", func() bool { return len(s.gate.began) == 1 }) // which comes after the answer
	s.gate.change(func(a *api.Access) { a.Users = a.Users[1:] })
	if err := joes.Wait(); err == nil {
		t.Error("the connection of a removed user ended without an error")
	}
	if _, err := openSession(t, anns).Output("who"); err != nil {
		t.Errorf("another user: %v", err)
	}
	if _, err := s.dial("joe", gossh.PublicKeys(joe.signer())); err == nil {
		t.Error("a removed user is let in")
	}
	s.gate.await(t, "the lost session", func() bool { return lost(s.gate.ended) == 1 })
	s.gate.await(t, "the reason", s.gate.noted("joe logout: access was taken back"))
}

func lost(m map[string]bool) (n int) {
	for _, v := range m {
		if v {
			n++
		}
	}
	return n
}

func first(m map[string]bool) bool {
	for _, v := range m {
		return v
	}
	return false
}

// TestListenFollows moves the server from one port to another.
func TestListenFollows(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	there := s.mustDial(t, joe)
	old, next := s.address, freePort(t)
	s.gate.change(func(a *api.Access) { a.Listen = []string{next, "203.0.113.7:22"} }) // the second is not here yet
	awaitListening(t, next)
	eventually(t, "the old port to be closed", func() bool {
		c, err := net.Dial("tcp", old)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if out, err := openSession(t, there).Output("alive"); err != nil || string(out) != "<nil>\n" {
		t.Errorf("the connection on the old port: %q, %v", out, err)
	}
	s.gate.change(func(a *api.Access) { a.Listen = []string{} })
	eventually(t, "the new port to be closed", func() bool {
		c, err := net.Dial("tcp", next)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

// TestFreebind listens on addresses that are not here.
func TestFreebind(t *testing.T) {
	for _, address := range []string{"203.0.113.7:0", "[2001:db8::7]:0"} {
		config := net.ListenConfig{Control: freebind}
		l, err := config.Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		l.Close()
	}
}

// eventually waits for something to become so.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		if is() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("waited %v for %s", patience, what)
}

// TestAlgorithms offers what must not be taken.
func TestAlgorithms(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	refused := map[string]gossh.Config{
		"SHA-1 key exchange": {KeyExchanges: []string{gossh.InsecureKeyExchangeDH14SHA1, gossh.InsecureKeyExchangeDHGEXSHA1}},
		"CBC":                {Ciphers: []string{gossh.InsecureCipherAES128CBC, gossh.InsecureCipherTripleDESCBC}},
		"RC4":                {Ciphers: []string{gossh.InsecureCipherRC4128}},
		"SHA-1 MAC":          {Ciphers: []string{gossh.CipherAES128CTR}, MACs: []string{gossh.HMACSHA1, gossh.InsecureHMACSHA196}},
	}
	taken := map[string]gossh.Config{
		"post-quantum":     {KeyExchanges: []string{gossh.KeyExchangeMLKEM768X25519}},
		"curve25519":       {KeyExchanges: []string{gossh.KeyExchangeCurve25519}},
		"chacha20":         {Ciphers: []string{gossh.CipherChaCha20Poly1305}},
		"AES-GCM":          {Ciphers: []string{gossh.CipherAES256GCM}},
		"AES-CTR and HMAC": {Ciphers: []string{gossh.CipherAES128CTR}, MACs: []string{gossh.HMACSHA256ETM}},
	}
	try := func(c gossh.Config) error {
		client, err := gossh.Dial("tcp", s.address, &gossh.ClientConfig{
			Config: c, User: "joe", Auth: []gossh.AuthMethod{gossh.PublicKeys(joe.signer())},
			HostKeyCallback: gossh.InsecureIgnoreHostKey(),
		})
		if err == nil {
			client.Close()
		}
		return err
	}
	for name, c := range refused {
		if try(c) == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, c := range taken {
		if err := try(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, _, _ := joe.client("", "ssh", append(joe.options(s), "-o", "HostKeyAlgorithms=ssh-rsa,ssh-dss", "host", "who")...); out != "" {
		t.Errorf("a host key of RSA with SHA-1: %q", out)
	}
}

// TestNoForwarding asks for everything that leads through the machine.
func TestNoForwarding(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	c := s.mustDial(t, joe)
	if _, err := c.Dial("tcp", s.address); err == nil {
		t.Error("a connection is forwarded")
	}
	if _, err := c.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Error("a port is forwarded")
	}
	work := openSession(t, c)
	for _, request := range []string{"auth-agent-req@openssh.com", "x11-req", "no-such-request"} {
		if ok, err := work.SendRequest(request, true, nil); ok || err != nil {
			t.Errorf("%s: got %v, %v", request, ok, err)
		}
	}
	for _, channel := range []string{"direct-streamlocal@openssh.com", "tun@openssh.com", "x11", "auth-agent@openssh.com", "no-such-channel"} {
		if _, _, err := c.OpenChannel(channel, nil); err == nil {
			t.Errorf("a channel %s is opened", channel)
		}
	}
	for _, request := range []string{"tcpip-forward", "streamlocal-forward@openssh.com", "no-such-request"} {
		if ok, _, err := c.SendRequest(request, true, nil); ok || err != nil {
			t.Errorf("%s: got %v, %v", request, ok, err)
		}
	}
	for _, name := range []string{"PATH", "LD_PRELOAD", "GODEBUG", "GOTRACEBACK", "HOME", "SSH_AUTH_SOCK", "lang", ""} {
		if err := work.Setenv(name, "1"); err == nil {
			t.Errorf("%q is set", name)
		}
	}
	if err := work.RequestSubsystem("netconf"); err == nil {
		t.Error("any subsystem is there")
	}
	if err := work.Setenv("LANG", "C.UTF-8"); err != nil {
		t.Errorf("LANG: %v", err)
	}
	if err := work.Setenv("LANG", strings.Repeat("x", 1000)); err == nil {
		t.Error("a long variable is taken")
	}
}
