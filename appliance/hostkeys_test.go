package appliance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"dipper/appliance/api"
	"dipper/appliance/events"
	"dipper/appliance/store"
)

// announcedBy are the fingerprints of a machine's host keys, the one in use
// first, as the shell gets them and as everybody sees them.
func announcedBy(t *testing.T, b *backend) []string {
	t.Helper()
	shown, err := b.HostKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := b.HostKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var prints, given []string
	for i, k := range shown.Keys {
		if k.Announced != (i > 0) {
			t.Errorf("key %d of %+v", i, shown.Keys)
		}
		prints = append(prints, k.Fingerprint)
	}
	for _, pem := range append([][]byte{key.PEM}, key.Announced...) {
		signer, err := ssh.ParsePrivateKey(pem)
		if err != nil {
			t.Fatal(err)
		}
		given = append(given, ssh.FingerprintSHA256(signer.PublicKey()))
	}
	if !slices.Equal(prints, given) {
		t.Errorf("shown are %s, used are %s", prints, given)
	}
	status := b.Status(t.Context(), -1)
	if status.HostKey != prints[0] || len(prints) > 1 && status.NextHostKey != prints[1] || len(prints) < 2 && status.NextHostKey != "" {
		t.Errorf("the status shows %q and %q of %s", status.HostKey, status.NextHostKey, prints)
	}
	return prints
}

