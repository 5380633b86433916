package candidate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dipper/appliance/config"
)

// twisted holds what services of one configuration must not do to each other:
// share a VIP, a mark, or have a VIP for a real server.
const twisted = `
role: director
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24, 2001:db8:4::5/64]}
services:
  api:
    listen: [192.168.4.16:80, 192.168.4.16:443]
    forward: nat
    real-servers:
      - {address: 192.168.4.100, port: 8080}
      - {address: 192.168.4.101, port: 8080, weight: 3}
  dns:
    listen: 192.168.4.17:53
    protocol: [tcp, udp]
    forward: dr
    real-servers:
      - {address: 192.168.4.102}
  marked: # by the firewall
    fwmark: 7
    family: ipv4
    forward: dr
    real-servers: [{address: 192.168.4.103}]
  net:
    listen: 192.168.4.32/29:80
    forward: dr
    real-servers: [{address: 192.168.4.104}]
  web:
    listen: 192.168.4.15:80
    forward: dr
    real-servers:
      # rack 7
      - {address: 192.168.4.100}
      - {address: 192.168.4.200, verify: false}
`

// randomEdit is a command that may be right, or wrong, or wrong together with
// others.
func randomEdit(random *rand.Rand, d *Document) []string {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	names := func(below *node) []string {
		var all []string
		for _, child := range below.children {
			all = append(all, child.name)
		}
		return all
	}
	services := d.root.child("services")
	if services == nil {
		return strings.Fields("set services web listen 192.168.4.15:80 forward dr")
	}
	service := pick(names(services)...)
	path := []string{"services", service}
	address := pick("192.168.4.100", "192.168.4.200", "192.168.4.201", "192.168.4.15", "192.168.4.33", "192.168.4.5", "10.9.9.9", "2001:db8:4::77")
	server := address
	if list := services.child(service).child("real-servers"); list != nil && random.IntN(3) > 0 {
		server = pick(names(list)...)
	}
	set := func(words ...string) []string { return append(append([]string{"set"}, path...), words...) }
	switch random.IntN(16) {
	case 0, 1, 2, 3:
		return set("real-servers", server, "weight", pick("0", "1", "2", "100"))
	case 4, 5:
		return set("real-servers", address)
	case 6:
		return append(append([]string{"delete"}, path...), "real-servers", server)
	case 7:
		return set("scheduler", pick("rr", "wrr", "mh", "sh"))
	case 8:
		return set("listen", pick("192.168.4.15:80", "192.168.4.16:80", "192.168.4.18:443", "192.168.4.100:80", "192.168.4.33:80"))
	case 9:
		return set("fwmark", pick("7", "8"))
	case 10:
		return set("real-servers", server, pick("upper-threshold", "lower-threshold"), pick("5", "10"))
	case 11:
		return append([]string{"annotate"}, append(path, pick("", "the shop"))...)
	case 12:
		return append([]string{"copy"}, append(path, "to", pick("a", "m", "z"))...)
	case 13:
		return append([]string{"rename"}, append(path, "to", pick("b", "n", "y"))...)
	case 14:
		return append([]string{"insert"}, append(path, "real-servers", server, pick("before", "after"), address)...)
	}
	return append([]string{pick("set", "delete")}, pick("hostname lb1", "services web", "network routes default via 192.168.4.1",
		"ipvs sync master interface eth0", "management ssh max-connections 9"))
}

// TestAmend goes from one configuration to the next by random edits, and has
// the services that differ read alone: what comes of it is what the whole file
// says, and only of a file without mistakes.
func TestAmend(t *testing.T) {
	texts := slices.Repeat([]string{twisted}, 60)
	for _, text := range configurations(t) {
		texts = append(texts, text)
	}
	random := rand.New(rand.NewPCG(4, 15))
	amended, mistaken := 0, 0
	for _, text := range texts {
		a, m := amendments(t, random, parsed(t, text))
		amended, mistaken = amended+a, mistaken+m
	}
	if amended < 500 || mistaken < 500 {
		t.Errorf("%d edits were read alone, and %d gave mistakes: this tests too little", amended, mistaken)
	}
}

