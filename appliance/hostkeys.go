package appliance

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/events"
)

// identity is what the gate knows of the machine's host keys.
type identity struct {
	text, print string // of the configured ones, and their fingerprints
	moves       int    // how often those that are kept became others, or found another place
	spare       []byte // for when what is kept is of no use
	why         error  // why it is of no use
	next        string // fingerprint of the key that is announced
	offered     map[offered]api.HostKeyClient
}

// offered tells apart who was told of the next key.
type offered struct{ user, from string }

// maxOffered is how many are remembered.
const maxOffered = 256

// machineKey is one of the machine's host keys.
type machineKey struct {
	pem    []byte
	public ssh.PublicKey
	since  time.Time // when it was made or came into use; zero: not known
}

func (k machineKey) fingerprint() string { return ssh.FingerprintSHA256(k.public) }

// machineKeys are the machine's host keys: the first is in use, the others are
// announced.
type machineKeys struct {
	keys       []machineKey
	configured bool
	ephemeral  bool
	broken     error // why those that are kept cannot be used
}

// hostKey says which host keys HostKey answers, without telling them: the
// fingerprints of the configured ones, else which of those that the machine
// kept.
func (g *gate) hostKey(configured []config.Secret) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(configured) == 0 {
		return fmt.Sprintf("kept, %d", g.identity.moves)
	}
	var text, print strings.Builder
	for _, key := range configured {
		text.WriteString(string(key))
	}
	if text.String() == g.identity.text {
		return g.identity.print
	}
	for _, key := range configured {
		if signer, err := ssh.ParsePrivateKey([]byte(key)); err == nil {
			print.WriteString(ssh.FingerprintSHA256(signer.PublicKey()) + " ")
		}
	}
	g.identity.text, g.identity.print = text.String(), print.String()
	return g.identity.print
}

// moved tells that the host keys that the machine keeps are others from now on,
// or are elsewhere and last longer.
func (g *gate) moved() {
	g.mu.Lock()
	g.identity.moves++
	next, moves := g.access, g.identity.moves
	g.mu.Unlock()
	if next.Generation == 0 || !strings.HasPrefix(next.HostKey, "kept") {
		return
	}
	next.HostKey = fmt.Sprintf("kept, %d", moves)
	g.update(next)
}

// HostKey answers the machine's SSH identity: what is configured, else what is
// kept, else a key that is made now, and kept if there is a volume. A volume
// that is full or broken keeps nobody out: then the key is one that lasts as
// long as the control plane.
func (b *backend) HostKey(ctx context.Context) (api.HostKey, error) {
	if err := shellAlone(ctx); err != nil {
		return api.HostKey{}, err
	}
	configured := b.configuredHostKeys()
	b.gate.mu.Lock()
	defer b.gate.mu.Unlock()
	all, err := b.hostKeys(ctx, configured)
	if err != nil {
		return api.HostKey{}, err
	}
	answer := api.HostKey{PEM: all.keys[0].pem, Ephemeral: all.ephemeral}
	for _, k := range all.keys[1:] {
		answer.Announced = append(answer.Announced, k.pem)
	}
	return answer, nil
}

// HostKeys says by which keys the machine is known, and who knows the next one.
func (b *backend) HostKeys(ctx context.Context) (api.HostKeys, error) {
	configured := b.configuredHostKeys()
	b.gate.mu.Lock()
	defer b.gate.mu.Unlock()
	all, err := b.hostKeys(ctx, configured)
	if err != nil {
		return api.HostKeys{}, err
	}
	return b.gate.shownKeys(all), nil
}

// shownKeys are the keys for everybody's eyes. The gate is locked.
func (g *gate) shownKeys(all machineKeys) api.HostKeys {
	shown := api.HostKeys{Configured: all.configured, Ephemeral: all.ephemeral}
	for i, k := range all.keys {
		shown.Keys = append(shown.Keys, api.ShownHostKey{
			Type: k.public.Type(), Fingerprint: k.fingerprint(), Announced: i > 0, Since: k.since,
		})
	}
	for _, c := range g.identity.offered {
		shown.Clients = append(shown.Clients, c)
	}
	slices.SortFunc(shown.Clients, func(a, b api.HostKeyClient) int {
		return cmp.Or(strings.Compare(a.User, b.User), strings.Compare(a.From, b.From))
	})
	return shown
}

