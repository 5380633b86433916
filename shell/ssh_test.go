package shell

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"dipper/appliance/api"
	"dipper/shell/session"
)

// gate is the control plane as the SSH server needs it.
type gate struct {
	mu      sync.Mutex
	access  api.Access
	changed chan struct{}
	hostKey []byte
	// announced are the next host keys, and offers who was told of them.
	announced [][]byte
	offers    []string
	began     []api.Actor
	ended     map[string]bool // whether lost, by session
	notes     []string        // "user text: result"
	more      chan struct{}   // closed and renewed with every note and end
}

func newGate(t testing.TB, a api.Access) *gate {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	a.Generation = 1
	return &gate{access: a, changed: make(chan struct{}), more: make(chan struct{}), hostKey: pem.EncodeToMemory(block), ended: map[string]bool{}}
}

func (g *gate) Access(ctx context.Context, newerThan int) (api.Access, error) {
	if role := api.ActorOf(ctx).Role; role != "" {
		return api.Access{}, fmt.Errorf("asked on behalf of somebody with the role %s", role)
	}
	for {
		g.mu.Lock()
		a, changed := g.access, g.changed
		g.mu.Unlock()
		if a.Generation > newerThan {
			return a, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return a, ctx.Err()
		}
	}
}

// change gives new rules.
func (g *gate) change(f func(*api.Access)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(&g.access)
	g.access.Generation++
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *gate) HostKey(context.Context) (api.HostKey, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return api.HostKey{PEM: g.hostKey, Announced: g.announced}, nil
}

func (g *gate) HostKeyOffered(ctx context.Context, o api.HostKeyOffer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.offers = append(g.offers, fmt.Sprintf("%s %s learned: %t", api.ActorOf(ctx).User, o.Fingerprint, o.Learned))
	g.told()
	return nil
}

func (g *gate) Audit(ctx context.Context, e api.AuditEntry) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.notes = append(g.notes, strings.TrimSpace(api.ActorOf(ctx).User+" "+e.Text+": "+e.Result))
	g.told()
	return nil
}

func (g *gate) SessionBegan(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.began = append(g.began, api.ActorOf(ctx))
	g.told()
	return nil
}

func (g *gate) SessionEnded(_ context.Context, session string, lost bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended[session] = lost
	g.told()
	return nil
}

func (g *gate) told() {
	close(g.more)
	g.more = make(chan struct{})
}

// await waits until something is so that the server tells the control plane.
func (g *gate) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		g.mu.Lock()
		so, more := is(), g.more
		g.mu.Unlock()
		if so {
			return
		}
		select {
		case <-more:
		case <-limit.C:
			g.mu.Lock()
			defer g.mu.Unlock()
			t.Fatalf("%s: not within %v: notes %q, ended %v", what, patience, g.notes, g.ended)
		}
	}
}

// noted reports whether a note has all of the words.
func (g *gate) noted(words ...string) func() bool {
	return func() bool {
		return slices.ContainsFunc(g.notes, func(n string) bool {
			return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(n, w) })
		})
	}
}

// patience is how long a test waits for what has to happen, before it calls
// itself failed. Nothing is measured by it.
const patience = 2 * time.Minute

// talk is a Conversation that shows what the server gives it.
type talk struct{ session.Session }

// Exec does as it is told.
func (k talk) Exec(ctx context.Context, command string) int {
	word, rest, _ := strings.Cut(command, " ")
	switch word {
	case "say":
		fmt.Fprintln(k.Out, rest)
	case "moan":
		fmt.Fprintln(k.Err, rest)
		return 3
	case "cat":
		if _, err := io.Copy(k.Out, k.In); err != nil {
			return 1
		}
	case "who":
		fmt.Fprintf(k.Out, "%s %s %s\n", k.Actor.User, k.Actor.Role, k.Actor.Fingerprint)
	case "env":
		fmt.Fprintf(k.Out, "%v terminal:%v\n", k.Env, k.Terminal != nil)
	case "flood":
		for ctx.Err() == nil {
			if _, err := k.Out.Write(make([]byte, 32<<10)); err != nil {
				return 1
			}
		}
	case "alive":
		fmt.Fprintln(k.Out, ctx.Err())
	case "sleep":
		<-ctx.Done()
		return 130
	case "panic":
		panic("on purpose")
	}
	return 0
}

// Interact runs commands line by line.
func (k talk) Interact(ctx context.Context) error {
	if k.Terminal != nil {
		fmt.Fprintf(k.Out, "%dx%d %s> ", k.Terminal.Width, k.Terminal.Height, k.Terminal.Type)
	}
	var line []byte
	one := make([]byte, 1)
	for {
		if _, err := k.In.Read(one); err != nil {
			return nil
		}
		switch one[0] {
		case ctrlC:
			fmt.Fprint(k.Out, "^C")
		case '\r', '\n':
			switch text := string(line); text {
			case "exit":
				return nil
			case "size":
				size := <-k.Terminal.Resized
				fmt.Fprintf(k.Out, "%dx%d\n", size.Width, size.Height)
			default:
				k.Exec(ctx, text)
			}
			line = nil
		default:
			line = append(line, one[0])
		}
	}
}

