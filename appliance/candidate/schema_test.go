package candidate

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"dipper/appliance/config"
)

// TestEveryKeyCanBeSet sets every key that the schema has, alone, with the
// schema's own example, and finds it in the YAML, in the commands and behind
// Tab.
func TestEveryKeyCanBeSet(t *testing.T) {
	schema := config.Describe()
	count := 0
	eachValue(&schema, nil, func(path []string, key *config.Schema) {
		count++
		value := exampleOf(key)
		if key.Name == "host-key" {
			value = hostKey(t)
		}
		words := append(path[:len(path):len(path)], key.Name, value)
		line := Join(append([]string{"set"}, words...)...)
		d := New()
		if err := d.Set(words...); err != nil {
			t.Errorf("%s: %v", line, err)
			return
		}
		wantStable(t, d)
		shown, err := d.Show(View{Secrets: true}, words[:len(words)-1]...)
		if err != nil || strings.TrimSpace(shown) == "" {
			t.Errorf("%s: show gives %q (%v)", line, shown, err)
		}
		if redacted := string(View{}.yaml(d.root)); key.Secret == strings.Contains(redacted, key.Written(value)) {
			t.Errorf("%s: secret: %t, shown as\n%s", line, key.Secret, redacted)
		}
		if err := New().Set(append(words[:len(words)-1:len(words)-1], Redacted)...); key.Secret && err == nil {
			t.Errorf("%s: what stands for a secret is taken for one", line)
		}
		offers := d.Complete(VerbSet, path, key.Name, 100)
		if len(offers) == 0 || offers[0].Word != key.Name || offers[0].Help == "" {
			t.Errorf("%s: completion offers %+v", line, offers)
		}
		if offers := d.Complete(VerbSet, words[:len(words)-1], "", 100); len(offers) == 0 {
			t.Errorf("%s: nothing is offered for its value", line)
		}
		if err := d.Delete(words[:len(words)-1]...); err != nil {
			t.Errorf("delete %s: %v", line, err)
		}
	})
	if count < 80 {
		t.Errorf("%d keys: too few to be all", count)
	}
}

// eachValue visits every key with values; the path leads to its section.
func eachValue(s *config.Schema, path []string, visit func(path []string, key *config.Schema)) {
	for i := range s.Keys {
		key := &s.Keys[i]
		below := append(path[:len(path):len(path)], key.Name)
		switch key.Kind {
		case config.KindSection:
			eachValue(key, below, visit)
		case config.KindEntries:
			eachValue(key, append(below, "one"), visit)
		case config.KindSections:
			first, _ := key.Find(key.Identity[0])
			eachValue(withoutIdentity(key), append(below, exampleOf(&first)), visit)
		default:
			visit(path, key)
		}
	}
}

// withoutIdentity leaves out the keys that are an item's name.
func withoutIdentity(list *config.Schema) *config.Schema {
	rest := config.Schema{}
	for _, key := range list.Keys {
		if !strings.Contains(" "+strings.Join(list.Identity, " ")+" ", " "+key.Name+" ") {
			rest.Keys = append(rest.Keys, key)
		}
	}
	return &rest
}

func exampleOf(key *config.Schema) string {
	switch {
	case key.Type == config.TypeBoolean:
		return "true"
	case key.Reference == config.RefInterface:
		return "eth0"
	case key.Name == "keys" || key.Name == "certificate-authorities":
		return "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea admin@desk"
	case key.Name == "password-hash":
		return "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
	}
	return key.Example
}

// hostKey makes a private key.
func hostKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}