func amendments(t *testing.T, random *rand.Rand, base *Document) (amended, mistaken int) {
	t.Helper()
	known, err := config.Parse("base", base.YAML())
	if err != nil {
		t.Fatal(err)
	}
	edited := base.Clone()
	for range 30 {
		words := randomEdit(random, edited)
		_ = edited.Do(splitLast(words)...) // some are refused
		want, wrong := config.Parse("whole", edited.YAML())
		if wrong != nil {
			mistaken++
		}
		if excerpt, ok := edited.Excerpt(base); ok {
			got, ok := config.Amend(known, excerpt)
			switch {
			case ok && wrong != nil:
				t.Fatalf("%q: amended, but %v", words, wrong)
			case ok && !reflect.DeepEqual(got, want):
				t.Fatalf("%q: another configuration: %v", words, config.Diff(want, got))
			case ok:
				amended++
			}
		}
		switch {
		case wrong == nil && random.IntN(2) == 0:
			base, known = edited.Clone(), want
		case wrong != nil && random.IntN(4) == 0:
			edited = base.Clone()
		}
	}
	return amended, mistaken
}

// splitLast takes apart a last word that is several.
func splitLast(words []string) []string {
	last := len(words) - 1
	if words[0] == "annotate" {
		return words
	}
	return append(words[:last:last], strings.Fields(words[last])...)
}

// TestCopiesAreApart edits documents and their copies in turn: nobody sees what
// another one does, and each is what its YAML says.
func TestCopiesAreApart(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 7))
	for range 10 {
		all := []*Document{parsed(t, twisted)}
		texts := []string{string(all[0].YAML())}
		for range 60 {
			i := random.IntN(len(all))
			switch random.IntN(6) {
			case 0:
				all, texts = append(all, all[i].Clone()), append(texts, texts[i])
				continue
			case 1:
				other := all[random.IntN(len(all))]
				slices.Clone([]func(*Document){all[i].Merge, all[i].Replace, all[i].Override})[random.IntN(3)](other)
			case 2:
				var lines []string
				for range 5 {
					lines = append(lines, Join(splitLast(randomEdit(random, all[i]))...))
				}
				_ = all[i].Run("lines", strings.Join(lines, "\n"))
			default:
				_ = all[i].Do(splitLast(randomEdit(random, all[i]))...)
			}
			texts[i] = string(all[i].YAML())
			for j, d := range all {
				fresh := View{Secrets: true}.yaml(d.root)
				if !bytes.Equal(fresh, d.YAML()) || string(fresh) != texts[j] {
					t.Fatalf("document %d, after an edit of %d:\n%s\nkept as\n%s\nwas\n%s", j, i, fresh, d.YAML(), texts[j])
				}
			}
		}
	}
}

// TestCopiedEntryIsApart edits an entry after it was copied by the same load.
func TestCopiedEntryIsApart(t *testing.T) {
	d := parsed(t, twisted)
	err := d.Run("lines", `set services web real-servers 192.168.4.100 weight 2
copy services web to shop
set services web real-servers 192.168.4.100 weight 9
set services shop scheduler rr`)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"services shop real-servers 192.168.4.100 weight": "2\n", "services web scheduler": ""} {
		if got, err := d.Show(View{}, strings.Fields(path)...); got != want || err != nil {
			t.Errorf("%s is %q (%v), want %q", path, got, err, want)
		}
	}
}

// TestSharedIsPassedBy compares documents that share most with such that share
// nothing: what leads from one to the other is the same.
func TestSharedIsPassedBy(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 2))
	for range 300 {
		a := parsed(t, twisted)
		b := a.Clone()
		for range 1 + random.IntN(8) {
			_ = b.Do(splitLast(randomEdit(random, b))...)
		}
		x, y := parsed(t, string(a.YAML())), parsed(t, string(b.YAML()))
		if got, want := fmt.Sprint(Compare(a, b)), fmt.Sprint(Compare(x, y)); got != want {
			t.Fatalf("compared:\n%s\nwithout sharing:\n%s", got, want)
		}
		if got, want := Changes(View{}, a, b), Changes(View{}, x, y); !slices.Equal(got, want) {
			t.Fatalf("commands:\n%q\nwithout sharing:\n%q", got, want)
		}
	}
}
