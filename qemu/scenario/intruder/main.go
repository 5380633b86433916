// Intruder does to an SSH server what somebody does who wants to get in, or
// wants that nobody does:
//
//	intruder [-from A,B,…] [-key FILE] [-hold FILE] ATTACK COUNT ADDRESS:PORT
//
// It comes from several addresses, which the machine must have, and says in one
// line of JSON what came of it. With -hold, what it opened stays open until the
// file is there; FILE.ready is made when all is open.
//
// It owns the attacks, and must not know what is attacked or how it takes that.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// Outcome is what came of an attack.
type Outcome struct {
	Connections int // that TCP made
	Unreachable int // that it did not
	Refused     int // were closed before the server said who it is
	Wrong       int // passwords, or keys, that the server said no to
	Cut         int // conversations that the server broke off
	In          int // logins
	Ended       int // connections that the server ended while they were held
}

// intruder is who attacks.
type intruder struct {
	target string
	from   []netip.Addr
	signer ssh.Signer // of somebody who may log in; nil: nobody's
	hold   string
	count  int
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "intruder:", err)
		os.Exit(1)
	}
}

func run() error {
	var i intruder
	from := flag.String("from", "", "the addresses to come from")
	key := flag.String("key", "", "the private key of somebody who may log in")
	flag.StringVar(&i.hold, "hold", "", "keep connections open until this file is there")
	flag.Parse()
	if flag.NArg() != 3 {
		return errors.New("expected ATTACK COUNT ADDRESS:PORT")
	}
	attack, known := attacks()[flag.Arg(0)]
	if !known {
		return fmt.Errorf("there is no attack %q", flag.Arg(0))
	}
	var err error
	if i.count, err = strconv.Atoi(flag.Arg(1)); err != nil {
		return fmt.Errorf("count: %w", err)
	}
	i.target = flag.Arg(2)
	if err := i.readArguments(*from, *key); err != nil {
		return err
	}
	outcome, err := attack(&i)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(outcome)
}

func (i *intruder) readArguments(from, key string) error {
	for text := range strings.SplitSeq(from, ",") {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("-from: %w", err)
		}
		i.from = append(i.from, address)
	}
	if key == "" {
		return nil
	}
	text, err := os.ReadFile(key)
	if err != nil {
		return err
	}
	i.signer, err = ssh.ParsePrivateKey(text)
	return err
}

// dial connects from the nth address, counted around.
func (i *intruder) dial(n int) (net.Conn, error) {
	const patience = 2 * time.Minute // the server is busy, and TCP tries again
	d := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(i.from[n%len(i.from)], 0))}
	return d.Dial("tcp", i.target)
}

// sentAway reports whether dial failed because the server took the connection
// and closed it at once, before this side had looked at it.
func sentAway(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) }

// wait says that all is open, and returns when it may be closed.
func (i *intruder) wait() error {
	if i.hold == "" {
		return nil
	}
	if err := os.WriteFile(i.hold+".ready", nil, 0o600); err != nil {
		return err
	}
	for {
		_, err := os.Stat(i.hold)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}