// RotateHostKey makes the machine's next host key and announces it, puts it in
// the place of the present one, or forgets it again.
func (b *backend) RotateHostKey(ctx context.Context, step api.HostKeyStep) (api.HostKeys, error) {
	if err := mayConfigure(ctx); err != nil {
		return api.HostKeys{}, err
	}
	shown, err := b.rotate(ctx, step)
	if err != nil {
		return api.HostKeys{}, err
	}
	b.gate.moved()
	return shown, nil
}

func (b *backend) rotate(ctx context.Context, step api.HostKeyStep) (api.HostKeys, error) {
	configured := b.configuredHostKeys()
	b.gate.mu.Lock()
	defer b.gate.mu.Unlock()
	before, err := b.hostKeys(ctx, configured)
	if err != nil {
		return api.HostKeys{}, err
	}
	next, told, err := before.step(step, b.events.Now())
	if err != nil {
		return api.HostKeys{}, err
	}
	if err := b.shelf.keepHostKey(writtenKeys(next)); err != nil {
		return api.HostKeys{}, err
	}
	b.events.Add(ctx, events.Commit, "%s by %s", told, who(ctx))
	after, err := b.hostKeys(ctx, configured)
	if err != nil {
		return api.HostKeys{}, err
	}
	return b.gate.shownKeys(after), nil
}

