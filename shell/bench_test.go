package shell

import (
	"bufio"
	"io"
	"testing"

	gossh "golang.org/x/crypto/ssh"
)

// BenchmarkPrompt is a login, from the TCP connection to the first byte of the
// prompt, client and server together. In a guest that counts instructions, its
// nanoseconds are instructions.
func BenchmarkPrompt(b *testing.B) {
	joe := newPerson(b, "joe")
	a := one(joe)
	a.MaxConnections, a.MaxPerAddress, a.MaxPerMinute = 1<<20, 1<<20, 1<<20
	s := start(b, a)
	for _, kex := range []string{gossh.KeyExchangeCurve25519, gossh.KeyExchangeMLKEM768X25519} {
		b.Run(kex, func(b *testing.B) {
			for b.Loop() {
				login(b, s, joe, kex)
			}
		})
	}
}

func login(b *testing.B, s *server, p *person, kex string) {
	c, err := gossh.Dial("tcp", s.address, &gossh.ClientConfig{
		Config: gossh.Config{KeyExchanges: []string{kex}},
		User:   p.user, Auth: []gossh.AuthMethod{gossh.PublicKeys(p.signer())},
		HostKeyCallback: gossh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	work := openSession(b, c)
	if err := work.RequestPty("xterm", 24, 80, nil); err != nil {
		b.Fatal(err)
	}
	out, err := work.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := work.Shell(); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(bufio.NewReader(out), make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
}