// server is an SSH server on a port of the loopback.
type server struct {
	*SSH
	gate    *gate
	address string
	log     *bytes.Buffer
}

// unhurried lets clients on a busy host take as long as they need. What happens
// when one does not is tested in memory.
var unhurried = Times{Handshake: time.Hour, Keepalive: patience, Denial: time.Millisecond, Retry: 10 * time.Millisecond}

// start runs a server until the test is over. The zero Listen is a free port.
func start(t testing.TB, a api.Access, change ...func(*SSH)) *server {
	t.Helper()
	if a.Listen == nil {
		a.Listen = []string{freePort(t)}
	}
	s := &server{gate: newGate(t, a), address: a.Listen[0], log: &bytes.Buffer{}}
	s.SSH = &SSH{
		Gate:  s.gate,
		Begin: func(s session.Session) Conversation { return talk{s} },
		Log:   slog.New(slog.NewTextHandler(io.Discard, nil)),
		Times: unhurried,
	}
	for _, c := range change {
		c(s.SSH)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	awaitListening(t, s.address)
	return s
}

// freePort is a port that nobody listens on, as far as one can know.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func awaitListening(t testing.TB, address string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	t.Fatalf("%s: nobody listens", address)
}

// person has a directory with keys, as people do.
type person struct {
	t    testing.TB
	dir  string
	user string
}

func newPerson(t testing.TB, user string) *person {
	p := &person{t: t, dir: t.TempDir(), user: user}
	p.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", user, "-f", p.file("key"))
	return p
}

func (p *person) file(name string) string { return filepath.Join(p.dir, name) }

func (p *person) read(name string) string {
	p.t.Helper()
	text, err := os.ReadFile(p.file(name))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// run runs a program that must succeed.
func (p *person) run(argv ...string) string {
	p.t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%v: %v: %s", argv, err, out)
	}
	return string(out)
}

// options are ssh's, without what the machine it runs on may have set up.
func (p *person) options(s *server) []string {
	host, port, _ := net.SplitHostPort(s.address)
	return []string{
		"-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile=" + p.file("known_hosts"),
		"-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60",
		"-o", "Port=" + port, "-o", "HostName=" + host, "-o", "User=" + p.user, "-i", p.file("key"),
	}
}

// ssh runs Debian's client.
func (p *person) ssh(s *server, in string, words ...string) (out, errOut string, status int) {
	p.t.Helper()
	return p.client(in, "ssh", append(p.options(s), words...)...)
}

func (p *person) client(in, program string, arguments ...string) (out, errOut string, status int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // also for what is left to do when a test is over
	defer cancel()
	cmd := exec.CommandContext(ctx, program, arguments...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// one is an Access for one admin with a key.
func one(p *person) api.Access {
	return api.Access{Users: []api.User{{Name: p.user, Role: api.Admin, Keys: []string{p.read("key.pub")}}}}
}

func TestCommands(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe))
	tests := map[string]struct {
		words  []string
		in     string
		out    string
		err    string
		status int
	}{
		"output":       {words: []string{"host", "say", "hello", "you"}, out: "hello you\n"},
		"exit status":  {words: []string{"host", "moan", "no such thing"}, err: "no such thing\n", status: 3},
		"input":        {words: []string{"host", "cat"}, in: "a\r\nb\x00\x03c", out: "a\r\nb\x00\x03c"},
		"big input":    {words: []string{"host", "cat"}, in: strings.Repeat("0123456789", 1<<19), out: strings.Repeat("0123456789", 1<<19)},
		"script":       {words: []string{"host"}, in: "say one\nsay two\nexit\nsay three\n", out: "one\ntwo\n"},
		"no variables": {words: []string{"-o", "SetEnv=LD_PRELOAD=x NO_COLOR=1", "host", "env"}, out: "map[NO_COLOR:1] terminal:false\n"},
		"terminal":     {words: []string{"-tt", "host", "env"}, out: "map[TERM:] terminal:true\n"},
		"panic":        {words: []string{"host", "panic"}, status: exitBroken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			out, errOut, status := joe.ssh(s, tt.in, tt.words...)
			if name == "terminal" {
				out = strings.NewReplacer("TERM:dumb", "TERM:", "TERM:xterm", "TERM:", "\r", "").Replace(out)
			}
			if out != tt.out || errOut != tt.err || status != tt.status {
				t.Errorf("got %.80q, %q, %d; want %.80q, %q, %d", out, errOut, status, tt.out, tt.err, tt.status)
			}
		})
	}
	s.gate.await(t, "login", s.gate.noted("joe login by key SHA256:", "ok"))
	s.gate.await(t, "logout", s.gate.noted("joe logout: ok"))
}

// TestHandshakeInMaintenance: without a configuration, a login may take as long as
// the manual says of one that says nothing.
func TestHandshakeInMaintenance(t *testing.T) {
	var s SSH
	s.prepare()
	manual, err := os.ReadFile("../docs/shell.md")
	if want := fmt.Sprintf("| `handshake-timeout` | %s |", s.Times.Handshake); err != nil || !strings.Contains(string(manual), want) {
		t.Errorf("the manual does not say %s: %v", want, err)
	}
}
