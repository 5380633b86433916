package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// At most so many try at once, each from one address after the other; of a few
// passwords, one does.
const (
	mostGuessers = 64
	fewPasswords = 100
)

// guess tries passwords until it has tried count. A connection that the server
// does not take is a try as well: one was to be sent.
func (i *intruder) guess() (Outcome, error) {
	var all tally
	var busy sync.WaitGroup
	var turns atomic.Int64
	guessers := min(mostGuessers, 1+i.count/fewPasswords)
	failed := make(chan error, guessers)
	for range guessers {
		busy.Go(func() {
			for all.tried.Load() < int64(i.count) {
				if err := i.converse(int(turns.Add(1)), &all); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	busy.Wait()
	close(failed)
	return all.outcome(), <-failed
}

// tally counts over all guessers.
type tally struct {
	tried, connections, unreachable, refused, wrong, cut, in atomic.Int64
}

func (t *tally) outcome() Outcome {
	return Outcome{
		Connections: int(t.connections.Load()), Unreachable: int(t.unreachable.Load()), Refused: int(t.refused.Load()),
		Wrong: int(t.wrong.Load()), Cut: int(t.cut.Load()), In: int(t.in.Load()),
	}
}

// knock connects. Without a connection and an error, it was refused: the server
// speaks first, and has not.
func (i *intruder) knock(n int, all *tally) (net.Conn, error) {
	raw, err := i.dial(n)
	if err != nil && !sentAway(err) {
		all.unreachable.Add(1)
		return nil, fmt.Errorf("connection %d: %w", n, err)
	}
	all.connections.Add(1)
	first := make([]byte, 1)
	if err == nil {
		if _, err = raw.Read(first); err == nil {
			return &greeted{raw, first}, nil
		}
		raw.Close()
	}
	all.refused.Add(1)
	all.tried.Add(1)
	return nil, nil
}

// users are who an intruder thinks there are. The first try is at the second of
// them.
func users() []string { return []string{"root", "admin", "tom", "admin"} }

// converse is one connection, which tries as many passwords as the server
// listens to. Its error is that this machine could not attack.
func (i *intruder) converse(n int, all *tally) error {
	conn, err := i.knock(n, all)
	if conn == nil {
		return err
	}
	defer conn.Close()
	asked := 0
	client, _, _, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{
		User:            users()[n%len(users())],
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		// Whoever tries many takes what costs him least.
		Config: ssh.Config{KeyExchanges: []string{ssh.KeyExchangeCurve25519}, Ciphers: []string{ssh.CipherChaCha20Poly1305}},
		Auth: []ssh.AuthMethod{ssh.RetryableAuthMethod(ssh.PasswordCallback(func() (string, error) {
			all.tried.Add(1)
			if asked++; asked > 1 {
				all.wrong.Add(1) // the one before
			}
			return fmt.Sprintf("guess-%d-%d", n, asked), nil
		}), i.count)},
	})
	switch {
	case err == nil:
		all.in.Add(1)
		return client.Close()
	case asked == 0:
		all.cut.Add(1)
		all.tried.Add(1)
	case brokenOff(err):
		all.cut.Add(1)
	default:
		all.wrong.Add(1)
	}
	return nil
}

func brokenOff(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.As(err, &op) || strings.Contains(err.Error(), "EOF")
}

// greeted is a connection of which some bytes were read already.
type greeted struct {
	net.Conn
	first []byte
}

func (g *greeted) Read(p []byte) (int, error) {
	if len(g.first) > 0 {
		n := copy(p, g.first)
		g.first = g.first[n:]
		return n, nil
	}
	return g.Conn.Read(p)
}
