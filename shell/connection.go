package shell

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"dipper/appliance/api"
	"dipper/shell/access"
)

// Limits of sessions: each may hold up to 2 MiB of unread input.
const (
	maxSessionsPerConnection = 10
	maxSessions              = 96
)

// connection is one client, who may have several sessions.
type connection struct {
	server  *SSH
	raw     net.Conn
	from    netip.Addr
	id      string
	visitor *access.Visitor
	alarm   *time.Timer   // ends it when there is no login, or no session
	done    chan struct{} // closed at its end
	active  atomic.Int64  // when it was last in use, as UnixNano
	watched sync.Once
	arrived sync.Once      // the control plane was told of the login
	running sync.WaitGroup // its sessions

	mu       sync.Mutex
	grant    *access.Grant
	claimed  string // the name that somebody tried to log in by
	reason   error  // why he could not
	why      string // the server ended it
	sessions map[*channel]bool
	opened   int  // ever
	noted    bool // the login
}

// newID makes a name for a connection that no other has, also of a shell that
// was restarted.
func newID() string { return rand.Text()[:10] }

// serve speaks SSH until the connection is over.
func (c *connection) serve(ctx context.Context) {
	c.active.Store(time.Now().UnixNano())
	c.alarm = time.AfterFunc(time.Duration(c.server.handshake.Load()), func() { c.end("took too long to log in") })
	defer c.alarm.Stop()
	lib := c.library(ctx)
	lib.HandleConn(c.raw)
	c.end("")
	c.running.Wait()
	c.noteLogout()
}

// end closes the connection. The first reason counts; "" is the client's will.
func (c *connection) end(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		return
	default:
	}
	c.why = why
	close(c.done)
	closeQuietly(c.raw)
}

// farewell is how long a client may take to read why it is dismissed.
const farewell = 200 * time.Millisecond

// dismiss ends the connection after telling those who sit at a terminal why.
func (c *connection) dismiss(why string) {
	c.mu.Lock()
	told := make(chan struct{})
	var telling sync.WaitGroup
	for ch := range c.sessions {
		if ch.sits.Load() {
			// Ends with the connection at the latest.
			telling.Go(func() { _, _ = fmt.Fprintf(ch.stream, "\r\n*** %s: this session ends\r\n", why) })
		}
	}
	c.mu.Unlock()
	go func() {
		telling.Wait()
		close(told)
	}()
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-told:
	case <-timer.C:
	}
	c.end(why)
}

// goes runs f unless the connection is over, whose end waits for it.
func (c *connection) goes(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		return false
	default:
	}
	c.running.Go(f)
	return true
}

func (c *connection) because() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == "" {
		return ""
	}
	return ": " + c.why
}

func (c *connection) granted() (access.Grant, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.grant == nil {
		return access.Grant{}, false
	}
	return *c.grant, true
}

// noteLogin notes a login, unless the connection is over: who is noted to come is
// noted to go, however soon that is.
func (c *connection) noteLogin(g access.Grant) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		return false
	default:
	}
	c.noted = true
	c.server.note(c.actor(g, ""), "login by "+g.Means, "ok")
	return true
}

// noteLogout notes the end of somebody's connection whose login was noted.
func (c *connection) noteLogout() {
	c.mu.Lock()
	noted := c.noted
	c.mu.Unlock()
	if g, ok := c.granted(); ok && noted {
		c.server.note(c.actor(g, ""), "logout"+c.because(), "ok")
	}
}

func (c *connection) actor(g access.Grant, session string) api.Actor {
	return api.Actor{User: g.User, Role: g.Role, Fingerprint: g.Fingerprint, From: c.from.String(), Session: session}
}

// watch is called with the first session: it announces the host keys, and
// looks after the client from now on.
func (c *connection) watch(conn *gossh.ServerConn, g access.Grant) {
	c.watched.Do(func() {
		c.alarm.Stop()
		if !c.noteLogin(g) {
			return
		}
		c.announceHostKeys(conn, g)
		c.goes(func() { c.keepAlive(conn) })
	})
}

// keepAlive asks the client from time to time whether it is there, and ends
// the connection when it is not, or when nobody uses any of its sessions.
func (c *connection) keepAlive(conn *gossh.ServerConn) {
	every := c.server.Times.Keepalive
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		idle := time.Duration(c.server.idle.Load())
		if quiet := time.Since(time.Unix(0, c.active.Load())); idle > 0 && quiet >= idle {
			c.dismiss(fmt.Sprintf("idle for %v", idle))
			return
		}
		if !c.answers(conn, 3*every) {
			c.end("the client does not answer any more")
			return
		}
	}
}

// answers asks the client for a sign of life. Any answer is one.
func (c *connection) answers(conn *gossh.ServerConn, patience time.Duration) bool {
	answer := make(chan error, 1)
	go func() {
		// Ends with the connection at the latest.
		_, _, err := conn.SendRequest("keepalive@openssh.com", true, nil)
		answer <- err
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-answer:
		return err == nil
	case <-timer.C:
		return false
	case <-c.done:
		return false
	}
}

// session takes a channel for a session.
func (c *connection) session(ctx context.Context, conn *gossh.ServerConn, nc gossh.NewChannel) {
	g, ok := conn.Permissions.ExtraData[grantKey{}].(access.Grant)
	if !ok {
		c.end("BUG: nobody was let in")
		return
	}
	c.watch(conn, g)
	ch := &channel{connection: c, grant: g, env: map[string]string{}}
	if !c.takeSession(ch) {
		// The connection is gone when this fails.
		_ = nc.Reject(gossh.ResourceShortage, fmt.Sprintf("too many sessions: at most %d on a connection, %d in all", maxSessionsPerConnection, maxSessions))
		return
	}
	defer c.leaveSession(ch)
	var requests <-chan *gossh.Request
	var err error
	if ch.stream, requests, err = nc.Accept(); err != nil {
		return // the connection is gone
	}
	ch.serve(ctx, requests)
}

// takeSession makes room for a session, and names it.
func (c *connection) takeSession(ch *channel) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sessions) >= maxSessionsPerConnection {
		return false
	}
	if c.server.sessions.Add(1) > maxSessions {
		c.server.sessions.Add(-1)
		return false
	}
	c.opened++
	ch.id = fmt.Sprintf("%s.%d", c.id, c.opened)
	if c.sessions == nil {
		c.sessions = map[*channel]bool{}
	}
	c.sessions[ch] = true
	return true
}

func (c *connection) leaveSession(ch *channel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, ch)
	c.server.sessions.Add(-1)
}

// touch notes that the connection is in use.
func (c *connection) touch() { c.active.Store(time.Now().UnixNano()) }
