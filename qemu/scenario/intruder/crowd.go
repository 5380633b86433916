package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// attacks by name.
func attacks() map[string]func(*intruder) (Outcome, error) {
	return map[string]func(*intruder) (Outcome, error){
		"guess":      (*intruder).guess,
		"never-read": (*intruder).neverRead,
		"idle":       crowd(func(int, net.Conn) {}),
		"half-open":  crowd(halfOpen),
		"huge-line":  crowd(hugeLine),
		"garbage":    crowd(garbage),
	}
}

// crowd opens connections, and has each begin a conversation.
func crowd(begin func(n int, conn net.Conn)) func(*intruder) (Outcome, error) {
	return func(i *intruder) (Outcome, error) {
		var out Outcome
		var ended atomic.Int64
		var conns []net.Conn
		var busy sync.WaitGroup
		for n := range i.count {
			conn, err := i.dial(n)
			if sentAway(err) {
				out.Connections++
				ended.Add(1)
				continue
			}
			if err != nil {
				out.Unreachable++
				continue
			}
			conns = append(conns, conn)
			busy.Go(func() {
				begin(n, conn)
				_, _ = io.Copy(io.Discard, conn) // whatever ends it
				ended.Add(1)
			})
		}
		err := i.wait()
		out.Connections, out.Ended = out.Connections+len(conns), int(ended.Load())
		for _, conn := range conns {
			conn.Close()
		}
		busy.Wait()
		return out, err
	}
}

const version = "SSH-2.0-intruder\r\n"

// halfOpen says its version and nothing else. Every tenth goes on until the
// server has made its part of a key exchange, which costs it most, and is
// silent then.
func halfOpen(n int, conn net.Conn) {
	if n%10 != 0 {
		_, _ = io.WriteString(conn, version) // the server may be quicker, here and below
		return
	}
	proven := make(chan struct{})
	told := sync.OnceFunc(func() { close(proven) })
	go func() { // ends with this process
		defer told() // the server may have broken off
		_, _, _, _ = ssh.NewClientConn(conn, "", &ssh.ClientConfig{HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error {
			told()
			select {}
		}})
	}()
	<-proven
}

// hugeLine never comes to the end of its version.
func hugeLine(_ int, conn net.Conn) {
	_, _ = conn.Write(bytes.Repeat([]byte("x"), 1<<20))
}

// garbage greets and then sends what is no packet.
func garbage(_ int, conn net.Conn) {
	noise := make([]byte, 256<<10)
	_, _ = rand.Read(noise) // never fails (crypto/rand)
	_, _ = conn.Write(append([]byte(version), noise...))
}

// neverRead logs in, has something written without end, and does not take it
// from the wire.
func (i *intruder) neverRead() (Outcome, error) {
	var out Outcome
	var deaf []*deafConn
	for n := range i.count {
		conn, err := i.dial(n)
		if err != nil {
			return out, err
		}
		d := &deafConn{Conn: conn, deaf: make(chan struct{}), gone: make(chan struct{})}
		deaf = append(deaf, d)
		if err := d.flood(i.signer); err != nil {
			return out, fmt.Errorf("session %d: %w", n, err)
		}
		out.In++
	}
	err := i.wait()
	for _, d := range deaf {
		d.Close()
	}
	out.Connections = len(deaf)
	return out, err
}

// deafConn reads nothing once it is deaf.
type deafConn struct {
	net.Conn
	deaf, gone chan struct{}
	closing    sync.Once
}

func (d *deafConn) Read(p []byte) (int, error) {
	select {
	case <-d.deaf:
		<-d.gone
		return 0, net.ErrClosed
	default:
		return d.Conn.Read(p)
	}
}

func (d *deafConn) Close() error {
	d.closing.Do(func() { close(d.gone) })
	return d.Conn.Close()
}

// flood becomes deaf as soon as the flood is there.
func (d *deafConn) flood(signer ssh.Signer) error {
	const patience = 5 * time.Minute
	conn, channels, requests, err := ssh.NewClientConn(d, "", &ssh.ClientConfig{
		User: "admin", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: patience,
	})
	if err != nil {
		return err
	}
	session, err := ssh.NewClient(conn, channels, requests).NewSession()
	if err != nil {
		return err
	}
	flood, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	if err := session.Start("debug cat /dev/zero"); err != nil {
		return err
	}
	if _, err := io.ReadFull(flood, make([]byte, 64<<10)); err != nil {
		return err
	}
	close(d.deaf)
	return nil
}