// step says which keys there are after a step, and what became of them.
func (m machineKeys) step(step api.HostKeyStep, now time.Time) (keys []machineKey, told string, err error) {
	refuse := func(format string, args ...any) ([]machineKey, string, error) {
		return nil, "", &api.Error{Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case m.configured:
		return refuse("the host keys of this machine are in its configuration: management ssh host-key is a list, whose first key is used and whose others are announced")
	case m.broken != nil:
		return refuse("what the machine keeps of host keys cannot be used: %v", m.broken)
	case step == api.HostKeyAnnounce && len(m.keys) > 1:
		return refuse("%s is announced already: replace puts it into use, withdraw forgets it", m.keys[1].fingerprint())
	case step != api.HostKeyAnnounce && len(m.keys) < 2:
		return refuse("no host key is announced: announce makes the next one")
	}
	switch step {
	case api.HostKeyAnnounce:
		made, err := makeHostKey(now)
		return append(m.keys, made), "SSH host key " + made.fingerprint() + " made and announced", err
	case api.HostKeyReplace:
		next := m.keys[1]
		next.since = now
		return []machineKey{next}, fmt.Sprintf("SSH host key %s replaced with %s", m.keys[0].fingerprint(), next.fingerprint()), nil
	case api.HostKeyWithdraw:
		return m.keys[:1], "announced SSH host key " + m.keys[1].fingerprint() + " withdrawn", nil
	}
	return refuse("%q is no step of a host key's rotation: expected announce, replace or withdraw", step)
}

// HostKeyOffered notes that the actor's client was told of the next host key,
// and whether it learned it.
func (b *backend) HostKeyOffered(ctx context.Context, o api.HostKeyOffer) error {
	g, actor := b.gate, api.ActorOf(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if o.Fingerprint == "" || o.Fingerprint != g.identity.next {
		return nil // it was withdrawn, or is in use, meanwhile
	}
	who := offered{actor.User, actor.From}
	seen, known := g.identity.offered[who]
	if !known && len(g.identity.offered) >= maxOffered {
		g.identity.forgetOldest()
	}
	if g.identity.offered == nil {
		g.identity.offered = map[offered]api.HostKeyClient{}
	}
	g.identity.offered[who] = api.HostKeyClient{User: actor.User, From: actor.From, Learned: seen.Learned || o.Learned, Last: b.events.Now()}
	return nil
}

func (i *identity) forgetOldest() {
	var oldest offered
	for who, c := range i.offered {
		if first, ok := i.offered[oldest]; !ok || c.Last.Before(first.Last) {
			oldest = who
		}
	}
	delete(i.offered, oldest)
}

// hostKeys finds the machine's host keys, and puts their fingerprints into the
// status. The gate is locked.
func (b *backend) hostKeys(ctx context.Context, configured []config.Secret) (machineKeys, error) {
	all, err := b.findHostKeys(ctx, configured)
	if err != nil {
		return machineKeys{}, err
	}
	next := ""
	if len(all.keys) > 1 {
		next = all.keys[1].fingerprint()
	}
	if next != b.gate.identity.next {
		b.gate.identity.next, b.gate.identity.offered = next, nil
	}
	b.board.update(func(s *api.Status) { s.HostKey, s.NextHostKey = all.keys[0].fingerprint(), next })
	return all, nil
}

// configuredHostKeys are those that the running configuration gives. The
// reconciler locks the gate: it is not asked while that is locked.
func (b *backend) configuredHostKeys() []config.Secret {
	in, err := b.reconciler.configured()
	if err != nil {
		return nil // in maintenance
	}
	return in.config.Management.SSH.HostKeys
}

func (b *backend) findHostKeys(ctx context.Context, configured []config.Secret) (machineKeys, error) {
	if len(configured) > 0 {
		return keysOf(configured)
	}
	keys, err := b.keptHostKeys()
	if err == nil {
		return machineKeys{keys: keys, ephemeral: !b.shelf.lasting()}, nil
	}
	if b.gate.identity.spare == nil {
		made, makeErr := makeHostKey(b.events.Now())
		if makeErr != nil {
			return machineKeys{}, errors.Join(err, makeErr)
		}
		b.gate.identity.spare, b.gate.identity.why = made.pem, err
		b.events.Add(ctx, events.Session, "the SSH host key could not be kept, another is in use that ends with the control plane: %v", err)
	}
	spare, err := readKeys(b.gate.identity.spare)
	return machineKeys{keys: spare, ephemeral: true, broken: b.gate.identity.why}, err
}

func keysOf(secrets []config.Secret) (machineKeys, error) {
	all := machineKeys{configured: true}
	for _, secret := range secrets {
		keys, err := readKeys([]byte(secret))
		if err != nil {
			return machineKeys{}, err
		}
		keys[0].since = time.Time{}
		all.keys = append(all.keys, keys[0])
	}
	return all, nil
}

// keptHostKeys are the host keys that are kept; one is made if there is none.
func (b *backend) keptHostKeys() ([]machineKey, error) {
	kept, err := b.shelf.hostKey()
	if err != nil {
		return nil, err
	}
	if kept != nil {
		return readKeys(kept)
	}
	made, err := makeHostKey(b.events.Now())
	if err != nil {
		return nil, err
	}
	return []machineKey{made}, b.shelf.keepHostKey(writtenKeys([]machineKey{made}))
}

// sinceMark begins the line before a kept key that says how old it is. What is
// before a key's first line is for people and is passed over by all that read
// keys (RFC 7468, section 2).
const sinceMark = "since "

// writtenKeys is what is kept: the keys in their order, in one file, so that a
// power cut finds the keys before a step or those after it.
func writtenKeys(keys []machineKey) []byte {
	var b bytes.Buffer
	for _, k := range keys {
		if !k.since.IsZero() {
			b.WriteString(sinceMark + k.since.UTC().Format(time.RFC3339) + "\n")
		}
		b.Write(k.pem)
	}
	return b.Bytes()
}

// readKeys reads host keys, at least one. A next one that cannot be read is no
// reason to be without the present one.
func readKeys(text []byte) ([]machineKey, error) {
	var keys []machineKey
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		encoded := pem.EncodeToMemory(block)
		signer, err := ssh.ParsePrivateKey(encoded)
		if err != nil && len(keys) == 0 {
			return nil, fmt.Errorf("host key: %w", err)
		}
		if err == nil {
			keys = append(keys, machineKey{pem: encoded, public: signer.PublicKey(), since: sinceOf(text[:len(text)-len(rest)])})
		}
		text = rest
	}
	if len(keys) == 0 {
		return nil, errors.New("host key: there is none in what is kept")
	}
	return keys, nil
}

// sinceOf is what the line before a key says; zero: nothing.
func sinceOf(text []byte) time.Time {
	head, _, _ := bytes.Cut(text, []byte("-----BEGIN"))
	line, _ := strings.CutPrefix(strings.TrimSpace(string(head)), sinceMark)
	since, _ := time.Parse(time.RFC3339, line) // zero with an error
	return since
}

func makeHostKey(now time.Time) (machineKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return machineKey{}, fmt.Errorf("host key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return machineKey{}, fmt.Errorf("host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return machineKey{}, fmt.Errorf("host key: %w", err)
	}
	return machineKey{pem: pem.EncodeToMemory(block), public: signer.PublicKey(), since: now}, nil
}