// TestHostKeyRotation takes every step, on a volume that outlives reboots in
// between, and refuses those that make no sense.
func TestHostKeyRotation(t *testing.T) {
	volume := &disk{Memory: store.NewMemory()}
	var first, next string
	rotate := func(t *testing.T, b *backend, step api.HostKeyStep, refusal string) {
		t.Helper()
		before, err := b.Access(t.Context(), -1)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.RotateHostKey(as(t, "anna", "s1"), step)
		if refusal != "" {
			if err == nil || !strings.Contains(err.Error(), refusal) {
				t.Errorf("%s: %v, want %q", step, err, refusal)
			}
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		if after, err := b.Access(t.Context(), before.Generation); err != nil || after.HostKey == before.HostKey {
			t.Errorf("%s: the shell is not told (%v)", step, err)
		}
	}
	want := func(t *testing.T, b *backend, want ...string) {
		t.Helper()
		if got := announcedBy(t, b); !slices.Equal(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	bootsWith(t, volume, pair, func(t *testing.T, _ *machine, b *backend) {
		first = announcedBy(t, b)[0]
		rotate(t, b, api.HostKeyReplace, "no host key is announced")
		rotate(t, b, api.HostKeyWithdraw, "no host key is announced")
		rotate(t, b, "turn", "no host key is announced")
		rotate(t, b, api.HostKeyAnnounce, "")
		rotate(t, b, api.HostKeyWithdraw, "")
		want(t, b, first)
		rotate(t, b, api.HostKeyAnnounce, "")
		rotate(t, b, api.HostKeyAnnounce, "is announced already")
		rotate(t, b, "turn", "no step of a host key's rotation")
		next = announcedBy(t, b)[1]
		want(t, b, first, next)
	})
	bootsWith(t, volume, pair, func(t *testing.T, _ *machine, b *backend) {
		want(t, b, first, next)
		shown, err := b.HostKeys(t.Context())
		if err != nil || shown.Keys[1].Since.IsZero() || shown.Ephemeral || shown.Configured {
			t.Errorf("%+v, %v", shown, err)
		}
		rotate(t, b, api.HostKeyReplace, "")
		want(t, b, next)
		told := eventsOf(t, b, events.Commit)
		if len(told) != 1 || !strings.Contains(told[0], first+" replaced with "+next+" by anna") {
			t.Errorf("told: %q", told)
		}
	})
	bootsWith(t, volume, pair, func(t *testing.T, _ *machine, b *backend) { want(t, b, next) })
}

// TestHostKeyRotationIsForAdmins also when somebody asks the socket itself.
func TestHostKeyRotationIsForAdmins(t *testing.T) {
	bubble(t, pair, func(t *testing.T, _ *machine, b *backend) {
		before := announcedBy(t, b)
		ctx := api.WithActor(t.Context(), api.Actor{User: "otto", Role: api.Operate, Session: "s1"})
		if _, err := b.RotateHostKey(ctx, api.HostKeyAnnounce); err == nil {
			t.Error("an operator rotates the host key")
		}
		if got := announcedBy(t, b); !slices.Equal(got, before) {
			t.Errorf("got %s, want %s", got, before)
		}
	})
}

// TestWhoKnowsTheNextKey remembers who was told, until another key is the next.
func TestWhoKnowsTheNextKey(t *testing.T) {
	bubble(t, pair, func(t *testing.T, _ *machine, b *backend) {
		anna := as(t, "anna", "s1")
		offer := func(user string, fingerprint string, learned bool) {
			t.Helper()
			ctx := api.WithActor(t.Context(), api.Actor{User: user, Role: api.Viewer, From: "192.168.4.10"})
			if err := b.HostKeyOffered(ctx, api.HostKeyOffer{Fingerprint: fingerprint, Learned: learned}); err != nil {
				t.Fatal(err)
			}
		}
		rotate := func(step api.HostKeyStep) api.HostKeys {
			t.Helper()
			keys, err := b.RotateHostKey(anna, step)
			if err != nil {
				t.Fatal(err)
			}
			return keys
		}
		keys := rotate(api.HostKeyAnnounce)
		next := keys.Keys[1].Fingerprint
		offer("bert", next, false)
		offer("anna", next, false)
		offer("anna", next, true)
		offer("anna", next, false) // knows it already, and does not ask again
		offer("carl", keys.Keys[0].Fingerprint, true)
		shown, err := b.HostKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c := shown.Clients; len(c) != 2 || c[0].User != "anna" || !c[0].Learned || c[1].User != "bert" || c[1].Learned {
			t.Errorf("clients: %+v", c)
		}
		rotate(api.HostKeyWithdraw)
		if again := rotate(api.HostKeyAnnounce); len(again.Clients) != 0 {
			t.Errorf("clients of a key that was withdrawn: %+v", again.Clients)
		}
		for i := range 2 * maxOffered {
			offer(strings.Repeat("x", i+1), announcedBy(t, b)[1], true)
		}
		if shown, err = b.HostKeys(t.Context()); err != nil || len(shown.Clients) != maxOffered {
			t.Errorf("%d clients are remembered (%v), want %d", len(shown.Clients), err, maxOffered)
		}
	})
}

// TestConfiguredHostKeys uses the first of several in the configuration and
// announces the others; rotation is by commits then.
func TestConfiguredHostKeys(t *testing.T) {
	made, prints := ecdsaKeys(t, 3)
	yaml := func(order ...int) []byte {
		text := pair + "management:\n  ssh:\n    host-key:\n"
		for _, i := range order {
			text += "      - |\n        " + strings.ReplaceAll(strings.TrimSpace(made[i]), "\n", "\n        ") + "\n"
		}
		return []byte(text)
	}
	bubble(t, pair, func(t *testing.T, _ *machine, b *backend) {
		for _, order := range [][]int{{0}, {0, 1}, {1, 0}, {1, 0, 2}, {1}} {
			before, err := b.Access(t.Context(), -1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Apply(t.Context(), yaml(order...), false); err != nil {
				t.Fatal(err)
			}
			if after, err := b.Access(t.Context(), before.Generation); err != nil || after.HostKey == before.HostKey || strings.Contains(after.HostKey, "PRIVATE") {
				t.Errorf("%v: the shell is not told (%v), or too much", order, err)
			}
			var want []string
			for _, i := range order {
				want = append(want, prints[i])
			}
			if got := announcedBy(t, b); !slices.Equal(got, want) {
				t.Errorf("%v: got %s, want %s", order, got, want)
			}
		}
		if _, err := b.RotateHostKey(as(t, "anna", "s1"), api.HostKeyAnnounce); err == nil || !strings.Contains(err.Error(), "in its configuration") {
			t.Errorf("got %v", err)
		}
	})
}

// ecdsaKeys are private keys with their fingerprints.
func ecdsaKeys(t *testing.T, n int) (texts, prints []string) {
	t.Helper()
	for range n {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			t.Fatal(err)
		}
		public, err := ssh.NewPublicKey(&private.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		texts, prints = append(texts, string(pem.EncodeToMemory(block))), append(prints, ssh.FingerprintSHA256(public))
	}
	return texts, prints
}

// TestKeptKeys reads what is kept of keys, also what versions before wrote and
// what a hand has touched.
func TestKeptKeys(t *testing.T) {
	texts, prints := ecdsaKeys(t, 2)
	for name, tt := range map[string]struct {
		text string
		want int // keys; 0: an error
	}{
		"one":              {texts[0], 1},
		"two":              {"since 2026-11-21T12:00:00Z\n" + texts[0] + "since yesterday\n" + texts[1], 2},
		"the next broken":  {texts[0] + "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", 1},
		"the first broken": {"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n" + texts[0], 0},
		"cut off":          {texts[0] + texts[1][:len(texts[1])/2], 1},
		"nothing":          {"", 0},
		"text":             {"since 2026-11-21T12:00:00Z\n", 0},
	} {
		keys, err := readKeys([]byte(tt.text))
		if len(keys) != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%s: %d keys, %v; want %d", name, len(keys), err, tt.want)
		}
		for i, k := range keys {
			if k.fingerprint() != prints[i] {
				t.Errorf("%s: key %d is %s", name, i, k.fingerprint())
			}
			if since := name == "two" && i == 0; k.since.IsZero() == since {
				t.Errorf("%s: key %d since %s", name, i, k.since)
			}
		}
		if again, err := readKeys(writtenKeys(keys)); tt.want > 0 && (err != nil || len(again) != tt.want || !again[0].since.Equal(keys[0].since)) {
			t.Errorf("%s: written and read: %v, %v", name, again, err)
		}
	}
}
