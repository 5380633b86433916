package setup

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL0JCdtGLcv2ZLuPThvvHcFvOzm2GvFGFqXxC3hA5uVv joe@desk"

var twoLinks = []Interface{{Name: "eth0"}, {Name: "eth1", Carrier: true}}

// talk answers the questions as a transcript says: "question> answer", and an
// error in a line of its own.
func talk(t *testing.T, f *Flow, transcript string) {
	t.Helper()
	for line := range strings.Lines(strings.TrimSpace(transcript)) {
		line = strings.TrimSpace(line)
		question, answer, ok := strings.Cut(line, ">")
		if !ok {
			t.Fatalf("no answer in %q", line)
		}
		answer, wantErr, _ := strings.Cut(answer, "!")
		q, more := f.Next()
		if !more || !strings.Contains(q.Text, strings.TrimSpace(question)) {
			t.Fatalf("got question %q, want %q", q.Text, question)
		}
		err := f.Answer(answer)
		wantErr = strings.TrimSpace(wantErr)
		if (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: got %v, want %q", line, err, wantErr)
		}
	}
}

func TestDirector(t *testing.T) {
	f := New(twoLinks)
	talk(t, f, `
Role> router                   ! expected director or real-server
Role> d
Name> LB 1                     ! expected letters
Name> -lb1                     ! expected letters
Name> lb1-                     ! expected letters
Name> lb1.example              ! expected letters
Name>
Interface> eth7                ! no such interface
Interface>
Its address> 192.168.4.5       ! expected an address with a prefix length
Its address> 192.168.4.0/24    ! is a network
Its address> 192.168.4.5/24
Default gateway> 10.0.0.1      ! cannot be reached
Default gateway> 192.168.4.5   ! cannot be reached
Default gateway> 192.168.4.254
VIP> web                       ! expected an address with a port
VIP> 192.168.4.15:0            ! expected an address with a port
VIP> 192.168.4.15
How to reach> ipip             ! expected dr, nat or tun
How to reach>
Real server 1>                 ! expected an address
Real server 1> 2001:db8::1     ! is not of the VIP's family
Real server 1> 192.168.4.100
Real server 2> 192.168.4.200 x ! expected a weight
Real server 2> 192.168.4.200 2
Real server 3>
Public key> nonsense           ! is no public key
Public key> https://example.net/joe.keys ! to be fetched: https://example.net/joe.keys
Public key> `+key+`
One more key>
Password>
`)
	if q, more := f.Next(); more {
		t.Fatalf("there is one more question: %q", q.Text)
	}
	want := `role: director
hostname: lb1
network:
  interfaces:
    eth1: {addresses: ["192.168.4.5/24"]}
  routes:
    - {to: default, via: "192.168.4.254"}
services:
  service1:
    listen: "192.168.4.15:80"
    protocol: tcp
    scheduler: wrr
    forward: dr
    real-servers:
      - {address: "192.168.4.100", weight: 1}
      - {address: "192.168.4.200", weight: 2}
management:
  ssh:
    users:
      admin:
        role: admin
        keys:
          - "` + key + `"
`
	if got := f.Config(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestRealServer(t *testing.T) {
	f := New(nil)
	talk(t, f, `
Role> real
Name> web7
Interface>                     ! expected the name
Interface> eth0
Its address> dhcp
VIP 1> x                       ! expected an address
VIP 1> 192.168.4.15
VIP 2> 2001:db8::15
VIP 3>
Public key>
Password>                      ! too short
Password> short                ! too short
Password> long enough
`)
	got := f.Config()
	_, hash, ok := strings.Cut(got, "password-hash: ")
	if !ok || bcrypt.CompareHashAndPassword([]byte(strings.Trim(hash, "\"\n")), []byte("long enough")) != nil {
		t.Errorf("no hash of the password in:\n%s", got)
	}
	want := `role: real-server
hostname: web7
network:
  interfaces:
    eth0: {dhcp: true}
virtual-addresses:
  - {address: "192.168.4.15", forward: dr}
  - {address: "2001:db8::15", forward: dr}
management:
  ssh:
    users:
      admin:
        role: admin
        password-hash: `
	if !strings.HasPrefix(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestKeysOfAURL takes what a URL answered.
func TestKeysOfAURL(t *testing.T) {
	f := New(twoLinks)
	talk(t, f, "Role> real\nName>\nInterface>\nIts address> dhcp\nVIP 1>\nPublic key> http://10.0.0.1/keys ! to be fetched")
	var fetch *FetchError
	if err := f.Answer("http://10.0.0.1/keys"); !errors.As(err, &fetch) || fetch.URL != "http://10.0.0.1/keys" {
		t.Errorf("got %v", err)
	}
	if err := f.Answer("<html>not found</html>"); err == nil {
		t.Error("a page of HTML is a key")
	}
	if err := f.Answer("# joe's\n" + key + "\n\n" + key + "\n"); err != nil {
		t.Error(err)
	}
	if got := strings.Count(f.Config(), key); got != 2 {
		t.Errorf("%d keys, want 2", got)
	}
}

// FuzzAnswers answers anything at all: no question may be passed by something
// that breaks the YAML's lines.
func FuzzAnswers(f *testing.F) {
	f.Add("director\nlb1\neth0\n192.168.4.5/24\nnone\n192.168.4.15:80\ndr\n192.168.4.100 1\n\n" + key + "\n\n\n")
	f.Add("real\nweb1\neth0\ndhcp\n\n\nlong enough\n")
	f.Fuzz(func(t *testing.T, text string) {
		flow := New(twoLinks)
		for line := range strings.Lines(text) {
			if q, more := flow.Next(); !more || q.Secret {
				break
			}
			_ = flow.Answer(line) // most are wrong
		}
		for line := range strings.Lines(flow.Config()) {
			if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x00\x1b") {
				t.Errorf("%q", line)
			}
		}
	})
}
