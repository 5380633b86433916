// Package peer is the other side of every test: machines of programs that
// nobody here wrote (curl, ipvsadm, keepalived, tcpdump, busybox and the like,
// from Debian's packages), and the means to run them.
//
// It owns their initramfs and the agent that takes commands in them. It knows
// neither what a peer is for nor how it is connected.
package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"dipper/qemu/peer/call"
)

// Peer is a connection to the agent of one machine. Its methods may be called
// at any time by anybody.
type Peer struct {
	name string
	conn net.Conn

	mu      sync.Mutex
	nextID  int64
	waiting map[int64]chan call.Answer
	failed  error // why the connection ended
}

// ErrGone is what calls to a peer get whose machine has ended.
var ErrGone = errors.New("peer is gone")

// ExitError is a script that ended with a status other than 0.
type ExitError struct {
	Peer, Script   string
	Stdout, Stderr string
	Status         int
}

// Error ends with what the script complained about or, if it did not, printed.
func (e *ExitError) Error() string {
	said := strings.TrimSpace(e.Stderr)
	if said == "" {
		said = strings.TrimSpace(e.Stdout)
	}
	return fmt.Sprintf("peer %s: %q: exit status %d: %s", e.Peer, e.Script, e.Status, said)
}

// Connect speaks on conn, the host's end of the port named call.Port, and waits
// until the agent answers.
func Connect(ctx context.Context, name string, conn net.Conn) (*Peer, error) {
	p := &Peer{name: name, conn: conn, waiting: make(map[int64]chan call.Answer)}
	go p.receive()
	if _, err := p.Run(ctx, "true"); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

// Close ends the connection. What runs in the peer goes on.
func (p *Peer) Close() error { return p.conn.Close() }

// Run runs a script with "sh -e" and returns what it printed. When ctx ends,
// the script is ended too, and what it had printed by then is lost. What it
// leaves in the background goes on.
func (p *Peer) Run(ctx context.Context, script string) (string, error) {
	return p.RunWith(ctx, script, "")
}

// RunWith is Run with standard input.
func (p *Peer) RunWith(ctx context.Context, script, stdin string) (string, error) {
	answer, err := p.do(ctx, call.Request{Script: script, Stdin: stdin})
	switch {
	case err != nil:
		return "", fmt.Errorf("peer %s: %q: %w", p.name, script, err)
	case answer.Error != "":
		return "", fmt.Errorf("peer %s: %q: %s", p.name, script, answer.Error)
	case answer.Exit != 0:
		return answer.Stdout, &ExitError{p.name, script, answer.Stdout, answer.Stderr, answer.Exit}
	case answer.Truncated:
		return answer.Stdout, fmt.Errorf("peer %s: %q: more than %d bytes of output", p.name, script, call.MaxOutput)
	}
	return answer.Stdout, nil
}

func (p *Peer) do(ctx context.Context, request call.Request) (call.Answer, error) {
	id, answer, err := p.send(request)
	if err != nil {
		return call.Answer{}, err
	}
	select {
	case a, ok := <-answer:
		if !ok {
			return call.Answer{}, ErrGone
		}
		return a, nil
	case <-ctx.Done():
		p.abandon(id)
		return call.Answer{}, ctx.Err()
	}
}

func (p *Peer) send(request call.Request) (int64, <-chan call.Answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return 0, nil, p.failed
	}
	p.nextID++
	request.ID = p.nextID
	answer := make(chan call.Answer, 1)
	p.waiting[request.ID] = answer
	if err := p.write(request); err != nil {
		delete(p.waiting, request.ID)
		return 0, nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	return request.ID, answer, nil
}

func (p *Peer) abandon(id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, id)
	_ = p.write(call.Request{ID: id, Cancel: true}) // gone is as good as cancelled
}

// write wants the lock held.
func (p *Peer) write(request call.Request) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	_, err = p.conn.Write(append(line, '\n'))
	return err
}

func (p *Peer) receive() {
	lines := bufio.NewReader(p.conn)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			p.end()
			return
		}
		var answer call.Answer
		if json.Unmarshal(line, &answer) == nil {
			p.handle(answer)
		}
	}
}

func (p *Peer) handle(answer call.Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if waiting, ok := p.waiting[answer.ID]; ok {
		waiting <- answer // buffered
		delete(p.waiting, answer.ID)
	}
}

func (p *Peer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = ErrGone
	for id, waiting := range p.waiting {
		close(waiting)
		delete(p.waiting, id)
	}
}
