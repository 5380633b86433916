package shell

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"dipper/appliance/api"
	"dipper/shell/access"
	"dipper/shell/session"
)

// Bounds of what a client may ask for.
const (
	maxCommand = 64 << 10 // bytes
	maxEnv     = 256      // bytes of a value
)

// passedEnv are the variables that a client may set.
var passedEnv = []string{"TERM", "LANG", "LC_ALL", "NO_COLOR"}

// channel is one session on a connection.
type channel struct {
	connection *connection
	grant      access.Grant
	stream     gossh.Channel
	id         string
	env        map[string]string
	terminal   *session.Terminal
	resized    chan session.Size
	input      *input
	cancel     context.CancelFunc
	begin      func()        // what was asked for, before it is answered
	ran        chan struct{} // closed when the work is done; nil: nothing runs yet
	gone       atomic.Bool   // the client closed it, or the connection is over
	lost       atomic.Bool   // the session says so
	sits       atomic.Bool   // somebody is at a terminal
	prompts    atomic.Bool   // and can type any command there
	broken     atomic.Bool   // its input ended, or its output failed
	unread     atomic.Bool   // nobody reads the output any more
}

// serve answers the client's requests until the channel is closed.
func (ch *channel) serve(ctx context.Context, requests <-chan *gossh.Request) {
	ctx, ch.cancel = context.WithCancel(ctx)
	defer func() {
		ch.gone.Store(true)
		ch.cancel()
		if ch.ran != nil {
			<-ch.ran
		}
	}()
	for req := range requests {
		ok := ch.request(ctx, req)
		if req.WantReply {
			// The channel is gone when this fails, and requests end.
			_ = req.Reply(ok, nil)
		}
		if ok && ch.begin != nil {
			// Not before the answer: work may be done, and the channel closed,
			// before the client knows that it was begun.
			ch.begin()
			ch.begin = nil
		}
	}
}

// request answers whether a request is granted. None may block: all sessions
// of the connection would wait.
func (ch *channel) request(ctx context.Context, req *gossh.Request) bool {
	switch req.Type {
	case "pty-req":
		return ch.ptyRequest(req.Payload)
	case "window-change":
		return ch.windowChange(req.Payload)
	case "env":
		return ch.setEnv(req.Payload)
	case "signal":
		return ch.signal(req.Payload)
	case "break":
		return ch.interrupt()
	case "eow@openssh.com": // OpenSSH's PROTOCOL, section 2.1
		ch.unread.Store(true)
		return true
	case "shell":
		return ch.start(ctx, work{kind: "shell"})
	case "exec", "subsystem":
		var of struct{ Name string }
		if gossh.Unmarshal(req.Payload, &of) != nil || len(of.Name) > maxCommand {
			return false
		}
		if req.Type == "subsystem" && of.Name != "sftp" {
			return false
		}
		return ch.start(ctx, work{kind: req.Type, command: of.Name})
	}
	return false // agents, X11 and what else there is
}

// ptyRequest takes a terminal (RFC 4254 section 6.2).
func (ch *channel) ptyRequest(payload []byte) bool {
	var asked struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	if gossh.Unmarshal(payload, &asked) != nil || ch.terminal != nil || ch.ran != nil || ch.grant.NoTerminal {
		return false
	}
	ch.resized = make(chan session.Size, 1)
	ch.terminal = &session.Terminal{Width: extent(asked.Columns), Height: extent(asked.Rows), Resized: ch.resized, Type: short(asked.Term)}
	return true
}

// windowChange hands the newest size on; older ones that nobody took are
// forgotten (RFC 4254 section 6.7).
func (ch *channel) windowChange(payload []byte) bool {
	var asked struct{ Columns, Rows, Width, Height uint32 }
	if gossh.Unmarshal(payload, &asked) != nil || ch.terminal == nil {
		return false
	}
	size := session.Size{Width: extent(asked.Columns), Height: extent(asked.Rows)}
	select {
	case <-ch.resized:
	default:
	}
	ch.resized <- size // has room: nobody else sends
	return true
}

// extent bounds what a client calls the size of its window; 0 is unknown.
func extent(n uint32) int { return int(min(n, math.MaxInt16)) }

func short(s string) string { return s[:min(len(s), maxEnv)] }

func (ch *channel) setEnv(payload []byte) bool {
	var asked struct{ Name, Value string }
	if gossh.Unmarshal(payload, &asked) != nil || !slices.Contains(passedEnv, asked.Name) || len(asked.Value) > maxEnv || ch.ran != nil {
		return false
	}
	ch.env[asked.Name] = asked.Value
	return true
}

// signal ends a command, or presses ^C on a terminal (RFC 4254 section 6.9).
func (ch *channel) signal(payload []byte) bool {
	var asked struct{ Name string }
	if gossh.Unmarshal(payload, &asked) != nil {
		return false
	}
	switch asked.Name {
	case "INT":
		return ch.interrupt()
	case "TERM", "HUP", "KILL", "QUIT":
		ch.cancel()
		return true
	}
	return false
}

func (ch *channel) interrupt() bool {
	if ch.ran == nil {
		return false
	}
	if ch.terminal == nil {
		ch.cancel()
		return true
	}
	ch.input.interrupt()
	return true
}

// work is what a client wants.
type work struct {
	kind    string // "shell", "exec", "subsystem"
	command string
}

// start prepares what was asked for, once.
func (ch *channel) start(ctx context.Context, w work) bool {
	if ch.ran != nil {
		return false
	}
	if ch.grant.ForceCommand != "" {
		w = work{kind: "exec", command: ch.grant.ForceCommand}
	}
	ch.ran = make(chan struct{})
	ch.input = newInput(ch)
	ch.sits.Store(ch.terminal != nil)
	ch.prompts.Store(ch.terminal != nil && w.kind == "shell")
	ctx = api.WithActor(ctx, ch.actor())
	ch.begin = func() {
		ok := ch.connection.goes(func() {
			defer close(ch.ran)
			ch.tellBegin(ctx)
			status := ch.run(ctx, w)
			ch.tellEnd(ctx)
			ch.finish(status)
		})
		if !ok {
			close(ch.ran)
		}
	}
	return true
}

// run does the work and answers its exit status.
func (ch *channel) run(ctx context.Context, w work) (status int) {
	defer ch.connection.server.survive("session of " + ch.grant.User)
	status = exitBroken // unless it gets to its end
	switch w.kind {
	case "subsystem":
		status = ch.serveFiles(ctx)
	case "exec":
		if strings.HasPrefix(w.command, "scp -") { // as scp did before OpenSSH 9.0
			// A client that is gone reads nothing.
			_, _ = fmt.Fprintln(ch.stderr(), "this machine speaks sftp and not the old protocol of scp: call scp with -s, or sftp")
			return exitFailed
		}
		status = ch.converse().Exec(ctx, w.command)
	default:
		status = ch.interact(ctx)
	}
	return status
}

// interact prompts, and answers the exit status of the session.
func (ch *channel) interact(ctx context.Context) int {
	err := ch.converse().Interact(ctx)
	status, failed := errors.AsType[session.ExitError](err)
	switch {
	case err == nil:
		return exitOK
	case failed:
		return int(status)
	case errors.Is(err, session.ErrLost):
		ch.lost.Store(true)
	case ctx.Err() == nil:
		// A client that is gone reads nothing.
		_, _ = fmt.Fprintf(ch.stderr(), "%v\r\n", err)
	}
	return exitFailed
}

// Exit statuses of the server's own.
const (
	exitOK     = 0
	exitFailed = 1
	exitBroken = 70 // EX_SOFTWARE of sysexits.h
)

func (ch *channel) actor() api.Actor { return ch.connection.actor(ch.grant, ch.id) }

func (ch *channel) converse() Conversation {
	s := session.Session{Actor: ch.actor(), In: ch.input, Out: ch.stdout(), Err: ch.stderr(), Terminal: ch.terminal, Env: ch.env}
	s.Local, s.Remote = endOf(ch.connection.raw.LocalAddr()), endOf(ch.connection.raw.RemoteAddr())
	if ch.terminal != nil && ch.env["TERM"] == "" {
		ch.env["TERM"] = ch.terminal.Type
	}
	return ch.connection.server.Begin(s)
}

// endOf is an end of a TCP connection; not valid if it is of another kind.
func endOf(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

// finish tells the client the exit status and closes the channel. When that
// fails the client is gone. The status is sent before the end of the output:
// OpenSSH closes the channel when it has that and its own input has ended, and
// on a closed channel nothing is sent any more.
func (ch *channel) finish(status int) {
	_, _ = ch.stream.SendRequest("exit-status", false, gossh.Marshal(struct{ Status uint32 }{uint32(status)}))
	_ = ch.stream.CloseWrite()
	_ = ch.stream.Close()
}

// tellBegin tells the control plane that somebody has logged in. One more
// session on his connection is no login; and whoever may give but one command
// cannot do what the control plane is told for.
func (ch *channel) tellBegin(ctx context.Context) {
	if ch.grant.ForceCommand != "" {
		return
	}
	ch.connection.arrived.Do(func() { ch.connection.server.teller.began(ctx) })
}

// tellEnd tells the control plane that the session is over: by its user's
// will, or because its connection broke.
func (ch *channel) tellEnd(ctx context.Context) {
	lost := ch.gone.Load() || ch.lost.Load() || ch.broken.Load() && !ch.there()
	ch.connection.server.teller.ended(ctx, ch.id, lost)
}

// there asks whether the client still has the channel: input ends when the
// client says so, but also when the connection breaks, and nothing tells which.
func (ch *channel) there() bool {
	answer := make(chan error, 1)
	go func() {
		// Ends with the channel at the latest.
		_, err := ch.stream.SendRequest("keepalive@openssh.com", true, nil)
		answer <- err
	}()
	timer := time.NewTimer(ch.connection.server.Times.Keepalive)
	defer timer.Stop()
	select {
	case err := <-answer:
		return err == nil
	case <-ch.connection.done:
		return false
	case <-timer.C:
		return false
	}
}
